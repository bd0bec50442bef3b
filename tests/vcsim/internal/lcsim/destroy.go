package lcsim

import (
	"os"
	"path"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// DestroyTask removes a VM and those of its files that nobody else uses.
func (m *vmMethods) DestroyTask(ctx *simulator.Context, _ *types.Destroy_Task) soap.HasFault {
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: "Destroy_Task", id: descriptionID("Destroy_Task"), entity: m.vm,
			run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
				return nil, m.sim.destroy(ctx, m.vm)
			},
		}),
	}}
}

// destroy unregisters the VM, then deletes what its registration alone kept.
//
// Destroy_Task removes the VM and its disks [fact: vs-destroy]. Modelled as
// reference counting [fact: vs-base-goes-with-last-user]: deleting a parent keeps what its clones
// need, and deleting the last registered user removes the base too. Nothing
// refuses to destroy a parent with clones [fact: vs-parent-unguarded].
func (s *Sim) destroy(ctx *simulator.Context, vm *simulator.VirtualMachine) (fault types.BaseMethodFault) {
	var used []fileID
	var snaps []types.ManagedObjectReference
	var home string
	ctx.WithLock(vm, func() {
		if s.vm(vm.Self) == nil {
			fault = &types.ManagedObjectNotFound{Obj: vm.Self}
			return
		}
		s.refreshStorage(&vm.VirtualMachine)
		used = s.disks.usesOf(vm.Self)
		if s.host.lone {
			used = s.doomed(&vm.VirtualMachine)
			if fault = s.lockedFile(vm.Self, used); fault != nil {
				return
			}
		}
		snaps = snapshotRefs(vm.Snapshot)
		home = vm.Config.Files.VmPathName
		res := vm.UnregisterVM(ctx, &types.UnregisterVM{This: vm.Self})
		if f := res.Fault(); f != nil {
			// Powered on: InvalidPowerState [fact: vs-destroy].
			fault, _ = f.Detail.Fault.(types.BaseMethodFault)
		}
	})
	if fault != nil {
		return fault
	}
	for _, snap := range snaps {
		ctx.Map.Remove(ctx, snap)
	}
	if s.host.lone {
		for _, id := range used {
			s.deleteFile(id)
		}
	}
	s.deleteUnused(used)
	s.deleteHome(home)
	return nil
}

// deleteFile deletes a disk file, and its bytes where the library made some.
func (s *Sim) deleteFile(id fileID) {
	s.disks.remove(id)
	if p := s.localPath(id.datastore, parsePath(id.name).Path); p != "" {
		_ = os.Remove(p)
		_ = os.Remove(strings.TrimSuffix(p, ".vmdk") + "-flat.vmdk")
	}
}

// deleteHome removes the files that the library makes for a VM; disks that
// others still use stay, and with them the folder.
func (s *Sim) deleteHome(vmPathName string) {
	p := parsePath(vmPathName)
	for _, e := range s.registry().All("Datastore") {
		ds := e.(*simulator.Datastore)
		if ds.Name != p.Datastore {
			continue
		}
		s.disks.removeConfig(fileID{ds.Self.Value, vmPathName})
		vmx := path.Join(ds.Summary.Url, p.Path)
		_ = os.Remove(vmx)
		_ = os.Remove(strings.TrimSuffix(vmx, ".vmx") + ".nvram")
		_ = os.Remove(path.Join(path.Dir(vmx), "vmware.log"))
		_ = os.Remove(path.Dir(vmx)) // only if empty
	}
}

func (s *Sim) localPath(datastore, file string) string {
	ref := types.ManagedObjectReference{Type: "Datastore", Value: datastore}
	if ds, ok := s.registry().Get(ref).(*simulator.Datastore); ok {
		return path.Join(ds.Summary.Url, file)
	}
	return ""
}
