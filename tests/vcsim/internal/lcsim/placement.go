package lcsim

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// placement is where a clone goes.
type placement struct {
	pool      *types.ManagedObjectReference
	host      types.ManagedObjectReference
	datastore *simulator.Datastore // of the VM's home and of disks without a locator
	moved     bool                 // the spec names a datastore
}

// check refuses what vCenter refuses before any work is done.
func (j *cloneJob) check(ctx *simulator.Context) types.BaseMethodFault {
	if fault := j.checkMoveTypes(); fault != nil {
		return fault
	}
	if fault := j.checkSnapshot(); fault != nil {
		return fault
	}
	var fault types.BaseMethodFault
	j.place, fault = j.sim.place(ctx, j.source, j.spec.Location)
	return fault
}

// checkSnapshot refuses a snapshot of another VM.
//
// createNewChildDiskBacking needs a snapshot [fact: vs-child-needs-snapshot].
func (j *cloneJob) checkSnapshot() types.BaseMethodFault {
	if j.spec.Snapshot == nil {
		if j.asksForNewChild() {
			return invalidArgument("spec.snapshot")
		}
		return nil
	}
	snap := j.sim.snapshot(*j.spec.Snapshot)
	if snap == nil || snap.Vm != j.source.Self {
		return invalidArgument("spec.snapshot")
	}
	return nil
}

// place works out pool, host and datastore.
//
// A template source needs a pool [fact: vs-pool-needed]. Host unset with a
// cluster pool: a compatible host. Datastore unset: the source's.
func (s *Sim) place(
	ctx *simulator.Context, source *simulator.VirtualMachine, spec types.VirtualMachineRelocateSpec,
) (placement, types.BaseMethodFault) {
	var p placement
	var sourceHost types.ManagedObjectReference
	var home string
	var datastores []types.ManagedObjectReference
	ctx.WithLock(source, func() {
		p.pool = deepCopy(source.ResourcePool)
		sourceHost = *source.Runtime.Host
		home = parsePath(source.Config.Files.VmPathName).Datastore
		datastores = slices.Clone(source.Datastore)
		if source.Config.Template {
			p.pool = nil
		}
	})
	if spec.Pool != nil {
		p.pool = spec.Pool
	}
	if p.pool == nil {
		return p, invalidArgument("spec.location.pool")
	}
	hosts := s.hostsOfPool(ctx, *p.pool)
	if len(hosts) == 0 {
		return p, &types.ManagedObjectNotFound{Obj: *p.pool}
	}
	if spec.Datastore != nil {
		ds, ok := ctx.Map.Get(*spec.Datastore).(*simulator.Datastore)
		if !ok {
			return p, &types.ManagedObjectNotFound{Obj: *spec.Datastore}
		}
		p.datastore, p.moved = ds, true
	} else if ds, ok := ctx.Map.FindByName(home, datastores).(*simulator.Datastore); ok {
		p.datastore = ds
	} else {
		return p, invalidArgument("spec.location.datastore")
	}
	return p, s.pickHost(ctx, &p, spec.Host, sourceHost, hosts)
}

// pickHost refuses a host outside the pool's cluster, and one that cannot see
// the target datastore.
//
// A host has to see every datastore of the chain [fact: vs-hosts-see-chain].
func (s *Sim) pickHost(
	ctx *simulator.Context, p *placement, wanted *types.ManagedObjectReference,
	sourceHost types.ManagedObjectReference, hosts []types.ManagedObjectReference,
) types.BaseMethodFault {
	switch {
	case wanted != nil:
		if !slices.Contains(hosts, *wanted) {
			return invalidArgument("spec.location.host")
		}
		p.host = *wanted
	case slices.Contains(hosts, sourceHost):
		p.host = sourceHost
	default:
		// A compatible host [fact: vs-pool-needed], which one that does not see
		// the datastore is not.
		fit := slices.DeleteFunc(slices.Clone(hosts), func(one types.ManagedObjectReference) bool {
			host, ok := ctx.Map.Get(one).(*simulator.HostSystem)
			return !ok || !slices.Contains(host.Datastore, p.datastore.Self)
		})
		if len(fit) == 0 {
			return &types.NoCompatibleHost{}
		}
		p.host = fit[int(s.serial.Add(1))%len(fit)]
	}
	host, ok := ctx.Map.Get(p.host).(*simulator.HostSystem)
	if !ok || !slices.Contains(host.Datastore, p.datastore.Self) {
		return invalidArgument("spec.location.datastore")
	}
	return nil
}

// hostsOfPool lists the hosts of the compute resource that a pool belongs to.
func (s *Sim) hostsOfPool(ctx *simulator.Context, ref types.ManagedObjectReference) []types.ManagedObjectReference {
	for {
		switch o := ctx.Map.Get(ref).(type) {
		case *simulator.ClusterComputeResource:
			return o.Host
		case *mo.ComputeResource:
			return o.Host
		case mo.Entity:
			if o.Entity().Parent == nil {
				return nil
			}
			ref = *o.Entity().Parent
		default:
			return nil
		}
	}
}
