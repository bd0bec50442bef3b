package lcsim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

func cardsOf(devices []types.BaseVirtualDevice) []*types.VirtualEthernetCard {
	var out []*types.VirtualEthernetCard
	for _, d := range devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok {
			out = append(out, card.GetVirtualEthernetCard())
		}
	}
	return out
}

// freshMACs gives each network card an address of its own.
//
// The copied address is dropped; a manual one is kept [fact: vs-fresh-mac].
func (b *vmBuilder) freshMACs() {
	for _, card := range cardsOf(b.vm.Config.Hardware.Device) {
		if card.AddressType != string(types.VirtualEthernetCardMacTypeManual) {
			b.sim.assignMAC(card)
		}
	}
}

// assignMAC draws from the range that vCenter assigns from. The serial makes
// it unique within a run.
func (s *Sim) assignMAC(card *types.VirtualEthernetCard) {
	n := s.serial.Add(1)
	card.AddressType = string(types.VirtualEthernetCardMacTypeAssigned)
	card.MacAddress = fmt.Sprintf("00:50:56:%02x:%02x:%02x", 0x80|(n>>16)&0x3f, (n>>8)&0xff, n&0xff)
}

// change applies device edits of a clone spec.
func (b *vmBuilder) change(changes []types.BaseVirtualDeviceConfigSpec, where string) types.BaseMethodFault {
	for i, c := range changes {
		spec := c.GetVirtualDeviceConfigSpec()
		at := fmt.Sprintf("%s[%d]", where, i)
		var fault types.BaseMethodFault
		switch spec.Operation {
		case types.VirtualDeviceConfigSpecOperationEdit:
			fault = b.editDevice(spec.Device, at)
		case types.VirtualDeviceConfigSpecOperationAdd:
			fault = b.addDevice(spec.Device)
		case types.VirtualDeviceConfigSpecOperationRemove:
			fault = b.removeDevice(spec.Device, at)
		}
		if fault != nil {
			return fault
		}
	}
	return nil
}

func (b *vmBuilder) find(device types.BaseVirtualDevice) int {
	key := device.GetVirtualDevice().Key
	return slices.IndexFunc(b.vm.Config.Hardware.Device, func(d types.BaseVirtualDevice) bool {
		return d.GetVirtualDevice().Key == key
	})
}

// editDevice edits a card [fact: vs-card-edits, vs-port-group]
// or a disk's size.
func (b *vmBuilder) editDevice(device types.BaseVirtualDevice, at string) types.BaseMethodFault {
	i := b.find(device)
	if i < 0 {
		return invalidArgument(at + ".device.key")
	}
	switch d := device.(type) {
	case types.BaseVirtualEthernetCard:
		card, old := d.GetVirtualEthernetCard(), b.vm.Config.Hardware.Device[i].(types.BaseVirtualEthernetCard).GetVirtualEthernetCard()
		if card.Backing == nil {
			card.Backing = old.Backing
		}
		if card.UnitNumber == nil {
			card.UnitNumber, card.ControllerKey = old.UnitNumber, old.ControllerKey
		}
		if card.AddressType != string(types.VirtualEthernetCardMacTypeManual) {
			card.AddressType, card.MacAddress = old.AddressType, old.MacAddress
		}
		b.vm.Config.Hardware.Device[i] = device
	case *types.VirtualDisk:
		return growDisk(b.vm.Config.Hardware.Device[i].(*types.VirtualDisk), d, at)
	default:
		b.vm.Config.Hardware.Device[i] = device
	}
	return nil
}

// growDisk takes over a larger capacity.
//
// "Disks with parents cannot be expanded" [fact: vs-linked-no-growth].
func growDisk(disk, wanted *types.VirtualDisk, at string) types.BaseMethodFault {
	size := wantedCapacity(wanted)
	if size <= disk.CapacityInBytes {
		return nil
	}
	if parentOf(disk.Backing) != nil || (disk.NativeUnmanagedLinkedClone != nil && *disk.NativeUnmanagedLinkedClone) {
		return withMessage(invalidArgument(at+".device.capacityInKB"), "Disks with parents cannot be expanded.")
	}
	disk.CapacityInBytes, disk.CapacityInKB = size, size/1024
	return nil
}

func wantedCapacity(disk *types.VirtualDisk) int64 {
	return max(disk.CapacityInBytes, disk.CapacityInKB*1024)
}

// addDevice adds a card or a disk. A linked clone may have more
// disks [fact: vs-more-disks].
func (b *vmBuilder) addDevice(device types.BaseVirtualDevice) types.BaseMethodFault {
	devices := object.VirtualDeviceList(b.vm.Config.Hardware.Device)
	d := device.GetVirtualDevice()
	if d.Key <= 0 || devices.FindByKey(d.Key) != nil {
		d.Key = int32(4000 + rand.IntN(1<<20))
	}
	if d.DeviceInfo == nil {
		d.DeviceInfo = &types.Description{Label: devices.Name(device), Summary: ""}
	}
	switch x := device.(type) {
	case types.BaseVirtualEthernetCard:
		if card := x.GetVirtualEthernetCard(); card.MacAddress == "" {
			b.sim.assignMAC(card)
		}
	case *types.VirtualDisk:
		x.CapacityInBytes = wantedCapacity(x)
		x.CapacityInKB = x.CapacityInBytes / 1024
		info := vmdkOf(x.Backing)
		if info == nil {
			return invalidArgument("device.backing")
		}
		ds := b.place.datastore.Self
		if info.Datastore != nil {
			ds = *info.Datastore
		}
		folder := "[" + b.datastoreName(ds) + "] " + b.folder
		setFile(x.Backing, b.sim.disks.reserve(ds.Value, folder, b.name, diskFile{capacity: x.CapacityInBytes, size: metadataSize}))
		setDiskUUID(x.Backing, newUUID())
	}
	b.vm.Config.Hardware.Device = append(b.vm.Config.Hardware.Device, device)
	return nil
}

func (b *vmBuilder) removeDevice(device types.BaseVirtualDevice, at string) types.BaseMethodFault {
	i := b.find(device)
	if i < 0 {
		return invalidArgument(at + ".device.key")
	}
	b.vm.Config.Hardware.Device = slices.Delete(b.vm.Config.Hardware.Device, i, i+1)
	return nil
}

// setNetworks derives VM.network and guest.net from the cards.
func (b *vmBuilder) setNetworks() {
	vm := &b.vm.VirtualMachine
	vm.Network = nil
	vm.Guest.Net = nil
	for _, card := range cardsOf(vm.Config.Hardware.Device) {
		name := ""
		switch net := card.Backing.(type) {
		case *types.VirtualEthernetCardNetworkBackingInfo:
			name = net.DeviceName
			if net.Network != nil {
				vm.Network = addOnce(vm.Network, *net.Network)
			}
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			ref := types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: net.Port.PortgroupKey}
			vm.Network = addOnce(vm.Network, ref)
		}
		vm.Guest.Net = append(vm.Guest.Net, types.GuestNicInfo{
			Network: name, MacAddress: card.MacAddress, Connected: true, DeviceConfigId: card.Key,
		})
	}
}
