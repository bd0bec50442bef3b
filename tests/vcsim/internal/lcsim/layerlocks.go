package lcsim

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// What holds on a lone host for the layers that VMs share, where vCenter's
// reference count is missing.

// topsIn lists the files that a VM with these devices writes to while it runs.
func topsIn(devices []types.BaseVirtualDevice) []fileID {
	var out []fileID
	for _, disk := range disksOf(devices) {
		out = append(out, idOf(disk.Backing))
	}
	return out
}

// writtenBy returns the running VM that has a file open for writing.
func (s *Sim) writtenBy(id fileID) *simulator.VirtualMachine {
	for _, vm := range s.running(id) {
		if s.disks.writes(vm.Self, id) {
			return vm
		}
	}
	return nil
}

func (s *diskStore) writes(vm types.ManagedObjectReference, id fileID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.tops[vm], id)
}

// running lists the running VMs that have a file open.
func (s *Sim) running(id fileID) []*simulator.VirtualMachine {
	s.disks.mu.Lock()
	var users []types.ManagedObjectReference
	for vm, uses := range s.disks.uses {
		if uses[id] {
			users = append(users, vm)
		}
	}
	s.disks.mu.Unlock()
	var out []*simulator.VirtualMachine
	for _, user := range users {
		if vm := s.vm(user); vm != nil && vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
			out = append(out, vm)
		}
	}
	return out
}

// openLayers refuses what a host refuses to open at power-on: a file that
// another VM writes to, a second writer, and a delta whose parent was written
// to since.
//
// [fact: vs-esxi-locks]. The caller holds the VM's lock.
func (s *Sim) openLayers(vm *simulator.VirtualMachine) types.BaseMethodFault {
	for _, disk := range disksOf(vm.Config.Hardware.Device) {
		chain := layers(disk.Backing)
		for i, layer := range chain {
			id := idOf(layer)
			for _, other := range s.running(id) {
				if other.Self != vm.Self && (i == 0 || s.disks.writes(other.Self, id)) {
					return fileLocked(id.name)
				}
			}
		}
		for _, layer := range chain {
			id := idOf(layer)
			f, _ := s.disks.get(id)
			if parent, ok := s.disks.get(f.parent); ok && parent.version != f.seen {
				reason := fmt.Sprintf("Cannot open the disk '%s' or one of the snapshot disks it depends on. "+
					"The parent virtual disk has been modified since the child was created.", id.name)
				return withMessage(&types.GenericVmConfigFault{Reason: reason}, reason)
			}
		}
	}
	return nil
}

// written notes that a file has changed under whatever hangs from it.
func (s *diskStore) written(id fileID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[id]; f != nil {
		f.version++
	}
}

// started notes what a VM changes by starting: its disks, and its NVRAM, which
// a VM with EFI makes for itself where it finds none [fact: vs-esxi-nvram].
func (s *Sim) started(vm *simulator.VirtualMachine) {
	if !s.host.lone {
		return
	}
	for _, id := range topsIn(vm.Config.Hardware.Device) {
		s.disks.written(id)
	}
	if vm.Config.Firmware != string(types.GuestOsDescriptorFirmwareTypeEfi) {
		return
	}
	vmx := parsePath(vm.Config.Files.VmPathName)
	name := strings.TrimSuffix(path.Base(vmx.Path), ".vmx") + ".nvram"
	for _, option := range vm.Config.ExtraConfig {
		if o := option.GetOptionValue(); o.Key == "nvram" {
			name = fmt.Sprint(o.Value)
		}
	}
	id, fault := s.placeOf(nil, "["+vmx.Datastore+"] "+path.Dir(vmx.Path)+"/"+name)
	if fault != nil {
		return
	}
	if info, err := os.Stat(s.realPath(id)); err != nil || info.Size() == 0 {
		_ = os.WriteFile(s.realPath(id), []byte("nvram of "+vm.Config.Uuid+"\n"), 0o600)
	}
}

// dropUnused deletes the files that a VM has no use for any more. vCenter keeps
// those that others use; a lone host counts nothing, and deletes what lies in
// the VM's folder [fact: vs-esxi-deletion].
func (s *Sim) dropUnused(vm *mo.VirtualMachine, before []fileID) {
	if !s.host.lone {
		s.deleteUnused(before)
		return
	}
	uses := s.disks.usesOf(vm.Self)
	for _, id := range before {
		if !slices.Contains(uses, id) && id.folder() == homeOf(vm) {
			s.deleteFile(id)
		}
	}
}

func homeOf(vm *mo.VirtualMachine) string { return fileID{name: vm.Config.Files.VmPathName}.folder() }

// doomed lists the files that Destroy_Task deletes on a lone host: those in the
// VM's own folder, and, where the host is set so, each layer below that nothing
// else hangs from.
//
// Reports contradict each other on the base [fact: vs-esxi-deletion]; none tells of a
// count of the VMs that use a file.
func (s *Sim) doomed(vm *mo.VirtualMachine) []fileID {
	var gone, foreign []fileID
	for _, id := range s.disks.usesOf(vm.Self) {
		if id.folder() == homeOf(vm) {
			gone = append(gone, id)
		} else {
			foreign = append(foreign, id)
		}
	}
	if !s.host.has(&s.host.takesBase) {
		return gone
	}
	for again := true; again; {
		again = false
		for _, id := range foreign {
			if !slices.Contains(gone, id) && s.disks.childless(id, gone) {
				gone, again = append(gone, id), true
			}
		}
	}
	return gone
}

// lockedFile refuses to delete what another VM has open.
func (s *Sim) lockedFile(self types.ManagedObjectReference, ids []fileID) types.BaseMethodFault {
	for _, id := range ids {
		for _, vm := range s.running(id) {
			if vm.Self != self {
				return fileLocked(id.name)
			}
		}
	}
	return nil
}

// childless tells whether nothing but what goes hangs from a file.
func (s *diskStore) childless(id fileID, gone []fileID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for child, f := range s.files {
		if (f.parent == id || f.hidden == id) && !slices.Contains(gone, child) {
			return false
		}
	}
	return true
}
