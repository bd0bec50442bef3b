package lcsim

import (
	"testing"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func (b *bench) frozen(snap types.ManagedObjectReference) []string {
	b.Helper()
	var out mo.VirtualMachineSnapshot
	b.must(b.client.RetrieveOne(b.ctx, snap, []string{"config"}, &out))
	return namesOf(disksOf(out.Config.Hardware.Device)[0].Backing)
}

func (b *bench) removeSnapshot(name string, children bool) {
	b.Helper()
	task, err := b.parent.RemoveSnapshot(b.ctx, name, children, nil)
	b.done(task, err)
}

func TestTwoSnapshotsNameTwoFiles(t *testing.T) {
	b := newBench(t)
	second := b.snapshot(b.parent, "second")
	if top := b.frozen(b.base)[0]; top != "DC0_H0_VM0/disk1.vmdk" {
		t.Errorf("the first snapshot is frozen at %s", top)
	}
	if top := b.frozen(second)[0]; top != "DC0_H0_VM0/disk1-000001.vmdk" {
		t.Errorf("the second snapshot is frozen at %s", top)
	}
	got := b.props(b.parent, "snapshot", "layoutEx")
	if *got.Snapshot.CurrentSnapshot != second || got.Snapshot.RootSnapshotList[0].ChildSnapshotList[0].Snapshot != second {
		t.Errorf("tree is %+v", got.Snapshot)
	}
	if len(got.LayoutEx.Snapshot) != 2 || len(got.LayoutEx.Disk[0].Chain) != 3 {
		t.Errorf("layoutEx shows %d snapshots, %d layers", len(got.LayoutEx.Snapshot), len(got.LayoutEx.Disk[0].Chain))
	}
}

func TestRevertPutsANewDeltaOnTheSnapshotsFile(t *testing.T) {
	b := newBench(t)
	clone := b.clone("desk", b.linked())
	b.snapshot(b.parent, "second")
	task, err := b.parent.RevertToSnapshot(b.ctx, "base", true)
	b.done(task, err)
	b.wantChain(b.parent, "DC0_H0_VM0/disk1-000003.vmdk", "DC0_H0_VM0/disk1.vmdk")
	if b.hasFile("DC0_H0_VM0/disk1-000002.vmdk") {
		t.Error("the delta that was current stays")
	}
	if current := b.props(b.parent, "snapshot").Snapshot.CurrentSnapshot; *current != b.base {
		t.Errorf("current snapshot is %v", current)
	}
	b.wantChain(clone, "desk/desk.vmdk", "DC0_H0_VM0/disk1.vmdk")
	task, err = b.parent.RevertToCurrentSnapshot(b.ctx, true)
	b.done(task, err)
	b.wantChain(b.parent, "DC0_H0_VM0/disk1-000002.vmdk", "DC0_H0_VM0/disk1.vmdk")
}

func TestRemovingASnapshotMergesItsLayer(t *testing.T) {
	b := newBench(t)
	second := b.snapshot(b.parent, "second")
	b.removeSnapshot("base", false)
	b.wantChain(b.parent, "DC0_H0_VM0/disk1-000002.vmdk", "DC0_H0_VM0/disk1.vmdk")
	if got := b.frozen(second); len(got) != 1 || got[0] != "DC0_H0_VM0/disk1.vmdk" {
		t.Errorf("the snapshot left is frozen at %q", got)
	}
	b.removeSnapshot("second", false)
	b.wantChain(b.parent, "DC0_H0_VM0/disk1.vmdk")
	if b.props(b.parent, "snapshot").Snapshot != nil {
		t.Error("an empty tree is still there")
	}
	if b.hasFile("DC0_H0_VM0/disk1-000001.vmdk") || b.hasFile("DC0_H0_VM0/disk1-000002.vmdk") {
		t.Errorf("files: %q", b.files())
	}
}

func TestALayerThatClonesHangFromIsNotMerged(t *testing.T) {
	b := newBench(t)
	clone := b.clone("desk", b.linked())
	b.removeSnapshot("base", false)
	b.wantChain(clone, "desk/desk.vmdk", "DC0_H0_VM0/disk1.vmdk")
	b.wantChain(b.parent, "DC0_H0_VM0/disk1-000001.vmdk", "DC0_H0_VM0/disk1.vmdk")
	wantInvalid(t, b.refused("late", b.linked()), "spec.snapshot")
}

func TestRemovingWithChildrenOrAllEmptiesTheTree(t *testing.T) {
	for name, remove := range map[string]func(*bench){
		"with children": func(b *bench) { b.removeSnapshot("base", true) },
		"all": func(b *bench) {
			task, err := b.parent.RemoveAllSnapshot(b.ctx, nil)
			b.done(task, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.snapshot(b.parent, "second")
			b.snapshot(b.parent, "third")
			remove(b)
			b.wantChain(b.parent, "DC0_H0_VM0/disk1.vmdk")
			if b.props(b.parent, "snapshot").Snapshot != nil {
				t.Error("snapshots are left")
			}
		})
	}
}
