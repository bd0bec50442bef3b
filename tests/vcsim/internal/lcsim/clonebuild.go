package lcsim

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// build makes the clone, not yet in the inventory.
func (j *cloneJob) build(ctx *simulator.Context) (*simulator.VirtualMachine, types.BaseMethodFault) {
	return j.buildOn(ctx, nil)
}

// buildOn makes the clone, with its disks (by key) on the given layers.
func (j *cloneJob) buildOn(
	ctx *simulator.Context, tops map[int32]backing,
) (*simulator.VirtualMachine, types.BaseMethodFault) {
	vm := &simulator.VirtualMachine{DataSets: map[string]*simulator.DataSet{}}
	ctx.WithLock(j.source, func() {
		vm.VirtualMachine = deepCopy(j.source.VirtualMachine)
		if j.spec.Snapshot != nil {
			// The hardware of the snapshot's moment [fact: vs-snapshot-hardware].
			if snap := j.sim.snapshot(*j.spec.Snapshot); snap != nil {
				config := deepCopy(snap.Config)
				vm.Config = &config
			}
		}
	})
	for _, disk := range disksOf(vm.Config.Hardware.Device) {
		if top := tops[disk.Key]; top != nil {
			disk.Backing = top
		}
	}
	vm.Self = j.target
	vm.Parent = &j.folder.Self
	b := vmBuilder{sim: j.sim, ctx: ctx, vm: vm, name: j.name, place: j.place}
	b.reset()
	b.home()
	if fault := b.moveDisks(j.spec.Location, j.cloneMode()); fault != nil {
		return nil, fault
	}
	b.freshMACs()
	if fault := b.change(j.spec.Location.DeviceChange, "spec.location.deviceChange"); fault != nil {
		return nil, fault
	}
	if fault := b.configure(j.spec.Config); fault != nil {
		return nil, fault
	}
	if j.spec.Template {
		vm.Config.Template, vm.Summary.Config.Template = true, true
		vm.ResourcePool = nil
	}
	b.finish()
	return vm, nil
}

func (j *cloneJob) cloneMode() string {
	if j.asksForNewChild() {
		return j.sim.modes.take()
	}
	return ""
}

// vmBuilder turns a copy of the source into a VM of its own.
type vmBuilder struct {
	sim    *Sim
	ctx    *simulator.Context
	vm     *simulator.VirtualMachine
	name   string
	place  placement
	folder string
	stem   string // of disk files; the VM's name if empty
}

// reset drops what belongs to the source alone.
func (b *vmBuilder) reset() {
	vm := &b.vm.VirtualMachine
	now := time.Now()
	vm.Name = b.name
	// A new linked clone has no snapshot [fact: vs-clone-without-snapshot].
	vm.Snapshot, vm.RootSnapshot = nil, nil
	vm.RecentTask, vm.DisabledMethod, vm.Tag = nil, nil, nil
	vm.CustomValue, vm.Value, vm.DeclaredAlarmState, vm.TriggeredAlarmState = nil, nil, nil, nil
	vm.Config.Name = b.name
	vm.Config.Template = false
	vm.Config.CreateDate, vm.Config.Modified = &now, now
	vm.Config.ChangeVersion = strconv.FormatInt(now.UnixNano(), 10)
	vm.Config.Tools = &types.ToolsConfigInfo{}
	// The BIOS uuid is fresh unless set [fact: vs-bios-uuid].
	vm.Config.Uuid = uuid.NewString()
	vm.Config.InstanceUuid = uuid.NewString()
	vm.Guest = &types.GuestInfo{
		ToolsStatus:        types.VirtualMachineToolsStatusToolsNotInstalled,
		ToolsVersion:       "0",
		ToolsRunningStatus: string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning),
		GuestFamily:        vm.Guest.GuestFamily,
		// Whether a clone's guest info says at first what the parent's said is not
		// documented; it does here, as the worse case [fact: vs-cust-status].
		CustomizationInfo: deepCopy(vm.Guest).CustomizationInfo,
	}
	vm.ResourcePool = b.place.pool
	vm.Runtime = types.VirtualMachineRuntimeInfo{
		Host: &b.place.host,
	}
	mendRuntime(&vm.Runtime)
}

// home gives the VM a folder of its own on the target datastore.
//
// A clone has a folder of its own [fact: vs-own-folder].
func (b *vmBuilder) home() {
	ds := b.place.datastore
	b.folder = b.name
	for n := 1; b.sim.disks.hasFolder(ds.Self.Value, "["+ds.Name+"] "+b.folder); n++ {
		b.folder = b.name + "_" + strconv.Itoa(n)
	}
	dir := "[" + ds.Name + "] " + b.folder
	b.vm.Config.Files = types.VirtualMachineFileInfo{
		VmPathName:        dir + "/" + b.name + ".vmx",
		SnapshotDirectory: dir + "/",
		SuspendDirectory:  dir + "/",
		LogDirectory:      dir + "/",
	}
	b.vm.Datastore = nil
}

func (b *vmBuilder) moveDisks(spec types.VirtualMachineRelocateSpec, mode string) types.BaseMethodFault {
	stem := b.name
	setIf(&stem, b.stem)
	mover := diskMover{
		sim: b.sim, folder: b.folder, stem: stem, mode: mode,
		datastores: b.datastoreName,
	}
	for _, disk := range disksOf(b.vm.Config.Hardware.Device) {
		if fault := mover.move(disk, moveOf(spec, disk)); fault != nil {
			return fault
		}
	}
	return nil
}

