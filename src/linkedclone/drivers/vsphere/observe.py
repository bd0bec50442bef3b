"""Reads VMs: some, or all, with or without the disks of their snapshots."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere import walks
from linkedclone.drivers.vsphere.collector import Collector, Seen
from linkedclone.drivers.vsphere.disks import build_disks
from linkedclone.drivers.vsphere.native import moid_of
from linkedclone.drivers.vsphere.paths import PARTS
from linkedclone.drivers.vsphere.session import Session
from linkedclone.drivers.vsphere.shapes import Shape, build_shape
from linkedclone.drivers.vsphere.snapshots import list_snapshots
from linkedclone.drivers.vsphere.vms import PROPERTIES, build_vm, store_names
from linkedclone.model.ids import SnapshotId, VmId
from linkedclone.model.inventory import Inventory
from linkedclone.model.observed import Disk, Vm

_ALL: Final = (*walks.VM_FOLDERS, walks.STORES, walks.STORE_USERS)
"""To every VM, by way of the datastores too: so none is missed that stands in a
vApp within a vApp, or in a folder that the user may not see."""

_SOME: Final = (*walks.UP, walks.VM_STORES)

_DEVICES: Final = {"VirtualMachineSnapshot": ("config.hardware.device",)}

_WANTED: Final[Mapping[str, Sequence[str]]] = {
    "VirtualMachine": PROPERTIES,
    "Datastore": ("name",),
    **PARTS,
}

_WANTED_WHOLE: Final = {**_WANTED, **_DEVICES}


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
        """Read all VMs whole, in one paged read."""
        root = self._session.content.rootFolder
        ways = (*_ALL, *walks.SNAPSHOTS)
        about = "read the inventory"
        around = self._collector.read(about, [root], _WANTED_WHOLE, ways, lazily=True)
        return Inventory(vms=self._build(around))

    def observe_vms(self, ids: Sequence[VmId], *, whole: bool) -> dict[VmId, Vm]:
        """Read some VMs in one call; ``whole`` asks for the disks of their snapshots too."""
        starts = [self._session.managed("VirtualMachine", moid) for moid in dict.fromkeys(ids)]
        wanted, ways = (_WANTED, _SOME) if not whole else (_WANTED_WHOLE, _SOME + walks.SNAPSHOTS)
        around = self._collector.read("read VMs", starts, wanted, ways, lazily=True)
        return {vm.id: vm for vm in self._build(around)}

    def name(self, vm: VmId) -> str:
        """Return the name that a VM had when it was last read here, for people; else its id."""
        return self._names.get(vm, vm)

    def shape(self, snapshot: SnapshotId) -> Shape:
        """Return the shape of a snapshot; costs a read only if it was not seen yet.

        Also where it has cards that a clone request is to edit: those have to
        be read in a form that can be sent back.
        """
        with self._lock:
            if snapshot not in self._shapes:
                start = self._session.managed("VirtualMachineSnapshot", snapshot)
                seen = self._collector.read("read the snapshot", [start], _DEVICES)
                self._shapes |= {SnapshotId(moid): _shape_of(one) for moid, one in seen.items()}
        return self._shapes.get(snapshot, Shape())

    def _build(self, around: Mapping[str, Seen]) -> tuple[Vm, ...]:
        vms = [seen for seen in around.values() if seen.kind == "VirtualMachine"]
        built = tuple(build_vm(seen, around, self._snapshot_disks(seen, around)) for seen in vms)
        self._names.update((vm.id, vm.name) for vm in built)
        return built

    def _snapshot_disks(
        self, vm: Seen, around: Mapping[str, Seen]
    ) -> dict[SnapshotId, tuple[Disk, ...]]:
        """Return the disks of those snapshots that were read along with the VM."""
        disks = {}
        for native in list_snapshots(vm.get("snapshot")):
            seen = around.get(moid_of(native))
            if seen is None:
                continue
            snapshot = SnapshotId(seen.id)
            devices = seen.get("config.hardware.device") or ()
            disks[snapshot] = build_disks(devices, store_names(vm, around))
            shape = _shape_of(seen)
            if not shape.manual_cards:
                self._shapes[snapshot] = shape
        return disks


def _shape_of(snapshot: Seen) -> Shape:
    return build_shape(snapshot.get("config.hardware.device") or ())
