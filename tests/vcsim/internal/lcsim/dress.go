package lcsim

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// dress makes a VM of the default model look like a real one: thin disks on a
// flat base, with the enums and sizes set.
func (s *Sim) dress(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	ctx.WithLock(vm, func() {
		mendVM(&vm.VirtualMachine)
		for _, disk := range disksOf(vm.Config.Hardware.Device) {
			setThin(disk.Backing)
			for _, layer := range layers(disk.Backing) {
				// The library writes "[ds] name/disk1.vmdk" without a datastore here and there.
				if vmdkOf(layer).Datastore == nil {
					s.resolveDatastore(&vm.VirtualMachine, layer)
				}
			}
		}
		if !strings.HasSuffix(vm.Config.Files.VmPathName, ".vmx") {
			vm.Config.Files.VmPathName += "/" + vm.Name + ".vmx"
		}
		s.adopt(&vm.VirtualMachine)
		s.refreshStorage(&vm.VirtualMachine)
	})
}

// dressAll takes up the objects that the model began with.
func (s *Sim) dressAll() {
	ctx := s.context()
	for _, e := range s.registry().All("VirtualMachine") {
		if vm, ok := e.(*simulator.VirtualMachine); ok {
			s.dress(ctx, vm)
		}
	}
	for _, e := range s.registry().All("HostSystem") {
		mendHost(e)
	}
}

func (s *Sim) markTemplate(ctx *simulator.Context, name string) error {
	for _, e := range s.registry().All("VirtualMachine") {
		vm, ok := e.(*simulator.VirtualMachine)
		if !ok || vm.Name != name {
			continue
		}
		var res soap.HasFault
		ctx.WithLock(vm, func() { res = vm.MarkAsTemplate(&types.MarkAsTemplate{This: vm.Self}) })
		if f := res.Fault(); f != nil {
			return fmt.Errorf("template %s: %T", name, f.Detail.Fault)
		}
		return nil
	}
	return fmt.Errorf("template %s: no such VM", name)
}

// mendHost sets the capabilities that linked clones ask for.
//
// What a host has to support [fact: vs-move-file-backed].
func mendHost(e mo.Entity) {
	host, ok := e.(*simulator.HostSystem)
	if !ok {
		return
	}
	if host.Capability == nil {
		host.Capability = &types.HostCapability{}
	}
	host.Capability.DeltaDiskBackingsSupported = true
	host.Capability.CloneFromSnapshotSupported = true
}
