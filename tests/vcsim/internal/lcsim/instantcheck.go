package lcsim

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const methodCheckFork = "CheckInstantClone_Task"

// check refuses what vCenter refuses before any work is done.
func (j *forkJob) check(ctx *simulator.Context) (fault types.BaseMethodFault) {
	if fault = checkForkLocation(j.spec.Location); fault != nil {
		return fault
	}
	ctx.WithLock(j.source, func() {
		if fault = checkRuns(j.source); fault == nil {
			fault = checkForkable(j.source.Config.Hardware.Device)
		}
		if fault == nil {
			fault = checkForkChanges(j.source, j.changes)
		}
	})
	if fault != nil {
		return fault
	}
	j.place, fault = j.sim.place(ctx, j.source, j.spec.Location)
	return fault
}

// checkForkLocation refuses what a location of a fork has no room for.
//
// "All other settings are NOT supported" [fact: vs-instant-location]; that vCenter
// refuses them, and as this fault, is the worse case.
func checkForkLocation(location types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	for name, told := range map[string]bool{
		"host":         location.Host != nil,
		"disk":         len(location.Disk) > 0,
		"diskMoveType": location.DiskMoveType != "",
		"profile":      len(location.Profile) > 0,
		"cryptoSpec":   location.CryptoSpec != nil,
	} {
		if told {
			return invalidArgument("spec.location." + name)
		}
	}
	return nil
}

// checkForkChanges takes edits of network cards and of ports that are backed by
// a file.
func checkForkChanges(source *simulator.VirtualMachine, changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	b := vmBuilder{vm: source}
	for i, c := range changes {
		spec := c.GetVirtualDeviceConfigSpec()
		at := fmt.Sprintf("spec.location.deviceChange[%d]", i)
		if spec.Operation != types.VirtualDeviceConfigSpecOperationEdit {
			return invalidArgument(at + ".operation")
		}
		switch d := spec.Device.(type) {
		case types.BaseVirtualEthernetCard:
		case *types.VirtualSerialPort:
			if !isFilePort(d.Backing) {
				return invalidArgument(at + ".device.backing")
			}
		default:
			return invalidArgument(at + ".device")
		}
		if b.find(spec.Device) < 0 {
			return invalidArgument(at + ".device.key")
		}
	}
	return nil
}

func checkRuns(source *simulator.VirtualMachine) types.BaseMethodFault {
	state := source.Runtime.PowerState
	if state == types.VirtualMachinePowerStatePoweredOn {
		return nil
	}
	return &types.InvalidPowerState{
		RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: state,
	}
}

// checkForkable refuses devices that do not migrate [fact: vs-instant-devices].
func checkForkable(devices []types.BaseVirtualDevice) types.BaseMethodFault {
	for _, device := range devices {
		if !staysPut(device) {
			continue
		}
		label := device.GetVirtualDevice().DeviceInfo.GetDescription().Label
		cause := &types.DeviceNotSupported{Device: label}
		return &types.DisallowedMigrationDeviceAttached{Fault: types.LocalizedMethodFault{
			Fault: cause, LocalizedMessage: fmt.Sprintf("Device '%s' is not supported", label),
		}}
	}
	return nil
}

func staysPut(device types.BaseVirtualDevice) bool {
	switch d := device.(type) {
	case *types.VirtualPCIPassthrough, *types.VirtualSriovEthernetCard, *types.VirtualUSB,
		*types.VirtualSCSIPassthrough:
		return true
	case *types.VirtualSerialPort:
		return !isFilePort(d.Backing)
	case *types.VirtualDisk:
		raw, isRaw := d.Backing.(*types.VirtualDiskRawDiskMappingVer1BackingInfo)
		return isIndependent(d.Backing) || (isRaw && raw.CompatibilityMode == "physicalMode")
	case types.BaseVirtualSCSIController:
		return d.GetVirtualSCSIController().SharedBus != types.VirtualSCSISharingNoSharing
	}
	return false
}

func isFilePort(backing types.BaseVirtualDeviceBackingInfo) bool {
	_, isFile := backing.(*types.VirtualSerialPortFileBackingInfo)
	return isFile
}

func isFrozen(vm *simulator.VirtualMachine) bool {
	return vm.Runtime.InstantCloneFrozen != nil && *vm.Runtime.InstantCloneFrozen
}

// CheckInstantCloneTask looks at a fork without making it.
//
// Faults of the spec are in the result, and not the task's own [fact: vs-check-clone].
func (m *checkerMethods) CheckInstantCloneTask(ctx *simulator.Context, req *types.CheckInstantClone_Task) soap.HasFault {
	body := new(methods.CheckInstantClone_TaskBody)
	vm := m.sim.vm(req.Vm)
	if vm == nil {
		body.Fault_ = soapFault(&types.ManagedObjectNotFound{Obj: req.Vm})
		return body
	}
	job, fault := m.sim.newFork(ctx, vm, req.Spec)
	if fault != nil {
		body.Fault_ = soapFault(fault)
		return body
	}
	body.Res = &types.CheckInstantClone_TaskResponse{Returnval: m.sim.startTask(ctx, work{
		method: methodCheckFork, id: descriptionID(methodCheckFork), entity: vm,
		run: func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			fault := job.check(ctx)
			result := m.sim.checked(ctx, &job.cloneJob, methodCheckFork, fault)
			return types.ArrayOfCheckResult{CheckResult: []types.CheckResult{result}}, nil
		},
	})}
	return body
}
