package lcsim

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	parentsPerPool  = 4  // VMs of a pool that clones are made of
	snapshotsBy     = 10 // every so many clones has a snapshot, and the next one hangs from it
	cloneOfModel    = "_C"
	familySnapshot  = "base"
	snapshotOfClone = "mine"
)

// addFamilies makes linked clones of the first VMs of each pool, without the
// tasks that a client would need: 4,000 in about two seconds.
//
// They carry what linkedclone gives its own clones from birth, so that reads of
// a large inventory cost what they cost with real ones.
func (s *Sim) addFamilies(perPool int) error {
	if perPool == 0 {
		return nil
	}
	machines := map[string]*simulator.VirtualMachine{}
	for _, e := range s.registry().All("VirtualMachine") {
		if vm, ok := e.(*simulator.VirtualMachine); ok {
			machines[vm.Name] = vm
		}
	}
	for name := range machines {
		if stem, isFirst := strings.CutSuffix(name, "_VM0"); isFirst {
			if err := s.addFamiliesOf(stem, machines, perPool); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sim) addFamiliesOf(stem string, machines map[string]*simulator.VirtualMachine, count int) error {
	ctx := s.context()
	var parents []cloneSource
	for n := range parentsPerPool {
		if vm := machines[fmt.Sprintf("%s_VM%d", stem, n)]; vm != nil {
			parents = append(parents, s.frozen(ctx, vm, familySnapshot))
		}
	}
	var last *simulator.VirtualMachine
	for n := range count {
		source := parents[n%len(parents)]
		if n%snapshotsBy == 0 && last != nil {
			source = s.frozen(ctx, last, snapshotOfClone)
		}
		vm, err := s.addClone(ctx, source, fmt.Sprintf("%s%s%d", stem, cloneOfModel, n))
		if err != nil {
			return err
		}
		last = vm
	}
	return nil
}

// cloneSource is a VM and the snapshot that clones hang from.
type cloneSource struct {
	vm       *simulator.VirtualMachine
	snapshot types.ManagedObjectReference
	name     string
}

func (s *Sim) frozen(ctx *simulator.Context, vm *simulator.VirtualMachine, name string) cloneSource {
	source := cloneSource{vm: vm, name: name}
	ctx.WithLock(vm, func() {
		source.snapshot = s.takeSnapshot(ctx, vm, snapshotRequest{method: "CreateSnapshot_Task", name: name})
	})
	return source
}

func (s *Sim) addClone(
	ctx *simulator.Context, source cloneSource, name string,
) (*simulator.VirtualMachine, error) {
	id := uuid.NewString()
	job := &cloneJob{
		sim: s, source: source.vm, folder: folderOf(ctx.Map, *source.vm.Parent), name: name,
		target: s.newVM(ctx),
		spec: types.VirtualMachineCloneSpec{
			Location: types.VirtualMachineRelocateSpec{DiskMoveType: moveNewChild},
			Snapshot: &source.snapshot,
			Config:   &types.VirtualMachineConfigSpec{InstanceUuid: id, ExtraConfig: markOf(source, id, name)},
		},
	}
	if fault := job.check(ctx); fault != nil {
		return nil, fmt.Errorf("clone %s: %T", name, fault)
	}
	vm, fault := job.build(ctx)
	if fault != nil {
		return nil, fmt.Errorf("clone %s: %T", name, fault)
	}
	s.register(ctx, job.folder, vm)
	return vm, nil
}

func markOf(source cloneSource, id, name string) []types.BaseOptionValue {
	var out []types.BaseOptionValue
	add := func(key, value string) { out = append(out, &types.OptionValue{Key: key, Value: value}) }
	add("linkedclone.owner", "linkedclone")
	add("linkedclone.uuid", id)
	add("linkedclone.run", "00000000-0000-4000-8000-000000000001")
	add("linkedclone.parent", source.vm.Config.InstanceUuid)
	add("linkedclone.parent_name", source.vm.Name)
	add("linkedclone.snapshot", source.snapshot.Value)
	add("linkedclone.snapshot_name", source.name)
	add("linkedclone.spec", "5f3c1d9e0a7b4c62")
	add("linkedclone.version", "0.1.0")
	add("guestinfo.metadata", `{"instance-id": "`+id+`", "local-hostname": "`+strings.ToLower(name)+`"}`)
	return out
}
