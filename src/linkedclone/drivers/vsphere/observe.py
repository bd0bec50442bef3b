"""Reads VMs: some, or all, with or without the disks of their snapshots."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere import walks
from linkedclone.drivers.vsphere.collector import Collector, Seen
from linkedclone.drivers.vsphere.disks import build_disks
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.paths import PARTS
from linkedclone.drivers.vsphere.session import Session
from linkedclone.drivers.vsphere.shapes import Shape, build_shape
from linkedclone.drivers.vsphere.snapshots import list_snapshots
from linkedclone.drivers.vsphere.vms import PROPERTIES, build_vm, store_names
from linkedclone.model.ids import SnapshotId, VmId
from linkedclone.model.observed import Disk, Inventory, Vm

_ALL: Final = (*walks.VM_FOLDERS, walks.STORES, walks.STORE_USERS)
"""To every VM, by way of the datastores too: so none is missed that stands in a
vApp within a vApp, or in a folder that the user may not see."""

_SOME: Final = (*walks.UP, walks.VM_STORES)

_WANTED: Final[Mapping[str, Sequence[str]]] = {
    "VirtualMachine": PROPERTIES,
    "Datastore": ("name",),
    **PARTS,
}


class Observer:
    """Reads VMs of one endpoint; remembers their names, and the shapes of snapshots.

    A shape never changes. A name may, so it serves error texts only.
    """

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector
        self._shapes: dict[SnapshotId, Shape] = {}
        self._names: dict[VmId, str] = {}
        self._lock = threading.Lock()

    def observe(self) -> Inventory:
        """Read all VMs whole. One paged read, and one for the snapshots."""
        root = self._session.content.rootFolder
        around = self._collector.read("read the inventory", [root], _WANTED, _ALL, lazily=True)
        return Inventory(vms=self._build(around, whole=True))

    def observe_vms(self, ids: Sequence[VmId], *, whole: bool) -> dict[VmId, Vm]:
        """Read some VMs in one call; ``whole`` asks for the disks of their snapshots too."""
        starts = [self._session.managed("VirtualMachine", moid) for moid in dict.fromkeys(ids)]
        around = self._collector.read("read VMs", starts, _WANTED, _SOME, lazily=True)
        return {vm.id: vm for vm in self._build(around, whole=whole)}

    def name(self, vm: VmId) -> str:
        """Return the name that a VM had when it was last read here, for people; else its id."""
        return self._names.get(vm, vm)

    def shape(self, snapshot: SnapshotId) -> Shape:
        """Return the shape of a snapshot; costs a read only the first time."""
        with self._lock:
            if snapshot not in self._shapes:
                self._read_devices([self._session.managed("VirtualMachineSnapshot", snapshot)])
        return self._shapes.get(snapshot, Shape())

    def _build(self, around: Mapping[str, Seen], *, whole: bool) -> tuple[Vm, ...]:
        vms = [seen for seen in around.values() if seen.kind == "VirtualMachine"]
        disks = self._snapshot_disks(vms, around) if whole else {}
        built = tuple(build_vm(seen, around, disks) for seen in vms)
        self._names.update((vm.id, vm.name) for vm in built)
        return built

    def _snapshot_disks(
        self, vms: Iterable[Seen], around: Mapping[str, Seen]
    ) -> dict[SnapshotId, tuple[Disk, ...]]:
        stores = {
            moid_of(snapshot): store_names(vm, around)
            for vm in vms
            for snapshot in list_snapshots(vm.get("snapshot"))
        }
        starts = [self._session.managed("VirtualMachineSnapshot", moid) for moid in stores]
        devices = self._read_devices(starts)
        return {moid: build_disks(found, stores[moid]) for moid, found in devices.items()}

    def _read_devices(self, snapshots: Sequence[Native]) -> dict[SnapshotId, Sequence[Native]]:
        wanted = {"VirtualMachineSnapshot": ("config.hardware.device",)}
        seen = self._collector.read("read snapshots", snapshots, wanted)
        devices = {
            SnapshotId(moid): one.get("config.hardware.device") or () for moid, one in seen.items()
        }
        self._shapes.update({moid: build_shape(found) for moid, found in devices.items()})
        return devices
