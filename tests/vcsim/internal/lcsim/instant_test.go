package lcsim

import (
	"slices"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func (b *bench) start(vm *object.VirtualMachine) {
	b.Helper()
	t, err := vm.PowerOn(b.ctx)
	b.done(t, err)
}

func newForkBench(t *testing.T) *bench {
	b := newBench(t)
	b.start(b.parent)
	return b
}

func (b *bench) forkTask(name string, change ...func(*types.VirtualMachineInstantCloneSpec)) *object.Task {
	b.Helper()
	spec := types.VirtualMachineInstantCloneSpec{Name: name}
	for _, f := range change {
		f(&spec)
	}
	t, err := b.parent.InstantClone(b.ctx, spec)
	b.must(err)
	return t
}

func (b *bench) fork(name string, change ...func(*types.VirtualMachineInstantCloneSpec)) *object.VirtualMachine {
	b.Helper()
	ref := b.result(b.forkTask(name, change...)).(types.ManagedObjectReference)
	return object.NewVirtualMachine(b.client.Client, ref)
}

func (b *bench) card(vm *object.VirtualMachine) *types.VirtualEthernetCard {
	b.Helper()
	return cardsOf(b.props(vm, "config.hardware.device").Config.Hardware.Device)[0]
}

// parted asks for the first card to be disconnected at birth.
func (b *bench) parted(spec *types.VirtualMachineInstantCloneSpec) {
	b.Helper()
	devices, err := b.parent.Device(b.ctx)
	b.must(err)
	card := devices.SelectByType((*types.VirtualEthernetCard)(nil))[0]
	card.GetVirtualDevice().Connectable.MigrateConnect = string(types.VirtualDeviceConnectInfoMigrateConnectOpDisconnect)
	spec.Location.DeviceChange = []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: card},
	}
}

func TestAnInstantCloneNeedsARunningSource(t *testing.T) {
	b := newBench(t)
	wantFault[*types.InvalidPowerState](t, b.faultOf(b.forkTask("cold")))
	b.start(b.parent)
	ref := b.fork("fork")
	b.wantChain(ref, "fork/fork.vmdk", "DC0_H0_VM0/disk1-000001.vmdk", "DC0_H0_VM0/disk1.vmdk")
	b.wantChain(b.parent, "DC0_H0_VM0/disk1-000002.vmdk", "DC0_H0_VM0/disk1-000001.vmdk", "DC0_H0_VM0/disk1.vmdk")
}

func TestAFrozenSourceKeepsTheDeltaOfItsFirstFork(t *testing.T) {
	b := newForkBench(t)
	b.post("fork", `{"name":"DC0_H0_VM0","frozen":true}`)
	if frozen := b.props(b.parent, "runtime").Runtime.InstantCloneFrozen; frozen == nil || !*frozen {
		t.Error("the source is not frozen")
	}
	for _, name := range []string{"one", "two"} {
		vm := b.fork(name)
		b.wantChain(vm, name+"/"+name+".vmdk", "DC0_H0_VM0/disk1-000001.vmdk", "DC0_H0_VM0/disk1.vmdk")
	}
	b.wantChain(b.parent, "DC0_H0_VM0/disk1-000002.vmdk", "DC0_H0_VM0/disk1-000001.vmdk", "DC0_H0_VM0/disk1.vmdk")
	off, err := b.parent.PowerOff(b.ctx)
	b.done(off, err)
	if *b.props(b.parent, "runtime").Runtime.InstantCloneFrozen {
		t.Error("it is frozen although it is off")
	}
}

