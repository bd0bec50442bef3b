package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const pageSize = 100

// clampPage makes RetrievePropertiesEx answer in pages.
//
// Pages of 100 objects with a continuation token [fact: vs-pages]. A smaller
// maxObjects is honoured; a larger one is a wish.
func clampPage(m *simulator.Method) {
	req, ok := m.Body.(*types.RetrievePropertiesEx)
	if ok && (req.Options.MaxObjects <= 0 || req.Options.MaxObjects > pageSize) {
		req.Options.MaxObjects = pageSize
	}
}

// pageMethods adds what the library's PropertyCollector lacks.
type pageMethods struct {
	unlocked
	Self types.ManagedObjectReference
	ctx  *simulator.Context
}

// Reference implements mo.Reference.
func (m *pageMethods) Reference() types.ManagedObjectReference { return m.Self }

// CancelRetrievePropertiesEx throws away the pages that a token stands for. The
// token is void at once; the library can only be rid of the rest page by page.
func (m *pageMethods) CancelRetrievePropertiesEx(
	ctx *simulator.Context, req *types.CancelRetrievePropertiesEx,
) soap.HasFault {
	body := new(methods.CancelRetrievePropertiesExBody)
	token, fault := nextPage(ctx, req.Token)
	if fault != nil {
		body.Fault_ = fault
		return body
	}
	go func() {
		for token != "" {
			token, _ = nextPage(ctx, token)
		}
	}()
	body.Res = new(types.CancelRetrievePropertiesExResponse)
	return body
}

// nextPage takes one page and returns the token of the one after it.
func nextPage(ctx *simulator.Context, token string) (string, *soap.Fault) {
	collector := &simulator.PropertyCollector{}
	res := collector.ContinueRetrievePropertiesEx(ctx, &types.ContinueRetrievePropertiesEx{Token: token})
	page := res.(*methods.ContinueRetrievePropertiesExBody)
	if fault := page.Fault(); fault != nil {
		return "", fault
	}
	return page.Res.Returnval.Token, nil
}

// indexMethods answers searches.
type indexMethods struct {
	unlocked
	Self  types.ManagedObjectReference
	sim   *Sim
	stock *simulator.SearchIndex
}

// Reference implements mo.Reference.
func (m *indexMethods) Reference() types.ManagedObjectReference { return m.Self }

// FindChild finds a child of a folder.
func (m *indexMethods) FindChild(ctx *simulator.Context, req *types.FindChild) soap.HasFault {
	folder := folderOf(ctx.Map, req.Entity)
	if folder == nil {
		return m.stock.FindChild(ctx, req)
	}
	found := m.sim.children.find(ctx, folder, req.Name)
	return &methods.FindChildBody{Res: &types.FindChildResponse{Returnval: found}}
}
