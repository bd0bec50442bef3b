package lcsim

import (
	"slices"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func TestACloneHangsFromTheSnapshotsFile(t *testing.T) {
	b := newBench(t)
	vm := b.clone("desk", b.linked())
	b.wantChain(vm, "desk/desk.vmdk", "DC0_H0_VM0/disk1.vmdk")
	b.wantChain(b.parent, "DC0_H0_VM0/disk1-000001.vmdk", "DC0_H0_VM0/disk1.vmdk")
	got := b.props(vm, "snapshot", "rootSnapshot", "config", "layoutEx", "storage")
	if got.Snapshot != nil || got.RootSnapshot != nil {
		t.Error("a new clone has a snapshot")
	}
	if diskUUID(b.disks(vm)[0].Backing) != diskUUID(b.disks(b.parent)[0].Backing) {
		t.Error("the disk's uuid is not the parent's")
	}
	if n := len(got.LayoutEx.Disk[0].Chain); n != 2 {
		t.Errorf("layoutEx shows %d layers, want 2", n)
	}
	baseKey := got.LayoutEx.Disk[0].Chain[0].FileKey[1]
	if f := got.LayoutEx.File[baseKey]; f.UniqueSize >= f.Size {
		t.Errorf("the shared base has uniqueSize %d of %d", f.UniqueSize, f.Size)
	}
	if u := got.Storage.PerDatastoreUsage[0]; u.Unshared >= u.Committed {
		t.Errorf("unshared %d, committed %d", u.Unshared, u.Committed)
	}
}

func TestCloneSpecsThatVCenterRefuses(t *testing.T) {
	b := newBench(t)
	other := b.snapshot(b.vm("DC0_H0_VM1"), "foreign")
	clusterHost := b.server.registry().Any("ClusterComputeResource").(*simulator.ClusterComputeResource).Host[0]
	cases := map[string]struct {
		change   func(*types.VirtualMachineCloneSpec)
		property string
	}{
		"new child without a snapshot": {
			func(s *types.VirtualMachineCloneSpec) { s.Snapshot = nil }, "spec.snapshot",
		},
		"a snapshot of another VM": {
			func(s *types.VirtualMachineCloneSpec) { s.Snapshot = &other }, "spec.snapshot",
		},
		"an unknown move type": {
			func(s *types.VirtualMachineCloneSpec) { s.Location.DiskMoveType = "magic" }, "spec.location.diskMoveType",
		},
		"an unknown move type in a locator": {
			func(s *types.VirtualMachineCloneSpec) {
				s.Location.Disk = []types.VirtualMachineRelocateSpecDiskLocator{{DiskMoveType: "magic"}}
			}, "spec.location.disk.diskMoveType",
		},
		"a host outside the pool's cluster": {
			func(s *types.VirtualMachineCloneSpec) { s.Location.Host = &clusterHost }, "spec.location.host",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			spec := b.linked()
			c.change(&spec)
			wantInvalid(t, b.refused("desk", spec), c.property)
			if b.exists("desk") {
				t.Error("something was left behind")
			}
		})
	}
}

func TestEachMoveTypeTreatsTheChainInItsWay(t *testing.T) {
	b := newBench(t)
	parent := []string{"DC0_H0_VM0/disk1-000001.vmdk", "DC0_H0_VM0/disk1.vmdk"}
	cases := map[string]struct {
		move     string
		snapshot bool
		want     []string
	}{
		"unset is a full copy":                {"", false, []string{"c/c.vmdk"}},
		"disallow sharing is a full copy":     {moveNoShare, true, []string{"c/c.vmdk"}},
		"consolidate is a full copy":          {moveConsolidate, false, []string{"c/c.vmdk"}},
		"child most shares the parent's base": {moveChildMost, false, []string{"c/c.vmdk", parent[1]}},
		"allow sharing shares what is below":  {moveShare, false, []string{"c/c.vmdk", parent[1]}},
		"allow sharing copies a topmost base": {moveShare, true, []string{"c/c.vmdk"}},
		"new child links to the frozen layer": {moveNewChild, true, []string{"c/c.vmdk", parent[1]}},
		"child most of a flat base is a copy": {moveChildMost, true, []string{"c/c.vmdk"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			spec := types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{DiskMoveType: c.move}}
			if c.snapshot {
				spec.Snapshot = &b.base
			}
			vm := b.clone("c", spec)
			if got := b.chain(vm); !slices.Equal(got, c.want) {
				t.Errorf("chain is %q, want %q", got, c.want)
			}
			b.destroy(vm)
		})
	}
}

