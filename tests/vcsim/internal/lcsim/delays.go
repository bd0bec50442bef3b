package lcsim

import (
	"maps"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
)

// delayBook says how long calls and tasks take.
type delayBook struct {
	mu      sync.Mutex
	call    time.Duration
	tasks   map[string]time.Duration
	changed chan struct{} // closed when the delays change
}

func newDelayBook(callMS int, taskMS map[string]int) *delayBook {
	b := &delayBook{}
	b.set(callMS, taskMS)
	return b
}

func (b *delayBook) set(callMS int, taskMS map[string]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
	}
	b.changed = make(chan struct{})
	b.call = time.Duration(callMS) * time.Millisecond
	b.tasks = map[string]time.Duration{}
	for name, ms := range taskMS {
		b.tasks[name] = time.Duration(ms) * time.Millisecond
	}
	// Tasks that the library runs itself know the delay by the same names,
	// because watch.go gives them their API names.
	stock := maps.Clone(taskMS)
	if stock == nil {
		stock = map[string]int{}
	}
	stock["LockHandoff"] = 0 // wait before taking the object's lock
	simulator.TaskDelay.MethodDelay = stock
}

// waitTask spends one of so many parts of the time that a method's task takes;
// it ends early when the delays change. False if the task takes no time.
func (b *delayBook) waitTask(method string, parts int) bool {
	b.mu.Lock()
	d, changed := b.tasks[method]/time.Duration(parts), b.changed
	b.mu.Unlock()
	if d <= 0 {
		return false
	}
	select {
	case <-time.After(d):
	case <-changed:
	}
	return true
}

// waitCall is the time a call spends on the wire.
func (b *delayBook) waitCall() {
	b.mu.Lock()
	d := b.call
	b.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}
