package lcsim

import (
	"fmt"
	"path"
	"slices"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

// setDevices carries out the spec's device changes on the devices that a host
// gives each VM.
func (c *creation) setDevices() types.BaseMethodFault {
	config := c.b.vm.Config
	config.Hardware.Device = deepCopy(esx.VirtualDevice)
	renamed := map[int32]int32{} // keys of the spec -> keys that were given
	for i, change := range c.spec.DeviceChange {
		spec := change.GetVirtualDeviceConfigSpec()
		d := spec.Device.GetVirtualDevice()
		if key, ok := renamed[d.ControllerKey]; ok {
			d.ControllerKey = key
		}
		at := int32(i)
		var fault types.BaseMethodFault
		switch spec.Operation {
		case types.VirtualDeviceConfigSpecOperationAdd:
			given := d.Key
			fault = c.add(at, spec)
			renamed[given] = d.Key
		case types.VirtualDeviceConfigSpecOperationEdit:
			if c.b.find(spec.Device) < 0 {
				return invalidDevice(at, "device.key")
			}
			fault = c.b.editDevice(spec.Device, fmt.Sprintf("configSpec.deviceChange[%d]", i))
		case types.VirtualDeviceConfigSpecOperationRemove:
			fault = c.b.removeDevice(spec.Device, fmt.Sprintf("configSpec.deviceChange[%d]", i))
		}
		if fault != nil {
			return fault
		}
	}
	return nil
}

// invalidDevice refuses a device. The host says which one, and what of it.
//
// [fact: vs-esxi-child-disk]
func invalidDevice(index int32, property string) types.BaseMethodFault {
	return &types.InvalidDeviceSpec{
		InvalidVmConfig: types.InvalidVmConfig{Property: "virtualDeviceSpec." + property}, DeviceIndex: index,
	}
}

func (c *creation) add(at int32, spec *types.VirtualDeviceConfigSpec) types.BaseMethodFault {
	devices := object.VirtualDeviceList(c.b.vm.Config.Hardware.Device)
	d := spec.Device.GetVirtualDevice()
	if madeByHost(spec.Device) {
		return invalidDevice(at, "device")
	}
	if d.ControllerKey == 0 {
		d.ControllerKey = controllerFor(spec.Device)
	}
	if d.ControllerKey != 0 {
		controller := devices.FindByKey(d.ControllerKey)
		if _, ok := controller.(types.BaseVirtualController); !ok {
			return &types.InvalidController{
				InvalidDeviceSpec: *invalidDevice(at, "device.controllerKey").(*types.InvalidDeviceSpec),
				ControllerKey:     d.ControllerKey,
			}
		}
		if fault := c.plug(at, spec.Device, controller.(types.BaseVirtualController).GetVirtualController()); fault != nil {
			return fault
		}
	} else if sameBus(devices, spec.Device) {
		return invalidDevice(at, "device.busNumber")
	}
	d.Key = c.freeKey(spec.Device)
	if d.ControllerKey != 0 {
		controller := devices.FindByKey(d.ControllerKey).(types.BaseVirtualController).GetVirtualController()
		controller.Device = append(controller.Device, d.Key)
	}
	if d.DeviceInfo == nil {
		d.DeviceInfo = &types.Description{Label: devices.Name(spec.Device), Summary: devices.Name(spec.Device)}
	}
	var fault types.BaseMethodFault
	switch x := spec.Device.(type) {
	case types.BaseVirtualEthernetCard:
		fault = c.addCard(at, x.GetVirtualEthernetCard())
	case *types.VirtualDisk:
		fault = c.addDisk(at, x, spec.FileOperation)
	}
	c.b.vm.Config.Hardware.Device = append(c.b.vm.Config.Hardware.Device, spec.Device)
	return fault
}

// madeByHost tells the devices that each VM has from birth: they are edited,
// adding them is refused [fact: vs-esxi-default-devices].
func madeByHost(device types.BaseVirtualDevice) bool {
	switch device.(type) {
	case *types.VirtualIDEController, *types.VirtualPS2Controller, *types.VirtualPCIController,
		*types.VirtualSIOController, *types.VirtualKeyboard, *types.VirtualPointingDevice,
		*types.VirtualMachineVideoCard, *types.VirtualMachineVMCIDevice:
		return true
	}
	return false
}

func controllerFor(device types.BaseVirtualDevice) int32 {
	switch device.(type) {
	case *types.VirtualFloppy, *types.VirtualSerialPort, *types.VirtualParallelPort:
		return 400
	}
	if _, disk := device.(*types.VirtualDisk); disk {
		return -1 // there is none by default
	}
	return esx.VirtualMachineDefaultDevicePCIControllerKey
}

// plug finds a device its place on a controller.
func (c *creation) plug(at int32, device types.BaseVirtualDevice, on *types.VirtualController) types.BaseMethodFault {
	taken := func(unit int32) bool {
		return slices.ContainsFunc(c.b.vm.Config.Hardware.Device, func(other types.BaseVirtualDevice) bool {
			o := other.GetVirtualDevice()
			return o.ControllerKey == on.Key && o.UnitNumber != nil && *o.UnitNumber == unit
		})
	}
	d := device.GetVirtualDevice()
	_, isDisk := device.(*types.VirtualDisk)
	_, isCard := device.(types.BaseVirtualEthernetCard)
	switch {
	case d.UnitNumber != nil && (taken(*d.UnitNumber) || isDisk && *d.UnitNumber == 7 && on.Key < 2000):
		return invalidDevice(at, "device.unitNumber")
	case d.UnitNumber == nil && isDisk:
		return invalidDevice(at, "device.unitNumber")
	case d.UnitNumber == nil:
		unit := int32(0)
		if isCard {
			unit = 7
		}
		for taken(unit) {
			unit++
		}
		d.UnitNumber = &unit
	}
	return nil
}

func sameBus(devices object.VirtualDeviceList, device types.BaseVirtualDevice) bool {
	controller, ok := device.(types.BaseVirtualController)
	return ok && devices.SelectByType(device).Select(func(other types.BaseVirtualDevice) bool {
		return other.(types.BaseVirtualController).GetVirtualController().BusNumber ==
			controller.GetVirtualController().BusNumber
	}) != nil
}

// freeKey gives keys by kind and place, whatever the spec says [fact: vs-esxi-device-keys].
func (c *creation) freeKey(device types.BaseVirtualDevice) int32 {
	devices := object.VirtualDeviceList(c.b.vm.Config.Hardware.Device)
	d := device.GetVirtualDevice()
	key := int32(13000)
	switch x := device.(type) {
	case types.BaseVirtualSCSIController:
		key = 1000 + x.GetVirtualSCSIController().BusNumber
	case types.BaseVirtualSATAController:
		key = 15000 + x.GetVirtualSATAController().BusNumber
	case *types.VirtualNVMEController:
		key = 31000 + x.BusNumber
	case types.BaseVirtualEthernetCard:
		key = 4000
	case *types.VirtualUSBController:
		key = 7000
	case *types.VirtualUSBXHCIController:
		key = 14000
	case *types.VirtualFloppy:
		key = 8000
	case *types.VirtualSerialPort:
		key = 9000
	case *types.VirtualDisk, *types.VirtualCdrom:
		key = storageKey(d)
	}
	for devices.FindByKey(key) != nil {
		key++
	}
	return key
}

func storageKey(d *types.VirtualDevice) int32 {
	on, unit := d.ControllerKey, *d.UnitNumber
	switch {
	case on >= 31000:
		return 32000 + 64*(on-31000) + unit
	case on >= 15000:
		return 16000 + 30*(on-15000) + unit
	case on >= 1000:
		return 2000 + 16*(on-1000) + unit
	}
	return 3000 + 2*(on-200) + unit
}

// addCard puts a card on a network of this host. Its address comes from the
// VM's BIOS uuid: two VMs with one uuid get one address [fact: vs-esxi-mac].
func (c *creation) addCard(at int32, card *types.VirtualEthernetCard) types.BaseMethodFault {
	dc := c.sim.registry().Any("Datacenter").(*simulator.Datacenter)
	switch net := card.Backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		found := c.sim.registry().FindByName(net.DeviceName, dc.Network)
		if found == nil {
			return &types.InvalidDeviceBacking{
				InvalidDeviceSpec: *invalidDevice(at, "device.backing.deviceName").(*types.InvalidDeviceSpec),
			}
		}
		network := found.Reference()
		net.Network = &network
	default: // opaque and distributed networks are a vCenter's
		return &types.InvalidDeviceBacking{
			InvalidDeviceSpec: *invalidDevice(at, "device.backing").(*types.InvalidDeviceSpec),
		}
	}
	if card.Connectable == nil {
		card.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true}
	}
	if card.AddressType == string(types.VirtualEthernetCardMacTypeManual) && card.MacAddress != "" {
		return nil
	}
	id, err := uuid.Parse(c.b.vm.Config.Uuid)
	if err != nil {
		return invalidArgument("configSpec.uuid")
	}
	n := byte(len(cardsOf(c.b.vm.Config.Hardware.Device)))
	card.AddressType = string(types.VirtualEthernetCardMacTypeGenerated)
	card.MacAddress = fmt.Sprintf("00:0c:29:%02x:%02x:%02x", id[13], id[14], id[15]+10*n)
	return nil
}

