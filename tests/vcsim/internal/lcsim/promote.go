package lcsim

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// PromoteDisksTask makes a linked clone independent.
func (m *vmMethods) PromoteDisksTask(ctx *simulator.Context, req *types.PromoteDisks_Task) soap.HasFault {
	body := new(methods.PromoteDisks_TaskBody)
	if ctx.Map.IsESX() {
		// vCenter only [fact: vs-promote].
		body.Fault_ = soapFault(&types.NotSupported{})
		return body
	}
	var keys []int32
	for _, disk := range req.Disks {
		keys = append(keys, disk.Key)
	}
	body.Res = &types.PromoteDisks_TaskResponse{Returnval: m.sim.startTask(ctx, work{
		method: "PromoteDisks_Task", id: descriptionID("PromoteDisks_Task"), entity: m.vm,
		run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			var fault types.BaseMethodFault
			ctx.WithLock(m.vm, func() { fault = m.sim.promote(ctx, m.vm, req.Unlink, keys) })
			return nil, fault
		},
	})}
	return body
}

// promote copies or merges layers. The caller holds the VM's lock.
//
// [fact: vs-promote]: unlink true copies shared layers
// into the VM's home, then consolidates; false only merges unshared,
// non-snapshot layers. Empty disks = all delta disks. A powered-on VM must have
// no snapshots. Nothing to do = success.
func (s *Sim) promote(
	ctx *simulator.Context, vm *simulator.VirtualMachine, unlink bool, keys []int32,
) types.BaseMethodFault {
	if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn && vm.Snapshot != nil {
		return &types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: vm.Runtime.PowerState,
		}
	}
	disks := disksOf(vm.Config.Hardware.Device)
	for _, key := range keys {
		if !slices.ContainsFunc(disks, func(d *types.VirtualDisk) bool { return d.Key == key }) {
			return invalidArgument("disks")
		}
	}
	before := s.disks.usesOf(vm.Self)
	p := promoter{sim: s, merger: merger{sim: s, ctx: ctx, vm: &vm.VirtualMachine}}
	for _, disk := range disks {
		if len(keys) > 0 && !slices.Contains(keys, disk.Key) {
			continue
		}
		if unlink {
			p.unlink(disk)
		}
		p.mergeOwn(disk)
	}
	s.publishTree(ctx, vm, newTree(vm.Snapshot))
	s.deleteUnused(before)
	return nil
}

type promoter struct {
	sim    *Sim
	merger merger
}

// unlink replaces the shared part of a chain by one file of the VM's own, in
// its current config and in its snapshots.
func (p *promoter) unlink(disk *types.VirtualDisk) {
	p.reveal(disk)
	for _, layer := range layers(disk.Backing) {
		id := idOf(layer)
		if !p.sim.disks.usedByOther(p.merger.vm.Self, id) && !p.outside(id) {
			continue
		}
		size := p.sim.chainSize(layer)
		own := newCopy(layer, p.newBase(disk, size), nil)
		setDiskUUID(own, diskUUID(disk.Backing))
		p.merger.eachDisk(func(d *types.VirtualDisk) { d.Backing = replaced(d.Backing, id, own) })
		p.sim.refreshStorage(p.merger.vm)
		return
	}
}

// reveal shows the hidden parent of a native clone, to copy it.
func (p *promoter) reveal(disk *types.VirtualDisk) {
	top := idOf(disk.Backing)
	f, ok := p.sim.disks.get(top)
	if !ok || f.hidden.name == "" {
		return
	}
	f.size, f.hidden = p.sim.chainSize(disk.Backing), fileID{}
	p.sim.disks.put(top, f)
	disk.NativeUnmanagedLinkedClone = nil
}

// outside tells layers that lie in another VM's folder: a parent that was
// unregistered or destroyed leaves such.
func (p *promoter) outside(id fileID) bool {
	home := fileID{name: p.merger.vm.Config.Files.VmPathName}.folder()
	return id.folder() != home
}

func (p *promoter) newBase(disk *types.VirtualDisk, size int64) fileID {
	top := idOf(disk.Backing)
	home := fileID{name: p.merger.vm.Config.Files.VmPathName}.folder()
	folder := "[" + parsePath(top.name).Datastore + "] " + home
	return p.sim.disks.reserve(top.datastore, folder, deltaStem(top.name), diskFile{
		capacity: disk.CapacityInBytes, size: size,
	})
}

// mergeOwn merges layers that are the VM's own and that no snapshot needs.
func (p *promoter) mergeOwn(disk *types.VirtualDisk) {
	for range len(layers(disk.Backing)) {
		for _, layer := range layers(disk.Backing) {
			if below := parentOf(layer); below != nil && !p.outside(idOf(below)) {
				p.merger.merge(idOf(below))
			}
		}
	}
}

// replaced puts own in the place of the layer named id.
func replaced(b backing, id fileID, own backing) backing {
	if b == nil {
		return nil
	}
	if idOf(b) == id {
		return deepCopy(own)
	}
	if below := parentOf(b); below != nil {
		setParent(b, replaced(below, id, own))
	}
	return b
}

func diskUUID(b backing) string {
	switch x := b.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		return x.Uuid
	case *types.VirtualDiskSeSparseBackingInfo:
		return x.Uuid
	}
	return ""
}
