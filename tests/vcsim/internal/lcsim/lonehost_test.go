package lcsim

import (
	"os"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// host is a bench whose simulator is a lone ESXi host.
type host struct {
	*bench
	frozen string // the file that the parent's snapshot names
}

func newHost(t *testing.T) host {
	t.Helper()
	b := newBench(t, func(m *simulator.Model, _ *Options) {
		*m = *simulator.ESX()
		m.Autostart = false
	})
	b.parent = b.vm("ha-host_VM0")
	b.base = b.snapshot(b.parent, "base")
	frozen := vmdkOf(parentOf(b.disks(b.parent)[0].Backing)).FileName
	return host{bench: b, frozen: frozen}
}

func (h host) folder() *object.Folder {
	return object.NewFolder(h.client.Client, h.server.registry().Get(*h.props(h.parent, "parent").Parent).Reference())
}

func (h host) create(spec types.VirtualMachineConfigSpec) *object.Task {
	h.Helper()
	pool, err := h.parent.ResourcePool(h.ctx)
	h.must(err)
	task, err := h.folder().CreateVM(h.ctx, spec, pool, nil)
	h.must(err)
	return task
}

// child is the spec of a linked clone with one disk and one card.
func (h host) child(name string) types.VirtualMachineConfigSpec {
	scsi := &types.ParaVirtualSCSIController{}
	scsi.Key, scsi.SharedBus = -1, types.VirtualSCSISharingNoSharing
	disk := &types.VirtualDisk{}
	disk.Key, disk.ControllerKey, disk.UnitNumber = -2, -1, types.NewInt32(0)
	backing := &types.VirtualDiskFlatVer2BackingInfo{DiskMode: "persistent"}
	backing.FileName = "[LocalDS_0] " + name + "/" + name + ".vmdk"
	backing.Parent = &types.VirtualDiskFlatVer2BackingInfo{}
	backing.Parent.FileName = h.frozen
	disk.Backing = backing
	card := &types.VirtualVmxnet3{}
	card.Key = -3
	net := &types.VirtualEthernetCardNetworkBackingInfo{}
	net.DeviceName = "VM Network"
	card.Backing = net
	return types.VirtualMachineConfigSpec{
		Name: name, GuestId: "otherGuest64", Annotation: "mine",
		InstanceUuid: "11111111-2222-4333-8444-555555555555", Uuid: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeee010203",
		Files:       &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0] " + name + "/" + name + ".vmx"},
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "linkedclone.owner", Value: "me"}},
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{
			add(scsi, ""), add(disk, types.VirtualDeviceConfigSpecFileOperationCreate), add(card, ""),
		},
	}
}

func add(d types.BaseVirtualDevice, op types.VirtualDeviceConfigSpecFileOperation) types.BaseVirtualDeviceConfigSpec {
	return &types.VirtualDeviceConfigSpec{
		Operation: types.VirtualDeviceConfigSpecOperationAdd, FileOperation: op, Device: d,
	}
}

func diskIn(spec types.VirtualMachineConfigSpec) *types.VirtualDisk {
	return spec.DeviceChange[1].GetVirtualDeviceConfigSpec().Device.(*types.VirtualDisk)
}

func (h host) link(name string) *object.VirtualMachine {
	h.Helper()
	ref := h.result(h.create(h.child(name))).(types.ManagedObjectReference)
	return object.NewVirtualMachine(h.client.Client, ref)
}

func (h host) power(vm *object.VirtualMachine) *object.Task {
	h.Helper()
	task, err := vm.PowerOn(h.ctx)
	h.must(err)
	return task
}

func (h host) disk() *object.VirtualDiskManager { return object.NewVirtualDiskManager(h.client.Client) }

func (h host) mkdir(name string) error {
	return object.NewFileManager(h.client.Client).MakeDirectory(h.ctx, "[LocalDS_0] "+name, nil, false)
}

// faultIn returns the fault that a call itself fails with.
func faultIn(t testing.TB, err error) types.BaseMethodFault {
	t.Helper()
	if !soap.IsSoapFault(err) {
		t.Fatalf("the call ended with %v", err)
	}
	held := reflect.ValueOf(soap.ToSoapFault(err).VimFault())
	fault := reflect.New(held.Type())
	fault.Elem().Set(held)
	return fault.Interface().(types.BaseMethodFault)
}

