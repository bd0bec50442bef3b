"""A VM as vSphere describes it, as ours. Pure: properties in, data out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from linkedclone.drivers.vsphere.inventory import metadata
from linkedclone.drivers.vsphere.inventory.decoder import (
    DISK_FILES,
    FILES,
    INSTANCE_ID,
    DiskFile,
    Read,
)
from linkedclone.drivers.vsphere.inventory.devices import (
    Hardware,
    StoreNames,
    find_store,
    is_unresolved,
)
from linkedclone.drivers.vsphere.inventory.guest_info import choose_addresses, settle
from linkedclone.drivers.vsphere.inventory.marks import PATHS, read_mark
from linkedclone.drivers.vsphere.names import split_file_name, store_of, unescape
from linkedclone.drivers.vsphere.property.inventory_path import above_of, build_prefix
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.model.values.networks import read_host_name
from linkedclone.model.vm import Power, Snapshot, Vm

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
    "rootSnapshot",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.bootTime",
    "runtime.instantCloneFrozen",
    "guest.hostName",
    "guest.ipAddress",
    "guest.net",
    "guest.toolsRunningStatus",
    "guest.customizationInfo",
    FILES,
)
"""What is read of a VM: leaf properties only."""

_SINCE: Final = {
    "config.createDate": (6, 7),
    "runtime.instantCloneFrozen": (6, 7),
    "guest.customizationInfo": (7, 0, 2),
}
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
    """What VMs have in common, computed once: their folders and datastores."""

    def __init__(self, reads: Mapping[str, Read], *, whole: bool = True) -> None:
        self.reads = reads
        self.whole = whole
        self._prefixes: dict[str, str] = {}
        self._listed: dict[tuple[str, ...], StoreNames] = {}
        self._told: dict[str, set[str]] | None = None

    def build_path(self, read: Read) -> str:
        """Return a VM's inventory path, see ``paths``."""
        above = above_of(read)
        if above not in self._prefixes:
            self._prefixes[above] = build_prefix(above, self.reads)
        return f"{self._prefixes[above]}/{read.values.get('name') or read.id}"

    def store_names(self, read: Read) -> StoreNames:
        """Return the ids of a VM's datastores by the names in its file names.

        What its own backings tell comes first: they name a datastore and give
        its id. Then come the datastores themselves, as far as the user may see
        them, and last what the backings of other VMs tell of the datastores
        that this one uses. A name of two datastores is left out.
        """
        listed = self._list_stores(read.values.get("datastore", ()))
        own = self._find_told([read.id, *(s.id for s in read.values.get("snapshot", ()))])
        missing = _names_of(read) - listed.keys() - own.keys()
        if not missing and all({listed.get(name)} == ids for name, ids in own.items()):
            return listed
        used = set(read.values.get("datastore", ()))
        others = {name: self.told_stores().get(name, set()) & used for name in missing}
        found = {**{name: {one} for name, one in listed.items()}, **others, **own}
        return {name: next(iter(ids)) for name, ids in found.items() if len(ids) == 1}

    def _list_stores(self, ids: tuple[str, ...]) -> StoreNames:
        if ids not in self._listed:
            named: dict[str, set[str]] = defaultdict(set)
            for moid in ids:
                store = self.reads.get(moid)
                name = unescape(str(store.get("name") or "")) if store else ""
                if name:
                    named[name].add(moid)
            self._listed[ids] = {n: next(iter(one)) for n, one in named.items() if len(one) == 1}
        return self._listed[ids]

    def _find_told(self, owners: Iterable[str]) -> dict[str, set[str]]:
        told: dict[str, set[str]] = defaultdict(set)
        for owner in owners:
            hardware = self.hardware(owner)
            for layer in hardware.layers if hardware else ():
                if not is_unresolved(layer.store):
                    told[layer.store_name].add(layer.store)
        return told

    def told_stores(self) -> Mapping[str, set[str]]:
        """Return the ids that the disks of all VMs give to names of datastores."""
        if self._told is None:
            self._told = self._find_told(self.reads)
        return self._told

    def find_stores(self, read: Read) -> frozenset[StoreId]:
        """Return all datastores that a VM uses; nothing unless each of them is known."""
        ids = read.values.get("datastore", ())
        known = all(moid in self.reads and not self.reads[moid].refused for moid in ids)
        return frozenset(map(StoreId, ids)) if known else frozenset()

    def hardware(self, owner: str) -> Hardware | None:
        """Return the devices of a VM or a snapshot, if they were read."""
        read = self.reads.get(owner)
        return None if read is None else read.get("config.hardware.device")


