package lcsim

import (
	"testing"

	"github.com/vmware/govmomi/vim25/types"
)

func TestTheLastUserTakesTheBaseAlong(t *testing.T) {
	b := newBench(t)
	one, two := b.clone("one", b.linked()), b.clone("two", b.linked())
	b.destroy(b.parent)
	if !b.hasFile("DC0_H0_VM0/disk1.vmdk") || b.hasFile("DC0_H0_VM0/disk1-000001.vmdk") {
		t.Fatalf("after the parent: %q", b.files())
	}
	b.destroy(one)
	if !b.hasFile("DC0_H0_VM0/disk1.vmdk") || b.hasFile("one/one.vmdk") {
		t.Fatalf("after the first clone: %q", b.files())
	}
	b.destroy(two)
	if b.hasFile("DC0_H0_VM0/disk1.vmdk") {
		t.Errorf("after the last clone: %q", b.files())
	}
}

func TestUnregisteringKeepsFilesButNoLongerProtectsThem(t *testing.T) {
	b := newBench(t)
	clone := b.clone("one", b.linked())
	b.must(b.parent.Unregister(b.ctx))
	if !b.hasFile("DC0_H0_VM0/disk1.vmdk") {
		t.Error("unregistering deleted a file")
	}
	b.destroy(clone)
	if b.hasFile("DC0_H0_VM0/disk1.vmdk") {
		t.Error("the last registered user left the base behind")
	}
}

func TestARunningVMIsNotDestroyed(t *testing.T) {
	b := newBench(t)
	spec := b.linked()
	spec.PowerOn = true
	vm := b.clone("desk", spec)
	task, err := vm.Destroy(b.ctx)
	b.must(err)
	wantFault[*types.InvalidPowerState](t, b.faultOf(task))
	if !b.exists("desk") {
		t.Error("it is gone all the same")
	}
}

func TestAVMWithAMissingLayerDoesNotStart(t *testing.T) {
	b := newBench(t)
	vm := b.clone("desk", b.linked())
	b.post("files/remove", `{"name":"[LocalDS_0] DC0_H0_VM0/disk1.vmdk"}`)
	task, err := vm.PowerOn(b.ctx)
	b.must(err)
	wantFault[*types.FileNotFound](t, b.faultOf(task))
}

func TestANameCanBeUsedAgainWhileItsOldFilesStay(t *testing.T) {
	b := newBench(t)
	vm := b.clone("mid", b.linked())
	snap := b.snapshot(vm, "mid-base")
	parent := b.parent
	b.parent = vm
	b.clone("leaf", types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{DiskMoveType: moveNewChild}, Snapshot: &snap,
	})
	b.destroy(vm)
	b.parent = parent
	b.wantChain(b.clone("mid", b.linked()), "mid_1/mid.vmdk", "DC0_H0_VM0/disk1.vmdk")
}

func TestPromotingMakesACloneIndependent(t *testing.T) {
	b := newBench(t)
	vm := b.clone("desk", b.linked())
	promote := func(unlink bool) {
		t.Helper()
		task, err := vm.PromoteDisks(b.ctx, unlink, nil)
		b.done(task, err)
	}
	promote(false)
	if n := len(b.chain(vm)); n != 2 {
		t.Fatalf("unlink false left %d layers", n)
	}
	promote(true)
	if chain := b.chain(vm); len(chain) != 1 {
		t.Fatalf("chain is %q", chain)
	}
	promote(true) // nothing to do is success
	b.destroy(b.parent)
	if b.hasFile("DC0_H0_VM0/disk1.vmdk") {
		t.Error("the base is still held")
	}
	task, err := vm.PowerOn(b.ctx)
	b.done(task, err)
}

func TestPromotingAVMWithSnapshotsKeepsThem(t *testing.T) {
	b := newBench(t)
	vm := b.clone("desk", b.linked())
	snap := b.snapshot(vm, "own")
	task, err := vm.PromoteDisks(b.ctx, true, nil)
	b.done(task, err)
	for _, name := range append(b.chain(vm), b.frozen(snap)...) {
		if name == "DC0_H0_VM0/disk1.vmdk" {
			t.Error("a chain still reaches the parent")
		}
	}
	task, err = vm.PowerOn(b.ctx)
	b.done(task, err)
	task, err = vm.PromoteDisks(b.ctx, true, nil)
	b.must(err)
	wantFault[*types.InvalidPowerState](t, b.faultOf(task))
}

func TestALinkedDiskDoesNotGrowUntilPromoted(t *testing.T) {
	b := newBench(t)
	vm := b.clone("desk", b.linked())
	grow := func() *types.VirtualDisk {
		disk := b.disks(vm)[0]
		disk.CapacityInBytes *= 2
		disk.CapacityInKB *= 2
		return disk
	}
	edit := func() types.VirtualMachineConfigSpec {
		return types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
			&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: grow()},
		}}
	}
	task, err := vm.Reconfigure(b.ctx, edit())
	b.must(err)
	wantInvalid(t, b.faultOf(task), "spec.deviceChange[0].device.capacityInKB")

	spec := b.linked()
	config := edit()
	spec.Config = &config
	wantInvalid(t, b.refused("big", spec), "spec.config.deviceChange[0].device.capacityInKB")

	task, err = vm.PromoteDisks(b.ctx, true, nil)
	b.done(task, err)
	task, err = vm.Reconfigure(b.ctx, edit())
	b.done(task, err)
}

func TestRelocatingMakesACloneIndependentUnlessOnlyTheTopMoves(t *testing.T) {
	b := newBench(t)
	ds := b.props(b.parent, "datastore").Datastore[0]
	for move, layers := range map[string]int{"": 1, moveConsolidate: 1, moveChildMost: 2} {
		vm := b.clone("desk", b.linked())
		task, err := vm.Relocate(b.ctx, types.VirtualMachineRelocateSpec{Datastore: &ds, DiskMoveType: move}, "")
		b.done(task, err)
		if got := len(b.chain(vm)); got != layers {
			t.Errorf("%q left %d layers, want %d", move, got, layers)
		}
		b.destroy(vm)
	}
	task, err := b.parent.Relocate(b.ctx, types.VirtualMachineRelocateSpec{DiskMoveType: moveNewChild}, "")
	b.must(err)
	wantFault[*types.NotSupported](t, b.faultOf(task))
}
