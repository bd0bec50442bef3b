package lcsim

import (
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// guestRule says what becomes of the customization inside a guest. A rule that
// names neither an event nor "never" only delays it.
//
//	POST /_test/guest/customization
//	{"name":"desk-003","event":"CustomizationNetworkSetupFailed","text":"no such card"}
//
// posts CustomizationStartedEvent and, after after_ms, that event, with the text
// as its fullFormattedMessage, and as errorMsg of guest.customizationInfo, which
// goes from RUNNING to FAILED. "never": it stays RUNNING, and no event follows.
type guestRule struct {
	Name    string `json:"name"`     // the VM's; empty: any
	Event   string `json:"event"`    // CustomizationFailed or one of its subtypes
	Text    string `json:"text"`     // what the event and errorMsg say
	Reason  string `json:"reason"`   // CustomizationFailed.reason
	Log     string `json:"log"`      // logLocation
	Never   bool   `json:"never"`    // the guest never finishes
	AfterMS *int   `json:"after_ms"` // instead of customize_ms of /_test/guest
	Count   int    `json:"count"`    // how often; 0 means once, -1 for ever
}

type guestRules struct {
	mu    sync.Mutex
	rules []*guestRule
}

func (b *guestRules) add(r guestRule) error {
	if r.Event != "" {
		if _, err := buildFailure(r.Event); err != nil {
			return err
		}
	}
	if r.Event != "" && r.Never {
		return fmt.Errorf("event and never exclude each other")
	}
	if r.Count == 0 {
		r.Count = 1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = append(b.rules, &r)
	return nil
}

func (b *guestRules) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = nil
}

// take uses up a rule for a VM of this name; without one all goes well.
func (b *guestRules) take(name string) guestRule {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rules {
		if r.Count != 0 && (r.Name == "" || r.Name == name) {
			if r.Count > 0 {
				r.Count--
			}
			return *r
		}
	}
	return guestRule{}
}

// buildFailure makes an event that tells of a failed customization.
func buildFailure(name string) (types.BaseEvent, error) {
	kind, ok := types.TypeFunc()(name)
	if ok {
		event := reflect.New(kind).Interface()
		if _, failed := event.(types.BaseCustomizationFailed); failed {
			return event.(types.BaseEvent), nil
		}
	}
	return nil, fmt.Errorf("event: %q is not a CustomizationFailed", name)
}

// failCustomization shows that it failed in the guest, as the rule says.
//
// CustomizationFailed or one of its subtypes; FAILED in guest.customizationInfo
// [fact: vs-cust-events, vs-cust-status]. The guest stays as it was before.
func (s *Sim) failCustomization(ctx *simulator.Context, vm *simulator.VirtualMachine, rule guestRule) {
	event, err := buildFailure(rule.Event)
	if err != nil {
		return // it was checked when the rule was armed
	}
	failed := event.(types.BaseCustomizationFailed).GetCustomizationFailed()
	failed.VmEvent = s.vmEvent(ctx, vm)
	failed.LogLocation, failed.Reason = rule.Log, rule.Reason
	ctx.WithLock(vm, func() {
		if rule.Text == "" {
			rule.Text = "An error occurred during customization on VM " + vm.Name
		}
		now := time.Now()
		info := types.GuestInfoCustomizationInfo{
			CustomizationStatus: string(types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_FAILED),
			EndTime:             &now, ErrorMsg: rule.Text,
		}
		if old := vm.Guest.CustomizationInfo; old != nil {
			info.StartTime = old.StartTime
		}
		ctx.Update(vm, []types.PropertyChange{
			{Name: "guest.customizationInfo", Val: &info},
			{Name: "config.tools.pendingCustomization", Val: ""},
		})
	})
	s.post(ctx, event)
	if m := ctx.Map.EventManager(); m != nil {
		// The library has made a text of its own from a template.
		ctx.WithLock(m, func() { failed.FullFormattedMessage = rule.Text })
	}
}
