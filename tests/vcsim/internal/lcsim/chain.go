package lcsim

import (
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

// backing is one layer of a disk's chain.
type backing = types.BaseVirtualDeviceBackingInfo

// vmdkOf returns the file part of a layer, or nil if it has none.
func vmdkOf(b backing) *types.VirtualDeviceFileBackingInfo {
	if f, ok := b.(types.BaseVirtualDeviceFileBackingInfo); ok {
		return f.GetVirtualDeviceFileBackingInfo()
	}
	return nil
}

// parentOf returns the layer below b, or nil for a base.
//
// The chain goes from child to base [fact: vs-backing-parent].
func parentOf(b backing) backing {
	switch x := b.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		if x.Parent != nil {
			return x.Parent
		}
	case *types.VirtualDiskSeSparseBackingInfo:
		if x.Parent != nil {
			return x.Parent
		}
	}
	return nil
}

func setParent(b, parent backing) {
	switch x := b.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		x.Parent, _ = parent.(*types.VirtualDiskFlatVer2BackingInfo)
		x.DeltaDiskFormat = deltaFormat(x.Parent != nil, x.DeltaDiskFormat)
	case *types.VirtualDiskSeSparseBackingInfo:
		x.Parent, _ = parent.(*types.VirtualDiskSeSparseBackingInfo)
		x.DeltaDiskFormat = deltaFormat(x.Parent != nil, x.DeltaDiskFormat)
	}
}

// The default delta format is redoLogFormat [fact: vs-native-clones].
func deltaFormat(isDelta bool, current string) string {
	switch {
	case !isDelta:
		return ""
	case current != "":
		return current
	default:
		return string(types.VirtualDiskDeltaDiskFormatRedoLogFormat)
	}
}

func setThin(b backing) {
	if x, ok := b.(*types.VirtualDiskFlatVer2BackingInfo); ok {
		x.ThinProvisioned = types.NewBool(true)
		x.EagerlyScrub = types.NewBool(false)
	}
}

func setDiskUUID(b backing, id string) {
	switch x := b.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		x.Uuid = id
	case *types.VirtualDiskSeSparseBackingInfo:
		x.Uuid = id
	}
}

// identityOf returns a layer's disk UUID and content id.
func identityOf(b backing) (disk, content string) {
	switch x := b.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		return x.Uuid, x.ContentId
	case *types.VirtualDiskSeSparseBackingInfo:
		return x.Uuid, x.ContentId
	}
	return "", ""
}

func setContentID(b backing) {
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	switch x := b.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		x.ContentId = id
	case *types.VirtualDiskSeSparseBackingInfo:
		x.ContentId = id
	}
}

// isIndependent tells disks that no snapshot captures.
//
// Independent disks are not in snapshots [fact: vs-independent-disks].
func isIndependent(b backing) bool {
	mode := ""
	switch x := b.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		mode = x.DiskMode
	case *types.VirtualDiskSeSparseBackingInfo:
		mode = x.DiskMode
	}
	return strings.HasPrefix(mode, "independent")
}

// layers lists a chain, top first.
func layers(b backing) []backing {
	var out []backing
	for b != nil && vmdkOf(b) != nil {
		out = append(out, b)
		b = parentOf(b)
	}
	return out
}

// newChild returns an empty delta in file whose parent is b.
//
// A delta's disk UUID is its parent's [fact: vs-disk-uuid].
func newChild(b backing, file fileID) backing {
	child := deepCopy(b)
	setParent(child, deepCopy(b))
	setFile(child, file)
	setThin(child)
	setContentID(child)
	return child
}

// newCopy returns a layer of its own in file with the content of b, on parent.
func newCopy(b backing, file fileID, parent backing) backing {
	own := deepCopy(b)
	setParent(own, parent)
	setFile(own, file)
	if parent == nil {
		// A copy that depends on nobody gets an identity of its own [fact: vs-disk-uuid].
		setDiskUUID(own, uuid.NewString())
		setContentID(own)
	}
	return own
}

func setFile(b backing, file fileID) {
	info := vmdkOf(b)
	info.FileName = file.name
	info.Datastore = &types.ManagedObjectReference{Type: "Datastore", Value: file.datastore}
	info.BackingObjectId = nil
}

// disksOf returns the file-backed disks of a device list.
//
// Move types count for file-backed disks only [fact: vs-move-file-backed].
func disksOf(devices []types.BaseVirtualDevice) []*types.VirtualDisk {
	var out []*types.VirtualDisk
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok && vmdkOf(disk.Backing) != nil {
			out = append(out, disk)
		}
	}
	return out
}

func parsePath(name string) object.DatastorePath {
	var p object.DatastorePath
	p.FromString(name)
	return p
}
