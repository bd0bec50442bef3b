package lcsim

import (
	"fmt"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// lifeRules say what VMs meet with between birth and death. The zero value is
// a world in which guests obey at once and DRS starts what it is told to.
type lifeRules struct {
	mu     sync.Mutex
	guests map[string]obedience
	manual bool
}

// obedience says how a guest takes it to be asked to shut down.
type obedience struct {
	Name    string `json:"name"`     // empty: every guest that is not named
	Deaf    bool   `json:"deaf"`     // it never goes off
	AfterMS int    `json:"after_ms"` // it takes that long
}

func (r *lifeRules) setGuest(o obedience) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.guests == nil {
		r.guests = map[string]obedience{}
	}
	r.guests[o.Name] = o
	return nil
}

func (r *lifeRules) guest(name string) obedience {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o, ok := r.guests[name]; ok {
		return o
	}
	return r.guests[""]
}

type drsMode struct {
	Manual bool `json:"manual"`
}

func (r *lifeRules) setDRS(m drsMode) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manual = m.Manual
	return nil
}

func (r *lifeRules) drsIsManual() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.manual
}

func (r *lifeRules) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guests, r.manual = nil, false
}

// ShutdownGuest passes the wish on and returns at once.
//
// [fact: vs-shutdown-guest]: "Returns immediately and does not wait for the guest
// operating system to complete the operation"; ToolsUnavailable where VMware
// Tools are not running, InvalidPowerState where the VM is not powered on.
func (m *vmMethods) ShutdownGuest(ctx *simulator.Context, _ *types.ShutdownGuest) soap.HasFault {
	body := new(methods.ShutdownGuestBody)
	var state types.VirtualMachinePowerState
	var tools, name string
	ctx.WithLock(m.vm, func() {
		state, tools, name = m.vm.Runtime.PowerState, m.vm.Guest.ToolsRunningStatus, m.vm.Name
	})
	switch {
	case state != types.VirtualMachinePowerStatePoweredOn:
		body.Fault_ = soapFault(&types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: state,
		})
		return body
	case tools != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning):
		body.Fault_ = soapFault(&types.ToolsUnavailable{})
		return body
	}
	if o := m.sim.life.guest(name); !o.Deaf {
		time.AfterFunc(time.Duration(o.AfterMS)*time.Millisecond, func() {
			// It may be off by then, or gone; nobody waits for an answer.
			_ = m.sim.powerOffVM(m.sim.context(), m.vm)
		})
	}
	body.Res = new(types.ShutdownGuestResponse)
	return body
}

// AcquireTicket gives a ticket for a VM's screen.
//
// [fact: vs-console]: a one-time credential; InvalidPowerState where the VM
// is not powered on.
func (m *vmMethods) AcquireTicket(ctx *simulator.Context, req *types.AcquireTicket) soap.HasFault {
	body := new(methods.AcquireTicketBody)
	var state types.VirtualMachinePowerState
	ctx.WithLock(m.vm, func() { state = m.vm.Runtime.PowerState })
	if state != types.VirtualMachinePowerStatePoweredOn {
		body.Fault_ = soapFault(&types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: state,
		})
		return body
	}
	number := m.sim.serial.Add(1)
	body.Res = &types.AcquireTicketResponse{Returnval: types.VirtualMachineTicket{
		Ticket: fmt.Sprintf("%s-%016x", req.TicketType, number), CfgFile: m.vm.Config.Files.VmPathName,
		Host: "esx.sim", Port: 443,
	}}
	return body
}

// RenameTask gives a VM another name; its folder and its files keep theirs.
//
// [fact: vs-duplicate-name]: DuplicateName if another object of the same folder has
// the name. It is taken as for clones: also by one that is still being made.
func (m *vmMethods) RenameTask(ctx *simulator.Context, req *types.Rename_Task) soap.HasFault {
	name := escapeName(req.NewName)
	run := func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if m.sim.vm(m.vm.Self) == nil {
			return nil, &types.ManagedObjectNotFound{Obj: m.vm.Self}
		}
		if m.vm.Parent != nil {
			if folder := folderOf(ctx.Map, *m.vm.Parent); folder != nil {
				fault := m.sim.names.claim(ctx, folder, name, m.vm.Self)
				if taken, ok := fault.(*types.DuplicateName); ok && taken.Object != m.vm.Self {
					return nil, taken
				}
				if fault == nil {
					defer m.sim.names.release(folder, name)
				}
			}
		}
		ctx.WithLock(m.vm, func() {
			ctx.Update(m.vm, []types.PropertyChange{
				{Name: "name", Val: name},
				{Name: "config.name", Val: name},
				{Name: "summary.config.name", Val: name},
			})
		})
		return nil, nil
	}
	return &methods.Rename_TaskBody{Res: &types.Rename_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: "Rename_Task", id: descriptionID("Rename_Task"), entity: m.vm, run: run,
		}),
	}}
}

// admit says whether the cluster starts a VM: nil if so, else why not.
func (s *Sim) admit(vm *simulator.VirtualMachine) types.BaseMethodFault {
	if rule := s.faults.take("PowerOnMultiVM_Task", atAdmission, func() string { return vm.Name }); rule != nil {
		return rule.built
	}
	return nil
}

// recommend is all that DRS does for a VM where it is set to manual ([fact: vs-power-on-many]
// ClusterPowerOnVmResult.recommendations).
func (s *Sim) recommend(vm *simulator.VirtualMachine) types.ClusterRecommendation {
	return types.ClusterRecommendation{
		Key: fmt.Sprint(s.serial.Add(1)), Type: "V1", Time: time.Now(), Rating: 1,
		Reason: "powerOnVm", ReasonText: "power on " + vm.Name,
	}
}
