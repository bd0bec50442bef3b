package lcsim

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

// Sim is one simulated vCenter or ESXi host with linked clones.
type Sim struct {
	model *simulator.Model
	opt   Options
	start time.Time

	disks    *diskStore
	names    *nameBook
	children *childIndex
	ids      *identityBook
	calls    *callLog
	faults   *faultBook
	delays   *delayBook
	drops    *dropBook
	rights   *rightsBook
	modes    *modeBook
	guests   *guestBook

	host       hostRules
	guestRules guestRules
	life       lifeRules
	commands   guestCommands
	forks      forkRules
	ready      chan struct{} // closed once the inventory is there
	working    sync.RWMutex  // held for reading while a task does its work
	serial     atomic.Int64  // task and snapshot numbers
	snapshots  sync.Map      // VM reference -> *atomic.Int32, snapshot ids
	pending    sync.Map      // VM reference -> *types.CustomizationSpec
	powerOn    sync.Map      // VM reference -> rule that fails its next power-on
}

func newSim(model *simulator.Model, opt Options) *Sim {
	children := newChildIndex()
	return &Sim{
		host:     hostRules{lone: model.ServiceContent.About.ApiType == esx.ServiceContent.About.ApiType},
		model:    model,
		opt:      opt,
		start:    time.Now(),
		disks:    newDiskStore(),
		names:    newNameBook(children),
		children: children,
		ids:      newIdentityBook(),
		calls:    newCallLog(),
		faults:   newFaultBook(),
		delays:   newDelayBook(opt.CallDelayMS, opt.TaskDelayMS),
		drops:    &dropBook{},
		rights:   &rightsBook{},
		modes:    &modeBook{},
		guests:   &guestBook{},
		ready:    make(chan struct{}),
	}
}

func (s *Sim) registry() *simulator.Registry { return s.model.Map() }

// vm returns the registered VM, or nil.
func (s *Sim) vm(ref types.ManagedObjectReference) *simulator.VirtualMachine {
	vm, _ := s.registry().Get(ref).(*simulator.VirtualMachine)
	return vm
}

func (s *Sim) snapshot(ref types.ManagedObjectReference) *simulator.VirtualMachineSnapshot {
	snap, _ := s.registry().Get(ref).(*simulator.VirtualMachineSnapshot)
	return snap
}
