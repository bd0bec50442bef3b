package lcsim

import (
	"os"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// creation is one CreateVM_Task on its way.
type creation struct {
	sim    *Sim
	folder *mo.Folder
	req    *types.CreateVM_Task
	spec   *types.VirtualMachineConfigSpec
	vmx    fileID
	held   bool // the .vmx is ours
	madeIn string
	b      vmBuilder
	files  []fileID // made for the disks
}

// CreateVMTask makes a VM, with disks that may hang from those of others.
//
// [fact: vs-esxi-create]
func (m *folderMethods) CreateVMTask(ctx *simulator.Context, req *types.CreateVM_Task) soap.HasFault {
	c := &creation{sim: m.sim, folder: m.folder, req: req, spec: &req.Config}
	return &methods.CreateVM_TaskBody{Res: &types.CreateVM_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: methodCreate, id: descriptionID(methodCreate), entity: ctx.Map.Get(m.Self).(mo.Entity),
			cancelable: true, check: c.check, run: c.run, end: c.end,
		}),
	}}
}

// check refuses what needs no work, and takes the .vmx.
func (c *creation) check(ctx *simulator.Context) types.BaseMethodFault {
	if c.spec.Name == "" {
		return &types.InvalidVmConfig{Property: "configSpec.name"}
	}
	if c.spec.Files == nil || c.spec.Files.VmPathName == "" {
		return &types.InvalidVmConfig{Property: "configSpec.files.vmPathName"}
	}
	if id := c.spec.GuestId; id != "" && !slices.Contains(simulator.GuestID, types.VirtualMachineGuestOsIdentifier(id)) {
		return invalidArgument("configSpec.guestId")
	}
	if boot := c.spec.BootOptions; boot != nil && boot.EfiSecureBootEnabled != nil && *boot.EfiSecureBootEnabled &&
		c.spec.Firmware != string(types.GuestOsDescriptorFirmwareTypeEfi) {
		return &types.InvalidVmConfig{Property: "msg.hostd.configSpec.efi"}
	}
	if c.sim.host.has(&c.sim.host.uniqueName) {
		if taken := c.sim.children.find(ctx, c.folder, escapeName(c.spec.Name)); taken != nil {
			return &types.DuplicateName{Name: c.spec.Name, Object: *taken}
		}
	}
	return c.takeConfig(ctx)
}

// takeConfig finds the .vmx a place. A whole path goes where it says, into a
// folder that may be there already; a bare datastore gets NAME, NAME_1, …
//
// [fact: vs-esxi-directory]
func (c *creation) takeConfig(ctx *simulator.Context) types.BaseMethodFault {
	name := c.spec.Files.VmPathName
	id, fault := c.sim.placeOf(nil, name)
	if fault != nil {
		return fault
	}
	if path.Ext(name) == ".vmx" {
		if !c.sim.disks.takeConfig(id) {
			return &types.AlreadyExists{Name: c.spec.Name}
		}
		c.vmx, c.held = id, true
		return c.makeFolder()
	}
	stem := escapeName(c.spec.Name)
	base := strings.TrimSuffix(id.name+"/"+stem, "/")
	if parsePath(name).Path == "" {
		base = "[" + parsePath(name).Datastore + "] " + stem
	}
	for n := 0; ; n++ {
		folder := base
		if n > 0 {
			folder += "_" + strconv.Itoa(n)
		}
		c.vmx = fileID{id.datastore, folder + "/" + stem + ".vmx"}
		if !c.sim.hasFolder(fileID{id.datastore, folder}) && c.sim.disks.takeConfig(c.vmx) {
			c.held = true
			return c.makeFolder()
		}
	}
}

func (c *creation) makeFolder() types.BaseMethodFault {
	dir := path.Dir(c.sim.realPath(c.vmx))
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		c.madeIn = dir
	case !os.IsExist(err):
		return noFile(c.vmx.name)
	}
	return nil
}

// end takes back what a creation that failed has made.
func (c *creation) end() {
	if !c.held {
		return
	}
	for _, file := range c.files {
		c.sim.deleteFile(file)
	}
	c.sim.disks.removeConfig(c.vmx)
	if c.madeIn != "" {
		_ = os.Remove(c.madeIn) // only if empty
	}
}

func (c *creation) run(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
	rule := c.sim.faults.take(methodCreate, atTask, func() string { return c.spec.Name })
	if rule != nil && !rule.Leave {
		return nil, rule.built
	}
	if fault := c.build(ctx); fault != nil {
		return nil, fault
	}
	c.sim.register(ctx, c.folder, c.b.vm)
	c.held = false // it stays from now on
	if rule != nil {
		return nil, rule.built
	}
	c.sim.post(ctx, &types.VmCreatedEvent{VmEvent: c.sim.vmEvent(ctx, c.b.vm)})
	return c.b.vm.Self, nil
}

