package lcsim

import (
	"slices"

	"github.com/vmware/govmomi/vim25/types"
)

// The five ways to move a disk's chain [fact: vs-move-types].
const (
	moveNewChild    = "createNewChildDiskBacking"
	moveChildMost   = "moveChildMostDiskBacking"
	moveConsolidate = "moveAllDiskBackingsAndConsolidate"
	moveShare       = "moveAllDiskBackingsAndAllowSharing"
	moveNoShare     = "moveAllDiskBackingsAndDisallowSharing"
)

var moveTypes = []string{"", moveNewChild, moveChildMost, moveConsolidate, moveShare, moveNoShare}

// checkMoveTypes refuses unknown values, in the spec and in each override.
func (j *cloneJob) checkMoveTypes() types.BaseMethodFault {
	if !slices.Contains(moveTypes, j.spec.Location.DiskMoveType) {
		return invalidArgument("spec.location.diskMoveType")
	}
	for _, locator := range j.spec.Location.Disk {
		if !slices.Contains(moveTypes, locator.DiskMoveType) {
			return invalidArgument("spec.location.disk.diskMoveType")
		}
	}
	for _, change := range diskChanges(j.spec.Location.DeviceChange) {
		if !slices.Contains(moveTypes, change.DiskMoveType) {
			return invalidArgument("spec.location.deviceChange.diskMoveType")
		}
	}
	return nil
}

func (j *cloneJob) asksForNewChild() bool {
	if j.spec.Location.DiskMoveType == moveNewChild {
		return true
	}
	for _, locator := range j.spec.Location.Disk {
		if locator.DiskMoveType == moveNewChild {
			return true
		}
	}
	for _, change := range diskChanges(j.spec.Location.DeviceChange) {
		if change.DiskMoveType == moveNewChild {
			return true
		}
	}
	return false
}

// diskMove is what happens to one disk.
type diskMove struct {
	kind      string
	datastore *types.ManagedObjectReference
}

// moveOf resolves spec and override for a disk.
//
// Unset means DisallowSharing in the request and in each locator
// [fact: vs-move-unset].
func moveOf(spec types.VirtualMachineRelocateSpec, disk *types.VirtualDisk) diskMove {
	move := diskMove{kind: spec.DiskMoveType, datastore: spec.Datastore}
	for i, locator := range spec.Disk {
		if locator.DiskId == disk.Key {
			move = diskMove{kind: locator.DiskMoveType, datastore: &spec.Disk[i].Datastore}
		}
	}
	for _, change := range diskChanges(spec.DeviceChange) {
		if change.Device.GetVirtualDevice().Key == disk.Key && change.DiskMoveType != "" {
			move.kind = change.DiskMoveType
		}
	}
	if move.kind == "" {
		move.kind = moveNoShare
	}
	return move
}

func diskChanges(changes []types.BaseVirtualDeviceConfigSpec) []*types.VirtualDiskConfigSpec {
	var out []*types.VirtualDiskConfigSpec
	for _, change := range changes {
		if c, ok := change.(*types.VirtualDiskConfigSpec); ok {
			out = append(out, c)
		}
	}
	return out
}
