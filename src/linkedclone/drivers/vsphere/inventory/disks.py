"""Virtual disks as pyVmomi's objects, for what is sent back; those only read: ``hardware``."""

from __future__ import annotations

from pyVmomi import vim

from linkedclone.drivers.vsphere.native import Native


def is_disk(device: Native) -> bool:
    """Say whether a device is a virtual disk."""
    return isinstance(device, vim.vm.device.VirtualDisk)


def is_independent(disk: Native) -> bool:
    """Say whether snapshots leave the disk out: independent ones, and physical raw mappings."""
    mode = getattr(disk.backing, "diskMode", None) or ""
    physical = getattr(disk.backing, "compatibilityMode", None) == "physicalMode"
    return mode.startswith("independent") or physical


def label_of(device: Native) -> str:
    """Return what people call a device (``Hard disk 1``)."""
    return str(device.deviceInfo.label) if device.deviceInfo else f"disk {device.key}"
