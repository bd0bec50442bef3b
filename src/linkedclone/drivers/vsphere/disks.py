"""Virtual disks as vSphere describes them, as ours. Pure: devices in, data out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyVmomi import vim

from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.model.ids import StoreId
from linkedclone.model.observed import Disk, Layer

StoreNames = Mapping[str, str]
"""The ids of the datastores that a VM uses, by name. Names are unique per datacenter only."""


def build_disks(devices: Iterable[Native], stores: StoreNames) -> tuple[Disk, ...]:
    """Return the disks among a VM's or a snapshot's devices, each with its chain, base first.

    ``backing.parent`` goes from child to base, all of one class (handbook,
    section 2). Disks without a file of their own, as raw remote devices, are
    left out: nothing can hang from them.
    """
    disks = (_build_disk(device, stores) for device in devices if is_disk(device))
    return tuple(disk for disk in disks if disk.chain)


def is_disk(device: Native) -> bool:
    """Say whether a device is a virtual disk."""
    return isinstance(device, vim.vm.device.VirtualDisk)


def is_independent(disk: Native) -> bool:
    """Say whether snapshots leave the disk out: independent ones, and physical raw mappings."""
    mode = getattr(disk.backing, "diskMode", None) or ""
    physical = getattr(disk.backing, "compatibilityMode", None) == "physicalMode"
    return mode.startswith("independent") or physical


def _build_disk(device: Native, stores: StoreNames) -> Disk:
    in_bytes = device.capacityInBytes or (device.capacityInKB or 0) * 1024
    return Disk(
        label=device.deviceInfo.label if device.deviceInfo else f"disk {device.key}",
        chain=_build_chain(device.backing, stores),
        capacity_bytes=in_bytes,
        independent=is_independent(device),
        hidden=bool(device.nativeUnmanagedLinkedClone),
    )


def _build_chain(backing: Native, stores: StoreNames) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    while backing is not None and getattr(backing, "fileName", None):
        layers.append(_build_layer(backing, stores))
        backing = getattr(backing, "parent", None)
    return tuple(reversed(layers))


def _build_layer(backing: Native, stores: StoreNames) -> Layer:
    name, path = split_file_name(backing.fileName)
    store = find_store(name, stores) if backing.datastore is None else moid_of(backing.datastore)
    return Layer(store=StoreId(store), path=path, store_name=name)


def find_store(name: str, stores: StoreNames) -> StoreId:
    """Return a datastore's id; one that the VM does not list keeps its name in brackets."""
    return StoreId(stores.get(name, f"[{name}]"))
