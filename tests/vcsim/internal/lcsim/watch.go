package lcsim

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// watcher follows every change of the inventory, whoever makes it.
type watcher struct{ sim *Sim }

// Reference implements mo.Reference.
func (w *watcher) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "LinkedCloneWatcher", Value: "linked-clone-watcher"}
}

// PutObject implements simulator.RegisterObject.
func (w *watcher) PutObject(_ *simulator.Context, obj mo.Reference) {
	switch o := obj.(type) {
	case *simulator.Task:
		renameTask(&o.Info)
	case *simulator.VirtualMachine:
		mendVM(&o.VirtualMachine)
	}
}

// UpdateObject implements simulator.RegisterObject. The library holds the
// object's lock here.
func (w *watcher) UpdateObject(_ *simulator.Context, obj mo.Reference, changes []types.PropertyChange) {
	w.sim.children.renamed(obj.Reference(), changes)
	vm, ok := obj.(*mo.VirtualMachine)
	if !ok || !slices.ContainsFunc(changes, endsLibraryChange) {
		return
	}
	if vm.Runtime.Host != nil && vm.Config != nil && len(vm.Datastore) > 0 {
		w.sim.adopt(vm)
		w.sim.refreshStorage(vm)
	}
}

// endsLibraryChange tells the last update of the library's CreateVM ("name")
// and ReconfigVM ("config.changeVersion").
func endsLibraryChange(c types.PropertyChange) bool {
	return c.Name == "name" || c.Name == "config.changeVersion"
}

// RemoveObject implements simulator.RegisterObject.
func (w *watcher) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	if ref.Type != "VirtualMachine" {
		return
	}
	// Only registered VMs count as users [fact: vs-base-goes-with-last-user].
	w.sim.disks.setUses(ref, nil, nil)
	w.sim.disks.forgetVM(ref) // its .vmx stays, as all its files do
	w.sim.ids.forget(ref)
	w.sim.pending.Delete(ref)
	w.sim.powerOn.Delete(ref)
}

// mendVM fills in what the library leaves empty and strict clients refuse.
func mendVM(vm *mo.VirtualMachine) {
	mendRuntime(&vm.Runtime)
	mendRuntime(&vm.Summary.Runtime)
	c := &vm.Capability
	// [fact: vs-move-file-backed]
	c.SnapshotConfigSupported = true
	c.SnapshotOperationsSupported = true
	c.MultipleSnapshotsSupported = true
	c.PoweredOffSnapshotsSupported = true
	c.RevertToSnapshotSupported = true
	c.SeSparseDiskSupported = true
}

// mendRuntime sets required enums: pyVmomi refuses an empty one and with it the
// whole of runtime and summary.
func mendRuntime(r *types.VirtualMachineRuntimeInfo) {
	setIfEmpty(&r.ConnectionState, types.VirtualMachineConnectionStateConnected)
	setIfEmpty(&r.PowerState, types.VirtualMachinePowerStatePoweredOff)
	setIfEmpty(&r.FaultToleranceState, types.VirtualMachineFaultToleranceStateNotConfigured)
	setIfEmpty(&r.RecordReplayState, types.VirtualMachineRecordReplayStateInactive)
}

func setIfEmpty[T ~string](dst *T, value T) {
	if *dst == "" {
		*dst = value
	}
}

// adopt takes up disks that the library created for this VM.
func (s *Sim) adopt(vm *mo.VirtualMachine) {
	for _, disk := range disksOf(vm.Config.Hardware.Device) {
		chain := layers(disk.Backing)
		for i, layer := range chain {
			if vmdkOf(layer).Datastore == nil {
				s.resolveDatastore(vm, layer)
			}
			size := baseSize(disk.CapacityInBytes)
			if i < len(chain)-1 {
				size = deltaSize
			}
			s.disks.adopt(idOf(layer), diskFile{capacity: disk.CapacityInBytes, size: size})
		}
	}
	if vm.Config.InstanceUuid != "" {
		s.ids.claim(vm.Self, vm.Config.InstanceUuid)
	}
}

func (s *Sim) resolveDatastore(vm *mo.VirtualMachine, layer backing) {
	info := vmdkOf(layer)
	name := parsePath(info.FileName).Datastore
	if ds := s.registry().FindByName(name, vm.Datastore); ds != nil {
		ref := ds.Reference()
		info.Datastore = &ref
	}
}
