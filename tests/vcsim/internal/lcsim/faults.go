package lcsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// Stages at which a rule strikes.
const (
	atCall      = "call"      // the call itself is refused
	atTask      = "task"      // the task ends in error
	atAdmission = "admission" // PowerOnMultiVM_Task does not try to start the VM
	atPowerOn   = "poweron"   // the clone succeeds, powering it on does not
)

// faultRule makes calls fail on demand.
type faultRule struct {
	Method     string          `json:"method"`
	Name       string          `json:"name"` // new VM's name for clones, else the entity's; empty: any
	Fault      string          `json:"fault"`
	At         string          `json:"at"`
	Count      int             `json:"count"` // how often; 0 means once, -1 for ever
	Leave      bool            `json:"leave"` // the half-made VM stays in its folder
	Properties json.RawMessage `json:"properties"`
	Message    string          `json:"message"`

	built types.BaseMethodFault
}

type faultBook struct {
	mu    sync.Mutex
	rules []*faultRule
}

func newFaultBook() *faultBook { return &faultBook{} }

// add checks a rule and arms it.
func (b *faultBook) add(r faultRule) error {
	if r.Method == "" {
		return fmt.Errorf("method is missing")
	}
	switch r.At {
	case "":
		r.At = atTask
	case atCall, atTask, atPowerOn, atAdmission:
	default:
		return fmt.Errorf("at: %q is not one of call, task, poweron, admission", r.At)
	}
	if r.Count == 0 {
		r.Count = 1
	}
	fault, err := buildFault(r.Fault, r.Properties)
	if err != nil {
		return err
	}
	r.built = fault
	if r.Message != "" {
		r.built = withMessage(fault, r.Message)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = append(b.rules, &r)
	return nil
}

func (b *faultBook) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = nil
}

// take uses up one matching rule. The name is asked for only when needed.
func (b *faultBook) take(method, at string, name func() string) *faultRule {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rules {
		if r.Count == 0 || r.Method != method || r.At != at {
			continue
		}
		if r.Name != "" && r.Name != name() {
			continue
		}
		if r.Count > 0 {
			r.Count--
		}
		return r
	}
	return nil
}

// buildFault makes any vim fault by its type name. Properties are named as in
// the API ("invalidProperty").
func buildFault(name string, properties json.RawMessage) (types.BaseMethodFault, error) {
	kind, ok := types.TypeFunc()(name)
	if !ok {
		return nil, fmt.Errorf("fault: no type named %q", name)
	}
	fault, ok := reflect.New(kind).Interface().(types.BaseMethodFault)
	if !ok {
		return nil, fmt.Errorf("fault: %q is not a fault", name)
	}
	if len(properties) > 0 {
		// Faults within faults say their type: {"_typeName": "CannotAccessVmDisk"}.
		if err := types.NewJSONDecoder(bytes.NewReader(properties)).Decode(fault); err != nil {
			return nil, fmt.Errorf("properties: %w", err)
		}
	}
	return fault, nil
}
