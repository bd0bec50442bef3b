package lcsim

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// RemoveSnapshotTask removes a snapshot and merges what it kept apart.
func (m *snapshotMethods) RemoveSnapshotTask(ctx *simulator.Context, req *types.RemoveSnapshot_Task) soap.HasFault {
	vm := m.sim.vm(m.snap.Vm)
	merge := req.Consolidate == nil || *req.Consolidate
	return &methods.RemoveSnapshot_TaskBody{Res: &types.RemoveSnapshot_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: "RemoveSnapshot_Task", id: descriptionID("RemoveSnapshot_Task"), entity: vm,
			run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
				var fault types.BaseMethodFault
				ctx.WithLock(vm, func() {
					tree := newTree(vm.Snapshot)
					gone := tree.remove(m.Self, req.RemoveChildren)
					if gone == nil {
						fault = &types.ManagedObjectNotFound{Obj: m.Self}
						return
					}
					fault = m.sim.dropSnapshots(ctx, vm, tree, gone, merge)
				})
				return nil, fault
			},
		}),
	}}
}

// RemoveAllSnapshotsTask removes every snapshot of the VM.
func (m *vmMethods) RemoveAllSnapshotsTask(ctx *simulator.Context, req *types.RemoveAllSnapshots_Task) soap.HasFault {
	merge := req.Consolidate == nil || *req.Consolidate
	return &methods.RemoveAllSnapshots_TaskBody{Res: &types.RemoveAllSnapshots_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: "RemoveAllSnapshots_Task", id: descriptionID("RemoveAllSnapshots_Task"), entity: m.vm,
			run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
				var fault types.BaseMethodFault
				ctx.WithLock(m.vm, func() {
					gone := snapshotRefs(m.vm.Snapshot)
					fault = m.sim.dropSnapshots(ctx, m.vm, &snapshotTree{}, gone, merge)
				})
				return nil, fault
			},
		}),
	}}
}

// RenameSnapshot changes a snapshot's name or description.
func (m *snapshotMethods) RenameSnapshot(ctx *simulator.Context, req *types.RenameSnapshot) soap.HasFault {
	vm := m.sim.vm(m.snap.Vm)
	ctx.WithLock(vm, func() {
		tree := newTree(vm.Snapshot)
		if node := findNode(tree.roots, m.Self); node != nil {
			setIf(&node.Name, req.Name)
			setIf(&node.Description, req.Description)
		}
		m.sim.publishTree(ctx, vm, tree)
	})
	return &methods.RenameSnapshotBody{Res: new(types.RenameSnapshotResponse)}
}

// dropSnapshots forgets snapshots and merges their layers. The caller holds the
// VM's lock.
//
// [fact: vs-snapshot-under-clones]: existing children keep working, no new child can
// start from that point, and the source keeps an extra layer while the base is
// shared.
func (s *Sim) dropSnapshots(
	ctx *simulator.Context, vm *simulator.VirtualMachine, tree *snapshotTree, gone []ref, merge bool,
) types.BaseMethodFault {
	before := s.disks.usesOf(vm.Self)
	frozen := s.frozenFiles(gone)
	if merge && s.host.lone {
		// A host opens for writing what it merges into [fact: vs-esxi-merge].
		if fault := s.lockedFile(vm.Self, frozen); fault != nil {
			return fault
		}
	}
	for _, r := range gone {
		ctx.Map.Remove(ctx, r)
	}
	vm.Snapshot = tree.info()
	for _, snap := range s.snapshotsOf(&vm.VirtualMachine) {
		children := slices.DeleteFunc(slices.Clone(snap.ChildSnapshot), func(c ref) bool { return slices.Contains(gone, c) })
		ctx.WithLock(snap, func() { snap.ChildSnapshot = children })
	}
	s.refreshStorage(&vm.VirtualMachine)
	if merge {
		m := merger{sim: s, ctx: ctx, vm: &vm.VirtualMachine}
		for _, file := range slices.Backward(frozen) { // upper layers first
			m.merge(file)
		}
	}
	s.publishTree(ctx, vm, tree)
	s.dropUnused(&vm.VirtualMachine, before)
	return nil
}

// frozenFiles lists the files that snapshots name.
func (s *Sim) frozenFiles(snapshots []ref) []fileID {
	var frozen []fileID
	for _, r := range snapshots {
		if snap := s.snapshot(r); snap != nil {
			frozen = append(frozen, topsIn(snap.Config.Hardware.Device)...)
		}
	}
	return frozen
}

// merger joins layers of one VM that nothing keeps apart any more.
type merger struct {
	sim *Sim
	ctx *simulator.Context
	vm  *mo.VirtualMachine
}

// merge joins file with the layer above it: the layer's content goes into file,
// and file takes its place. It does nothing while another snapshot is frozen at
// file, while the tree branches there, or while other VMs use either layer.
func (m *merger) merge(file fileID) {
	if m.shared(file) || m.frozenAt(file) {
		return
	}
	above := m.above(file)
	if len(above) != 1 || m.shared(above[0]) {
		return
	}
	child := above[0]
	m.sim.disks.written(file)
	m.eachDisk(func(disk *types.VirtualDisk) { disk.Backing = spliced(disk.Backing, child) })
	if f, ok := m.sim.disks.get(child); ok {
		m.sim.disks.grow(file, max(0, f.size-deltaSize))
	}
	m.sim.refreshStorage(m.vm)
}

// shared tells whether other VMs keep a layer as it is. On a lone host nothing
// does: what they have hangs from a changed file then [fact: vs-esxi-merge].
func (m *merger) shared(file fileID) bool {
	return !m.sim.host.lone && m.sim.disks.usedByOther(m.vm.Self, file)
}

// spliced removes the layer named child, whose parent takes its place.
func spliced(b backing, child fileID) backing {
	below := parentOf(b)
	if below == nil {
		return b
	}
	if idOf(b) == child {
		return below
	}
	setParent(b, spliced(below, child))
	return b
}

func (m *merger) frozenAt(file fileID) bool {
	for _, snap := range m.sim.snapshotsOf(m.vm) {
		for _, disk := range disksOf(snap.Config.Hardware.Device) {
			if idOf(disk.Backing) == file {
				return true
			}
		}
	}
	return false
}

// above lists the VM's layers whose parent is file.
func (m *merger) above(file fileID) []fileID {
	var out []fileID
	m.eachDisk(func(disk *types.VirtualDisk) {
		for _, layer := range layers(disk.Backing) {
			below := parentOf(layer)
			if below != nil && idOf(below) == file && !slices.Contains(out, idOf(layer)) {
				out = append(out, idOf(layer))
			}
		}
	})
	return out
}

func (m *merger) eachDisk(f func(*types.VirtualDisk)) {
	for _, disk := range disksOf(m.vm.Config.Hardware.Device) {
		f(disk)
	}
	for _, snap := range m.sim.snapshotsOf(m.vm) {
		m.ctx.WithLock(snap, func() {
			for _, disk := range disksOf(snap.Config.Hardware.Device) {
				f(disk)
			}
		})
	}
}