func TestAHostMakesALinkedCloneByCreatingADiskOverASnapshotsFile(t *testing.T) {
	h := newHost(t)
	vm := h.link("desk")
	h.wantChain(vm, "desk/desk.vmdk", "ha-host_VM0/disk1.vmdk")
	got := h.props(vm, "config", "layoutEx", "summary")
	if got.Config.InstanceUuid != "11111111-2222-4333-8444-555555555555" || got.Config.Annotation != "mine" {
		t.Errorf("config: %s %s", got.Config.InstanceUuid, got.Config.Annotation)
	}
	if len(got.Config.ExtraConfig) != 1 || len(got.LayoutEx.Disk[0].Chain) != 2 {
		t.Errorf("extraConfig %v, chains %v", got.Config.ExtraConfig, got.LayoutEx.Disk)
	}
	child, base := h.disks(vm)[0], h.disks(h.parent)[0]
	own, _ := identityOf(child.Backing)
	theirs, _ := identityOf(base.Backing)
	if own != theirs || own == "" || child.CapacityInBytes != base.CapacityInBytes || child.Key != 2000 {
		t.Errorf("disk %d: uuid %s of %s, %d of %d bytes", child.Key, own, theirs, child.CapacityInBytes, base.CapacityInBytes)
	}
	if mac := cardsOf(got.Config.Hardware.Device)[0].MacAddress; mac != "00:0c:29:01:02:03" {
		t.Errorf("MAC %s", mac)
	}
	if strings.Trim(vm.Reference().Value, "0123456789") != "" {
		t.Errorf("reference %s", vm.Reference())
	}
}

func TestAHostRefusesDisksByPropertyAndIndex(t *testing.T) {
	for property, change := range map[string]func(*types.VirtualDisk){
		"backing.parent.fileName": func(d *types.VirtualDisk) { vmdkOf(parentOf(d.Backing)).FileName = "[LocalDS_0] no/no.vmdk" },
		"capacityInKB":            func(d *types.VirtualDisk) { d.CapacityInKB = 1024 },
		"unitNumber":              func(d *types.VirtualDisk) { d.UnitNumber = nil },
	} {
		t.Run(property, func(t *testing.T) {
			h := newHost(t)
			spec := h.child("desk")
			change(diskIn(spec))
			fault := wantFault[*types.InvalidDeviceSpec](t, h.faultOf(h.create(spec)))
			if fault.Property != "virtualDeviceSpec.device."+property || fault.DeviceIndex != 1 {
				t.Errorf("%s of device %d", fault.Property, fault.DeviceIndex)
			}
			if h.exists("desk") || h.hasFile("desk/desk.vmdk") {
				t.Error("something is left")
			}
			h.must(h.mkdir("desk")) // the folder is gone, too
		})
	}
}

func TestAHostRefusesToAddTheDevicesThatItMakesItself(t *testing.T) {
	h := newHost(t)
	spec := h.child("desk")
	spec.DeviceChange = append(spec.DeviceChange, add(&types.VirtualMachineVideoCard{}, ""))
	fault := wantFault[*types.InvalidDeviceSpec](t, h.faultOf(h.create(spec)))
	if fault.DeviceIndex != 3 {
		t.Errorf("device %d", fault.DeviceIndex)
	}
}

func TestTheFolderIsTheLockOnAName(t *testing.T) {
	h := newHost(t)
	h.must(h.mkdir("desk"))
	for _, taken := range []string{"desk", "ha-host_VM0", "ha-host_VM1"} {
		wantFault[*types.FileAlreadyExists](t, faultIn(t, h.mkdir(taken)))
	}
	h.link("desk") // into the folder that is there
	again := h.child("desk")
	wantFault[*types.AlreadyExists](t, h.faultOf(h.create(again)))
	again.Files.VmPathName = "[LocalDS_0]"
	vmdkOf(diskIn(again).Backing).FileName = "[LocalDS_0]"
	vm := h.result(h.create(again)).(types.ManagedObjectReference)
	if got := h.props(vm, "name", "config.files"); got.Name != "desk" || got.Config.Files.VmPathName != "[LocalDS_0] desk_1/desk.vmx" {
		t.Errorf("%s in %s", got.Name, got.Config.Files.VmPathName)
	}
	h.wantChain(vm, "desk_1/desk.vmdk", "ha-host_VM0/disk1.vmdk")
	h.post("esx", `{"names":"unique"}`)
	wantFault[*types.DuplicateName](t, h.faultOf(h.create(h.child("desk"))))
}

