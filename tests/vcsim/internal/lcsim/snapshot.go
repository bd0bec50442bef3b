package lcsim

import (
	"fmt"
	"path"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// snapshotRequest is what both forms of CreateSnapshot ask for.
type snapshotRequest struct {
	method, name, description string
	memory, quiesce           bool
}

// CreateSnapshotTask takes a snapshot.
func (m *vmMethods) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{
		Returnval: m.startSnapshot(ctx, snapshotRequest{
			"CreateSnapshot_Task", req.Name, req.Description, req.Memory, req.Quiesce,
		}),
	}}
}

// CreateSnapshotExTask takes a snapshot.
func (m *vmMethods) CreateSnapshotExTask(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) soap.HasFault {
	return &methods.CreateSnapshotEx_TaskBody{Res: &types.CreateSnapshotEx_TaskResponse{
		Returnval: m.startSnapshot(ctx, snapshotRequest{
			"CreateSnapshotEx_Task", req.Name, req.Description, req.Memory, req.QuiesceSpec != nil,
		}),
	}}
}

func (m *vmMethods) startSnapshot(ctx *simulator.Context, req snapshotRequest) types.ManagedObjectReference {
	return m.sim.startTask(ctx, work{
		method: req.method, id: descriptionID(req.method), entity: m.vm,
		run: func(ctx *simulator.Context) (result types.AnyType, fault types.BaseMethodFault) {
			ctx.WithLock(m.vm, func() {
				if m.vm.Config.Template {
					// A template cannot be snapshotted [fact: vs-template-snapshot].
					fault = &types.NotSupported{}
					return
				}
				result = m.sim.takeSnapshot(ctx, m.vm, req)
			})
			return result, fault
		},
	})
}

// takeSnapshot freezes the disks and moves the VM onto new deltas.
//
// A snapshot moves the VM onto its own delta [fact: vs-snapshot-freezes]. The snapshot's config keeps naming the frozen file, so that two
// snapshots name two files. The caller holds the VM's lock.
func (s *Sim) takeSnapshot(
	ctx *simulator.Context, vm *simulator.VirtualMachine, req snapshotRequest,
) types.ManagedObjectReference {
	snap := &simulator.VirtualMachineSnapshot{}
	snap.Self, snap.Vm = s.newSnapshot(vm.Self), vm.Self
	snap.Config = deepCopy(*vm.Config)
	ctx.Map.Put(snap)

	counter, _ := s.snapshots.LoadOrStore(vm.Self, new(atomic.Int32))
	state := vm.Runtime.PowerState
	if !req.memory {
		// Memory counts only for a running VM [fact: vs-snapshot-options].
		state = types.VirtualMachinePowerStatePoweredOff
	}
	node := types.VirtualMachineSnapshotTree{
		Snapshot: snap.Self, Vm: vm.Self, Name: req.name, Description: req.description,
		Id: counter.(*atomic.Int32).Add(1), CreateTime: time.Now(), State: state,
		Quiesced:        req.quiesce && vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn,
		ReplaySupported: types.NewBool(false),
	}
	tree := newTree(vm.Snapshot)
	tree.add(node)
	if parent := s.snapshot(tree.parentOf(snap.Self)); parent != nil {
		ctx.WithLock(parent, func() { parent.ChildSnapshot = append(parent.ChildSnapshot, snap.Self) })
	}
	s.pushDeltas(&vm.VirtualMachine)
	s.publishTree(ctx, vm, tree)
	return snap.Self
}

// newSnapshot is the reference of a snapshot that is about to be made. On a
// host it tells the VM's.
func (s *Sim) newSnapshot(vm types.ManagedObjectReference) types.ManagedObjectReference {
	if !s.host.lone {
		return types.ManagedObjectReference{} // the library gives one
	}
	return types.ManagedObjectReference{
		Type: "VirtualMachineSnapshot", Value: fmt.Sprintf("%s-snapshot-%d", vm.Value, s.serial.Add(1)),
	}
}

// pushDeltas puts an empty delta on each disk that snapshots capture.
func (s *Sim) pushDeltas(vm *mo.VirtualMachine) {
	for _, disk := range disksOf(vm.Config.Hardware.Device) {
		if !isIndependent(disk.Backing) {
			disk.Backing = newChild(disk.Backing, s.newDelta(vm, disk))
			disk.NativeUnmanagedLinkedClone = nil
		}
	}
}

// newDelta reserves "-00000N.vmdk" in the VM's own folder.
func (s *Sim) newDelta(vm *mo.VirtualMachine, disk *types.VirtualDisk) fileID {
	top := idOf(disk.Backing)
	home := path.Dir(parsePath(vm.Config.Files.VmPathName).Path)
	folder := "[" + parsePath(top.name).Datastore + "] " + home
	return s.disks.reserveDelta(top.datastore, folder, deltaStem(top.name), diskFile{
		capacity: disk.CapacityInBytes, size: deltaSize,
	})
}

// publishTree shows a changed tree and changed disks. The caller holds the
// VM's lock.
func (s *Sim) publishTree(ctx *simulator.Context, vm *simulator.VirtualMachine, tree *snapshotTree) {
	info := tree.info()
	vm.Snapshot = info
	var roots []types.ManagedObjectReference
	var val types.AnyType
	if info != nil {
		val = *info
		for _, n := range info.RootSnapshotList {
			roots = append(roots, n.Snapshot)
		}
	}
	s.refreshStorage(&vm.VirtualMachine)
	changes := []types.PropertyChange{
		{Name: "snapshot", Val: val},
		{Name: "config.hardware.device", Val: vm.Config.Hardware.Device},
	}
	if roots == nil {
		changes = append(changes, types.PropertyChange{Name: "rootSnapshot"})
	} else {
		changes = append(changes, types.PropertyChange{Name: "rootSnapshot", Val: roots})
	}
	ctx.Update(vm, changes)
}
