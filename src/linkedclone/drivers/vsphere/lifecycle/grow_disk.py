"""Makes disks larger."""

from __future__ import annotations

from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.device_shape import is_disk, label_of
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.errors import GoneError, InputError, NotFoundError
from linkedclone.model.values.ids import VmId

_STEP: Final = 1024


def read_disk(collector: Collector, vm: Native, name: VmId | str, label: str) -> Native:
    """Read one disk of a VM in a form that can be sent back."""
    wanted = {"VirtualMachine": ("config.hardware.device",)}
    seen = next(iter(collector.read(f"read {name}", [vm], wanted).values()), None)
    if seen is None:
        raise GoneError(f"{name} is gone", hint="look again: ``list``")
    for device in seen.demand("config.hardware.device"):
        if is_disk(device) and label_of(device) == label:
            return device
    raise NotFoundError(f"{name} has no disk {label!r}")


def build_growth(disk: Native, capacity_bytes: int) -> Native:
    """Return the change that gives a disk another capacity and leaves all else as it is.

    Refused by vCenter for a disk with a parent [fact: vs-linked-no-growth].
    """
    if capacity_bytes % _STEP:
        raise InputError(
            f"{capacity_bytes:,} bytes are not a multiple of 1 KiB",
            hint="vCenter takes the sizes of disks in KiB, as 20GiB",
        )
    device = vim.vm.device.VirtualDisk(
        key=disk.key,
        controllerKey=disk.controllerKey,
        unitNumber=disk.unitNumber,
        backing=disk.backing,
        capacityInBytes=capacity_bytes,
        capacityInKB=capacity_bytes // _STEP,
    )
    edit = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
    return vim.vm.ConfigSpec(deviceChange=[edit])