def build_vm(read: Read, around: Surroundings) -> Vm:
    """Return a VM; of one that is still being made hardly any property is set."""
    get = read.values.get
    stores = around.store_names(read)
    hardware = around.hardware(read.id) or Hardware()
    bios, instance = get("config.uuid", "").lower(), get("config.instanceUuid", "").lower()
    memory = get("config.hardware.memoryMB")
    path_name = get("config.files.vmPathName", "")
    own, shared = measure_use(get(DISK_FILES), path_name, has_disks=any(hardware.layers))
    customization = settle(get("guest.customizationInfo"), get("config.createDate"))
    vm = Vm(
        id=VmId(read.id),
        name=unescape(get("name", "")) or read.id,
        uuid=instance or bios,
        path=around.build_path(read),
        home=_build_home(path_name, stores),
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
        frozen=get("runtime.instantCloneFrozen", False),
    )
    unreadable = find_unreadable(vm, read, whole=around.whole)
    return vm if not unreadable else _doubt(vm, unreadable, around.find_stores(read))


def _doubt(vm: Vm, unreadable: str, stores: frozenset[StoreId]) -> Vm:
    seen = frozenset(layer.store for layer in vm.layers)
    return replace(vm, unreadable=unreadable, stores=stores and stores | seen)


_STATES: Final = {
    "disconnected": "its host is disconnected, so its state may be out of date",
    "inaccessible": "its host cannot get at its files (inaccessible)",
    "invalid": "its configuration is not valid (invalid)",
    "orphaned": "no host knows it any more (orphaned)",
}
"""What each state of connection but ``connected`` means."""

_STATE: Final = "runtime.connectionState"
_DEVICES: Final = "config.hardware.device"
_ALWAYS: Final = ("name", _STATE, "runtime.powerState")
"""What every VM has [fact: vs-required-properties]."""

_CONFIGURED: Final = ("config.template", "config.uuid", "config.files.vmPathName")
"""What every VM has whose configuration the server can read."""

_NEEDED: Final = frozenset(
    {
        _STATE,
        _DEVICES,
        "snapshot",
        "config.instanceUuid",
        "config.uuid",
        "config.files.vmPathName",
        "name",
    }
)
"""What tells what a VM depends on, which of its layers are its own, and which VM it is."""


def find_unreadable(vm: Vm, read: Read, *, whole: bool) -> str:
    """Say why what a VM depends on is not known; empty if it is.

    A clone that is being made, or was not finished, has no devices either; it stands out
    by its mark, which can be read. ``whole`` tells whether the disks of its snapshots
    were asked for.
    """
    state = read.values.get(_STATE, "connected")
    if state != "connected":
        return _STATES.get(state, f"its state of connection is {state}")
    refused = _find_refused(vm, read)
    if refused:
        return f"the server does not tell {refused}: {read.refused[refused]}"
    for path in _ALWAYS:
        if not read.get(path):
            return f"the server does not tell {path}"
    if read.get("rootSnapshot") and not vm.snapshots:
        return "the server does not tell its snapshots"
    if read.get(_DEVICES) is None:
        return "" if _is_half_made(vm, read) else "the server does not tell its devices"
    return _find_contradiction(vm, read) or _find_gap(vm, whole=whole)


