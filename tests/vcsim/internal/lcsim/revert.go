package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// RevertToSnapshotTask puts the VM back to a snapshot.
func (m *snapshotMethods) RevertToSnapshotTask(ctx *simulator.Context, _ *types.RevertToSnapshot_Task) soap.HasFault {
	return &methods.RevertToSnapshot_TaskBody{Res: &types.RevertToSnapshot_TaskResponse{
		Returnval: m.sim.startRevert(ctx, "RevertToSnapshot_Task", m.sim.vm(m.snap.Vm), m.Self),
	}}
}

// RevertToCurrentSnapshotTask puts the VM back to its current snapshot.
func (m *vmMethods) RevertToCurrentSnapshotTask(
	ctx *simulator.Context, _ *types.RevertToCurrentSnapshot_Task,
) soap.HasFault {
	body := new(methods.RevertToCurrentSnapshot_TaskBody)
	var current *types.ManagedObjectReference
	ctx.WithLock(m.vm, func() {
		if m.vm.Snapshot != nil {
			current = m.vm.Snapshot.CurrentSnapshot
		}
	})
	if current == nil {
		body.Fault_ = soapFault(&types.NotFound{})
		return body
	}
	body.Res = &types.RevertToCurrentSnapshot_TaskResponse{
		Returnval: m.sim.startRevert(ctx, "RevertToCurrentSnapshot_Task", m.vm, *current),
	}
	return body
}

func (s *Sim) startRevert(
	ctx *simulator.Context, method string, vm *simulator.VirtualMachine, to types.ManagedObjectReference,
) types.ManagedObjectReference {
	return s.startTask(ctx, work{
		method: method, id: descriptionID(method), entity: vm,
		run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			var fault types.BaseMethodFault
			ctx.WithLock(vm, func() { fault = s.revert(ctx, vm, to) })
			return nil, fault
		},
	})
}

// revert swaps the VM's top deltas for new ones on the snapshot's files.
//
// Reverting the parent touches no clone [fact: vs-snapshot-freezes]. The caller holds the VM's lock.
func (s *Sim) revert(
	ctx *simulator.Context, vm *simulator.VirtualMachine, to types.ManagedObjectReference,
) types.BaseMethodFault {
	snap := s.snapshot(to)
	if snap == nil {
		return &types.ManagedObjectNotFound{Obj: to}
	}
	before := s.disks.usesOf(vm.Self)
	identity := *vm.Config
	independent := map[int32]*types.VirtualDisk{}
	for _, disk := range disksOf(identity.Hardware.Device) {
		if isIndependent(disk.Backing) {
			independent[disk.Key] = disk
		}
	}
	config := deepCopy(snap.Config)
	// Name, identity and home are not part of what a revert brings back.
	config.Name, config.Uuid, config.InstanceUuid = identity.Name, identity.Uuid, identity.InstanceUuid
	config.Files, config.Template = identity.Files, identity.Template
	for _, disk := range disksOf(config.Hardware.Device) {
		if kept := independent[disk.Key]; kept != nil {
			disk.Backing = kept.Backing
		}
	}
	vm.Config = &config
	s.pushDeltas(&vm.VirtualMachine)
	summarize(&vm.VirtualMachine)

	tree := newTree(vm.Snapshot)
	tree.current = &to
	if node := findNode(tree.roots, to); node != nil && node.State != vm.Runtime.PowerState {
		s.setPower(ctx, vm, node.State)
	}
	s.publishTree(ctx, vm, tree)
	s.dropUnused(&vm.VirtualMachine, before)
	return nil
}

// deleteUnused deletes those files that nobody uses any more.
func (s *Sim) deleteUnused(ids []fileID) {
	for _, id := range ids {
		if s.disks.unused(id) {
			s.deleteFile(id)
		}
	}
}
