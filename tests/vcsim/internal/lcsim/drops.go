package lcsim

import "sync"

// dropBook closes connections instead of answering.
type dropBook struct {
	mu    sync.Mutex
	rules []dropRule
}

type dropRule struct {
	Count  int    `json:"count"`
	Method string `json:"method"` // empty: any
	After  bool   `json:"after"`  // true: the call is done, only the answer is lost
}

func (b *dropBook) add(r dropRule) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Count = max(r.Count, 1)
	b.rules = append(b.rules, r)
}

func (b *dropBook) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = nil
}

// take uses up one drop for method, if there is any.
func (b *dropBook) take(method string) (rule dropRule, drop bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.rules {
		r := &b.rules[i]
		if r.Count > 0 && (r.Method == "" || r.Method == method) {
			r.Count--
			return *r, true
		}
	}
	return dropRule{}, false
}
