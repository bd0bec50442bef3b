package lcsim

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmware/govmomi/simulator"
)

const (
	gib            = 1 << 30
	deltaSize      = 16 << 10 // an empty delta: a few KiB
	descriptorSize = 512
	metadataSize   = 4 << 10
)

// baseSize is what a thin base of this capacity is taken to occupy.
func baseSize(capacity int64) int64 { return min(capacity, max(capacity/5, 1*gib)) }

// snapshotRefs lists a VM's snapshots in the order of its tree.
func snapshotRefs(info *types.VirtualMachineSnapshotInfo) []types.ManagedObjectReference {
	if info == nil {
		return nil
	}
	var out []types.ManagedObjectReference
	var walk func([]types.VirtualMachineSnapshotTree)
	walk = func(nodes []types.VirtualMachineSnapshotTree) {
		for _, n := range nodes {
			out = append(out, n.Snapshot)
			walk(n.ChildSnapshotList)
		}
	}
	walk(info.RootSnapshotList)
	return out
}

func (s *Sim) snapshotsOf(vm *mo.VirtualMachine) []*simulator.VirtualMachineSnapshot {
	var out []*simulator.VirtualMachineSnapshot
	for _, ref := range snapshotRefs(vm.Snapshot) {
		if snap := s.snapshot(ref); snap != nil {
			out = append(out, snap)
		}
	}
	return out
}

// refreshStorage works out again which files the VM uses, and from that its
// layoutEx, layout and storage. The caller holds the VM's lock.
func (s *Sim) refreshStorage(vm *mo.VirtualMachine) {
	snaps := s.snapshotsOf(vm)
	var used []fileID
	collect := func(devices []types.BaseVirtualDevice) {
		for _, disk := range disksOf(devices) {
			for _, layer := range layers(disk.Backing) {
				used = append(used, idOf(layer))
				s.disks.describe(layer)
			}
		}
	}
	collect(vm.Config.Hardware.Device)
	for _, snap := range snaps {
		collect(snap.Config.Hardware.Device)
	}
	s.disks.setUses(vm.Self, used, topsIn(vm.Config.Hardware.Device))
	s.noteConfig(vm)

	b := layoutBuilder{sim: s, vm: vm, keys: map[string]int32{}}
	b.addHome()
	for _, snap := range snaps {
		b.addSnapshot(snap)
	}
	b.layoutEx.Disk = b.chains(vm.Config.Hardware.Device)
	b.finish()
}

// layoutBuilder assembles a VM's file layout.
type layoutBuilder struct {
	sim      *Sim
	vm       *mo.VirtualMachine
	keys     map[string]int32
	layoutEx types.VirtualMachineFileLayoutEx
	usage    []types.VirtualMachineUsageOnDatastore
}

// addFile lists a file once and returns its key.
func (b *layoutBuilder) addFile(datastore, name, kind string, size, unique int64) int32 {
	return b.addFileIf(true, datastore, name, kind, size, unique)
}

// addFileIf lists a file that may have vanished: accessible is false then.
func (b *layoutBuilder) addFileIf(exists bool, datastore, name, kind string, size, unique int64) int32 {
	if key, ok := b.keys[datastore+name]; ok {
		return key
	}
	key := int32(len(b.layoutEx.File))
	b.keys[datastore+name] = key
	b.layoutEx.File = append(b.layoutEx.File, types.VirtualMachineFileLayoutExFileInfo{
		Key: key, Name: name, Type: kind, Size: size, UniqueSize: unique, Accessible: types.NewBool(exists),
	})
	u := b.usageOn(datastore)
	u.Committed += size
	u.Unshared += unique
	return key
}

func (b *layoutBuilder) usageOn(datastore string) *types.VirtualMachineUsageOnDatastore {
	i := slices.IndexFunc(b.usage, func(u types.VirtualMachineUsageOnDatastore) bool {
		return u.Datastore.Value == datastore
	})
	if i < 0 {
		ref := types.ManagedObjectReference{Type: "Datastore", Value: datastore}
		b.usage = append(b.usage, types.VirtualMachineUsageOnDatastore{Datastore: ref})
		i = len(b.usage) - 1
	}
	return &b.usage[i]
}

func (b *layoutBuilder) addHome() {
	vmx := b.vm.Config.Files.VmPathName
	stem := strings.TrimSuffix(vmx, ".vmx")
	ds := b.homeDatastore()
	b.addFile(ds, vmx, "config", 2048, 2048)
	b.addFile(ds, stem+".nvram", "nvram", 8684, 8684)
	b.addFile(ds, path.Dir(vmx)+"/vmware.log", "log", 4096, 4096)
	if b.vm.Snapshot != nil {
		b.addFile(ds, stem+".vmsd", "snapshotList", 512, 512)
	}
}

