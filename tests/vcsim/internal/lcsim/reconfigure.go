package lcsim

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// What it takes to make a disk larger [fact: vs-privileges].
const extendRight = "VirtualMachine.Config.DiskExtend"

// ReconfigVMTask refuses what a linked disk cannot do and leaves the rest to
// the library.
func (m *vmMethods) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	if fault := m.checkReconfigure(ctx, &req.Spec); fault != nil {
		return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{
			Returnval: m.sim.startTask(ctx, work{
				method: "ReconfigVM_Task", id: descriptionID("ReconfigVM_Task"), entity: m.vm,
				check: func(*simulator.Context) types.BaseMethodFault { return fault },
			}),
		}}
	}
	for _, change := range req.Spec.DeviceChange {
		m.sim.layDisk(change.GetVirtualDeviceConfigSpec().Device)
	}
	var body soap.HasFault
	ctx.WithLock(m.vm, func() { body = m.vm.ReconfigVMTask(ctx, req) })
	return body
}

func (m *vmMethods) checkReconfigure(ctx *simulator.Context, spec *types.VirtualMachineConfigSpec) (fault types.BaseMethodFault) {
	ctx.WithLock(m.vm, func() {
		// API reference, VirtualMachineConfigSpec.changeVersion: the request is refused
		// if the configuration was changed since that version was read.
		if spec.ChangeVersion != "" && spec.ChangeVersion != m.vm.Config.ChangeVersion {
			fault = &types.ConcurrentAccess{}
			return
		}
		// API reference, ReconfigVM_Task: InvalidPowerState if it is powered on and the
		// hardware cannot take the change; nothing here is hot-pluggable.
		state, hardware := m.vm.Runtime.PowerState, m.vm.Config.Hardware
		processors := spec.NumCPUs != 0 && spec.NumCPUs != hardware.NumCPU
		memory := spec.MemoryMB != 0 && spec.MemoryMB != int64(hardware.MemoryMB)
		if state == types.VirtualMachinePowerStatePoweredOn && (processors || memory) {
			fault = &types.InvalidPowerState{
				RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: state,
			}
			return
		}
		disks := disksOf(m.vm.Config.Hardware.Device)
		for i, change := range spec.DeviceChange {
			c := change.GetVirtualDeviceConfigSpec()
			wanted, isDisk := c.Device.(*types.VirtualDisk)
			if !isDisk || c.Operation != types.VirtualDeviceConfigSpecOperationEdit {
				continue
			}
			for _, disk := range disks {
				if disk.Key != wanted.Key || fault != nil {
					continue
				}
				if wantedCapacity(wanted) > disk.CapacityInBytes && !m.sim.rights.has(extendRight) {
					fault = &types.NoPermission{Object: &m.Self, PrivilegeId: extendRight}
				} else {
					fault = growDisk(deepCopy(disk), wanted, fmt.Sprintf("spec.deviceChange[%d]", i))
				}
			}
		}
	})
	return fault
}
