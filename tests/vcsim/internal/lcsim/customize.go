package lcsim

import (
	"encoding/json"
	"fmt"
	"net"
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
// [fact: vs-cust-nic-count, vs-cust-first-power-on]: a second spec before the first power-on gives
// CustomizationPending; the job runs at first power-on.
func (s *Sim) setCustomization(
	ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.CustomizationSpec,
) (fault types.BaseMethodFault) {
	ctx.WithLock(vm, func() {
		switch {
		case vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn:
			fault = &types.InvalidPowerState{
				RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: vm.Runtime.PowerState,
			}
		default:
			if fault = s.checkSpecification(ctx, vm, spec); fault != nil {
				return
			}
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
// Events and guest.customizationInfo tell how it went [fact: vs-cust-events, vs-cust-status].
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
	rule := s.guestRules.take(vm.Name)
	if rule.Never {
		return
	}
	finish := func(ctx *simulator.Context) {
		if rule.Event != "" {
			s.failCustomization(ctx, vm, rule)
			return
		}
		ctx.WithLock(vm, func() { s.applyCustomization(ctx, vm, spec) })
		s.post(ctx, &types.CustomizationSucceeded{CustomizationEvent: event})
	}
	if rule.AfterMS != nil {
		afterMS = rule.AfterMS
	}
	if afterMS == nil {
		finish(ctx)
		return
	}
	time.AfterFunc(time.Duration(*afterMS)*time.Millisecond, func() { finish(s.context()) })
}

// applyCustomization shows the result in guest.*. The caller holds the VM's lock.
func (s *Sim) applyCustomization(ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.CustomizationSpec) {
	s.become(ctx, vm, specifiedIdentity(vm, spec))
	ctx.Update(vm, []types.PropertyChange{{Name: "config.tools.pendingCustomization", Val: ""}})
	s.setCustomizationState(ctx, vm, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED)
}

// specifiedIdentity reads a specification as the engine in the guest does.
func specifiedIdentity(vm *simulator.VirtualMachine, spec *types.CustomizationSpec) guestIdentity {
	who := guestIdentity{dns: spec.GlobalIPSettings.DnsServerList, search: spec.GlobalIPSettings.DnsSuffixList}
	windows := false
	switch id := spec.Identity.(type) {
	case *types.CustomizationLinuxPrep:
		who.host, who.domain = resolveName(vm, id.HostName), id.Domain
	case *types.CustomizationSysprep:
		windows = true
		who.host, who.domain = resolveName(vm, id.UserData.ComputerName), id.Identification.JoinDomain
		who.dns = nil // of each card, on Windows [fact: vs-cust-dns]
	case *types.CustomizationCloudinitPrep:
		var meta cloudMetadata
		if json.Unmarshal([]byte(id.Metadata), &meta) == nil {
			return meta.identity(vm)
		}
	}
	cards := cardsOf(vm.Config.Hardware.Device)
	who.cards = make([]guestAddress, len(cards))
	for entry, place := range bySlot(cards) {
		if entry < len(spec.NicSettingMap) {
			who.cards[place] = specifiedAddress(spec.NicSettingMap[entry].Adapter, windows)
		}
	}
	return who
}

func specifiedAddress(told types.CustomizationIPSettings, windows bool) (card guestAddress) {
	if ip, fixed := told.Ip.(*types.CustomizationFixedIp); fixed {
		bits := 24
		if mask := net.ParseIP(told.SubnetMask).To4(); mask != nil {
			bits, _ = net.IPMask(mask).Size()
		}
		card.addresses = append(card.addresses, fmt.Sprintf("%s/%d", ip.IpAddress, bits))
		card.gateways = append(card.gateways, told.Gateway...)
	}
	if six := told.IpV6Spec; six != nil {
		for _, generator := range six.Ip {
			if ip, fixed := generator.(*types.CustomizationFixedIpV6); fixed {
				card.addresses = append(card.addresses, fmt.Sprintf("%s/%d", ip.IpAddress, ip.SubnetMask))
			}
		}
		card.gateways = append(card.gateways, six.Gateway...)
	}
	if windows {
		card.dns = told.DnsServerList
		if told.DnsDomain != "" {
			card.search = []string{told.DnsDomain}
		}
	}
	return card
}

// resolveName asks a name generator [fact: vs-cust-identities]; empty where it is not modelled.
func resolveName(vm *simulator.VirtualMachine, name types.BaseCustomizationName) string {
	switch n := name.(type) {
	case *types.CustomizationFixedName:
		return n.Name
	case *types.CustomizationPrefixName:
		return n.Base + "-0"
	case *types.CustomizationVirtualMachineName:
		return vm.Name
	}
	return ""
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
