"""A VM as vSphere describes it, as ours. Pure: properties in, data out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from linkedclone.drivers.vsphere import metadata
from linkedclone.drivers.vsphere.decoding import INSTANCE_ID, Read
from linkedclone.drivers.vsphere.guestinfo import choose_addresses, settle
from linkedclone.drivers.vsphere.hardware import Hardware, StoreNames, find_store
from linkedclone.drivers.vsphere.marks import PATHS, read_mark
from linkedclone.drivers.vsphere.names import split_file_name, unescape
from linkedclone.drivers.vsphere.paths import above_of, build_prefix
from linkedclone.model.ids import StoreId, VmId
from linkedclone.model.networks import read_host_name
from linkedclone.model.observed import Power, Snapshot, Vm

PROPERTIES: Final = (
    "name",
    "parent",
    "parentVApp",
    "datastore",
    "config.instanceUuid",
    "config.uuid",
    "config.template",
    "config.createDate",
    "config.files.vmPathName",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.hardware.device",
    *PATHS,
    *metadata.PATHS,
    "snapshot",
    "runtime.powerState",
    "runtime.bootTime",
    "guest.hostName",
    "guest.ipAddress",
    "guest.net",
    "guest.toolsRunningStatus",
    "guest.customizationInfo",
    "storage.perDatastoreUsage",
)
"""What is read of a VM: leaf properties only."""

_SINCE: Final = {"config.createDate": (6, 7), "guest.customizationInfo": (7, 0, 2)}
"""The API that knows a property first. An older one refuses a whole read for its sake."""

_POWER: Final = {
    "poweredOn": Power.ON,
    "poweredOff": Power.OFF,
    "suspended": Power.SUSPENDED,
}


def choose_properties(api_version: str) -> tuple[str, ...]:
    """Return those of the :data:`PROPERTIES` that an API version as ``8.0.3.0`` knows."""
    numbers = tuple(int(part) for part in api_version.split(".") if part.isdecimal())
    return tuple(path for path in PROPERTIES if numbers >= _SINCE.get(path, ()))


class Surroundings:
    """What VMs have in common, worked out once: where they stand, and on which datastores.

    Args:
        reads: All objects that were read, by id: folders, datastores and
            snapshots among them.
    """

    def __init__(self, reads: Mapping[str, Read]) -> None:
        self.reads = reads
        self._prefixes: dict[str, str] = {}
        self._stores: dict[tuple[str, ...], StoreNames] = {}

    def build_path(self, read: Read) -> str:
        """Return a VM's inventory path, see ``paths``."""
        above = above_of(read)
        if above not in self._prefixes:
            self._prefixes[above] = build_prefix(above, self.reads)
        return f"{self._prefixes[above]}/{read.values.get('name', '')}"

    def store_names(self, read: Read) -> StoreNames:
        """Return the ids of a VM's datastores by their names."""
        ids = read.values.get("datastore", ())
        if ids not in self._stores:
            stores = [self.reads[moid] for moid in ids if moid in self.reads]
            self._stores[ids] = {unescape(str(one.get("name") or "")): one.id for one in stores}
        return self._stores[ids]

    def hardware(self, owner: str) -> Hardware | None:
        """Return the devices of a VM or a snapshot, if they were read."""
        read = self.reads.get(owner)
        return None if read is None else read.get("config.hardware.device")


def build_vm(read: Read, around: Surroundings) -> Vm:
    """Return a VM.

    One that is still being made has hardly any property; what is unset comes
    out empty.

    Args:
        read: The VM's :data:`PROPERTIES`.
        around: What it has in common with others.
    """
    get = read.values.get
    stores = around.store_names(read)
    hardware = around.hardware(read.id) or Hardware()
    bios, instance = get("config.uuid", "").lower(), get("config.instanceUuid", "").lower()
    memory = get("config.hardware.memoryMB")
    own, shared = get("storage.perDatastoreUsage", (None, None))
    customization = settle(get("guest.customizationInfo"), get("config.createDate"))
    return Vm(
        id=VmId(read.id),
        name=unescape(get("name", "")),
        uuid=instance or bios,
        path=around.build_path(read),
        home=_build_home(get("config.files.vmPathName", ""), stores),
        power=_POWER.get(get("runtime.powerState", ""), Power.UNKNOWN),
        template=get("config.template", False),
        disks=hardware.chained(stores),
        snapshots=tuple(_settle(snapshot, stores, around) for snapshot in get("snapshot", ())),
        mark=read_mark(read.values),
        host_name=read_host_name(get("guest.hostName", "")),
        addresses=choose_addresses(get("guest.net", ()), get("guest.ipAddress", ""), hardware.macs),
        tools_running=get("guest.toolsRunningStatus") == "guestToolsRunning",
        own_bytes=own,
        shared_bytes=shared,
        created=get("config.createDate"),
        macs=hardware.macs,
        bios_uuid="" if bios == (instance or bios) else bios,
        instance_id=get(INSTANCE_ID, ""),
        customization=customization.status,
        customization_error=customization.error,
        cpus=get("config.hardware.numCPU"),
        memory_bytes=None if memory is None else memory << 20,
        booted=get("runtime.bootTime"),
    )


def _build_home(path_name: str, stores: StoreNames) -> tuple[StoreId, str] | None:
    name, path = split_file_name(path_name)
    return (find_store(name, stores), path.rpartition("/")[0]) if name else None


def _settle(snapshot: Snapshot, stores: StoreNames, around: Surroundings) -> Snapshot:
    """Return a snapshot with its disks, where those were read."""
    hardware = around.hardware(snapshot.id)
    return snapshot if hardware is None else replace(snapshot, disks=hardware.chained(stores))