func TestALocatorWithAnotherTypeTurnsTheDiskIntoAFullCopy(t *testing.T) {
	b := newBench(t)
	for _, move := range []string{"", moveNoShare} {
		spec := b.linked()
		disk := b.disks(b.parent)[0]
		spec.Location.Disk = []types.VirtualMachineRelocateSpecDiskLocator{{
			DiskId: disk.Key, Datastore: *vmdkOf(disk.Backing).Datastore, DiskMoveType: move,
		}}
		vm := b.clone("desk", spec)
		b.wantChain(vm, "desk/desk.vmdk")
		b.destroy(vm)
	}
}

func TestIndependentDisksAreCopied(t *testing.T) {
	b := newBench(t)
	vm := b.server.vm(b.parent.Reference())
	snap := b.server.snapshot(b.base)
	disksOf(snap.Config.Hardware.Device)[0].Backing.(*types.VirtualDiskFlatVer2BackingInfo).DiskMode = "independent_persistent"
	disksOf(vm.Config.Hardware.Device)[0].Backing.(*types.VirtualDiskFlatVer2BackingInfo).DiskMode = "independent_persistent"
	b.wantChain(b.clone("desk", b.linked()), "desk/desk.vmdk")
	before := b.chain(b.parent)
	b.snapshot(b.parent, "second")
	b.wantChain(b.parent, before...)
}

func TestACloneTakesTheHardwareOfTheSnapshotsMoment(t *testing.T) {
	b := newBench(t)
	task, err := b.parent.Reconfigure(b.ctx, types.VirtualMachineConfigSpec{NumCPUs: 8})
	b.done(task, err)
	got := b.props(b.clone("desk", b.linked()), "config.hardware")
	if got.Config.Hardware.NumCPU != 1 {
		t.Errorf("%d CPUs, want the snapshot's 1", got.Config.Hardware.NumCPU)
	}
	b.wantChain(b.parent, "DC0_H0_VM0/disk1-000001.vmdk", "DC0_H0_VM0/disk1.vmdk")
}

func TestTheConfigOfTheSpecIsHonoured(t *testing.T) {
	b := newBench(t)
	task, err := b.parent.Reconfigure(b.ctx, types.VirtualMachineConfigSpec{
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "kept", Value: "1"}, &types.OptionValue{Key: "changed", Value: "1"}},
	})
	b.done(task, err)
	b.base = b.snapshot(b.parent, "with-extra")
	spec := b.linked()
	spec.Config = &types.VirtualMachineConfigSpec{
		Annotation: "mine", NumCPUs: 4, MemoryMB: 64, InstanceUuid: "5029d2b2-2d2a-4a5c-8a7a-000000000001",
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "changed", Value: "2"}},
	}
	c := b.props(b.clone("one", spec), "config").Config
	if c.Annotation != "mine" || c.Hardware.NumCPU != 4 || c.Hardware.MemoryMB != 64 || c.InstanceUuid != spec.Config.InstanceUuid {
		t.Errorf("config is %+v", c)
	}
	extra := object.OptionValueList(c.ExtraConfig)
	if v, _ := extra.GetString("kept"); v != "1" {
		t.Error("extraConfig is not inherited")
	}
	if v, _ := extra.GetString("changed"); v != "2" {
		t.Error("extraConfig is not overridden")
	}
	again := b.props(b.clone("two", spec), "config.instanceUuid").Config.InstanceUuid
	if again == spec.Config.InstanceUuid || again == "" {
		t.Errorf("a conflicting instanceUuid was given out again: %q", again)
	}
}

func TestEachCloneHasAMACOfItsOwn(t *testing.T) {
	b := newBench(t)
	seen := map[string]bool{}
	for _, vm := range []*object.VirtualMachine{b.parent, b.clone("one", b.linked()), b.clone("two", b.linked())} {
		mac := cardsOf(b.props(vm, "config.hardware.device").Config.Hardware.Device)[0].MacAddress
		if seen[mac] {
			t.Errorf("%s occurs twice", mac)
		}
		seen[mac] = true
	}
}

func TestATemplateNeedsAPool(t *testing.T) {
	b := newBench(t)
	b.must(b.parent.MarkAsTemplate(b.ctx))
	wantInvalid(t, b.refused("desk", b.linked()), "spec.location.pool")
	pool := b.props(b.vm("DC0_H0_VM1"), "resourcePool").ResourcePool
	spec := b.linked()
	spec.Location.Pool = pool
	b.clone("desk", spec)
	task, err := b.parent.CreateSnapshot(b.ctx, "no", "", false, false)
	b.must(err)
	wantFault[*types.NotSupported](t, b.faultOf(task))
}

