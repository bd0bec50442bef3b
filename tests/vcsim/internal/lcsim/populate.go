package lcsim

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// populate makes the model's further VMs out of its first ones, "..._VM0". The
// library needs many times longer for each.
func (s *Sim) populate(perPool int, autostart bool) error {
	ctx := s.context()
	for _, e := range s.registry().All("VirtualMachine") {
		first, ok := e.(*simulator.VirtualMachine)
		stem, isFirst := strings.CutSuffix(first.Name, "_VM0")
		if !ok || !isFirst {
			continue
		}
		if s.host.lone {
			s.moveDrive(first)
		}
		place, fault := s.place(ctx, first, types.VirtualMachineRelocateSpec{})
		if fault != nil {
			return fmt.Errorf("populate %s: %T", stem, fault)
		}
		hosts := s.hostsOfPool(ctx, *place.pool)
		for n := 1; n < perPool; n++ {
			place.host = hosts[n%len(hosts)]
			if err := s.addTwin(ctx, first, fmt.Sprintf("%s_VM%d", stem, n), place, autostart); err != nil {
				return err
			}
		}
	}
	return nil
}

// moveDrive puts the CD drive of a VM on an IDE controller: the library has it on
// the unit of a SCSI controller that the disk is on, which no host accepts again.
func (s *Sim) moveDrive(vm *simulator.VirtualMachine) {
	for _, device := range vm.Config.Hardware.Device {
		if drive, ok := device.(*types.VirtualCdrom); ok {
			drive.ControllerKey, drive.UnitNumber = 200, types.NewInt32(0)
		}
	}
}

// addTwin adds a VM like first, with a flat base of its own.
func (s *Sim) addTwin(
	ctx *simulator.Context, first *simulator.VirtualMachine, name string, place placement, on bool,
) error {
	vm := &simulator.VirtualMachine{DataSets: map[string]*simulator.DataSet{}}
	vm.VirtualMachine = deepCopy(first.VirtualMachine)
	vm.Self = s.newVM(ctx)
	b := vmBuilder{sim: s, ctx: ctx, vm: vm, name: name, place: place}
	b.reset()
	b.home()
	b.stem = "disk1"
	if fault := b.moveDisks(types.VirtualMachineRelocateSpec{}, ""); fault != nil {
		return fmt.Errorf("populate %s: %T", name, fault)
	}
	b.freshMACs()
	b.finish()
	s.register(ctx, folderOf(ctx.Map, *first.Parent), vm)
	if on {
		ctx.WithLock(vm, func() { s.setPower(ctx, vm, types.VirtualMachinePowerStatePoweredOn) })
	}
	return nil
}
