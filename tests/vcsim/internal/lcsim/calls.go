package lcsim

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

const (
	maxLogged   = 20_000
	maxRequests = 200
)

// callLog counts SOAP calls as they come from the wire.
type callLog struct {
	mu     sync.Mutex
	start  time.Time
	counts map[string]int
	log    []loggedCall
	bodies map[string][]string
}

type loggedCall struct {
	Method string  `json:"method"`
	This   string  `json:"this"`
	AtMS   float64 `json:"at_ms"`
}

func newCallLog() *callLog {
	l := &callLog{}
	l.reset()
	return l
}

func (l *callLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = time.Now()
	l.counts = map[string]int{}
	l.log = nil
	l.bodies = map[string][]string{}
}

func (l *callLog) add(method string, this types.ManagedObjectReference, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[method]++
	if len(l.log) < maxLogged {
		at := float64(time.Since(l.start).Microseconds()) / 1000
		l.log = append(l.log, loggedCall{method, this.Type + ":" + this.Value, at})
	}
	kept := append(l.bodies[method], string(body))
	if len(kept) > maxRequests {
		kept = kept[1:]
	}
	l.bodies[method] = kept
}

func (l *callLog) totals() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

func (l *callLog) entries() []loggedCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]loggedCall{}, l.log...)
}

func (l *callLog) requests(method string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, slices.Clone(l.bodies[method])...)
}