func (c *creation) build(ctx *simulator.Context) types.BaseMethodFault {
	hosts := c.sim.hostsOfPool(ctx, c.req.Pool)
	ds, ok := ctx.Map.Get(ref{Type: "Datastore", Value: c.vmx.datastore}).(*simulator.Datastore)
	if len(hosts) == 0 || !ok {
		return &types.ManagedObjectNotFound{Obj: c.req.Pool}
	}
	vm := &simulator.VirtualMachine{DataSets: map[string]*simulator.DataSet{}}
	vm.Self, vm.Parent = c.sim.newVM(ctx), &c.folder.Self
	vm.Config, vm.Guest = newConfig(c.spec), &types.GuestInfo{}
	vm.OverallStatus, vm.ConfigStatus = types.ManagedEntityStatusGreen, types.ManagedEntityStatusGreen
	vm.Summary.OverallStatus = types.ManagedEntityStatusGreen
	vm.Summary.QuickStats.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	if compute, ok := ctx.Map.Get(*ctx.Map.Get(hosts[0]).(*simulator.HostSystem).Parent).(*mo.ComputeResource); ok &&
		compute.EnvironmentBrowser != nil {
		vm.EnvironmentBrowser = *compute.EnvironmentBrowser
	}
	c.b = vmBuilder{
		sim: c.sim, ctx: ctx, vm: vm, name: escapeName(c.spec.Name),
		place: placement{pool: &c.req.Pool, host: hosts[0], datastore: ds},
	}
	c.b.reset()
	vm.Config.Files = filesOf(c.vmx)
	setIf(&vm.Config.Uuid, c.spec.Uuid)
	setIf(&vm.Config.InstanceUuid, c.spec.InstanceUuid)
	c.b.setExtra(c.spec.ExtraConfig)
	if fault := c.setDevices(); fault != nil {
		return fault
	}
	c.b.finish()
	return nil
}

func filesOf(vmx fileID) types.VirtualMachineFileInfo {
	dir := path.Dir(vmx.name) + "/"
	return types.VirtualMachineFileInfo{
		VmPathName: vmx.name, SnapshotDirectory: dir, SuspendDirectory: dir, LogDirectory: dir,
	}
}

// newConfig is what a host gives a VM, under all that the spec asks for.
func newConfig(spec *types.VirtualMachineConfigSpec) *types.VirtualMachineConfigInfo {
	shares := types.DefaultResourceConfigSpec()
	config := &types.VirtualMachineConfigInfo{
		Version:  esx.HardwareVersion,
		Firmware: string(types.GuestOsDescriptorFirmwareTypeBios),
		GuestId:  string(types.VirtualMachineGuestOsIdentifierOtherGuest), GuestFullName: spec.GuestId,
		Hardware:           types.VirtualHardware{NumCPU: 1, NumCoresPerSocket: types.NewInt32(1), MemoryMB: 32},
		CpuAllocation:      &shares.CpuAllocation,
		MemoryAllocation:   &shares.MemoryAllocation,
		LatencySensitivity: &types.LatencySensitivity{Level: types.LatencySensitivitySensitivityLevelNormal},
		BootOptions:        &types.VirtualMachineBootOptions{},
	}
	tools := spec.Tools
	carry(reflect.ValueOf(spec).Elem(), reflect.ValueOf(config).Elem())
	carry(reflect.ValueOf(spec).Elem(), reflect.ValueOf(&config.Hardware).Elem())
	setIf(&config.Hardware.NumCPU, spec.NumCPUs)
	setIf(&config.Hardware.MemoryMB, int32(spec.MemoryMB))
	for _, mask := range spec.CpuFeatureMask {
		if mask.Info != nil {
			config.CpuFeatureMask = append(config.CpuFeatureMask, *mask.Info)
		}
	}
	config.ExtraConfig, config.Tools = nil, tools
	return config
}

// carry copies the fields that are called and made alike, where the spec has them.
func carry(from, to reflect.Value) {
	for i := range from.NumField() {
		value, name := from.Field(i), from.Type().Field(i).Name
		field := to.FieldByName(name)
		if !field.IsValid() || value.IsZero() || name == "Files" {
			continue
		}
		if value.Kind() == reflect.Pointer && value.Type().Elem() == field.Type() {
			value = value.Elem()
		}
		if value.Type() == field.Type() {
			field.Set(value)
		}
	}
}

// takeConfig reserves a .vmx that no VM has.
func (s *diskStore) takeConfig(id fileID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.configs[id] {
		return false
	}
	s.configs[id] = true
	return true
}
