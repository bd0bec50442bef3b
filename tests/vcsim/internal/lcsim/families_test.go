package lcsim

import (
	"strconv"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func TestFamiliesAreLinkedClonesWithMarks(t *testing.T) {
	b := newBench(t, func(model *simulator.Model, opt *Options) {
		model.Machine = 5
		opt.Clones = 12
	})
	depths := map[int]int{}
	for name, n := range map[string]int{"DC0_H0_C": 12, "DC0_C0_RP0_C": 12} {
		for i := range n {
			var vm mo.VirtualMachine
			ref := b.vm(name + strconv.Itoa(i)).Reference()
			b.must(b.client.RetrieveOne(b.ctx, ref, []string{"config", "snapshot", "layoutEx"}, &vm))
			disk := disksOf(vm.Config.Hardware.Device)[0]
			depths[len(layers(disk.Backing))]++
			extra := map[string]any{}
			for _, option := range vm.Config.ExtraConfig {
				extra[option.GetOptionValue().Key] = option.GetOptionValue().Value
			}
			if extra["linkedclone.uuid"] != vm.Config.InstanceUuid {
				t.Errorf("%s%d: the mark names %v", name, i, extra["linkedclone.uuid"])
			}
			if (vm.Snapshot != nil) != (i == 9) {
				t.Errorf("%s%d: snapshot %v", name, i, vm.Snapshot)
			}
		}
	}
	// The tenth has a snapshot, so a delta more; the eleventh hangs from it.
	if depths[2] != 20 || depths[3] != 4 {
		t.Errorf("chains: %v", depths)
	}
}

func TestALostFileIsNotAccessible(t *testing.T) {
	b := newBench(t)
	name := "[LocalDS_0] " + parentName + "/disk1.vmdk"
	b.must(b.server.loseFile(name))
	_, err := methods.RefreshStorageInfo(b.ctx, b.client, &types.RefreshStorageInfo{This: b.parent.Reference()})
	b.must(err)
	var vm mo.VirtualMachine
	b.must(b.client.RetrieveOne(b.ctx, b.parent.Reference(), []string{"layoutEx"}, &vm))
	for _, file := range vm.LayoutEx.File {
		lost := file.Name == name || file.Name == "[LocalDS_0] "+parentName+"/disk1-flat.vmdk"
		if *file.Accessible == lost {
			t.Errorf("%s: accessible %v", file.Name, *file.Accessible)
		}
	}
}
