package lcsim

import (
	"slices"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// rightsBook says which privileges the user lacks, everywhere.
type rightsBook struct {
	mu      sync.Mutex
	missing []string
}

func (b *rightsBook) set(missing []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missing = slices.Clone(missing)
}

func (b *rightsBook) has(privilege string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.Contains(b.missing, privilege)
}

// methodRights names what a method needs on its object [fact: vs-privileges]. Which clone privilege applies to which pair of source
// and result is left out: any of the two below that is missing refuses.
var methodRights = map[string][]string{
	methodClone:               {"VirtualMachine.Provisioning.Clone", "VirtualMachine.Inventory.CreateFromExisting"},
	"CreateSnapshot_Task":     {"VirtualMachine.State.CreateSnapshot"},
	"CreateSnapshotEx_Task":   {"VirtualMachine.State.CreateSnapshot"},
	"RemoveSnapshot_Task":     {"VirtualMachine.State.RemoveSnapshot"},
	"RemoveAllSnapshots_Task": {"VirtualMachine.State.RemoveSnapshot"},
	"RevertToSnapshot_Task":   {"VirtualMachine.State.RevertToSnapshot"},
	"PowerOnVM_Task":          {"VirtualMachine.Interact.PowerOn"},
	"PowerOffVM_Task":         {"VirtualMachine.Interact.PowerOff"},
	"MarkAsTemplate":          {"VirtualMachine.Provisioning.MarkAsTemplate"},
	"MarkAsVirtualMachine":    {"VirtualMachine.Provisioning.MarkAsVM"},
	"PromoteDisks_Task":       {"VirtualMachine.Provisioning.PromoteDisks"},
	"Destroy_Task":            {"VirtualMachine.Inventory.Delete"},
	"CustomizeVM_Task":        {"VirtualMachine.Provisioning.Customize"},
	"UnregisterVM":            {"VirtualMachine.Inventory.Unregister"},
	methodSearch:              {"Datastore.Browse"},
	methodSearchAll:           {"Datastore.Browse"},
	methodDeleteFile:          {fileRight},
}

// refuse answers a call whose privilege is missing.
func (b *rightsBook) refuse(call request) types.BaseMethodFault {
	for _, privilege := range methodRights[call.method] {
		if !b.has(privilege) {
			return &types.NoPermission{Object: &call.this, PrivilegeId: privilege}
		}
	}
	return nil
}

// rightsMethods answers what a user may do.
type rightsMethods struct {
	unlocked
	Self  types.ManagedObjectReference
	sim   *Sim
	stock *simulator.AuthorizationManager
}

// Reference implements mo.Reference.
func (m *rightsMethods) Reference() types.ManagedObjectReference { return m.Self }

func (m *rightsMethods) availability(entities []ref, ids []string) []types.EntityPrivilege {
	var out []types.EntityPrivilege
	for _, e := range entities {
		p := types.EntityPrivilege{Entity: e}
		for _, id := range ids {
			p.PrivAvailability = append(p.PrivAvailability, types.PrivilegeAvailability{
				PrivId: id, IsGranted: m.sim.rights.has(id),
			})
		}
		out = append(out, p)
	}
	return out
}

// HasPrivilegeOnEntity answers for one entity.
func (m *rightsMethods) HasPrivilegeOnEntity(req *types.HasPrivilegeOnEntity) soap.HasFault {
	granted := make([]bool, len(req.PrivId))
	for i, id := range req.PrivId {
		granted[i] = m.sim.rights.has(id)
	}
	return &methods.HasPrivilegeOnEntityBody{Res: &types.HasPrivilegeOnEntityResponse{Returnval: granted}}
}

// HasPrivilegeOnEntities answers for a session.
func (m *rightsMethods) HasPrivilegeOnEntities(req *types.HasPrivilegeOnEntities) soap.HasFault {
	return &methods.HasPrivilegeOnEntitiesBody{Res: &types.HasPrivilegeOnEntitiesResponse{
		Returnval: m.availability(req.Entity, req.PrivId),
	}}
}

// HasUserPrivilegeOnEntities answers for a user.
func (m *rightsMethods) HasUserPrivilegeOnEntities(req *types.HasUserPrivilegeOnEntities) soap.HasFault {
	return &methods.HasUserPrivilegeOnEntitiesBody{Res: &types.HasUserPrivilegeOnEntitiesResponse{
		Returnval: m.availability(req.Entities, req.PrivId),
	}}
}

// FetchUserPrivilegeOnEntities lists what a user may do.
func (m *rightsMethods) FetchUserPrivilegeOnEntities(req *types.FetchUserPrivilegeOnEntities) soap.HasFault {
	body := m.stock.FetchUserPrivilegeOnEntities(req).(*methods.FetchUserPrivilegeOnEntitiesBody)
	for i := range body.Res.Returnval {
		have := slices.Clone(body.Res.Returnval[i].Privileges)
		body.Res.Returnval[i].Privileges = slices.DeleteFunc(have, func(id string) bool { return !m.sim.rights.has(id) })
	}
	return body
}
