package lcsim

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// PowerOnVMTask powers a VM on.
func (m *vmMethods) PowerOnVMTask(ctx *simulator.Context, _ *types.PowerOnVM_Task) soap.HasFault {
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{
		Returnval: m.sim.startPowerOn(ctx, m.vm),
	}}
}

func (s *Sim) startPowerOn(ctx *simulator.Context, vm *simulator.VirtualMachine) types.ManagedObjectReference {
	return s.startTask(ctx, work{
		method: "PowerOnVM_Task", id: descriptionID("PowerOnVM_Task"), entity: vm,
		run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			return nil, s.powerOnVM(ctx, vm)
		},
	})
}

// powerOnVM powers on, with or without a task of its own.
func (s *Sim) powerOnVM(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	if failing, ok := s.powerOn.LoadAndDelete(vm.Self); ok {
		return failing.(*faultRule).built
	}
	event := s.vmEvent(ctx, vm)
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() {
		switch {
		case vm.Config.Template:
			fault = &types.NotSupported{}
		case vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn:
			fault = &types.InvalidPowerState{
				RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: vm.Runtime.PowerState,
			}
		default:
			fault = s.checkChain(vm)
		}
		if fault == nil && s.host.lone {
			fault = s.openLayers(vm)
		}
		if fault == nil {
			s.setPower(ctx, vm, types.VirtualMachinePowerStatePoweredOn)
			s.started(vm)
		}
	})
	if fault != nil {
		return fault
	}
	s.post(ctx, &types.VmStartingEvent{VmEvent: event}, &types.VmPoweredOnEvent{VmEvent: event})
	s.bootGuest(ctx, vm)
	return nil
}

// checkChain looks for every file of every disk.
//
// A chain that cannot be read fails with "Unable to access file"
// [fact: vs-hosts-see-chain].
func (s *Sim) checkChain(vm *simulator.VirtualMachine) types.BaseMethodFault {
	for _, disk := range disksOf(vm.Config.Hardware.Device) {
		for _, layer := range layers(disk.Backing) {
			id := idOf(layer)
			f, exists := s.disks.get(id)
			for exists && f.hidden.name != "" {
				id = f.hidden
				f, exists = s.disks.get(id)
			}
			if !exists {
				return &types.FileNotFound{FileFault: types.FileFault{File: id.name}}
			}
		}
	}
	return nil
}

// setPower publishes a power state. The caller holds the VM's lock.
func (s *Sim) setPower(ctx *simulator.Context, vm *simulator.VirtualMachine, state types.VirtualMachinePowerState) {
	on := state == types.VirtualMachinePowerStatePoweredOn
	devices := deepCopy(vm.Config.Hardware.Device)
	for _, d := range devices {
		if c := d.GetVirtualDevice().Connectable; c != nil {
			c.Connected = on && c.StartConnected
		}
	}
	changes := []types.PropertyChange{
		{Name: "runtime.powerState", Val: state},
		{Name: "summary.runtime.powerState", Val: state},
		{Name: "config.hardware.device", Val: devices},
	}
	if isFrozen(vm) {
		// What was frozen is gone with the power [fact: vs-instant-frozen].
		thawed := false
		changes = append(changes,
			types.PropertyChange{Name: "runtime.instantCloneFrozen", Val: thawed},
			types.PropertyChange{Name: "summary.runtime.instantCloneFrozen", Val: thawed})
	}
	if on {
		now := time.Now()
		changes = append(changes,
			types.PropertyChange{Name: "runtime.bootTime", Val: now},
			types.PropertyChange{Name: "summary.runtime.bootTime", Val: now})
	}
	ctx.Update(vm, changes)
}

// PowerOffVMTask powers a VM off.
func (m *vmMethods) PowerOffVMTask(ctx *simulator.Context, _ *types.PowerOffVM_Task) soap.HasFault {
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: "PowerOffVM_Task", id: descriptionID("PowerOffVM_Task"), entity: m.vm,
			run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
				return nil, m.sim.powerOffVM(ctx, m.vm)
			},
		}),
	}}
}

func (s *Sim) powerOffVM(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	event := s.vmEvent(ctx, vm)
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
			fault = &types.InvalidPowerState{
				RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: vm.Runtime.PowerState,
			}
			return
		}
		s.setPower(ctx, vm, types.VirtualMachinePowerStatePoweredOff)
		s.haltGuest(ctx, vm)
	})
	if fault == nil {
		s.post(ctx, &types.VmStoppingEvent{VmEvent: event}, &types.VmPoweredOffEvent{VmEvent: event})
	}
	return fault
}

// PowerOnMultiVMTask powers several VMs on.
//
// The result lists `attempted` and `notAttempted` [fact: vs-power-on-many].
func (m *datacenterMethods) PowerOnMultiVMTask(ctx *simulator.Context, req *types.PowerOnMultiVM_Task) soap.HasFault {
	run := func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		result := types.ClusterPowerOnVmResult{Attempted: []types.ClusterAttemptedVmInfo{}}
		for _, ref := range req.Vm {
			vm := m.sim.vm(ref)
			if vm == nil {
				fault := &types.ManagedObjectNotFound{Obj: ref}
				result.NotAttempted = append(result.NotAttempted, types.ClusterNotAttemptedVmInfo{
					Vm: ref, Fault: types.LocalizedMethodFault{Fault: fault, LocalizedMessage: faultMessage(fault)},
				})
				continue
			}
			if fault := m.sim.admit(vm); fault != nil {
				result.NotAttempted = append(result.NotAttempted, types.ClusterNotAttemptedVmInfo{
					Vm: ref, Fault: types.LocalizedMethodFault{Fault: fault, LocalizedMessage: faultMessage(fault)},
				})
				continue
			}
			if m.sim.life.drsIsManual() {
				result.Recommendations = append(result.Recommendations, m.sim.recommend(vm))
				continue
			}
			task := m.sim.startPowerOn(ctx, vm)
			result.Attempted = append(result.Attempted, types.ClusterAttemptedVmInfo{Vm: ref, Task: &task})
		}
		return result, nil
	}
	return &methods.PowerOnMultiVM_TaskBody{Res: &types.PowerOnMultiVM_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: "PowerOnMultiVM_Task", id: descriptionID("PowerOnMultiVM_Task"), entity: m.dc, run: run,
		}),
	}}
}
