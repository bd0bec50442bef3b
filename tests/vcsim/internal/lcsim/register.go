package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// folderMethods makes and registers VMs on a lone host.
type folderMethods struct {
	unlocked
	Self   types.ManagedObjectReference
	sim    *Sim
	folder *mo.Folder
}

// Reference implements mo.Reference.
func (m *folderMethods) Reference() types.ManagedObjectReference { return m.Self }

// retiredVM is what the files of an unregistered VM say of it.
type retiredVM struct {
	vm        mo.VirtualMachine
	snapshots []mo.VirtualMachineSnapshot
}

// UnregisterVM takes a VM out of the inventory of a lone host; all its files
// stay [fact: vs-unregister].
func (m *vmMethods) UnregisterVM(ctx *simulator.Context, req *types.UnregisterVM) (body soap.HasFault) {
	ctx.WithLock(m.vm, func() {
		if m.sim.vm(m.vm.Self) == nil {
			body = &methods.UnregisterVMBody{Fault_: soapFault(&types.ManagedObjectNotFound{Obj: m.Self})}
			return
		}
		retired := &retiredVM{vm: deepCopy(m.vm.VirtualMachine)}
		snapshots := m.sim.snapshotsOf(&m.vm.VirtualMachine)
		for _, snap := range snapshots {
			retired.snapshots = append(retired.snapshots, deepCopy(snap.VirtualMachineSnapshot))
		}
		vmx := m.sim.configOf(m.vm.Self)
		if body = m.vm.UnregisterVM(ctx, req); body.Fault() != nil || !m.sim.host.lone {
			return
		}
		m.sim.host.vms.Store(vmx, retired)
		for _, snap := range snapshots {
			ctx.Map.Remove(ctx, snap.Self)
		}
	})
	return body
}

func (s *Sim) configOf(vm types.ManagedObjectReference) fileID {
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	return s.disks.configOf[vm]
}

// RegisterVMTask brings a VM back whose .vmx is still there, under a new
// reference [fact: vs-esxi-ids].
func (m *folderMethods) RegisterVMTask(ctx *simulator.Context, req *types.RegisterVM_Task) soap.HasFault {
	return &methods.RegisterVM_TaskBody{Res: &types.RegisterVM_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: methodRegister, id: descriptionID(methodRegister), entity: ctx.Map.Get(m.Self).(mo.Entity),
			run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
				return m.sim.bringBack(ctx, m.folder, req)
			},
		}),
	}}
}

func (s *Sim) bringBack(
	ctx *simulator.Context, folder *mo.Folder, req *types.RegisterVM_Task,
) (types.AnyType, types.BaseMethodFault) {
	id, kind := s.fileOn(nil, req.Path)
	if kind != configFile {
		return nil, &types.NotFound{}
	}
	held, ok := s.host.vms.LoadAndDelete(id)
	if !ok {
		return nil, &types.AlreadyExists{Name: req.Path}
	}
	retired := held.(*retiredVM)
	vm := &simulator.VirtualMachine{DataSets: map[string]*simulator.DataSet{}}
	vm.VirtualMachine = retired.vm
	vm.Self = s.newVM(ctx)
	vm.RecentTask, vm.Parent = nil, &folder.Self
	setIf(&vm.Name, escapeName(req.Name))
	vm.Config.Name = vm.Name
	vm.ResourcePool = req.Pool
	if vm.ResourcePool == nil {
		vm.ResourcePool = retired.vm.ResourcePool
	}
	anew := map[types.ManagedObjectReference]types.ManagedObjectReference{}
	for i := range retired.snapshots {
		snap := &simulator.VirtualMachineSnapshot{VirtualMachineSnapshot: retired.snapshots[i]}
		old := snap.Self
		snap.Self, snap.Vm = s.newSnapshot(vm.Self), vm.Self
		anew[old] = snap.Self
		ctx.Map.Put(snap)
	}
	for _, snap := range s.snapshotsOf(renamedSnapshots(&vm.VirtualMachine, anew)) {
		for i, child := range snap.ChildSnapshot {
			snap.ChildSnapshot[i] = anew[child]
		}
	}
	summarize(&vm.VirtualMachine)
	s.register(ctx, folder, vm)
	return vm.Self, nil
}

// renamedSnapshots gives a VM's snapshot tree the references of a new registration.
func renamedSnapshots(
	vm *mo.VirtualMachine, anew map[types.ManagedObjectReference]types.ManagedObjectReference,
) *mo.VirtualMachine {
	for i, root := range vm.RootSnapshot {
		vm.RootSnapshot[i] = anew[root]
	}
	if vm.Snapshot == nil {
		return vm
	}
	if current := vm.Snapshot.CurrentSnapshot; current != nil {
		now := anew[*current]
		vm.Snapshot.CurrentSnapshot = &now
	}
	var walk func([]types.VirtualMachineSnapshotTree)
	walk = func(nodes []types.VirtualMachineSnapshotTree) {
		for i := range nodes {
			nodes[i].Snapshot, nodes[i].Vm = anew[nodes[i].Snapshot], vm.Self
			walk(nodes[i].ChildSnapshotList)
		}
	}
	walk(vm.Snapshot.RootSnapshotList)
	return vm
}
