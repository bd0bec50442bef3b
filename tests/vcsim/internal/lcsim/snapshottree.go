package lcsim

import (
	"slices"

	"github.com/vmware/govmomi/vim25/types"
)

// snapshotTree edits a copy of a VM's snapshot tree.
type snapshotTree struct {
	current *types.ManagedObjectReference
	roots   []types.VirtualMachineSnapshotTree
}

type ref = types.ManagedObjectReference

func newTree(info *types.VirtualMachineSnapshotInfo) *snapshotTree {
	if info == nil {
		return &snapshotTree{}
	}
	own := deepCopy(*info)
	return &snapshotTree{current: own.CurrentSnapshot, roots: own.RootSnapshotList}
}

// info returns the tree as a property: nil when there is no snapshot.
func (t *snapshotTree) info() *types.VirtualMachineSnapshotInfo {
	if len(t.roots) == 0 {
		return nil
	}
	return &types.VirtualMachineSnapshotInfo{CurrentSnapshot: t.current, RootSnapshotList: t.roots}
}

// add hangs a node under the current snapshot and makes it current.
func (t *snapshotTree) add(node types.VirtualMachineSnapshotTree) {
	if t.current == nil {
		t.roots = append(t.roots, node)
	} else if at := findNode(t.roots, *t.current); at != nil {
		at.ChildSnapshotList = append(at.ChildSnapshotList, node)
	}
	t.current = &node.Snapshot
}

func findNode(nodes []types.VirtualMachineSnapshotTree, want ref) *types.VirtualMachineSnapshotTree {
	for i := range nodes {
		if nodes[i].Snapshot == want {
			return &nodes[i]
		}
		if at := findNode(nodes[i].ChildSnapshotList, want); at != nil {
			return at
		}
	}
	return nil
}

// parentOf returns the snapshot above, or an empty reference.
func (t *snapshotTree) parentOf(want ref) ref {
	var walk func([]types.VirtualMachineSnapshotTree, ref) (ref, bool)
	walk = func(nodes []types.VirtualMachineSnapshotTree, above ref) (ref, bool) {
		for _, n := range nodes {
			if n.Snapshot == want {
				return above, true
			}
			if found, ok := walk(n.ChildSnapshotList, n.Snapshot); ok {
				return found, true
			}
		}
		return ref{}, false
	}
	found, _ := walk(t.roots, ref{})
	return found
}

// remove takes a snapshot out, with its children or leaving them to its
// parent, and returns what went, parents first.
func (t *snapshotTree) remove(want ref, withChildren bool) []ref {
	above := t.parentOf(want)
	at := findNode(t.roots, want)
	if at == nil {
		return nil
	}
	gone := []ref{want}
	heirs := at.ChildSnapshotList
	if withChildren {
		gone = append(gone, refsIn(heirs)...)
		heirs = nil
	}
	siblings := &t.roots
	if parent := findNode(t.roots, above); parent != nil {
		siblings = &parent.ChildSnapshotList
	}
	i := slices.IndexFunc(*siblings, func(n types.VirtualMachineSnapshotTree) bool { return n.Snapshot == want })
	*siblings = slices.Replace(*siblings, i, i+1, heirs...)
	if t.current != nil && slices.Contains(gone, *t.current) {
		t.current = nil
		if above.Value != "" {
			t.current = &above
		}
	}
	return gone
}

func refsIn(nodes []types.VirtualMachineSnapshotTree) []ref {
	var out []ref
	for _, n := range nodes {
		out = append(out, n.Snapshot)
		out = append(out, refsIn(n.ChildSnapshotList)...)
	}
	return out
}