func (b *vmBuilder) datastoreName(ref types.ManagedObjectReference) string {
	if ds, ok := b.ctx.Map.Get(ref).(*simulator.Datastore); ok {
		return ds.Name
	}
	return b.place.datastore.Name
}

// configure applies CloneSpec.config.
func (b *vmBuilder) configure(spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if spec == nil {
		return nil
	}
	c := b.vm.Config
	setIf(&c.Annotation, spec.Annotation) // [fact: vs-annotation-in-config]
	setIf(&c.Hardware.NumCPU, spec.NumCPUs)
	setIf(&c.Hardware.MemoryMB, int32(spec.MemoryMB))
	setIf(&c.Uuid, spec.Uuid)
	setIf(&c.GuestId, spec.GuestId)
	setIf(&c.Firmware, spec.Firmware)
	if spec.NumCoresPerSocket != nil {
		c.Hardware.NumCoresPerSocket = spec.NumCoresPerSocket
	}
	if spec.CpuHotAddEnabled != nil {
		c.CpuHotAddEnabled = spec.CpuHotAddEnabled
	}
	if spec.MemoryHotAddEnabled != nil {
		c.MemoryHotAddEnabled = spec.MemoryHotAddEnabled
	}
	if spec.InstanceUuid != "" && b.sim.ids.claim(b.vm.Self, spec.InstanceUuid) {
		// A conflicting instanceUuid is replaced [fact: vs-instance-uuid]: then
		// the fresh one stays.
		c.InstanceUuid = spec.InstanceUuid
	}
	if spec.VAppConfigRemoved != nil && *spec.VAppConfigRemoved {
		c.VAppConfig = nil
	}
	b.setExtra(spec.ExtraConfig)
	return b.change(spec.DeviceChange, "spec.config.deviceChange")
}

// setExtra lays the spec's extraConfig over the inherited one.
//
// Clones inherit the source's extraConfig [fact: vs-extraconfig-inherited]; an
// empty value removes a key [fact: vs-extraconfig].
func (b *vmBuilder) setExtra(options []types.BaseOptionValue) {
	for _, option := range options {
		o := option.GetOptionValue()
		if key, isGuest := strings.CutPrefix(o.Key, "SET.guest."); isGuest {
			setGuest(&b.vm.VirtualMachine, key, o.Value)
			continue
		}
		kept := b.vm.Config.ExtraConfig[:0:0]
		for _, have := range b.vm.Config.ExtraConfig {
			if have.GetOptionValue().Key != o.Key {
				kept = append(kept, have)
			}
		}
		if text, ok := o.Value.(string); !ok || text != "" {
			kept = append(kept, &types.OptionValue{Key: o.Key, Value: o.Value})
		}
		b.vm.Config.ExtraConfig = kept
	}
}

// finish derives summary, networks and datastores from the config.
func (b *vmBuilder) finish() {
	vm := &b.vm.VirtualMachine
	b.sim.ids.claim(vm.Self, vm.Config.InstanceUuid)
	b.setNetworks()
	vm.Datastore = []types.ManagedObjectReference{b.place.datastore.Self}
	for _, disk := range disksOf(vm.Config.Hardware.Device) {
		for _, layer := range layers(disk.Backing) {
			ref := types.ManagedObjectReference{Type: "Datastore", Value: idOf(layer).datastore}
			vm.Datastore = addOnce(vm.Datastore, ref)
		}
	}
	summarize(vm)
}

func summarize(vm *mo.VirtualMachine) {
	c, s := vm.Config, &vm.Summary.Config
	s.Name, s.Template, s.VmPathName = c.Name, c.Template, c.Files.VmPathName
	s.MemorySizeMB, s.NumCpu = c.Hardware.MemoryMB, c.Hardware.NumCPU
	s.Uuid, s.InstanceUuid, s.Annotation = c.Uuid, c.InstanceUuid, c.Annotation
	s.GuestId, s.GuestFullName = c.GuestId, c.GuestFullName
	s.NumVirtualDisks = int32(len(disksOf(c.Hardware.Device)))
	s.NumEthernetCards = int32(len(cardsOf(c.Hardware.Device)))
	vm.Summary.Vm = &vm.Self
	vm.Summary.Runtime = vm.Runtime
	vm.Summary.Guest = &types.VirtualMachineGuestSummary{
		GuestId: c.GuestId, GuestFullName: c.GuestFullName, ToolsStatus: vm.Guest.ToolsStatus,
		ToolsRunningStatus: vm.Guest.ToolsRunningStatus,
		HostName:           vm.Guest.HostName, IpAddress: vm.Guest.IpAddress,
	}
	vm.Summary.CustomValue = nil
}

func setIf[T comparable](dst *T, value T) {
	var zero T
	if value != zero {
		*dst = value
	}
}

func addOnce(refs []types.ManagedObjectReference, ref types.ManagedObjectReference) []types.ManagedObjectReference {
	for _, have := range refs {
		if have == ref {
			return refs
		}
	}
	return append(refs, ref)
}
