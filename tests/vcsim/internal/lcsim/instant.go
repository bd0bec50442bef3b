package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// InstantCloneTask forks a running VM.
//
// [fact: vs-instant-clone]
func (m *vmMethods) InstantCloneTask(ctx *simulator.Context, req *types.InstantClone_Task) soap.HasFault {
	body := new(methods.InstantClone_TaskBody)
	if ctx.Map.IsESX() {
		body.Fault_ = soapFault(&types.NotSupported{})
		return body
	}
	location := req.Spec.Location
	parent := m.vm.Parent
	if location.Folder != nil {
		parent = location.Folder
	}
	folder := folderOf(ctx.Map, *parent)
	if folder == nil {
		body.Fault_ = soapFault(&types.ManagedObjectNotFound{Obj: *parent})
		return body
	}
	job := &cloneJob{
		sim: m.sim, source: m.vm, folder: folder, name: escapeName(req.Spec.Name),
		target: ctx.Map.NewEntity(&simulator.VirtualMachine{}).Reference(),
		spec: types.VirtualMachineCloneSpec{
			Location: location,
			Config:   &types.VirtualMachineConfigSpec{ExtraConfig: req.Spec.Config, Uuid: req.Spec.BiosUuid},
		},
	}
	taken := m.sim.names.claim(ctx, folder, job.name, job.target)
	job.named = taken == nil
	body.Res = &types.InstantClone_TaskResponse{Returnval: m.sim.startTask(ctx, work{
		method: "InstantClone_Task", id: descriptionID("InstantClone_Task"), entity: m.vm,
		check: func(ctx *simulator.Context) types.BaseMethodFault {
			if taken != nil {
				return taken
			}
			return job.checkInstant(ctx)
		},
		run: job.runInstant,
		end: job.end,
	})}
	return body
}

func (j *cloneJob) checkInstant(ctx *simulator.Context) (fault types.BaseMethodFault) {
	if j.place, fault = j.sim.place(ctx, j.source, j.spec.Location); fault != nil {
		return fault
	}
	ctx.WithLock(j.source, func() {
		if state := j.source.Runtime.PowerState; state != types.VirtualMachinePowerStatePoweredOn {
			fault = &types.InvalidPowerState{
				RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: state,
			}
		}
	})
	return fault
}

func (j *cloneJob) runInstant(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
	// The frozen layer is where both go on from.
	frozen := map[int32]backing{}
	ctx.WithLock(j.source, func() {
		for _, disk := range disksOf(j.source.Config.Hardware.Device) {
			frozen[disk.Key] = deepCopy(disk.Backing)
		}
		j.sim.pushDeltas(&j.source.VirtualMachine)
		j.sim.publishTree(ctx, j.source, newTree(j.source.Snapshot))
	})
	j.spec.Location.DiskMoveType = moveNewChild
	vm, fault := j.buildOn(ctx, frozen)
	if fault != nil {
		return nil, fault
	}
	j.sim.register(ctx, j.folder, vm)
	return vm.Self, j.sim.powerOnVM(ctx, vm)
}