func TestAHostDoesNotDoWhatVCenterDoes(t *testing.T) {
	h := newHost(t)
	vm := h.parent.Reference()
	_, clone := methods.CloneVM_Task(h.ctx, h.client, &types.CloneVM_Task{This: vm, Folder: h.folder().Reference()})
	_, fork := methods.InstantClone_Task(h.ctx, h.client, &types.InstantClone_Task{This: vm})
	_, promote := methods.PromoteDisks_Task(h.ctx, h.client, &types.PromoteDisks_Task{This: vm})
	_, relocate := methods.RelocateVM_Task(h.ctx, h.client, &types.RelocateVM_Task{This: vm})
	_, folder := h.folder().CreateFolder(h.ctx, "x")
	for i, err := range []error{clone, fork, promote, relocate, folder, h.parent.MarkAsTemplate(h.ctx)} {
		if _, ok := faultIn(t, err).(*types.NotSupported); !ok {
			t.Errorf("call %d: %v", i, err)
		}
	}
	content := h.client.ServiceContent
	if content.CustomizationSpecManager != nil || content.VmProvisioningChecker != nil || content.CustomFieldsManager != nil ||
		content.ScheduledTaskManager != nil || content.AlarmManager != nil || content.ExtensionManager != nil ||
		content.About.ApiType != "HostAgent" || content.About.InstanceUuid != "" {
		t.Errorf("%+v", content)
	}
}

func TestTheFreeLicenceRefusesEveryChange(t *testing.T) {
	h := newHost(t)
	h.post("esx", `{"licence":"free","managed_by":"10.0.0.5","delta_disks":false,"shared":["LocalDS_0"]}`)
	_, power := h.parent.PowerOn(h.ctx)
	_, create := h.folder().CreateVM(h.ctx, h.child("desk"), object.NewResourcePool(h.client.Client, *h.props(h.parent, "resourcePool").ResourcePool), nil)
	for _, err := range []error{power, create, h.mkdir("desk")} {
		wantFault[*types.RestrictedVersion](t, faultIn(t, err))
	}
	collector := property.DefaultCollector(h.client.Client)
	var licences mo.LicenseManager
	h.must(collector.RetrieveOne(h.ctx, *h.client.ServiceContent.LicenseManager, []string{"licenses"}, &licences))
	var system mo.HostSystem
	h.must(collector.RetrieveOne(h.ctx, *h.props(h.parent, "runtime.host").Runtime.Host,
		[]string{"summary.managementServerIp", "capability.deltaDiskBackingsSupported", "hardware.systemInfo.uuid"}, &system))
	var store mo.Datastore
	h.must(collector.RetrieveOne(h.ctx, h.datastore().Reference(), []string{"info", "summary"}, &store))
	if licences.Licenses[0].EditionKey != "esxBasic" || system.Summary.ManagementServerIp != "10.0.0.5" ||
		system.Capability.DeltaDiskBackingsSupported || system.Hardware.SystemInfo.Uuid == "" ||
		*store.Info.(*types.VmfsDatastoreInfo).Vmfs.Local || store.Summary.MultipleHostAccess != nil {
		t.Errorf("%v %+v %+v", licences.Licenses, system.Summary, store)
	}
	h.post("esx", `{"licence":"full","nfs":["LocalDS_0"]}`)
	wantFault[*types.DeviceBackingNotSupported](t, h.faultOf(h.create(h.child("desk"))))
	h.must(collector.RetrieveOne(h.ctx, h.datastore().Reference(), []string{"info"}, &store))
	if _, ok := store.Info.(*types.NasDatastoreInfo); !ok {
		t.Errorf("%T", store.Info)
	}
}

