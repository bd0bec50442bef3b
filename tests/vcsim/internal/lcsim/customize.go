package lcsim

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// CustomizeVMTask stores a specification for the next power-on.
func (m *vmMethods) CustomizeVMTask(ctx *simulator.Context, req *types.CustomizeVM_Task) soap.HasFault {
	return &methods.CustomizeVM_TaskBody{Res: &types.CustomizeVM_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: "CustomizeVM_Task", id: descriptionID("CustomizeVM_Task"), entity: m.vm,
			run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
				return nil, m.sim.setCustomization(ctx, m.vm, &req.Spec)
			},
		}),
	}}
}

// setCustomization checks and stores a specification.
//
// Handbook §5 [doc] T: nicSettingMap must be empty or have exactly one entry per
// NIC, else NicSettingMismatch; a second spec before the first power-on gives
// CustomizationPending; the job runs at first power-on.
func (s *Sim) setCustomization(
	ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.CustomizationSpec,
) (fault types.BaseMethodFault) {
	ctx.WithLock(vm, func() {
		cards := len(cardsOf(vm.Config.Hardware.Device))
		entries := len(spec.NicSettingMap)
		switch {
		case vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn:
			fault = &types.InvalidPowerState{
				RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: vm.Runtime.PowerState,
			}
		case entries != 0 && entries != cards:
			fault = &types.NicSettingMismatch{NumberOfNicsInSpec: int32(entries), NumberOfNicsInVM: int32(cards)}
		default:
			if _, waiting := s.pending.LoadOrStore(vm.Self, spec); waiting {
				fault = &types.CustomizationPending{}
				return
			}
			s.setCustomizationState(ctx, vm, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_PENDING)
			ctx.Update(vm, []types.PropertyChange{{Name: "config.tools.pendingCustomization", Val: newUUID()}})
		}
	})
	return fault
}

// startCustomization runs a stored specification.
//
// Handbook §5 [doc] T: CustomizationStartedEvent, then CustomizationSucceeded or
// a failure; or guest.customizationInfo.customizationStatus. The clone task's
// success says nothing about it [inferred].
func (s *Sim) startCustomization(ctx *simulator.Context, vm *simulator.VirtualMachine, afterMS *int) {
	held, ok := s.pending.LoadAndDelete(vm.Self)
	if !ok {
		return
	}
	spec := held.(*types.CustomizationSpec)
	event := types.CustomizationEvent{VmEvent: s.vmEvent(ctx, vm)}
	s.post(ctx, &types.CustomizationStartedEvent{CustomizationEvent: event})
	ctx.WithLock(vm, func() {
		s.setCustomizationState(ctx, vm, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_RUNNING)
	})
	apply := func(ctx *simulator.Context) {
		ctx.WithLock(vm, func() { s.applyCustomization(ctx, vm, spec) })
		s.post(ctx, &types.CustomizationSucceeded{CustomizationEvent: event})
	}
	if afterMS == nil {
		apply(ctx)
		return
	}
	time.AfterFunc(time.Duration(*afterMS)*time.Millisecond, func() { apply(s.context()) })
}

// applyCustomization shows the result in guest.*. The caller holds the VM's lock.
func (s *Sim) applyCustomization(ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.CustomizationSpec) {
	switch id := spec.Identity.(type) {
	case *types.CustomizationLinuxPrep:
		setHostName(ctx, vm, id.HostName)
	case *types.CustomizationSysprep:
		setHostName(ctx, vm, id.UserData.ComputerName)
	}
	for i, nic := range spec.NicSettingMap {
		if ip, fixed := nic.Adapter.Ip.(*types.CustomizationFixedIp); fixed {
			setGuestAddress(ctx, vm, i, ip.IpAddress)
		}
	}
	ctx.Update(vm, []types.PropertyChange{{Name: "config.tools.pendingCustomization", Val: ""}})
	s.setCustomizationState(ctx, vm, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED)
}

// setHostName resolves a name generator (handbook §5 [doc] T).
func setHostName(ctx *simulator.Context, vm *simulator.VirtualMachine, name types.BaseCustomizationName) {
	switch n := name.(type) {
	case *types.CustomizationFixedName:
		setGuestName(ctx, vm, n.Name)
	case *types.CustomizationPrefixName:
		setGuestName(ctx, vm, n.Base+"-0")
	case *types.CustomizationVirtualMachineName:
		setGuestName(ctx, vm, vm.Name)
	}
}

func (s *Sim) setCustomizationState(
	ctx *simulator.Context, vm *simulator.VirtualMachine, status types.GuestInfoCustomizationStatus,
) {
	now := time.Now()
	info := &types.GuestInfoCustomizationInfo{CustomizationStatus: string(status)}
	if old := vm.Guest.CustomizationInfo; old != nil {
		info.StartTime = old.StartTime
	}
	switch status {
	case types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_RUNNING:
		info.StartTime = &now
	case types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED:
		info.EndTime = &now
	}
	ctx.Update(vm, []types.PropertyChange{{Name: "guest.customizationInfo", Val: info}})
}
