package lcsim

import (
	"fmt"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// terrain is what tests say of a datastore.
type terrain struct {
	Name      string   `json:"name"`
	FreeBytes *int64   `json:"free_bytes"`
	UnseenBy  []string `json:"unseen_by"`
	Pod       string   `json:"pod"`
}

// shapeDatastore sets the free space of a datastore, takes it from hosts, and
// puts it into a datastore cluster. Stock datastores are all alike, and all
// hosts of the datacenter see them.
func (s *Sim) shapeDatastore(t terrain) error {
	ctx := s.context()
	ds, err := entityNamed[*simulator.Datastore](s, "Datastore", t.Name)
	if err != nil {
		return err
	}
	if t.FreeBytes != nil {
		ctx.WithLock(ds, func() {
			ds.Summary.FreeSpace = *t.FreeBytes
			ds.Info.GetDatastoreInfo().FreeSpace = *t.FreeBytes
		})
	}
	for _, name := range t.UnseenBy {
		host, err := entityNamed[*simulator.HostSystem](s, "HostSystem", name)
		if err != nil {
			return err
		}
		s.hideStore(ctx, ds, host)
	}
	if t.Pod == "" {
		return nil
	}
	pod, err := entityNamed[*simulator.StoragePod](s, "StoragePod", t.Pod)
	if err == nil {
		s.movePod(ctx, ds, pod)
	}
	return err
}

// hideStore takes a datastore from a host, and from what its cluster lists.
func (s *Sim) hideStore(ctx *simulator.Context, ds *simulator.Datastore, host *simulator.HostSystem) {
	ctx.WithLock(host, func() { host.Datastore = without(host.Datastore, ds.Self) })
	ctx.WithLock(ds, func() {
		ds.Host = slices.DeleteFunc(slices.Clone(ds.Host), func(m types.DatastoreHostMount) bool {
			return m.Key == host.Self
		})
	})
	s.gatherStores(ctx, host)
}

// gatherStores makes a compute resource list what its hosts see.
func (s *Sim) gatherStores(ctx *simulator.Context, host *simulator.HostSystem) {
	var compute *mo.ComputeResource
	var lock mo.Reference
	switch o := ctx.Map.Get(*host.Parent).(type) {
	case *simulator.ClusterComputeResource:
		compute, lock = &o.ComputeResource, o
	case *mo.ComputeResource:
		compute, lock = o, o
	default:
		return
	}
	var seen []ref
	for _, one := range compute.Host {
		for _, store := range ctx.Map.Get(one).(*simulator.HostSystem).Datastore {
			if !slices.Contains(seen, store) {
				seen = append(seen, store)
			}
		}
	}
	ctx.WithLock(lock, func() { compute.Datastore = seen })
}

func (s *Sim) movePod(ctx *simulator.Context, ds *simulator.Datastore, pod *simulator.StoragePod) {
	if old, ok := ctx.Map.Get(*ds.Parent).(*simulator.Folder); ok {
		ctx.WithLock(old, func() { old.ChildEntity = without(old.ChildEntity, ds.Self) })
	}
	ctx.WithLock(pod, func() { pod.ChildEntity = append(pod.ChildEntity, ds.Self) })
	ctx.WithLock(ds, func() { ds.Parent = &pod.Self })
}

// condition is what tests say of a host.
type condition struct {
	Name    string `json:"name"`
	UsedMiB *int32 `json:"used_mib"`
	State   string `json:"state"` // connected, disconnected, notResponding or maintenance
}

func (s *Sim) shapeHost(c condition) error {
	host, err := entityNamed[*simulator.HostSystem](s, "HostSystem", c.Name)
	if err != nil {
		return err
	}
	s.context().WithLock(host, func() {
		if c.UsedMiB != nil {
			host.Summary.QuickStats.OverallMemoryUsage = *c.UsedMiB
		}
		switch c.State {
		case "":
		case "maintenance":
			host.Runtime.InMaintenanceMode = true
		default:
			host.Runtime.InMaintenanceMode = false
			host.Runtime.ConnectionState = types.HostSystemConnectionState(c.State)
		}
	})
	return nil
}

// entityNamed finds the one object of a type that has a name.
func entityNamed[T mo.Entity](s *Sim, kind, name string) (T, error) {
	var none T
	for _, one := range s.registry().All(kind) {
		if found, ok := one.(T); ok && one.Entity().Name == name {
			return found, nil
		}
	}
	return none, fmt.Errorf("no %s %q", kind, name)
}

func without(refs []ref, gone ref) []ref {
	return slices.DeleteFunc(slices.Clone(refs), func(one ref) bool { return one == gone })
}

// clusterMethods answers what a cluster advises.
type clusterMethods struct {
	unlocked
	Self    types.ManagedObjectReference
	sim     *Sim
	cluster *simulator.ClusterComputeResource
}

// Reference implements mo.Reference.
func (m *clusterMethods) Reference() types.ManagedObjectReference { return m.Self }

// PlaceVm advises for a clone: of the candidates the host with the most free
// memory, and the first datastore that it sees.
//
// Placement type clone gives host and datastore [fact: vs-place-vm]. The
// library's own picks at random and fails when it is given fewer candidates
// than the cluster has.
func (m *clusterMethods) PlaceVm(ctx *simulator.Context, req *types.PlaceVm) soap.HasFault {
	body := new(methods.PlaceVmBody)
	spec := req.PlacementSpec
	if spec.PlacementType != string(types.PlacementSpecPlacementTypeClone) {
		return m.cluster.PlaceVm(ctx, req)
	}
	if spec.CloneSpec == nil || spec.CloneName == "" || spec.Vm == nil {
		body.Fault_ = soapFault(&types.InvalidArgument{InvalidProperty: "placementSpec"})
		return body
	}
	hosts, stores := spec.Hosts, spec.Datastores
	if len(hosts) == 0 {
		hosts = m.cluster.Host
	}
	if len(stores) == 0 {
		stores = m.cluster.Datastore
	}
	body.Res = &types.PlaceVmResponse{}
	host := freest(ctx, hosts)
	if host == nil {
		return body
	}
	where := &types.VirtualMachineRelocateSpec{Host: &host.Self, Pool: m.cluster.ResourcePool}
	for _, store := range stores {
		if slices.Contains(host.Datastore, store) {
			where.Datastore = &store
			break
		}
	}
	body.Res.Returnval.Recommendations = []types.ClusterRecommendation{{
		Key: "1", Type: "V1", Rating: 5, Target: &m.Self,
		Reason: string(types.RecommendationReasonCodeXvmotionPlacement), ReasonText: "placement",
		Action: []types.BaseClusterAction{&types.PlacementAction{
			ClusterAction: types.ClusterAction{Type: "PlacementV1", Target: spec.Vm},
			Vm:            spec.Vm, TargetHost: &host.Self, RelocateSpec: where,
		}},
	}}
	return body
}

func freest(ctx *simulator.Context, refs []ref) *simulator.HostSystem {
	var best *simulator.HostSystem
	for _, one := range refs {
		host, ok := ctx.Map.Get(one).(*simulator.HostSystem)
		if ok && (best == nil || freeMemory(host) > freeMemory(best)) {
			best = host
		}
	}
	return best
}

func freeMemory(host *simulator.HostSystem) int64 {
	return host.Summary.Hardware.MemorySize - int64(host.Summary.QuickStats.OverallMemoryUsage)<<20
}