func (b *layoutBuilder) homeDatastore() string {
	name := parsePath(b.vm.Config.Files.VmPathName).Datastore
	if e := b.sim.registry().FindByName(name, b.vm.Datastore); e != nil {
		return e.Reference().Value
	}
	return ""
}

func (b *layoutBuilder) addSnapshot(snap *simulator.VirtualMachineSnapshot) {
	name := strings.TrimSuffix(b.vm.Config.Files.VmPathName, ".vmx") + "-" + snap.Self.Value + ".vmsn"
	key := b.addFile(b.homeDatastore(), name, "snapshotData", 20<<10, 20<<10)
	b.layoutEx.Snapshot = append(b.layoutEx.Snapshot, types.VirtualMachineFileLayoutExSnapshotLayout{
		Key: snap.Self, DataKey: key, MemoryKey: -1,
		Disk: b.chains(snap.Config.Hardware.Device),
	})
}

// chains lists each disk's layers, base first.
//
// layoutEx lists layers base first, shared ones too [fact: vs-layout].
func (b *layoutBuilder) chains(devices []types.BaseVirtualDevice) []types.VirtualMachineFileLayoutExDiskLayout {
	var out []types.VirtualMachineFileLayoutExDiskLayout
	for _, disk := range disksOf(devices) {
		chain := layers(disk.Backing)
		slices.Reverse(chain)
		layout := types.VirtualMachineFileLayoutExDiskLayout{Key: disk.Key}
		for i, layer := range chain {
			layout.Chain = append(layout.Chain, types.VirtualMachineFileLayoutExDiskUnit{
				FileKey: b.addLayer(idOf(layer), i > 0),
			})
		}
		out = append(out, layout)
	}
	return out
}

// addLayer lists a disk file as descriptor and extent.
//
// uniqueSize leaves out shared bytes [fact: vs-unique-size]. The library cannot
// send a zero there (it would look unknown), so a shared extent keeps its
// metadata's bytes as its own.
func (b *layoutBuilder) addLayer(id fileID, isDelta bool) []int32 {
	f, exists := b.sim.disks.get(id)
	unique := f.size
	descriptor := int64(descriptorSize)
	if b.sim.disks.usedByOther(b.vm.Self, id) {
		unique, descriptor = min(metadataSize, f.size), 1
	}
	suffix := "-flat.vmdk"
	if isDelta {
		suffix = "-delta.vmdk"
	}
	extent := strings.TrimSuffix(id.name, ".vmdk") + suffix
	return []int32{
		b.addFileIf(exists, id.datastore, id.name, "diskDescriptor", descriptorSize, descriptor),
		b.addFileIf(exists, id.datastore, extent, "diskExtent", f.size, unique),
	}
}

func (b *layoutBuilder) finish() {
	now := time.Now()
	for _, disk := range disksOf(b.vm.Config.Hardware.Device) {
		id := idOf(disk.Backing)
		if f, ok := b.sim.disks.get(id); ok {
			b.usageOn(id.datastore).Uncommitted += max(0, disk.CapacityInBytes-f.size)
		}
	}
	b.layoutEx.Timestamp = now
	b.vm.LayoutEx = &b.layoutEx
	b.vm.Layout = b.oldLayout()

	// unshared: bytes that no other VM uses [fact: vs-unique-size].
	b.vm.Storage = &types.VirtualMachineStorageInfo{PerDatastoreUsage: b.usage, Timestamp: now}
	sum := &types.VirtualMachineStorageSummary{Timestamp: now}
	for _, u := range b.usage {
		sum.Committed += u.Committed
		sum.Uncommitted += u.Uncommitted
		sum.Unshared += u.Unshared
	}
	b.vm.Summary.Storage = sum
}

func (b *layoutBuilder) oldLayout() *types.VirtualMachineFileLayout {
	layout := &types.VirtualMachineFileLayout{}
	for _, disk := range disksOf(b.vm.Config.Hardware.Device) {
		entry := types.VirtualMachineFileLayoutDiskLayout{Key: disk.Key}
		for _, layer := range layers(disk.Backing) {
			entry.DiskFile = append(entry.DiskFile, vmdkOf(layer).FileName)
		}
		layout.Disk = append(layout.Disk, entry)
	}
	return layout
}

// RefreshStorageInfo brings layout and storage up to date.
//
// Values carry a timestamp and can be stale [fact: vs-layout-age]. Here a VM's own changes refresh it, other VMs' do not.
func (m *vmMethods) RefreshStorageInfo(ctx *simulator.Context, _ *types.RefreshStorageInfo) soap.HasFault {
	ctx.WithLock(m.vm, func() { m.sim.refreshStorage(&m.vm.VirtualMachine) })
	return &methods.RefreshStorageInfoBody{Res: new(types.RefreshStorageInfoResponse)}
}
