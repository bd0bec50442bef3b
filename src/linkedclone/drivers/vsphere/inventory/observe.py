"""Reads VMs: some, or all, with or without the disks of their snapshots."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.decoder import Decoder, Read
from linkedclone.drivers.vsphere.inventory.device_shape import Shape, build_shape
from linkedclone.drivers.vsphere.inventory.devices import Hardware, drop_devices
from linkedclone.drivers.vsphere.inventory.vm import Surroundings, build_vm, choose_properties
from linkedclone.drivers.vsphere.property import surroundings, traversal
from linkedclone.drivers.vsphere.property.collector import Collector, Seen, gather
from linkedclone.drivers.vsphere.property.datacenters import choose_datacenter
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, build_path
from linkedclone.drivers.vsphere.property.questions import Wanted
from linkedclone.drivers.vsphere.property.response import without_collections
from linkedclone.drivers.vsphere.property.traversal import Walk
from linkedclone.errors import GoneError, HypervisorError, PermissionDeniedError
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Vm

if TYPE_CHECKING:
    from linkedclone.model.inventory import Inventory

_ALL: Final = (*traversal.VM_FOLDERS, traversal.STORES, traversal.STORE_USERS)
"""To every VM, by way of the datastores too: so none is missed that is in a
vApp within a vApp, or in a folder that the user may not see."""

_SOME: Final = (*traversal.UP, traversal.VM_STORES)

_HARDWARE: Final = (
    "config.hardware.device",
    "config.hardware.numCPU",
    "config.hardware.numCoresPerSocket",
)
_DEVICES: Final = {"VirtualMachineSnapshot": _HARDWARE}


class Observer:
    """Reads VMs of one endpoint; remembers their names, and the shapes of snapshots.

    The shape of a snapshot never changes, that of a VM counts until the VM is
    read again. A name may change, so it serves error texts only. The
    surroundings of the VM that was read last are remembered with that VM alone.
    """

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector
        self._properties = choose_properties(session.content.about.apiVersion)
        self._shapes: dict[str, Shape] = {}
        self._names: dict[VmId, str] = {}
        self._latest: tuple[Vm, Mapping[str, Seen]] | None = None
        self._lock = threading.Lock()

    def observe(self, *, sizes: bool = False) -> Inventory:
        """Read all VMs whole, in one paged read; ``sizes`` come with them."""
        from linkedclone.drivers.vsphere.inventory import file_layout, shared_datastores
        from linkedclone.drivers.vsphere.inventory import sizes as measuring
        from linkedclone.model.inventory import Inventory

        starts = [self._session.content.rootFolder]
        wanted, ways = self._wanted(whole=True), (*_ALL, *traversal.SNAPSHOTS)
        wanted["VirtualMachineSnapshot"] = ("config.hardware.device",)
        wanted["Datastore"] = ("name", shared_datastores.URL, "vm")
        wanted["Folder"] = (*PARTS["Folder"], "childEntity")
        wanted["Datacenter"] = (*PARTS["Datacenter"], "datastore")
        if sizes:
            wanted["Datastore"] = (*measuring.STORE, shared_datastores.URL, "vm")
            wanted["VirtualMachine"] = (*self._properties, *file_layout.PATHS[1:])
        decoder = Decoder()
        around = self._read("read the inventory", starts, wanted, ways, decoder)
        around = self._complete(around, wanted, decoder)
        with without_collections():
            vms = self._build(around)
            found = Inventory(vms=vms, outside=self._find_outside(vms, around.reads))
            if sizes:
                found = measuring.measure(found, around, decoder.book)
            return shared_datastores.unify(
                found, shared_datastores.find_twins(around.reads.values(), around.told_stores())
            )

    def _find_outside(self, vms: Sequence[Vm], reads: Mapping[str, Read]) -> frozenset[VmId]:
        """Return the VMs of other datacenters than the one that the endpoint is restricted to.

        The folder of a VM outside all visible folders is unknown,
        and it is shown.
        """
        wanted = self._session.endpoint.datacenter
        if not wanted.strip("/"):
            return frozenset()
        own = choose_datacenter(wanted, reads)
        others = tuple(
            build_path(seen, reads) + "/"
            for seen in reads.values()
            if seen.kind == "Datacenter" and seen.id != own.id
        )
        return frozenset(vm.id for vm in vms if vm.path.startswith(others))

    def _complete(self, around: Surroundings, wanted: Wanted, decoder: Decoder) -> Surroundings:
        """Read what the answer names and leaves out: made just now, or not to be seen.

        What is gone is left out. A VM that still is not told counts as one that
        cannot be read, for others may depend on what it depends on.
        """
        from linkedclone.drivers.vsphere.inventory import untold

        about, asked = "read what was left out", set[str]()
        while places := {
            moid: kind
            for moid, kind in untold.find_untold_places(around.reads).items()
            if moid not in asked
        }:
            asked |= places.keys()
            starts = [self._session.managed(kind, moid) for moid, kind in places.items()]
            with suppress(PermissionDeniedError):  # a place that may not be seen
                more = self._read(about, starts, wanted, (*_ALL, *traversal.SNAPSHOTS), decoder)
                around = Surroundings({**around.reads, **more.reads})
        vms = sorted(untold.find_untold_vms(around.reads))
        if vms:
            starts = [self._session.managed("VirtualMachine", moid) for moid in vms]
            ways = (*_SOME, *traversal.SNAPSHOTS)
            try:
                read = self._read(about, starts, wanted, ways, decoder).reads
            except HypervisorError as error:
                read = {moid: untold.build_untold(moid, str(error)) for moid in vms}
            around = Surroundings({**around.reads, **read})
        untold.require_owners(around.reads)
        return around

    def observe_vms(self, ids: Sequence[VmId], *, whole: bool) -> dict[VmId, Vm]:
        """Read some VMs in one call; ``whole`` asks for the disks of their snapshots too."""
        starts = [self._session.managed("VirtualMachine", moid) for moid in dict.fromkeys(ids)]
        ways = _SOME + traversal.SNAPSHOTS if whole else _SOME
        around = self._read("read VMs", starts, self._wanted(whole=whole), ways, Decoder())
        return {vm.id: vm for vm in self._build(around)}

    def observe_source(self, vm_id: VmId) -> Vm | None:
        """Read one VM whole, in one call, with what tells where clones of it can go."""
        start = self._session.managed("VirtualMachine", vm_id)
        ways = (*surroundings.WAYS, *traversal.SNAPSHOTS)
        wanted = {**self._wanted(whole=True), **surroundings.AROUND}
        wanted["VirtualMachine"] = (*dict.fromkeys((*self._properties, *surroundings.OF_SOURCE)),)
        around = self._read("read the VM", [start], wanted, ways, Decoder())
        for vm in self._build(around):
            self._latest = (vm, around.reads)
            return vm
        return None

    def surroundings(self, source: Vm) -> Mapping[str, Seen]:
        """Return what was read together with a VM, by id; nothing if that is not remembered.

        Only for the very object that :meth:`observe_source` returned last: so
        it is never older than what the caller knows of the VM itself.
        """
        latest = self._latest
        return latest[1] if latest is not None and latest[0] is source else {}

    def name(self, vm: VmId) -> str:
        """Return the name that a VM had when it was last read here, for people; else its id."""
        return self._names.get(vm, vm)

    def shape(self, snapshot: SnapshotId, *, whole: bool = False) -> Shape:
        """Return the shape of a snapshot; costs a read only if it was not seen yet.

        Also where it has cards that a clone request is to edit, or where
        ``whole`` asks for all devices: those have to be read in a form that
        can be sent back.
        """
        return self._shape("VirtualMachineSnapshot", snapshot, whole=whole)

    def present_shape(self, vm: VmId, *, whole: bool = False) -> Shape:
        """Return the shape of a VM as it is now; read once until the VM itself is read again."""
        return self._shape("VirtualMachine", vm, whole=whole)

    def _shape(self, kind: str, moid: str, *, whole: bool) -> Shape:
        with self._lock:
            known = self._shapes.get(moid)
            if known is None or (whole and not known.devices):
                start = self._session.managed(kind, moid)
                seen = self._collector.read("read the hardware", [start], {kind: _HARDWARE})
                self._shapes |= {found: _shape_of(one, whole=True) for found, one in seen.items()}
            if moid not in self._shapes:
                raise GoneError(
                    f"{kind}:{moid} does not exist any more",
                    hint="look again: ``list``",
                    kind="ManagedObjectNotFound",
                )
            return self._shapes[moid]

    def _wanted(self, *, whole: bool) -> dict[str, Sequence[str]]:
        devices = _DEVICES if whole else {}
        return {"VirtualMachine": self._properties, "Datastore": ("name",), **PARTS, **devices}

    def _read(
        self,
        about: str,
        starts: Sequence[object],
        wanted: Wanted,
        ways: Sequence[Walk],
        decoder: Decoder,
    ) -> Surroundings:
        reads = self._collector.read_found(
            about, starts, wanted, decoder.decode, ways, lighten=drop_devices
        )
        whole = "VirtualMachineSnapshot" in wanted
        return Surroundings(gather(reads), whole=whole)

    def _build(self, around: Surroundings) -> tuple[Vm, ...]:
        vms: list[Vm] = []
        for read in around.reads.values():
            if read.kind == "VirtualMachine":
                vms.append(build_vm(read, around))
                self._shapes.pop(read.id, None)
            elif read.kind == "VirtualMachineSnapshot":
                self._remember_shape(read)
        self._names.update((vm.id, vm.name) for vm in vms)
        return tuple(vms)

    def _remember_shape(self, snapshot: Read) -> None:
        """Remember a snapshot's shape, where it was read whole enough for a plain clone."""
        hardware: Hardware | None = snapshot.get("config.hardware.device")
        cpus = snapshot.get("config.hardware.numCPU")
        if hardware is None or hardware.manual_cards or cpus is None:
            return
        shape = Shape(
            disks=tuple((key, disk.independent) for key, disk in hardware.disks),
            tpm=hardware.tpm,
            cpus=cpus or None,
            cores_per_socket=snapshot.get("config.hardware.numCoresPerSocket") or None,
        )
        self._shapes.setdefault(snapshot.id, shape)


def _shape_of(seen: Seen, *, whole: bool = False) -> Shape:
    return build_shape(
        seen.demand("config.hardware.device"),
        cpus=seen.get("config.hardware.numCPU"),
        cores_per_socket=seen.get("config.hardware.numCoresPerSocket"),
        whole=whole,
    )