func TestAForkTakesOfALocationWhatTheAPINames(t *testing.T) {
	b := newForkBench(t)
	host := b.props(b.parent, "runtime").Runtime.Host
	card := types.VirtualVmxnet3{}
	card.Key = -1
	for property, change := range map[string]func(*types.VirtualMachineRelocateSpec){
		"host":         func(l *types.VirtualMachineRelocateSpec) { l.Host = host },
		"diskMoveType": func(l *types.VirtualMachineRelocateSpec) { l.DiskMoveType = moveNewChild },
		"disk": func(l *types.VirtualMachineRelocateSpec) {
			l.Disk = []types.VirtualMachineRelocateSpecDiskLocator{{DiskId: 204, Datastore: b.props(b.parent, "datastore").Datastore[0]}}
		},
		"profile": func(l *types.VirtualMachineRelocateSpec) {
			l.Profile = []types.BaseVirtualMachineProfileSpec{&types.VirtualMachineEmptyProfileSpec{}}
		},
		"cryptoSpec": func(l *types.VirtualMachineRelocateSpec) { l.CryptoSpec = &types.CryptoSpecNoOp{} },
		"deviceChange[0].operation": func(l *types.VirtualMachineRelocateSpec) {
			l.DeviceChange = []types.BaseVirtualDeviceConfigSpec{
				&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: &card},
			}
		},
		"deviceChange[0].device": func(l *types.VirtualMachineRelocateSpec) {
			l.DeviceChange = []types.BaseVirtualDeviceConfigSpec{
				&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: b.disks(b.parent)[0]},
			}
		},
	} {
		fault := b.faultOf(b.forkTask("fork", func(s *types.VirtualMachineInstantCloneSpec) { change(&s.Location) }))
		wantInvalid(t, fault, "spec.location."+property)
	}
	if b.exists("fork") {
		t.Error("something was made")
	}
}

func TestAForkWithoutAFolderIsInTheRootFolder(t *testing.T) {
	b := newForkBench(t)
	folders, err := b.datacenter().Folders(b.ctx)
	b.must(err)
	inner, err := folders.VmFolder.CreateFolder(b.ctx, "inner")
	b.must(err)
	moved, err := inner.MoveInto(b.ctx, []types.ManagedObjectReference{b.parent.Reference()})
	b.done(moved, err)
	in := inner.Reference()
	named := b.fork("named", func(s *types.VirtualMachineInstantCloneSpec) { s.Location.Folder = &in })
	for vm, want := range map[*object.VirtualMachine]types.ManagedObjectReference{
		b.fork("plain"): folders.VmFolder.Reference(), named: in,
	} {
		if got := b.props(vm, "parent").Parent; *got != want {
			t.Errorf("it is in %v, not in %v", got, want)
		}
	}
}

func TestACardIsDisconnectedUntilItIsConnected(t *testing.T) {
	b := newForkBench(t)
	whole := b.fork("whole")
	if card := b.card(whole); !card.Connectable.Connected {
		t.Error("the card of a plain fork is not connected")
	}
	vm := b.fork("fork", b.parted)
	card := b.card(vm)
	if card.Connectable.Connected || !card.Connectable.StartConnected {
		t.Errorf("the card is %+v", card.Connectable)
	}
	if card.MacAddress == b.card(b.parent).MacAddress {
		t.Error("the fork has the address of its source")
	}
	devices, err := vm.Device(b.ctx)
	b.must(err)
	edited := devices.SelectByType((*types.VirtualEthernetCard)(nil))[0]
	edited.GetVirtualDevice().Connectable.Connected = true
	b.must(vm.EditDevice(b.ctx, edited))
	if !b.card(vm).Connectable.Connected {
		t.Error("it was not connected")
	}
}

func TestTooManyLevelsAreASystemError(t *testing.T) {
	b := newForkBench(t)
	b.post("fork", `{"levels":3}`)
	b.fork("last")
	fault := wantFault[*types.SystemError](t, b.faultOf(b.forkTask("more")))
	cause := wantFault[*types.GenericVmConfigFault](t, fault.FaultCause.Fault)
	if cause.Reason != "Launch failure" || b.exists("more") {
		t.Errorf("the cause is %+v", cause)
	}
}

func TestADeviceThatStaysPutForbidsForks(t *testing.T) {
	for label, device := range map[string]types.BaseVirtualDevice{
		"serial": &types.VirtualSerialPort{VirtualDevice: types.VirtualDevice{
			Key: -9, Backing: &types.VirtualSerialPortURIBackingInfo{},
		}},
		"passthrough": &types.VirtualPCIPassthrough{VirtualDevice: types.VirtualDevice{
			Key: -9, Backing: &types.VirtualPCIPassthroughDeviceBackingInfo{},
		}},
	} {
		b := newBench(t)
		b.must(b.parent.AddDevice(b.ctx, device))
		b.start(b.parent)
		fault := wantFault[*types.DisallowedMigrationDeviceAttached](t, b.faultOf(b.forkTask("fork")))
		if cause := wantFault[*types.DeviceNotSupported](t, fault.Fault.Fault); cause.Device == "" {
			t.Errorf("%s: the fault names no device", label)
		}
	}
}

