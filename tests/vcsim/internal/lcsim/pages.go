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
// Handbook §2 [field report] govmomi #1893, ManageIQ PR #8211: pages come in
// 100s, and callers that forgot the continuation token lost objects. A smaller
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

// CancelRetrievePropertiesEx throws away the pages that a token stands for.
func (m *pageMethods) CancelRetrievePropertiesEx(
	ctx *simulator.Context, req *types.CancelRetrievePropertiesEx,
) soap.HasFault {
	body := new(methods.CancelRetrievePropertiesExBody)
	collector := &simulator.PropertyCollector{}
	for token := req.Token; ; {
		res := collector.ContinueRetrievePropertiesEx(ctx, &types.ContinueRetrievePropertiesEx{Token: token})
		page := res.(*methods.ContinueRetrievePropertiesExBody)
		if fault := page.Fault(); fault != nil {
			body.Fault_ = fault
			return body
		}
		if token = page.Res.Returnval.Token; token == "" {
			break
		}
	}
	body.Res = new(types.CancelRetrievePropertiesExResponse)
	return body
}
