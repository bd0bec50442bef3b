package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// checkerMethods answers for the VirtualMachineProvisioningChecker.
type checkerMethods struct {
	unlocked
	Self types.ManagedObjectReference
	sim  *Sim
}

// Reference implements mo.Reference.
func (m *checkerMethods) Reference() types.ManagedObjectReference { return m.Self }

// CheckCloneTask looks at a clone without making it, as far as this package
// would refuse it before any work is done.
//
// Faults of the spec are in the result, and not the task's own [fact: vs-check-clone].
func (m *checkerMethods) CheckCloneTask(ctx *simulator.Context, req *types.CheckClone_Task) soap.HasFault {
	body := new(methods.CheckClone_TaskBody)
	vm := m.sim.vm(req.Vm)
	folder := folderOf(ctx.Map, req.Folder)
	if vm == nil || folder == nil {
		body.Fault_ = soapFault(&types.ManagedObjectNotFound{Obj: req.Vm})
		return body
	}
	body.Res = &types.CheckClone_TaskResponse{Returnval: m.sim.startTask(ctx, work{
		method: methodCheckClone, id: descriptionID(methodCheckClone), entity: vm,
		run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			result := m.check(ctx, vm, folder, req)
			return types.ArrayOfCheckResult{CheckResult: []types.CheckResult{result}}, nil
		},
	})}
	return body
}

func (m *checkerMethods) check(
	ctx *simulator.Context, vm *simulator.VirtualMachine, folder *mo.Folder, req *types.CheckClone_Task,
) types.CheckResult {
	job := &cloneJob{sim: m.sim, source: vm, folder: folder, name: escapeName(req.Name), spec: req.Spec}
	return m.sim.checked(ctx, job, methodCheckClone, job.check(ctx))
}

// checked is the result for a clone that was refused for this fault, or for none.
func (s *Sim) checked(
	ctx *simulator.Context, job *cloneJob, method string, fault types.BaseMethodFault,
) types.CheckResult {
	result := types.CheckResult{Vm: &job.source.Self}
	if fault == nil {
		if fault = s.names.claim(ctx, job.folder, job.name, job.source.Self); fault == nil {
			s.names.release(job.folder, job.name)
		}
		result.Host = &job.place.host
	}
	if rule := s.faults.take(method, atTask, func() string { return job.name }); rule != nil {
		fault = rule.built
	}
	if fault != nil {
		result.Error = []types.LocalizedMethodFault{{Fault: fault, LocalizedMessage: faultMessage(fault)}}
	}
	return result
}
