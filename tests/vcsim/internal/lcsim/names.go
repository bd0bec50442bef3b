package lcsim

import (
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// nameBook reserves the names of VMs that running tasks will create.
//
// A name is taken from the moment a clone is submitted [fact: vs-name-reserved]; the VM
// appears in its folder only when the clone is complete. DuplicateName.object
// of a name that is still being made is the reference that the VM will have,
// and reading it gives ManagedObjectNotFound until then.
type nameBook struct {
	mu   sync.Mutex
	held map[nameKey]types.ManagedObjectReference

	children *childIndex
}

type nameKey struct{ folder, name string }

func newNameBook(children *childIndex) *nameBook {
	return &nameBook{held: map[nameKey]types.ManagedObjectReference{}, children: children}
}

// claim reserves name in folder for ref, or reports who has it.
func (b *nameBook) claim(
	ctx *simulator.Context, folder *mo.Folder, name string, ref types.ManagedObjectReference,
) types.BaseMethodFault {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := nameKey{folder.Self.Value, name}
	if holder, taken := b.held[key]; taken {
		return &types.DuplicateName{Name: name, Object: holder}
	}
	if found := b.children.find(ctx, folder, name); found != nil {
		// `object` is the existing VM [fact: vs-duplicate-name].
		return &types.DuplicateName{Name: name, Object: *found}
	}
	b.held[key] = ref
	return nil
}

func (b *nameBook) release(folder *mo.Folder, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, nameKey{folder.Self.Value, name})
}

var entityNameEscapes = strings.NewReplacer("%", "%25", "/", "%2f", "\\", "%5c")

// escapeName stores a name as vCenter does.
func escapeName(name string) string {
	return entityNameEscapes.Replace(strings.NewReplacer("%25", "%", "%2f", "/", "%5c", "\\").Replace(name))
}

// identityBook knows which VM has which instanceUuid.
type identityBook struct {
	mu     sync.Mutex
	owners map[string]types.ManagedObjectReference
	of     map[types.ManagedObjectReference]string
}

func newIdentityBook() *identityBook {
	return &identityBook{
		owners: map[string]types.ManagedObjectReference{},
		of:     map[types.ManagedObjectReference]string{},
	}
}

// claim gives id to vm unless another VM has it.
func (b *identityBook) claim(vm types.ManagedObjectReference, id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	id = strings.ToLower(id)
	if owner, taken := b.owners[id]; taken && owner != vm {
		return false
	}
	delete(b.owners, b.of[vm])
	b.owners[id], b.of[vm] = vm, id
	return true
}

func (b *identityBook) forget(vm types.ManagedObjectReference) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id := b.of[vm]; b.owners[id] == vm {
		delete(b.owners, id)
	}
	delete(b.of, vm)
}
