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

// guestCommands are the programs that guests have, and who may run them.
//
//	POST /_test/guest/login {"user":"probe","password":"secret"}
//	POST /_test/guest/command {"name":"desk-001","program":"/usr/bin/env","arguments":"test -e /x","exit":1}
//
// A program that nobody told of is not there.
type guestCommands struct {
	mu       sync.Mutex
	logins   map[string]string
	programs []guestProgram
	runs     map[int64]guestRun
}

// guestProgram is one call that a guest knows the outcome of.
type guestProgram struct {
	Name      string `json:"name"`      // the VM's; empty: every guest
	Program   string `json:"program"`   // empty: any
	Arguments string `json:"arguments"` // empty: any
	Exit      int32  `json:"exit"`
	AfterMS   int    `json:"after_ms"` // it runs that long; -1: for ever
}

type guestRun struct {
	vm      types.ManagedObjectReference
	owner   string
	program guestProgram
	begun   time.Time
}

type guestLogin struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

func (b *guestCommands) admit(l guestLogin) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.logins == nil {
		b.logins = map[string]string{}
	}
	b.logins[l.User] = l.Password
	return nil
}

// add puts a program before those that were told of earlier.
func (b *guestCommands) add(p guestProgram) error {
	if p.AfterMS < -1 {
		return fmt.Errorf("after_ms: %d", p.AfterMS)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.programs = append([]guestProgram{p}, b.programs...)
	return nil
}

func (b *guestCommands) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logins, b.programs, b.runs = nil, nil, nil
}

func (b *guestCommands) find(vm string, spec *types.GuestProgramSpec) (guestProgram, bool) {
	for _, p := range b.programs {
		if (p.Name == "" || p.Name == vm) && (p.Program == "" || p.Program == spec.ProgramPath) &&
			(p.Arguments == "" || p.Arguments == spec.Arguments) {
			return p, true
		}
	}
	return guestProgram{}, false
}

// processMethods carries our methods of the GuestProcessManager.
type processMethods struct {
	unlocked
	Self types.ManagedObjectReference
	sim  *Sim
}

// Reference implements mo.Reference.
func (m *processMethods) Reference() types.ManagedObjectReference { return m.Self }

// StartProgramInGuest begins a program and returns its pid at once.
//
// API reference, StartProgramInGuest: FileNotFound if the program path does not exist;
// GuestOperationsFault: GuestOperationsUnavailable where Tools do not run,
// InvalidGuestLogin; InvalidPowerState where the VM is not powered on.
func (m *processMethods) StartProgramInGuest(ctx *simulator.Context, req *types.StartProgramInGuest) soap.HasFault {
	body := new(methods.StartProgramInGuestBody)
	name, fault := m.enter(ctx, req.Vm, req.Auth)
	spec, ok := req.Spec.(*types.GuestProgramSpec)
	if fault == nil && !ok {
		fault = &types.InvalidArgument{InvalidProperty: "spec"}
	}
	if fault != nil {
		body.Fault_ = soapFault(fault)
		return body
	}
	b := &m.sim.commands
	b.mu.Lock()
	defer b.mu.Unlock()
	program, known := b.find(name, spec)
	if !known {
		body.Fault_ = soapFault(&types.FileNotFound{FileFault: types.FileFault{File: spec.ProgramPath}})
		return body
	}
	if b.runs == nil {
		b.runs = map[int64]guestRun{}
	}
	pid := 1000 + m.sim.serial.Add(1)
	owner := req.Auth.(*types.NamePasswordAuthentication).Username
	b.runs[pid] = guestRun{vm: req.Vm, owner: owner, program: program, begun: time.Now()}
	body.Res = &types.StartProgramInGuestResponse{Returnval: pid}
	return body
}

// ListProcessesInGuest tells of programs that were started through the API.
//
// API reference, GuestProcessInfo: endTime and exitCode are set once it has ended.
func (m *processMethods) ListProcessesInGuest(ctx *simulator.Context, req *types.ListProcessesInGuest) soap.HasFault {
	body := new(methods.ListProcessesInGuestBody)
	if _, fault := m.enter(ctx, req.Vm, req.Auth); fault != nil {
		body.Fault_ = soapFault(fault)
		return body
	}
	b := &m.sim.commands
	b.mu.Lock()
	defer b.mu.Unlock()
	body.Res = new(types.ListProcessesInGuestResponse)
	for _, pid := range req.Pids {
		run, ok := b.runs[pid]
		if !ok || run.vm != req.Vm {
			continue
		}
		info := types.GuestProcessInfo{
			Name: run.program.Program, Pid: pid, Owner: run.owner, StartTime: run.begun,
		}
		end := run.begun.Add(time.Duration(run.program.AfterMS) * time.Millisecond)
		if run.program.AfterMS >= 0 && !time.Now().Before(end) {
			info.EndTime, info.ExitCode = &end, run.program.Exit
		}
		body.Res.Returnval = append(body.Res.Returnval, info)
	}
	return body
}

// TerminateProcessInGuest ends one.
func (m *processMethods) TerminateProcessInGuest(ctx *simulator.Context, req *types.TerminateProcessInGuest) soap.HasFault {
	body := new(methods.TerminateProcessInGuestBody)
	if _, fault := m.enter(ctx, req.Vm, req.Auth); fault != nil {
		body.Fault_ = soapFault(fault)
		return body
	}
	b := &m.sim.commands
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.runs[req.Pid]; !ok {
		body.Fault_ = soapFault(&types.GuestProcessNotFound{Pid: req.Pid})
		return body
	}
	delete(b.runs, req.Pid)
	body.Res = new(types.TerminateProcessInGuestResponse)
	return body
}

// enter lets somebody into a guest; it returns the VM's name.
func (m *processMethods) enter(
	ctx *simulator.Context, ref types.ManagedObjectReference, auth types.BaseGuestAuthentication,
) (name string, fault types.BaseMethodFault) {
	vm := m.sim.vm(ref)
	if vm == nil {
		return "", &types.ManagedObjectNotFound{Obj: ref}
	}
	var state types.VirtualMachinePowerState
	var tools string
	ctx.WithLock(vm, func() {
		name, state, tools = vm.Name, vm.Runtime.PowerState, vm.Guest.ToolsRunningStatus
	})
	switch {
	case state != types.VirtualMachinePowerStatePoweredOn:
		return "", &types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: state,
		}
	case tools != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning):
		return "", &types.GuestOperationsUnavailable{}
	}
	b := &m.sim.commands
	b.mu.Lock()
	defer b.mu.Unlock()
	if who, ok := auth.(*types.NamePasswordAuthentication); ok {
		if password, known := b.logins[who.Username]; known && password == who.Password {
			return name, nil
		}
	}
	return "", &types.InvalidGuestLogin{}
}
