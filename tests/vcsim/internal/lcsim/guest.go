package lcsim

import (
	"fmt"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// guestBook says how guests behave after power-on. Without it a guest never
// reports anything, as in the library.
type guestBook struct {
	mu     sync.Mutex
	timing guestTiming
}

// guestTiming is in milliseconds after power-on; nil means never.
type guestTiming struct {
	ToolsMS     *int `json:"tools_ms"`
	IPMS        *int `json:"ip_ms"`
	CustomizeMS *int `json:"customize_ms"` // nil: at once
}

func (b *guestBook) set(t guestTiming) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timing = t
}

func (b *guestBook) get() guestTiming {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.timing
}

// bootGuest starts customization, Tools and addresses, each at its time.
func (s *Sim) bootGuest(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	t := s.guests.get()
	s.startCustomization(ctx, vm, t.CustomizeMS)
	if t.CustomizeMS == nil {
		ctx.WithLock(vm, func() { s.bootCloudInit(ctx, vm) })
	} else {
		s.later(vm, t.CustomizeMS, func(ctx *simulator.Context) { s.bootCloudInit(ctx, vm) })
	}
	s.later(vm, t.ToolsMS, func(ctx *simulator.Context) {
		setTools(ctx, vm, true)
		if vm.Guest.HostName == "" {
			setGuestName(ctx, vm, vm.Name)
		}
	})
	s.later(vm, t.IPMS, func(ctx *simulator.Context) {
		if vm.Guest.IpAddress == "" {
			n := s.serial.Add(1)
			setGuestAddress(ctx, vm, 0, fmt.Sprintf("10.%d.%d.%d", 64+(n>>16)&63, (n>>8)&255, n&255))
		}
	})
}

// later runs f with the VM locked, if the VM is still on by then.
func (s *Sim) later(vm *simulator.VirtualMachine, ms *int, f func(*simulator.Context)) {
	if ms == nil {
		return
	}
	time.AfterFunc(time.Duration(*ms)*time.Millisecond, func() {
		ctx := s.context()
		ctx.WithLock(vm, func() {
			if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
				f(ctx)
			}
		})
	})
}

// haltGuest takes back what a running guest reports.
func (s *Sim) haltGuest(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	setTools(ctx, vm, false)
}

func setTools(ctx *simulator.Context, vm *simulator.VirtualMachine, running bool) {
	if !running && vm.Guest.ToolsStatus == types.VirtualMachineToolsStatusToolsNotInstalled {
		return
	}
	status, state := types.VirtualMachineToolsStatusToolsNotRunning, types.VirtualMachineToolsRunningStatusGuestToolsNotRunning
	if running {
		status, state = types.VirtualMachineToolsStatusToolsOk, types.VirtualMachineToolsRunningStatusGuestToolsRunning
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "guest.toolsStatus", Val: status},
		{Name: "guest.toolsRunningStatus", Val: string(state)},
		{Name: "summary.guest.toolsStatus", Val: status},
		{Name: "summary.guest.toolsRunningStatus", Val: string(state)},
	})
}

func setGuestName(ctx *simulator.Context, vm *simulator.VirtualMachine, name string) {
	ctx.Update(vm, []types.PropertyChange{
		{Name: "guest.hostName", Val: name}, {Name: "summary.guest.hostName", Val: name},
	})
}

// setGuestAddress gives card i an address; the first one is the guest's own.
func setGuestAddress(ctx *simulator.Context, vm *simulator.VirtualMachine, i int, address string) {
	nics := deepCopy(vm.Guest.Net)
	if i < len(nics) {
		nics[i].IpAddress = []string{address}
		nics[i].IpConfig = &types.NetIpConfigInfo{IpAddress: []types.NetIpConfigInfoIpAddress{{
			IpAddress: address, PrefixLength: 24, State: string(types.NetIpConfigInfoIpAddressStatusPreferred),
		}}}
	}
	changes := []types.PropertyChange{{Name: "guest.net", Val: nics}}
	if i == 0 {
		changes = append(changes,
			types.PropertyChange{Name: "guest.ipAddress", Val: address},
			types.PropertyChange{Name: "summary.guest.ipAddress", Val: address})
	}
	ctx.Update(vm, changes)
}

// setGuest honours the library's "SET.guest.*" keys in a clone's extraConfig.
func setGuest(vm *mo.VirtualMachine, key string, value any) {
	text, ok := value.(string)
	if !ok {
		return
	}
	switch key {
	case "ipAddress":
		vm.Guest.IpAddress = text
	case "hostName":
		vm.Guest.HostName = text
	case "toolsStatus":
		vm.Guest.ToolsStatus = types.VirtualMachineToolsStatus(text)
	case "toolsRunningStatus":
		vm.Guest.ToolsRunningStatus = text
	}
}