// addDisk makes a disk, empty or over a parent, or attaches one that is there.
func (c *creation) addDisk(
	at int32, disk *types.VirtualDisk, operation types.VirtualDeviceConfigSpecFileOperation,
) types.BaseMethodFault {
	info := vmdkOf(disk.Backing)
	if info == nil {
		return invalidDevice(at, "device.backing")
	}
	wanted := wantedCapacity(disk)
	parent := parentOf(disk.Backing)
	mode := modeOf(disk.Backing)
	switch {
	case operation != types.VirtualDeviceConfigSpecFileOperationCreate:
		id, fault := c.sim.diskAt(nil, info.FileName)
		if fault != nil {
			return fault
		}
		disk.Backing = c.sim.backingOf(id)
	case parent != nil:
		if fault := c.addChild(at, disk, vmdkOf(parent).FileName, wanted); fault != nil {
			return fault
		}
	case wanted == 0:
		return invalidDevice(at, "device.capacityInKB")
	default:
		id, fault := c.makeDisk(info.FileName, diskFile{capacity: wanted, size: metadataSize, uuid: newUUID()})
		if fault != nil {
			return fault
		}
		disk.Backing = c.sim.backingOf(id)
	}
	setMode(disk.Backing, mode)
	f, _ := c.sim.disks.get(idOf(disk.Backing))
	disk.CapacityInBytes, disk.CapacityInKB = f.capacity, f.capacity/1024
	return nil
}

