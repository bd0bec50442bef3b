package lcsim

import (
	"slices"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

func (b *bench) host(name string) *simulator.HostSystem {
	b.Helper()
	host, err := entityNamed[*simulator.HostSystem](b.server.Sim, "HostSystem", name)
	b.must(err)
	return host
}

func TestADatastoreCanBeTakenFromHostsAndPutIntoACluster(t *testing.T) {
	b := newBench(t, func(m *simulator.Model, _ *Options) { m.Datastore, m.Pod = 2, 1 })
	b.post("datastore", `{"name":"LocalDS_0","unseen_by":["DC0_C0_H0"],"free_bytes":42}`)
	b.post("datastore", `{"name":"LocalDS_1","pod":"DC0_POD0"}`)
	ds, err := entityNamed[*simulator.Datastore](b.server.Sim, "Datastore", "LocalDS_0")
	b.must(err)
	if ds.Summary.FreeSpace != 42 || slices.Contains(b.host("DC0_C0_H0").Datastore, ds.Self) {
		t.Errorf("free %d, the host sees %v", ds.Summary.FreeSpace, b.host("DC0_C0_H0").Datastore)
	}
	pod, err := entityNamed[*simulator.StoragePod](b.server.Sim, "StoragePod", "DC0_POD0")
	b.must(err)
	if len(pod.ChildEntity) != 1 {
		t.Errorf("the cluster holds %v", pod.ChildEntity)
	}
}

func TestACompatibleHostIsPickedAndABlindOneRefused(t *testing.T) {
	b := newBench(t)
	b.post("datastore", `{"name":"LocalDS_0","unseen_by":["DC0_C0_H0","DC0_C0_H1"]}`)
	cluster := b.host("DC0_C0_H0").Parent
	pool := b.server.registry().Get(*cluster).(*simulator.ClusterComputeResource).ResourcePool
	for _, name := range []string{"one", "two", "three"} {
		spec := b.linked()
		spec.Location.Pool = pool
		vm := b.clone(name, spec)
		if got := *b.server.vm(vm.Reference()).Runtime.Host; got != b.host("DC0_C0_H2").Self {
			t.Errorf("it runs on %v", got)
		}
	}
	spec := b.linked()
	spec.Location.Pool, spec.Location.Host = pool, &b.host("DC0_C0_H0").Self
	wantFault[*types.InvalidArgument](t, b.refused("blind", spec))
}

func TestAClusterAdvisesTheFreestOfTheCandidates(t *testing.T) {
	b := newBench(t)
	b.post("host", `{"name":"DC0_C0_H0","used_mib":3000}`)
	b.post("host", `{"name":"DC0_C0_H1","used_mib":2000}`)
	hosts := []types.ManagedObjectReference{b.host("DC0_C0_H0").Self, b.host("DC0_C0_H1").Self}
	vm := b.parent.Reference()
	res, err := methods.PlaceVm(b.ctx, b.client.Client, &types.PlaceVm{
		This: *b.host("DC0_C0_H0").Parent,
		PlacementSpec: types.PlacementSpec{
			PlacementType: string(types.PlacementSpecPlacementTypeClone), Vm: &vm, CloneName: "desk",
			CloneSpec: &types.VirtualMachineCloneSpec{}, Hosts: hosts,
		},
	})
	b.must(err)
	action := res.Returnval.Recommendations[0].Action[0].(*types.PlacementAction)
	if *action.TargetHost != hosts[1] {
		t.Errorf("it advises %v", action.TargetHost)
	}
}
