package lcsim

import (
	"os"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// cloneJob is one CloneVM_Task on its way.
type cloneJob struct {
	sim    *Sim
	source *simulator.VirtualMachine
	folder *mo.Folder
	name   string
	spec   types.VirtualMachineCloneSpec
	target types.ManagedObjectReference // reserved when submitted
	place  placement
	named  bool // the name is ours
}

// CloneVMTask clones a VM.
//
// Most faults arrive in task.info.error [fact: vs-faults-in-tasks]. So do all that
// concern the spec here; only an unknown folder fails the call itself.
func (m *vmMethods) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	body := new(methods.CloneVM_TaskBody)
	folder := folderOf(ctx.Map, req.Folder)
	if folder == nil {
		body.Fault_ = soapFault(&types.ManagedObjectNotFound{Obj: req.Folder})
		return body
	}
	job := &cloneJob{
		sim: m.sim, source: m.vm, folder: folder, name: escapeName(req.Name), spec: req.Spec,
		target: m.sim.newVM(ctx),
	}
	// The name is reserved from submission on, before the task even runs.
	taken := m.sim.names.claim(ctx, folder, job.name, job.target)
	job.named = taken == nil
	body.Res = &types.CloneVM_TaskResponse{Returnval: m.sim.startTask(ctx, work{
		method: methodClone, id: descriptionID(methodClone), entity: m.vm, cancelable: true,
		check: func(ctx *simulator.Context) types.BaseMethodFault {
			if taken != nil {
				return taken
			}
			if told := job.spec.Customization; told != nil {
				// [fact: vs-clone-arguments-first]
				if fault := checkIdentity(told.Identity); fault != nil {
					return fault
				}
			}
			return job.check(ctx)
		},
		run: job.run,
		end: job.end,
	})}
	return body
}

func (j *cloneJob) end() {
	if j.named {
		j.sim.names.release(j.folder, j.name)
	}
}

// run makes the clone. Whatever fails after the VM is in its folder leaves it
// there, as the library and [fact: vs-power-on-leaves] vCenter do.
func (j *cloneJob) run(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
	rule := j.sim.faults.take(methodClone, atTask, func() string { return j.name })
	if rule != nil && !rule.Leave {
		return nil, rule.built
	}
	if j.sim.vm(j.source.Self) == nil {
		return nil, &types.ManagedObjectNotFound{Obj: j.source.Self}
	}
	vm, fault := j.build(ctx)
	if fault != nil {
		return nil, fault
	}
	j.sim.register(ctx, j.folder, vm)
	if rule != nil {
		return nil, rule.built
	}
	if fault := j.customize(ctx, vm); fault != nil {
		return nil, fault
	}
	j.sim.postCloned(ctx, j.source, vm)
	if failing := j.sim.faults.take(methodClone, atPowerOn, func() string { return j.name }); failing != nil {
		j.sim.powerOn.Store(vm.Self, failing)
	}
	// [fact: vs-cust-first-power-on]: ignored for templates, as powerOn is.
	if j.spec.PowerOn && !j.spec.Template {
		if fault := j.sim.powerOnVM(ctx, vm); fault != nil {
			// A failed power-on leaves a VM behind [fact: vs-power-on-leaves].
			return nil, fault
		}
	}
	return vm.Self, nil
}

func (j *cloneJob) customize(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	if j.spec.Template || j.spec.Customization == nil {
		return nil
	}
	return j.sim.setCustomization(ctx, vm, j.spec.Customization)
}

// register puts a finished VM into the inventory.
func (s *Sim) register(ctx *simulator.Context, folder *mo.Folder, vm *simulator.VirtualMachine) {
	if s.host.lone {
		ds := ctx.Map.FindByName(parsePath(vm.Config.Files.VmPathName).Datastore, vm.Datastore)
		_ = os.MkdirAll(s.localPath(ds.Reference().Value, homeOf(&vm.VirtualMachine)), 0o700)
	}
	ctx.WithLock(folder, func() {
		ctx.WithLock(vm, func() {
			// The folder lists it before views hear of it.
			folder.ChildEntity = append(folder.ChildEntity, vm.Self)
			vm.Parent = &folder.Self
			ctx.Map.Put(vm)
			s.refreshStorage(&vm.VirtualMachine)
		})
	})
	host := ctx.Map.Get(*vm.Runtime.Host).(*simulator.HostSystem)
	ctx.Map.AppendReference(ctx, host, &host.Vm, vm.Self)
	for _, ref := range vm.Datastore {
		ds := ctx.Map.Get(ref).(*simulator.Datastore)
		ctx.Map.AppendReference(ctx, ds, &ds.Vm, vm.Self)
	}
	if vm.ResourcePool != nil {
		switch pool := ctx.Map.Get(*vm.ResourcePool).(type) {
		case *simulator.ResourcePool:
			ctx.Map.AppendReference(ctx, pool, &pool.Vm, vm.Self)
		case *simulator.VirtualApp:
			ctx.Map.AppendReference(ctx, pool, &pool.Vm, vm.Self)
		}
	}
}

func folderOf(r *simulator.Registry, ref types.ManagedObjectReference) *mo.Folder {
	if f, ok := r.Get(ref).(*simulator.Folder); ok {
		return &f.Folder
	}
	return nil
}

func soapFault(fault types.BaseMethodFault) *soap.Fault {
	return simulator.Fault(faultMessage(fault), fault)
}