// addChild makes an empty delta over a file that is there. Its size is the
// parent's, and no other may be asked for [fact: vs-esxi-child-disk].
func (c *creation) addChild(at int32, disk *types.VirtualDisk, name string, wanted int64) types.BaseMethodFault {
	parent, fault := c.sim.diskAt(nil, name)
	if fault != nil {
		return invalidDevice(at, "device.backing.parent.fileName")
	}
	host := c.b.ctx.Map.Get(c.b.place.host).(*simulator.HostSystem)
	if !host.Capability.DeltaDiskBackingsSupported {
		return &types.DeviceBackingNotSupported{
			DeviceNotSupported: types.DeviceNotSupported{Device: "VirtualDisk"}, Backing: "parent",
		}
	}
	f, _ := c.sim.disks.get(parent)
	if wanted != 0 && wanted != f.capacity {
		return invalidDevice(at, "device.capacityInKB")
	}
	mode := c.sim.modes.take()
	if mode == modeDegrade {
		size := c.sim.chainSize(c.sim.backingOf(parent))
		id, fault := c.makeDisk(vmdkOf(disk.Backing).FileName, diskFile{capacity: f.capacity, size: size, uuid: newUUID()})
		disk.Backing = c.sim.backingOf(id)
		return fault
	}
	child := diskFile{capacity: f.capacity, size: deltaSize, uuid: f.uuid}
	if mode == modeNative {
		child.hidden = parent
		disk.NativeUnmanagedLinkedClone = types.NewBool(true)
	}
	id, fault := c.makeDisk(vmdkOf(disk.Backing).FileName, child)
	if fault != nil {
		return fault
	}
	if mode == modeNative {
		disk.Backing = c.sim.backingOf(id)
	} else {
		disk.Backing = newChild(c.sim.backingOf(parent), id)
	}
	return nil
}

// makeDisk makes a file under a whole name, or under one that the host picks in
// the VM's folder.
func (c *creation) makeDisk(name string, f diskFile) (fileID, types.BaseMethodFault) {
	var id fileID
	if p := parsePath(name); p.Path != "" {
		var fault types.BaseMethodFault
		if id, fault = c.sim.newDisk(nil, name, f); fault != nil {
			return id, fault
		}
	} else {
		home := parsePath(c.vmx.name)
		setIf(&home.Datastore, p.Datastore)
		at, fault := c.sim.placeOf(nil, "["+home.Datastore+"] "+path.Dir(home.Path))
		if fault != nil {
			return id, fault
		}
		id = c.sim.disks.reserve(at.datastore, at.name, c.b.name, f)
	}
	c.files = append(c.files, id)
	return id, nil
}

func modeOf(b backing) string {
	switch x := b.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		return x.DiskMode
	case *types.VirtualDiskSeSparseBackingInfo:
		return x.DiskMode
	}
	return ""
}

func setMode(b backing, mode string) {
	if x, ok := b.(*types.VirtualDiskFlatVer2BackingInfo); ok {
		setIf(&x.DiskMode, mode)
	}
}
