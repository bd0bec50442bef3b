package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const methodFork = "InstantClone_Task"

// forkJob is one InstantClone_Task on its way.
type forkJob struct {
	cloneJob
	changes []types.BaseVirtualDeviceConfigSpec
	ready   bool // a script waits in the source's guest
	frozen  bool
}

// InstantCloneTask forks a running VM.
//
// [fact: vs-instant-clone, vs-instant-location]
func (m *vmMethods) InstantCloneTask(ctx *simulator.Context, req *types.InstantClone_Task) soap.HasFault {
	body := new(methods.InstantClone_TaskBody)
	if ctx.Map.IsESX() {
		body.Fault_ = soapFault(&types.NotSupported{})
		return body
	}
	job, fault := m.sim.newFork(ctx, m.vm, req.Spec)
	if fault != nil {
		body.Fault_ = soapFault(fault)
		return body
	}
	taken := m.sim.names.claim(ctx, job.folder, job.name, job.target)
	job.named = taken == nil
	body.Res = &types.InstantClone_TaskResponse{Returnval: m.sim.startTask(ctx, work{
		method: methodFork, id: descriptionID(methodFork), entity: m.vm,
		check: func(ctx *simulator.Context) types.BaseMethodFault {
			if taken != nil {
				return taken
			}
			return job.check(ctx)
		},
		run: job.run,
		end: job.end,
	})}
	return body
}

// newFork works out where a fork goes: the root folder unless the spec names one.
func (s *Sim) newFork(
	ctx *simulator.Context, source *simulator.VirtualMachine, spec types.VirtualMachineInstantCloneSpec,
) (*forkJob, types.BaseMethodFault) {
	parent := spec.Location.Folder
	if parent == nil {
		parent = rootVMFolder(ctx, source)
	}
	folder := folderOf(ctx.Map, *parent)
	if folder == nil {
		return nil, &types.ManagedObjectNotFound{Obj: *parent}
	}
	location := spec.Location
	location.DeviceChange = nil
	return &forkJob{changes: spec.Location.DeviceChange, cloneJob: cloneJob{
		sim: s, source: source, folder: folder, name: escapeName(spec.Name),
		target: ctx.Map.NewEntity(&simulator.VirtualMachine{}).Reference(),
		spec: types.VirtualMachineCloneSpec{
			Location: location,
			Config:   &types.VirtualMachineConfigSpec{ExtraConfig: spec.Config, Uuid: spec.BiosUuid},
		},
	}}, nil
}

func rootVMFolder(ctx *simulator.Context, vm *simulator.VirtualMachine) *types.ManagedObjectReference {
	for ref := vm.Parent; ref != nil; {
		entity, ok := ctx.Map.Get(*ref).(mo.Entity)
		if !ok {
			break
		}
		if dc, found := entity.(*simulator.Datacenter); found {
			return &dc.VmFolder
		}
		ref = entity.Entity().Parent
	}
	return vm.Parent
}

// run forks. Forks of one source follow each other, each for the time that the
// rules say.
func (j *forkJob) run(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
	defer j.sim.forks.enter(j.source.Self)()
	rule := j.sim.faults.take(methodFork, atTask, func() string { return j.name })
	if rule != nil && !rule.Leave {
		return nil, rule.built
	}
	tops, fault := j.freeze(ctx)
	if fault != nil {
		return nil, fault
	}
	j.spec.Location.DiskMoveType = moveNewChild
	vm, fault := j.buildOn(ctx, tops)
	if fault != nil {
		return nil, fault
	}
	if fault := j.connect(ctx, vm); fault != nil {
		return nil, fault
	}
	j.sim.register(ctx, j.folder, vm)
	if j.ready {
		j.sim.wake(vm, !j.frozen)
	}
	if rule != nil {
		return nil, rule.built
	}
	return vm.Self, nil
}

// freeze returns the layers that source and fork go on from, by disk.
//
// A source that runs gains a delta with each fork; one that is frozen writes
// nothing, so it keeps the delta of its first fork [fact: vs-instant-frozen].
func (j *forkJob) freeze(ctx *simulator.Context) (tops map[int32]backing, fault types.BaseMethodFault) {
	ctx.WithLock(j.source, func() {
		if fault = checkRuns(j.source); fault != nil {
			return
		}
		frozen := isFrozen(j.source)
		if kept, known := j.sim.forks.tops(j.source.Self); frozen && known {
			tops = kept
			return
		}
		tops = map[int32]backing{}
		for _, disk := range disksOf(j.source.Config.Hardware.Device) {
			if len(layers(disk.Backing)) >= j.sim.forks.levels() {
				fault = tooManyLevels()
				return
			}
			tops[disk.Key] = deepCopy(disk.Backing)
		}
		j.sim.pushDeltas(&j.source.VirtualMachine)
		j.sim.publishTree(ctx, j.source, newTree(j.source.Snapshot))
		j.sim.forks.keep(j.source.Self, tops, frozen)
	})
	return tops, fault
}

// tooManyLevels is the fault at 255 layers [fact: vs-instant-layers].
func tooManyLevels() types.BaseMethodFault {
	cause := &types.GenericVmConfigFault{Reason: "Launch failure"}
	cause.FaultMessage = []types.LocalizableMessage{{
		Key: "msg.migrate.prepare.failed", Message: "Unable to prepare migration.",
	}}
	fault := &types.SystemError{Reason: "Launch failure"}
	fault.FaultCause = &types.LocalizedMethodFault{
		Fault: cause, LocalizedMessage: "Unable to prepare migration. Launch failure",
	}
	return fault
}

// connect edits the cards as the spec says and makes the fork run: it has the
// power, the connections and the guest of its source.
func (j *forkJob) connect(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	var guest types.GuestInfo
	var runtime types.VirtualMachineRuntimeInfo
	ctx.WithLock(j.source, func() {
		guest, runtime = deepCopy(*j.source.Guest), j.source.Runtime
		j.ready, j.frozen = told(j.source, forkReady) != "", isFrozen(j.source)
	})
	b := vmBuilder{sim: j.sim, ctx: ctx, vm: vm, name: j.name, place: j.place}
	for _, change := range j.changes {
		device := change.GetVirtualDeviceConfigSpec().Device.GetVirtualDevice()
		if i := b.find(change.GetVirtualDeviceConfigSpec().Device); i >= 0 {
			device.Connectable = migrated(device.Connectable, vm.Config.Hardware.Device[i].GetVirtualDevice().Connectable)
		}
	}
	if fault := b.change(j.changes, "spec.location.deviceChange"); fault != nil {
		return fault
	}
	b.setNetworks()
	vm.Guest = &guest // the guest does not know yet that it is another one
	if j.frozen {
		guest.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	}
	vm.Runtime.PowerState = types.VirtualMachinePowerStatePoweredOn
	vm.Runtime.BootTime = runtime.BootTime
	summarize(&vm.VirtualMachine)
	return nil
}

// migrated is what becomes of a connection: migrateConnect says so, and "disconnect"
// has no effect on what is disconnected already.
func migrated(wanted, had *types.VirtualDeviceConnectInfo) *types.VirtualDeviceConnectInfo {
	if had == nil {
		return wanted
	}
	now := *had
	if wanted != nil {
		switch types.VirtualDeviceConnectInfoMigrateConnectOp(wanted.MigrateConnect) {
		case types.VirtualDeviceConnectInfoMigrateConnectOpConnect:
			now.Connected = true
		case types.VirtualDeviceConnectInfoMigrateConnectOpDisconnect:
			now.Connected = false
		}
	}
	return &now
}