def _is_half_made(vm: Vm, read: Read) -> bool:
    """Say whether a VM without devices is a clone that was not finished.

    The absence of devices is not proof, so the server has to list its files, and
    no disk among them.
    """
    bare = vm.valid_mark is not None and not vm.snapshots and vm.power is Power.OFF
    return bare and read.get(DISK_FILES) == ()


def _find_contradiction(vm: Vm, read: Read) -> str:
    """Say what of a VM's configuration is missing, or speaks against the rest of it."""
    for path in _CONFIGURED:
        if read.get(path) is None:
            return f"the server does not tell {path}"
    hardware: Hardware = read.values[_DEVICES]
    if hardware.cut:
        return f"the server does not tell the file of {hardware.cut}"
    disks = any(one.disks is None or one.disks for one in vm.snapshots) or hardware.disks
    if not disks and read.get(DISK_FILES):
        return "the server lists disk files but no disks"
    return ""


def _find_refused(vm: Vm, read: Read) -> str:
    """Return a property that was refused and that the lineage needs; empty if none was."""
    hidden = any(disk.hidden for disk in vm.disks)
    for path in sorted(read.refused):
        # Of a native clone, only the mark tells what it depends on.
        if path in _NEEDED or (hidden and path in PATHS):
            return path
    return ""


def _find_gap(vm: Vm, *, whole: bool) -> str:
    """Say what is missing of a VM whose devices were read; empty if nothing is."""
    for snapshot in vm.snapshots if whole else ():
        if snapshot.disks is None:
            return f"the server does not tell the disks of its snapshot {snapshot.name}"
    if vm.home is None:
        return "the server does not tell where its files are"
    used = {vm.home[0], *(layer.store for layer in vm.layers)}
    unresolved = sorted(store for store in used if is_unresolved(store))
    if unresolved:
        return f"the server does not tell which datastore {', '.join(unresolved)} is"
    return ""


def _names_of(read: Read) -> set[str]:
    """Return the names of datastores that may have to be looked up: of what comes without an id."""
    home = split_file_name(read.values.get("config.files.vmPathName", ""))[0]
    hardware: Hardware | None = read.values.get(_DEVICES)
    layers = hardware.layers if hardware else ()
    return {layer.store_name for layer in layers if is_unresolved(layer.store)} | (
        {home} if home else set()
    )


def measure_use(
    files: Iterable[DiskFile] | None, path_name: str, *, has_disks: bool = False
) -> tuple[int | None, int | None]:
    """Return the bytes of disk files that the VM alone uses, and those that it shares.

    The sum of ``uniqueSize``, because ``committed`` counts more than disks. Some NAS does
    not tell what is unique, or tells 0 [fact: vs-unique-size]: there, what is in the
    VM's own folder counts as its own. A VM shares all but the layer that it writes to, so
    one of the files in its folder is unique wherever the server reports it.
    """
    listed = tuple(files or ())
    if files is None or (has_disks and not any(size for _, size, _ in listed)):
        return None, None
    home = _folder_of(path_name)
    telling = {store_of(name) for name, _, unique in listed if unique and _folder_of(name) == home}
    own = shared = 0
    for name, size, unique in listed:
        if unique is None or (not unique and store_of(name) not in telling):
            alone = size if _folder_of(name) == home else 0
        else:
            alone = min(unique, size)
        own += alone
        shared += size - alone
    return own, shared


def _folder_of(file_name: str) -> str:
    return split_file_name(file_name)[1].rpartition("/")[0]


def _build_home(path_name: str, stores: StoreNames) -> tuple[StoreId, str] | None:
    name, path = split_file_name(path_name)
    return (find_store(name, stores), path.rpartition("/")[0]) if name else None


def _settle(snapshot: Snapshot, stores: StoreNames, around: Surroundings) -> Snapshot:
    hardware = around.hardware(snapshot.id)
    return (
        snapshot
        if hardware is None or hardware.cut
        else replace(snapshot, disks=hardware.chained(stores))
    )
