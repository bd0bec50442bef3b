"""Further disks of a clone, and the size of its first one. Pure."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.device_shape import Shape, is_disk
from linkedclone.drivers.vsphere.native import Native
from linkedclone.errors import RefusedError
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import NewDisk
from linkedclone.model.values.vm_names import render_count

_FIRST_KEY: Final = 100
"""New devices have negative keys, which only have to differ from each other."""

_SCSI_UNITS: Final = 16
_SCSI_OWN_UNIT: Final = 7
"""The unit that a SCSI controller takes itself [fact: vs-controllers]."""

_NVME_UNITS: Final = 15

_Slot = tuple[int, int]
"""A controller's key, and a unit number on it."""


def build_disk_changes(step: CreateClone, shape: Shape) -> tuple[Native, ...]:
    """Return the changes that give a clone the disks that are wanted besides the parent's."""
    return (*_build_resize(step, shape), *build_new_disks(step, shape))


def find_slots(step: CreateClone, shape: Shape) -> list[_Slot]:
    """Return where the new disks go; refuse more than there is room for."""
    wanted = step.hardware.disks
    slots = list(islice(_free_slots(shape.devices), len(wanted)))
    if len(slots) < len(wanted):
        raise RefusedError(
            f"{step.source.name} has room for {render_count(len(slots), 'further disk')}, "
            f"not for {len(wanted)}",
            details="new disks need a free unit of a SCSI or NVMe controller of the snapshot",
            hint="add a controller to the parent and take a new snapshot of it",
        )
    return slots


def build_new_disks(step: CreateClone, shape: Shape) -> Iterator[Native]:
    """Yield the changes that add the empty disks that are wanted."""
    slots = find_slots(step, shape)
    for number, (disk, slot) in enumerate(zip(step.hardware.disks, slots, strict=True)):
        yield vim.vm.device.VirtualDeviceSpec(
            operation="add",
            fileOperation="create",
            device=_build_disk(disk, slot, number, step.target.datastore),
        )


def _build_disk(disk: NewDisk, slot: _Slot, number: int, datastore: str) -> Native:
    controller, unit = slot
    return vim.vm.device.VirtualDisk(
        key=-(_FIRST_KEY + number),
        controllerKey=controller,
        unitNumber=unit,
        capacityInKB=disk.capacity_bytes >> 10,
        capacityInBytes=disk.capacity_bytes,
        # Without a file name the server makes one up in the clone's own folder.
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName="",
            datastore=vim.Datastore(datastore, None),
            diskMode="persistent",
            thinProvisioned=disk.thin,
        ),
    )


def _free_slots(devices: Sequence[Native]) -> Iterator[_Slot]:
    """Yield the free units of all SCSI and NVMe controllers, in the order of the hardware."""
    taken = {(device.controllerKey, device.unitNumber) for device in devices}
    for device in devices:
        for unit in _units(device):
            if (device.key, unit) not in taken:
                yield device.key, unit


def _units(device: Native) -> Iterator[int]:
    if isinstance(device, vim.vm.device.VirtualSCSIController):
        own = device.scsiCtlrUnitNumber
        own = _SCSI_OWN_UNIT if own is None else own
        yield from (unit for unit in range(_SCSI_UNITS) if unit != own)
    elif isinstance(device, vim.vm.device.VirtualNVMEController):
        yield from range(_NVME_UNITS)


def _build_resize(step: CreateClone, shape: Shape) -> Iterator[Native]:
    """Edit the first disk's size; the planner has refused it for one that depends on another."""
    size = step.hardware.disk_bytes
    first = next(filter(is_disk, shape.devices), None)
    if size is None or first is None or size == first.capacityInBytes:
        return
    yield vim.vm.device.VirtualDeviceSpec(
        operation="edit",
        device=vim.vm.device.VirtualDisk(
            key=first.key,
            controllerKey=first.controllerKey,
            unitNumber=first.unitNumber,
            capacityInKB=size >> 10,
            capacityInBytes=size,
        ),
    )