func TestANameIsTakenFromSubmissionOn(t *testing.T) {
	b := newBench(t)
	b.post("delays", `{"task_ms":{"CloneVM_Task":300}}`)
	first := b.submit("desk", b.linked())
	second := wantFault[*types.DuplicateName](t, b.refused("desk", b.linked()))
	if b.exists("desk") {
		t.Error("the VM is visible before the task is done")
	}
	made := b.result(first).(types.ManagedObjectReference)
	if second.Object != made {
		t.Errorf("DuplicateName names %v, the VM became %v", second.Object, made)
	}
	third := wantFault[*types.DuplicateName](t, b.refused("desk", b.linked()))
	if third.Object != made || third.Name != "desk" {
		t.Errorf("DuplicateName is %+v", third)
	}
}

func TestTasksRunSideBySide(t *testing.T) {
	b := newBench(t)
	b.post("delays", `{"task_ms":{"CloneVM_Task":3600000}}`)
	var tasks []*object.Task
	for i := range 50 {
		tasks = append(tasks, b.submit("desk-"+string(rune('A'+i)), b.linked()))
	}
	var manager mo.TaskManager
	b.must(b.client.RetrieveOne(b.ctx, *b.client.ServiceContent.TaskManager, []string{"recentTask"}, &manager))
	if !slices.Contains(manager.RecentTask, tasks[0].Reference()) {
		t.Error("recentTask does not list a running clone")
	}
	for i, task := range tasks {
		var seen mo.Task
		b.must(b.client.RetrieveOne(b.ctx, task.Reference(), []string{"info"}, &seen))
		if seen.Info.State != types.TaskInfoStateRunning {
			t.Errorf("task %d is %s while the others run", i, seen.Info.State)
		}
		b.must(task.Cancel(b.ctx))
	}
}

func TestACancelledCloneLeavesNothing(t *testing.T) {
	b := newBench(t)
	b.post("delays", `{"task_ms":{"CloneVM_Task":400}}`)
	task := b.submit("desk", b.linked())
	b.must(task.Cancel(b.ctx))
	wantFault[*types.RequestCanceled](t, b.faultOf(task))
	time.Sleep(200 * time.Millisecond)
	b.post("delays", `{}`)
	b.clone("desk", b.linked())
}

func TestESXiDoesNotClone(t *testing.T) {
	model := simulator.ESX()
	b := newBench(t, func(m *simulator.Model, _ *Options) { *m = *model })
	vm := b.server.registry().Any("VirtualMachine")
	_, err := methods.CloneVM_Task(b.ctx, b.client, &types.CloneVM_Task{
		This: vm.Reference(), Folder: *vm.Entity().Parent, Name: "desk",
	})
	if !soap.IsSoapFault(err) {
		t.Fatal(err)
	}
	if _, ok := soap.ToSoapFault(err).VimFault().(types.NotSupported); !ok {
		t.Errorf("fault is %v", err)
	}
}

func TestCustomizationChecksTheCardsAndSetsTheName(t *testing.T) {
	b := newBench(t)
	spec := b.linked()
	spec.PowerOn = true
	spec.Customization = &types.CustomizationSpec{
		Identity:      &types.CustomizationLinuxPrep{HostName: &types.CustomizationFixedName{Name: "guest-1"}},
		NicSettingMap: make([]types.CustomizationAdapterMapping, 2),
	}
	for i := range spec.Customization.NicSettingMap {
		spec.Customization.NicSettingMap[i].Adapter.Ip = &types.CustomizationFixedIp{IpAddress: "10.0.0.7"}
	}
	f := wantFault[*types.NicSettingMismatch](t, b.refused("half", spec))
	if f.NumberOfNicsInSpec != 2 || f.NumberOfNicsInVM != 1 || !b.exists("half") {
		t.Errorf("fault is %+v; left behind: %v", f, b.exists("half"))
	}
	spec.Customization.NicSettingMap = spec.Customization.NicSettingMap[:1]
	guest := b.props(b.clone("whole", spec), "guest").Guest
	if guest.HostName != "guest-1" || guest.IpAddress != "10.0.0.7" ||
		guest.CustomizationInfo.CustomizationStatus != string(types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED) {
		t.Errorf("guest is %+v", guest)
	}
}
