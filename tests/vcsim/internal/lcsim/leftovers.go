package lcsim

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// describe notes what a file's descriptor says: what it is, and its parent. It
// stays when the VM is unregistered.
func (s *diskStore) describe(layer backing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[idOf(layer)]
	if f == nil {
		return
	}
	f.uuid, f.content = identityOf(layer)
	below := fileID{}
	if parent := parentOf(layer); parent != nil {
		below = idOf(parent)
	}
	if f.parent != below {
		f.parent, f.seen = below, 0
		if p := s.files[below]; p != nil {
			f.seen = p.version
		}
	}
}

// noteConfig notes where a VM's .vmx lies.
func (s *Sim) noteConfig(vm *mo.VirtualMachine) {
	name := vm.Config.Files.VmPathName
	e := s.registry().FindByName(parsePath(name).Datastore, vm.Datastore)
	if e == nil || !strings.HasSuffix(name, ".vmx") {
		return
	}
	id := fileID{e.Reference().Value, name}
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	delete(s.disks.configs, s.disks.configOf[vm.Self])
	s.disks.configs[id], s.disks.configOf[vm.Self] = true, id
}

// forgetVM is what unregistering does: the .vmx stays.
//
// After unregistering, all files are as they were [fact: vs-unregister].
func (s *diskStore) forgetVM(vm types.ManagedObjectReference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.configOf, vm)
}

func (s *diskStore) removeConfig(id fileID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.configs, id)
}

// extentOf names the file that holds a disk's data.
func extentOf(id fileID, f diskFile) fileID {
	suffix := "-flat.vmdk"
	if f.parent.name != "" || f.hidden.name != "" {
		suffix = "-delta.vmdk"
	}
	return fileID{id.datastore, strings.TrimSuffix(id.name, ".vmdk") + suffix}
}

// leaveOrphan leaves a delta over a VM's first disk behind in its folder, as a
// snapshot task does that dies half-way.
func (s *Sim) leaveOrphan(name string) (string, error) {
	for _, e := range s.registry().All("VirtualMachine") {
		vm, ok := e.(*simulator.VirtualMachine)
		if !ok || vm.Name != name {
			continue
		}
		var orphan fileID
		s.context().WithLock(vm, func() {
			disk := disksOf(vm.Config.Hardware.Device)[0]
			top := idOf(disk.Backing)
			home := "[" + parsePath(top.name).Datastore + "] " + fileID{name: vm.Config.Files.VmPathName}.folder()
			orphan = s.disks.reserveDelta(top.datastore, home, deltaStem(top.name), diskFile{
				capacity: disk.CapacityInBytes, size: deltaSize, parent: top,
			})
		})
		return orphan.name, nil
	}
	return "", fmt.Errorf("no VM %q", name)
}

// unmount takes a datastore from a host, as a storage network does that fails.
func (s *Sim) unmount(host, datastore string) error {
	for _, e := range s.registry().All("HostSystem") {
		h, ok := e.(*simulator.HostSystem)
		if !ok || h.Name != host {
			continue
		}
		ctx := s.context()
		ds, ok := ctx.Map.FindByName(datastore, h.Datastore).(*simulator.Datastore)
		if !ok {
			return fmt.Errorf("host %s has no datastore %q", host, datastore)
		}
		s.hideStore(ctx, ds, h)
		return nil
	}
	return fmt.Errorf("no host %q", host)
}
