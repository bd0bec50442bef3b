package lcsim

import (
	"maps"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
)

// delayBook says how long calls and tasks take.
type delayBook struct {
	mu    sync.Mutex
	call  time.Duration
	tasks map[string]time.Duration
}

func newDelayBook(callMS int, taskMS map[string]int) *delayBook {
	b := &delayBook{}
	b.set(callMS, taskMS)
	return b
}

func (b *delayBook) set(callMS int, taskMS map[string]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
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

func (b *delayBook) task(method string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tasks[method]
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
