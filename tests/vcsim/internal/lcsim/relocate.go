package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// RelocateVMTask moves a VM.
//
// [fact: vs-move-types, vs-relocate]: with the
// default or Consolidate the whole chain is copied and the VM becomes
// independent; with moveChildMostDiskBacking only the top layer moves and a
// clone stays linked. createNewChildDiskBacking is not supported.
func (m *vmMethods) RelocateVMTask(ctx *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: "RelocateVM_Task", id: descriptionID("RelocateVM_Task"), entity: m.vm,
			check: func(*simulator.Context) types.BaseMethodFault {
				job := cloneJob{spec: types.VirtualMachineCloneSpec{Location: req.Spec}}
				if fault := job.checkMoveTypes(); fault != nil {
					return fault
				}
				if job.asksForNewChild() {
					return &types.NotSupported{}
				}
				return nil
			},
			run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
				return nil, m.sim.relocate(ctx, m.vm, req.Spec)
			},
		}),
	}}
}

func (s *Sim) relocate(
	ctx *simulator.Context, vm *simulator.VirtualMachine, spec types.VirtualMachineRelocateSpec,
) (fault types.BaseMethodFault) {
	p, fault := s.place(ctx, vm, spec)
	if fault != nil {
		return fault
	}
	ctx.WithLock(vm, func() {
		before := s.disks.usesOf(vm.Self)
		if p.moved {
			b := vmBuilder{sim: s, ctx: ctx, vm: vm, name: vm.Name, place: p}
			b.home()
			if fault = b.moveDisks(spec, ""); fault != nil {
				return
			}
			b.finish()
		}
		ctx.Update(vm, []types.PropertyChange{
			{Name: "runtime.host", Val: p.host},
			{Name: "summary.runtime.host", Val: p.host},
			{Name: "resourcePool", Val: *p.pool},
		})
		s.publishTree(ctx, vm, newTree(vm.Snapshot))
		s.deleteUnused(before)
	})
	return fault
}
