package lcsim

import (
	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func newUUID() string { return uuid.NewString() }

// vmEvent is the common part of a VM's events. The caller need not hold a lock.
func (s *Sim) vmEvent(ctx *simulator.Context, vm *simulator.VirtualMachine) types.VmEvent {
	e := types.VmEvent{}
	var hostRef *types.ManagedObjectReference
	var datastores []types.ManagedObjectReference
	ctx.WithLock(vm, func() {
		e.Vm = &types.VmEventArgument{
			EntityEventArgument: types.EntityEventArgument{Name: vm.Name}, Vm: vm.Self,
		}
		e.Template = vm.Config.Template
		hostRef, datastores = vm.Runtime.Host, vm.Datastore
	})
	if host, ok := ctx.Map.Get(*hostRef).(*simulator.HostSystem); ok {
		e.Host = &types.HostEventArgument{
			EntityEventArgument: types.EntityEventArgument{Name: host.Name}, Host: host.Self,
		}
		if parent, ok := ctx.Map.Get(*host.Parent).(mo.Entity); ok {
			e.ComputeResource = &types.ComputeResourceEventArgument{
				EntityEventArgument: types.EntityEventArgument{Name: parent.Entity().Name},
				ComputeResource:     parent.Reference(),
			}
		}
	}
	if len(datastores) > 0 {
		if ds, ok := ctx.Map.Get(datastores[0]).(*simulator.Datastore); ok {
			e.Ds = &types.DatastoreEventArgument{
				EntityEventArgument: types.EntityEventArgument{Name: ds.Name}, Datastore: ds.Self,
			}
		}
	}
	if dc := s.datacenterOf(ctx, vm); dc != nil {
		e.Datacenter = &types.DatacenterEventArgument{
			EntityEventArgument: types.EntityEventArgument{Name: dc.Name}, Datacenter: dc.Self,
		}
	}
	return e
}

func (s *Sim) datacenterOf(ctx *simulator.Context, e mo.Entity) *simulator.Datacenter {
	for parent := e.Entity().Parent; parent != nil; {
		switch o := ctx.Map.Get(*parent).(type) {
		case *simulator.Datacenter:
			return o
		case mo.Entity:
			parent = o.Entity().Parent
		default:
			return nil
		}
	}
	return nil
}

func (s *Sim) post(ctx *simulator.Context, events ...types.BaseEvent) {
	m := ctx.Map.EventManager()
	if m == nil {
		return
	}
	ctx.WithLock(m, func() {
		for _, e := range events {
			m.PostEvent(ctx, &types.PostEvent{EventToPost: e})
		}
	})
}

// postCloned tells where a VM came from.
//
// VmClonedEvent, or VmDeployedEvent for templates [fact: vs-clone-events].
func (s *Sim) postCloned(ctx *simulator.Context, source, vm *simulator.VirtualMachine) {
	event := s.vmEvent(ctx, vm)
	var template bool
	argument := types.VmEventArgument{Vm: source.Self}
	ctx.WithLock(source, func() {
		template = source.Config.Template
		argument.Name = source.Name
	})
	if template {
		s.post(ctx, &types.VmDeployedEvent{VmEvent: event, SrcTemplate: argument})
		return
	}
	s.post(ctx, &types.VmClonedEvent{VmCloneEvent: types.VmCloneEvent{VmEvent: event}, SourceVm: argument})
}