func TestACopyOfADiskDependsOnNothing(t *testing.T) {
	h := newHost(t)
	copied, err := h.disk().CopyVirtualDisk(h.ctx, h.frozen, nil, "[LocalDS_0] desk/desk.vmdk", nil, nil, false)
	h.must(err)
	wantFault[*types.FileNotFound](t, h.faultOf(copied)) // there is no such folder
	h.must(h.mkdir("desk"))
	copyTo := func() *object.Task {
		task, err := h.disk().CopyVirtualDisk(h.ctx, h.frozen, nil, "[LocalDS_0] desk/desk.vmdk", nil, nil, true)
		h.must(err)
		return task
	}
	h.result(copyTo())
	wantFault[*types.FileAlreadyExists](t, h.faultOf(copyTo()))
	spec := h.child("desk")
	change := spec.DeviceChange[1].GetVirtualDeviceConfigSpec()
	change.FileOperation, change.Device.(*types.VirtualDisk).Backing.(*types.VirtualDiskFlatVer2BackingInfo).Parent = "", nil
	vm := h.result(h.create(spec)).(types.ManagedObjectReference)
	h.wantChain(vm, "desk/desk.vmdk")
	task, err := h.disk().DeleteVirtualDisk(h.ctx, "[LocalDS_0] desk/desk.vmdk", nil)
	h.done(task, err)
	if h.hasFile("desk/desk.vmdk") || !h.hasFile("ha-host_VM0/disk1.vmdk") {
		t.Errorf("left: %q", h.files())
	}
}

func TestDestroyTakesTheBaseAlongOrNotAsTheHostIsSet(t *testing.T) {
	for rule, kept := range map[string]bool{"keeps-base": true, "takes-base": false} {
		t.Run(rule, func(t *testing.T) {
			h := newHost(t)
			h.post("esx", `{"destroy":"`+rule+`"}`)
			vm := h.link("desk")
			h.destroy(h.link("other"))
			if !h.hasFile("ha-host_VM0/disk1.vmdk") {
				t.Fatal("the base is gone while two disks hang from it")
			}
			h.must(h.parent.Unregister(h.ctx))
			task, err := h.disk().DeleteVirtualDisk(h.ctx, "[LocalDS_0] ha-host_VM0/disk1-000001.vmdk", nil)
			h.done(task, err)
			h.destroy(vm)
			if h.hasFile("ha-host_VM0/disk1.vmdk") != kept || h.hasFile("desk/desk.vmdk") {
				t.Errorf("left: %q", h.files())
			}
		})
	}
}

func TestAParentTakesItsDisksAlongWhateverHangsFromThem(t *testing.T) {
	h := newHost(t)
	vm := h.link("desk")
	h.destroy(h.parent)
	wantFault[*types.FileNotFound](t, h.faultOf(h.power(vm)))
}

func TestRemovingASnapshotChangesTheBaseUnderItsClones(t *testing.T) {
	h := newHost(t)
	vm := h.link("desk")
	h.result(h.power(vm))
	merge := true
	res, err := methods.RemoveSnapshot_Task(h.ctx, h.client, &types.RemoveSnapshot_Task{This: h.base, Consolidate: &merge})
	h.must(err)
	wantFault[*types.FileLocked](t, h.faultOf(object.NewTask(h.client.Client, res.Returnval)))
	task, err := vm.PowerOff(h.ctx)
	h.done(task, err)
	res, err = methods.RemoveSnapshot_Task(h.ctx, h.client, &types.RemoveSnapshot_Task{This: h.base, Consolidate: &merge})
	h.must(err)
	h.result(object.NewTask(h.client.Client, res.Returnval))
	fault := wantFault[*types.GenericVmConfigFault](t, h.faultOf(h.power(vm)))
	if !strings.Contains(fault.Reason, "has been modified") {
		t.Errorf("reason %q", fault.Reason)
	}
	h.result(h.power(h.parent))
}

func TestAFileHasOneWriter(t *testing.T) {
	h := newHost(t)
	spec := h.child("desk")
	vmdkOf(parentOf(diskIn(spec).Backing)).FileName = vmdkOf(h.disks(h.parent)[0].Backing).FileName
	ref := h.result(h.create(spec)).(types.ManagedObjectReference)
	vm := object.NewVirtualMachine(h.client.Client, ref)
	h.result(h.power(vm))
	wantFault[*types.FileLocked](t, h.faultOf(h.power(h.parent)))
	task, err := vm.PowerOff(h.ctx)
	h.done(task, err)
	h.result(h.power(h.parent)) // it writes to the base of the other
	wantFault[*types.FileLocked](t, h.faultOf(h.power(vm)))
	task, err = h.parent.PowerOff(h.ctx)
	h.done(task, err)
	wantFault[*types.GenericVmConfigFault](t, h.faultOf(h.power(vm)))
}

