package lcsim

import (
	"fmt"
	"sync"
)

// Ways in which a linked clone can come out differently from what was asked.
const (
	modeDegrade = "degrade" // silently a full copy
	modeNative  = "native"  // linked, but the chain is hidden
)

// modeBook turns coming linked clones into something else, to test the proof.
type modeBook struct {
	mu   sync.Mutex
	mode string
	left int
}

func (b *modeBook) set(mode string, count int) error {
	switch mode {
	case "", modeDegrade, modeNative:
	default:
		return fmt.Errorf("mode: %q is not degrade, native or empty", mode)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mode, b.left = mode, max(count, 1)
	return nil
}

// take says how the next linked clone comes out.
func (b *modeBook) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mode == "" || b.left == 0 {
		return ""
	}
	b.left--
	return b.mode
}