func TestAFileBackedSerialPortIsNoObstacle(t *testing.T) {
	b := newBench(t)
	port := &types.VirtualSerialPort{VirtualDevice: types.VirtualDevice{Key: -9, Backing: &types.VirtualSerialPortFileBackingInfo{
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: "[LocalDS_0] DC0_H0_VM0/serial.txt"},
	}}}
	b.must(b.parent.AddDevice(b.ctx, port))
	b.start(b.parent)
	b.fork("fork")
}

func TestAGuestIsItsSourceUntilItTakesItsOwnIdentity(t *testing.T) {
	b := newBench(t)
	b.post("guest", `{"tools_ms":0,"ip_ms":0}`)
	b.start(b.parent)
	for b.props(b.parent, "guest").Guest.IpAddress == "" {
		time.Sleep(time.Millisecond)
	}
	b.post("fork", `{"name":"DC0_H0_VM0","ready":true}`)
	told := func(text string) func(*types.VirtualMachineInstantCloneSpec) {
		return func(s *types.VirtualMachineInstantCloneSpec) {
			s.Config = []types.BaseOptionValue{&types.OptionValue{Key: forkWanted, Value: text}}
		}
	}
	source := b.props(b.parent, "guest").Guest
	twin := b.props(b.fork("twin"), "guest").Guest
	if twin.HostName != source.HostName || twin.IpAddress != source.IpAddress || twin.Net[0].MacAddress != source.Net[0].MacAddress {
		t.Errorf("the fork is %+v, its source %+v", twin, source)
	}
	b.post("fork/identity", `{"name":"lame","answer":"failed: 4"}`)
	for name, want := range map[string]string{"own": "1-2 done", "lame": "1-2 failed: 4"} {
		vm := b.fork(name, told("id=1-2 host_name="+name))
		for b.extra(vm, forkTaken) == "" {
			time.Sleep(time.Millisecond)
		}
		if got := b.extra(vm, forkTaken); got != want {
			t.Errorf("%s tells %q, not %q", name, got, want)
		}
		if got := b.props(vm, "guest").Guest.HostName; (got == name) != (name == "own") {
			t.Errorf("the guest of %s is called %s", name, got)
		}
	}
}

func (b *bench) extra(vm *object.VirtualMachine, key string) string {
	b.Helper()
	options := b.props(vm, "config.extraConfig").Config.ExtraConfig
	i := slices.IndexFunc(options, func(o types.BaseOptionValue) bool { return o.GetOptionValue().Key == key })
	if i < 0 {
		return ""
	}
	return options[i].GetOptionValue().Value.(string)
}

func TestTheCheckerTellsWhatAForkWouldBeRefusedFor(t *testing.T) {
	b := newBench(t)
	check := func() types.CheckResult {
		t.Helper()
		res, err := methods.CheckInstantClone_Task(b.ctx, b.client, &types.CheckInstantClone_Task{
			This: *b.client.ServiceContent.VmProvisioningChecker, Vm: b.parent.Reference(),
			Spec: types.VirtualMachineInstantCloneSpec{Name: "fork"},
		})
		b.must(err)
		result := b.result(object.NewTask(b.client.Client, res.Returnval))
		return result.(types.ArrayOfCheckResult).CheckResult[0]
	}
	wantFault[*types.InvalidPowerState](t, check().Error[0].Fault)
	b.start(b.parent)
	if found := check(); found.Error != nil || found.Host == nil || b.exists("fork") {
		t.Errorf("the check says %+v", found)
	}
}

func TestForksOfOneSourceFollowEachOther(t *testing.T) {
	b := newForkBench(t)
	held := b.server.forks.enter(b.parent.Reference())
	task := b.forkTask("fork")
	other := b.vm("DC0_H0_VM1")
	b.start(other)
	theirs, err := other.InstantClone(b.ctx, types.VirtualMachineInstantCloneSpec{Name: "elsewhere"})
	b.done(theirs, err)
	if b.exists("fork") {
		t.Error("it did not wait for its turn")
	}
	held()
	b.done(task, nil)
}

func TestAnESXiHostForksNothing(t *testing.T) {
	model := simulator.ESX()
	b := newBench(t, func(m *simulator.Model, _ *Options) { *m = *model })
	vm := b.server.registry().Any("VirtualMachine")
	_, err := methods.InstantClone_Task(b.ctx, b.client, &types.InstantClone_Task{This: vm.Reference()})
	if !soap.IsSoapFault(err) {
		t.Fatal(err)
	}
	if _, ok := soap.ToSoapFault(err).VimFault().(types.NotSupported); !ok {
		t.Errorf("fault is %v", err)
	}
}