func TestAVMComesBackUnderANewReferenceWithItsSnapshots(t *testing.T) {
	h := newHost(t)
	vm := h.link("desk")
	h.snapshot(vm, "mine")
	h.must(vm.Unregister(h.ctx))
	if h.exists("desk") || !h.hasFile("desk/desk.vmdk") {
		t.Fatal("unregistering deletes no file")
	}
	pool, err := h.parent.ResourcePool(h.ctx)
	h.must(err)
	task, err := h.folder().RegisterVM(h.ctx, "[LocalDS_0] desk/desk.vmx", "", false, pool, nil)
	h.must(err)
	back := h.result(task).(types.ManagedObjectReference)
	got := h.props(back, "config.instanceUuid", "snapshot")
	if back == vm.Reference() || got.Config.InstanceUuid != "11111111-2222-4333-8444-555555555555" ||
		got.Snapshot.RootSnapshotList[0].Name != "mine" || got.Snapshot.RootSnapshotList[0].Vm != back {
		t.Errorf("%s: %+v", back, got)
	}
	h.wantChain(back, "desk/desk-000001.vmdk", "desk/desk.vmdk", "ha-host_VM0/disk1.vmdk")
	task, err = h.folder().RegisterVM(h.ctx, "[LocalDS_0] desk/desk.vmx", "", false, pool, nil)
	h.must(err)
	wantFault[*types.AlreadyExists](t, h.faultOf(task))
	h.must(object.NewVirtualMachine(h.client.Client, back).Unregister(h.ctx))
	files := object.NewFileManager(h.client.Client)
	task, err = files.DeleteDatastoreFile(h.ctx, "[LocalDS_0] desk", nil)
	h.done(task, err)
	if h.hasFile("desk/desk.vmdk") || !h.hasFile("ha-host_VM0/disk1.vmdk") {
		t.Errorf("left: %q", h.files())
	}
	h.must(h.mkdir("desk"))
}

func TestAGuestWithEFIMakesItsNVRAMUnlessItFindsOne(t *testing.T) {
	h := newHost(t)
	spec := h.child("desk")
	spec.Firmware = "efi"
	made := object.NewVirtualMachine(h.client.Client, h.result(h.create(spec)).(types.ManagedObjectReference))
	h.result(h.power(made))
	files := object.NewFileManager(h.client.Client)
	copied := func(from, to string) *object.Task {
		task, err := files.CopyDatastoreFile(h.ctx, "[LocalDS_0] "+from, nil, "[LocalDS_0] "+to, nil, false)
		h.must(err)
		return task
	}
	twin := h.child("twin")
	twin.Firmware, twin.ExtraConfig = "efi", []types.BaseOptionValue{&types.OptionValue{Key: "nvram", Value: "kept.nvram"}}
	other := object.NewVirtualMachine(h.client.Client, h.result(h.create(twin)).(types.ManagedObjectReference))
	h.result(copied("desk/desk.nvram", "twin/kept.nvram"))
	wantFault[*types.FileAlreadyExists](t, h.faultOf(copied("desk/desk.nvram", "twin/kept.nvram")))
	wantFault[*types.FileNotFound](t, h.faultOf(copied("desk/none.nvram", "twin/more.nvram")))
	h.result(h.power(other))
	store := h.server.registry().Get(h.datastore().Reference()).(*simulator.Datastore)
	for _, name := range []string{"desk/desk.nvram", "twin/kept.nvram"} {
		text, err := os.ReadFile(path.Join(store.Summary.Url, name))
		if want := "nvram of " + spec.Uuid + "\n"; err != nil || string(text) != want {
			t.Errorf("%s: %q %v", name, text, err)
		}
	}
}

func TestAFailedCreationCanLeaveAVMBehind(t *testing.T) {
	h := newHost(t)
	h.post("faults", `{"method":"CreateVM_Task","name":"desk","fault":"NoDiskSpace"}`)
	wantFault[*types.NoDiskSpace](t, h.faultOf(h.create(h.child("desk"))))
	h.post("faults", `{"method":"CreateVM_Task","name":"desk","fault":"NoDiskSpace","leave":true}`)
	wantFault[*types.NoDiskSpace](t, h.faultOf(h.create(h.child("desk"))))
	if !h.exists("desk") {
		t.Error("nothing is left")
	}
}
