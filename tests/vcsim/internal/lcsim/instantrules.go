package lcsim

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Keys by which a fork and its guest talk. The guest tells that it waits under
// forkReady; it reads who it is to be under forkWanted, as words
// "name=value", and tells under forkTaken that it is so.
const (
	forkReady  = "guestinfo.linkedclone.ready"
	forkWanted = "guestinfo.linkedclone.fork"
	forkTaken  = "guestinfo.linkedclone.identity"
)

const mostLevels = 255

// forkRules say how running VMs are forked.
//
//	POST /_test/fork {"name":"golden","frozen":true,"ready":true}
//	POST /_test/fork {"levels":5,"serial_ms":20}
//	POST /_test/fork/identity {"name":"web-3","answer":"failed: no entropy"}
type forkRules struct {
	mu     sync.Mutex
	most   int
	serial time.Duration
	turns  map[types.ManagedObjectReference]*sync.Mutex
	kept   map[types.ManagedObjectReference]map[int32]backing
	guests []*forkGuest
}

// forkSetting is about one VM, or about all forks.
type forkSetting struct {
	Name     string `json:"name"`
	Frozen   *bool  `json:"frozen"` // what runtime.instantCloneFrozen of the VM says
	Ready    *bool  `json:"ready"`  // whether a script waits in its guest
	Levels   int    `json:"levels"` // layers that a disk may have; 0: as vCenter
	SerialMS int    `json:"serial_ms"`
}

// forkGuest is how the guest of a fork takes its identity, so many times.
type forkGuest struct {
	Name    string `json:"name"`  // the VM's; empty: any
	Count   int    `json:"count"` // 0 means once, -1 for ever
	AfterMS int    `json:"after_ms"`
	Never   bool   `json:"never"`  // it tells nothing at all
	Answer  string `json:"answer"` // instead of "done"
}

func (s *Sim) setFork(f forkSetting) error {
	if f.Name == "" {
		s.forks.mu.Lock()
		defer s.forks.mu.Unlock()
		s.forks.most, s.forks.serial = f.Levels, time.Duration(f.SerialMS)*time.Millisecond
		return nil
	}
	ctx := s.context()
	vm, ok := s.vmNamed(f.Name)
	if !ok {
		return fmt.Errorf("no VM is called %q", f.Name)
	}
	ctx.WithLock(vm, func() {
		if f.Ready != nil {
			s.tell(ctx, vm, forkReady, map[bool]string{true: "1"}[*f.Ready])
		}
		if f.Frozen != nil {
			ctx.Update(vm, []types.PropertyChange{
				{Name: "runtime.instantCloneFrozen", Val: *f.Frozen},
				{Name: "summary.runtime.instantCloneFrozen", Val: *f.Frozen},
			})
			s.forks.keep(vm.Self, nil, false)
			setTools(ctx, vm, !*f.Frozen) // they stand still as all of the guest
		}
	})
	return nil
}

func (s *Sim) vmNamed(name string) (*simulator.VirtualMachine, bool) {
	for _, e := range s.registry().All("VirtualMachine") {
		if found, ok := e.(*simulator.VirtualMachine); ok && found.Name == name {
			return found, true
		}
	}
	return nil, false
}

func (b *forkRules) addGuest(g forkGuest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.Count == 0 {
		g.Count = 1
	}
	b.guests = append(b.guests, &g)
	return nil
}

// take uses up a rule for a fork of this name; without one all goes well.
func (b *forkRules) take(name string) forkGuest {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.guests {
		if g.Count != 0 && (g.Name == "" || g.Name == name) {
			if g.Count > 0 {
				g.Count--
			}
			return *g
		}
	}
	return forkGuest{}
}

func (b *forkRules) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most, b.serial, b.guests = 0, 0, nil
}

func (b *forkRules) levels() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.most == 0 {
		return mostLevels
	}
	return b.most
}

// enter waits for a source's turn and for the time that a fork takes; the result
// ends the turn.
func (b *forkRules) enter(source types.ManagedObjectReference) func() {
	b.mu.Lock()
	if b.turns == nil {
		b.turns = map[types.ManagedObjectReference]*sync.Mutex{}
	}
	turn, known := b.turns[source]
	if !known {
		turn = new(sync.Mutex)
		b.turns[source] = turn
	}
	pause := b.serial
	b.mu.Unlock()
	turn.Lock()
	time.Sleep(pause)
	return turn.Unlock
}

// keep remembers what the forks of a frozen source hang from.
func (b *forkRules) keep(source types.ManagedObjectReference, tops map[int32]backing, frozen bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept == nil {
		b.kept = map[types.ManagedObjectReference]map[int32]backing{}
	}
	delete(b.kept, source)
	if frozen {
		b.kept[source] = map[int32]backing{}
		for key, top := range tops {
			b.kept[source][key] = deepCopy(top)
		}
	}
}

func (b *forkRules) tops(source types.ManagedObjectReference) (map[int32]backing, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, known := b.kept[source]
	tops := map[int32]backing{}
	for key, top := range kept {
		tops[key] = deepCopy(top)
	}
	return tops, known
}

// tell sets an extraConfig key as a guest does by "info-set". The caller holds
// the VM's lock.
func (s *Sim) tell(ctx *simulator.Context, vm *simulator.VirtualMachine, key, value string) {
	b := vmBuilder{sim: s, ctx: ctx, vm: vm}
	b.setExtra([]types.BaseOptionValue{&types.OptionValue{Key: key, Value: value}})
	ctx.Update(vm, []types.PropertyChange{{Name: "config.extraConfig", Val: vm.Config.ExtraConfig}})
}

// told returns an extraConfig value of a VM, whose lock the caller holds.
func told(vm *simulator.VirtualMachine, key string) string {
	for _, o := range vm.Config.ExtraConfig {
		option := o.GetOptionValue()
		if text, ok := option.Value.(string); ok && option.Key == key {
			return text
		}
	}
	return ""
}

// wake lets the guest of a fork go on: a script that waits in it takes the
// identity that it is told, and waits again unless it was frozen.
func (s *Sim) wake(vm *simulator.VirtualMachine, waits bool) {
	rule := s.forks.take(vm.Name)
	wanted := map[string]string{}
	for _, word := range strings.Fields(told(vm, forkWanted)) {
		name, value, _ := strings.Cut(word, "=")
		wanted[name] = value
	}
	if wanted["id"] == "" || rule.Never {
		return
	}
	s.later(vm, &rule.AfterMS, func(ctx *simulator.Context) {
		if rule.Answer != "" {
			s.tell(ctx, vm, forkTaken, wanted["id"]+" "+rule.Answer)
			return
		}
		setGuestName(ctx, vm, wanted["host_name"])
		s.renewGuestCards(ctx, vm)
		if waits {
			s.tell(ctx, vm, forkReady, "1")
		}
		s.tell(ctx, vm, forkTaken, wanted["id"]+" done")
	})
}

// renewGuestCards makes the guest use the addresses of the VM's own cards.
func (s *Sim) renewGuestCards(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	nics := deepCopy(vm.Guest.Net)
	for i, card := range cardsOf(vm.Config.Hardware.Device) {
		if i < len(nics) {
			nics[i].MacAddress, nics[i].IpAddress, nics[i].IpConfig = card.MacAddress, nil, nil
		}
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "guest.net", Val: nics}, {Name: "guest.ipAddress", Val: ""},
		{Name: "summary.guest.ipAddress", Val: ""},
	})
}
