package lcsim

import (
	"github.com/vmware/govmomi/vim25/types"
)

// diskMover makes the disks of a new VM out of those of its source.
type diskMover struct {
	sim        *Sim
	folder     string // of the new VM, "name"
	stem       string
	datastores func(types.ManagedObjectReference) string // name of a datastore
	mode       string
}

// move replaces disk's backing by that of the clone.
//
// [fact: vs-move-types]:
//   - createNewChildDiskBacking: new empty child on the target datastore, source untouched;
//   - moveChildMostDiskBacking: only the top layer is copied, parents become shared;
//   - ...AllowSharing: the chain is copied, but a non-topmost layer may be replaced
//     by an existing read-only file with the same content on the target datastore;
//   - ...DisallowSharing and ...Consolidate: a full copy with the deltas merged.
func (d *diskMover) move(disk *types.VirtualDisk, move diskMove) types.BaseMethodFault {
	chain := layers(disk.Backing)
	for _, layer := range chain {
		if _, exists := d.sim.disks.get(idOf(layer)); !exists {
			return &types.FileNotFound{FileFault: types.FileFault{File: idOf(layer).name}}
		}
	}
	datastore := idOf(disk.Backing).datastore
	if move.datastore != nil {
		datastore = move.datastore.Value
	}
	kind := move.kind
	if isIndependent(disk.Backing) {
		// Independent disks are copied whatever the spec says [fact: vs-independent-disks].
		kind = moveNoShare
	}
	if kind == moveNewChild && d.mode == modeDegrade {
		kind = moveNoShare // a test wants the proof to fail
	}
	switch kind {
	case moveNewChild:
		d.link(disk, datastore)
	case moveChildMost:
		disk.Backing = d.copyTop(disk, disk.Backing, datastore, parentOf(disk.Backing))
	case moveShare:
		disk.Backing = d.copySharing(disk, disk.Backing, datastore, true)
	default:
		disk.Backing = d.flatten(disk, datastore)
	}
	return nil
}

func (d *diskMover) link(disk *types.VirtualDisk, datastore string) {
	below := idOf(disk.Backing)
	file := diskFile{capacity: disk.CapacityInBytes, size: deltaSize}
	native := d.mode == modeNative && below.datastore == datastore
	if native {
		file.hidden = below
	}
	disk.Backing = newChild(disk.Backing, d.reserve(datastore, file))
	if native {
		// Native needs parent and child on one datastore [fact: vs-native-clones].
		setParent(disk.Backing, nil)
		disk.NativeUnmanagedLinkedClone = types.NewBool(true)
	}
}

// copyTop copies one layer and puts it on parent.
func (d *diskMover) copyTop(disk *types.VirtualDisk, layer backing, datastore string, parent backing) backing {
	f, _ := d.sim.disks.get(idOf(layer))
	f.capacity = disk.CapacityInBytes
	return newCopy(layer, d.reserve(datastore, f), deepCopy(parent))
}

// copySharing copies a chain layer by layer. A layer below the top that already
// lies on the target datastore is read-only there, so it is shared with all
// below it. A lone flat base is itself the topmost layer and is copied
// [fact: vs-flat-base-copied].
func (d *diskMover) copySharing(disk *types.VirtualDisk, layer backing, datastore string, top bool) backing {
	if !top && idOf(layer).datastore == datastore {
		return deepCopy(layer)
	}
	var parent backing
	if below := parentOf(layer); below != nil {
		parent = d.copySharing(disk, below, datastore, false)
	}
	return d.copyTop(disk, layer, datastore, parent)
}

// flatten copies the whole chain into one file of its own.
func (d *diskMover) flatten(disk *types.VirtualDisk, datastore string) backing {
	size := d.sim.chainSize(disk.Backing)
	id := d.reserve(datastore, diskFile{capacity: disk.CapacityInBytes, size: size})
	disk.NativeUnmanagedLinkedClone = nil
	return newCopy(disk.Backing, id, nil)
}

func (d *diskMover) reserve(datastore string, f diskFile) fileID {
	ref := types.ManagedObjectReference{Type: "Datastore", Value: datastore}
	folder := "[" + d.datastores(ref) + "] " + d.folder
	return d.sim.disks.reserve(datastore, folder, d.stem, f)
}

// chainSize is what the layers of a chain occupy together.
func (s *Sim) chainSize(b backing) int64 {
	var size int64
	for _, layer := range layers(b) {
		f, _ := s.disks.get(idOf(layer))
		size += f.size
		for f.hidden.name != "" {
			f, _ = s.disks.get(f.hidden)
			size += f.size
		}
	}
	return size
}
