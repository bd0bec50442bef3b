"""What pyVmomi makes of the same answers, as our data: slowly, attribute by attribute."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory import file_layout
from linkedclone.drivers.vsphere.inventory.sizes import STORE
from linkedclone.drivers.vsphere.inventory.vm import PROPERTIES
from linkedclone.drivers.vsphere.names import split_file_name, unescape
from linkedclone.drivers.vsphere.native import moid_of
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, build_path
from linkedclone.model.inventory import Inventory, LayerFile, Store
from linkedclone.model.values.ids import SnapshotId, StoreId, VmId
from linkedclone.model.vm import (
    CustomizationStatus,
    Disk,
    Layer,
    Mark,
    PoolState,
    Power,
    Snapshot,
    Vm,
)

MARKS = {
    "owner": "owner",
    "uuid": "uuid",
    "run": "run",
    "parent": "parent_uuid",
    "parent_name": "parent_name",
    "snapshot": "snapshot",
    "snapshot_name": "snapshot_name",
    "spec": "spec",
    "version": "version",
}
POWERS = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}
WANTED = {
    "VirtualMachine": (*PROPERTIES, *file_layout.PATHS),
    "VirtualMachineSnapshot": ("config.hardware.device",),
    "Datastore": STORE,
    **PARTS,
}
WAYS = (*traversal.VM_FOLDERS, traversal.STORES, traversal.STORE_USERS, *traversal.SNAPSHOTS)


def read_inventory(session: Session) -> Inventory:
    """Read all that an inventory with sizes holds."""
    around = Collector(session).read("read", [session.content.rootFolder], WANTED, WAYS)
    vms = [seen for seen in around.values() if seen.kind == "VirtualMachine"]
    files, measured = _files(vms)
    return Inventory(
        vms=tuple(_vm(seen, around) for seen in vms),
        files=files,
        stores=tuple(
            Store(
                id=StoreId(seen.id),
                name=unescape(seen.get("name")),
                capacity_bytes=seen.get("summary.capacity"),
                free_bytes=seen.get("summary.freeSpace"),
            )
            for seen in around.values()
            if seen.kind == "Datastore"
        ),
        measured=measured,
    )


def _usage(files: list[Any], home: str) -> tuple[int, int]:
    """The simulator leaves ``uniqueSize`` out where it is 0."""
    disks = [file for file in files if file.type in {"diskDescriptor", "diskExtent"}]
    sizes = [(one.size, one.uniqueSize, f"] {home}/" in one.name) for one in disks]
    own = [
        (size if at_home else 0) if unique is None else unique for size, unique, at_home in sizes
    ]
    return sum(own), sum(size for size, _, _ in sizes) - sum(own)


def _vm(seen: Seen, around: Mapping[str, Seen]) -> Vm:
    devices: list[Any] = seen.get("config.hardware.device")
    names = {around[moid_of(s)].get("name"): moid_of(s) for s in seen.get("datastore")}
    store, path = split_file_name(seen.get("config.files.vmPathName"))
    own, shared = _usage(seen.get("layoutEx.file"), path.rpartition("/")[0])
    bios, instance = seen.get("config.uuid"), seen.get("config.instanceUuid")
    metadata = _extra(seen, "guestinfo.metadata")
    return Vm(
        id=VmId(seen.id),
        name=unescape(seen.get("name")),
        uuid=instance,
        path=build_path(seen, around),
        home=(StoreId(names[store]), path.rpartition("/")[0]),
        power=POWERS[str(seen.get("runtime.powerState"))],
        template=seen.get("config.template"),
        disks=_disks(devices),
        snapshots=tuple(_snapshots(seen, around)),
        mark=_mark(seen),
        host_name=seen.get("guest.hostName") or "",
        addresses=tuple(_addresses(seen)),
        tools_running=seen.get("guest.toolsRunningStatus") == "guestToolsRunning",
        own_bytes=own,
        shared_bytes=shared,
        created=seen.get("config.createDate"),
        macs=tuple(one.macAddress.lower() for one in devices if _is_card(one)),
        bios_uuid=bios if bios != instance else "",
        instance_id=metadata.split('"')[3] if metadata else "",
        customization=_customization(seen),
        cpus=seen.get("config.hardware.numCPU"),
        memory_bytes=seen.get("config.hardware.memoryMB") << 20,
        booted=seen.get("runtime.bootTime"),
        frozen=bool(seen.get("runtime.instantCloneFrozen")),
    )


def _is_card(device: object) -> bool:
    return isinstance(device, vim.vm.device.VirtualEthernetCard)


def _disks(devices: list[Any]) -> tuple[Disk, ...]:
    disks: list[Any] = [one for one in devices if isinstance(one, vim.vm.device.VirtualDisk)]
    return tuple(
        Disk(
            label=one.deviceInfo.label,
            chain=tuple(_chain(one.backing))[::-1],
            capacity_bytes=one.capacityInBytes,
            independent=one.backing.diskMode.startswith("independent"),
            hidden=bool(one.nativeUnmanagedLinkedClone),
        )
        for one in disks
    )


def _chain(backing: Any) -> Iterator[Layer]:
    while backing is not None:
        name, path = split_file_name(backing.fileName)
        yield Layer(store=StoreId(moid_of(backing.datastore)), path=path, store_name=name)
        backing = backing.parent


def _snapshots(seen: Seen, around: Mapping[str, Seen]) -> Iterator[Snapshot]:
    info = seen.get("snapshot")
    left = [("", node) for node in reversed(info.rootSnapshotList)] if info else []
    while left:
        above, node = left.pop()
        path = f"{above}/{node.name}" if above else node.name
        moid = moid_of(node.snapshot)
        yield Snapshot(
            id=SnapshotId(moid),
            name=node.name,
            path=path,
            created=node.createTime,
            current=moid == moid_of(info.currentSnapshot),
            disks=_disks(around[moid].get("config.hardware.device")),
            description=node.description,
        )
        left += [(path, below) for below in reversed(node.childSnapshotList)]


def _extra(seen: Seen, key: str) -> str:
    option = seen.get(f'config.extraConfig["{key}"]')
    return "" if option is None else option.value


def _mark(seen: Seen) -> Mark | None:
    found = {field: _extra(seen, f"linkedclone.{key}") for key, field in MARKS.items()}
    if not found["owner"] or not found["uuid"]:
        return None
    addresses = tuple(_extra(seen, "linkedclone.addresses").split())
    pool = _extra(seen, "linkedclone.pool")
    state = PoolState(**json.loads(pool)) if pool else None
    instant = _extra(seen, "linkedclone.instant") == "yes"
    return Mark(addresses=addresses, pool=state, instant=instant, **found)


def _customization(seen: Seen) -> CustomizationStatus:
    info = seen.get("guest.customizationInfo")
    if info is None or info.customizationStatus == "TOOLSDEPLOYPKG_IDLE":
        return CustomizationStatus.NONE
    return CustomizationStatus(info.customizationStatus.partition("_")[2].lower())


def _addresses(seen: Seen) -> Iterator[str]:
    for card in seen.get("guest.net") or ():
        yield from (one.ipAddress for one in card.ipConfig.ipAddress) if card.ipConfig else ()
    if not any(card.ipConfig for card in seen.get("guest.net") or ()):
        yield from filter(None, [seen.get("guest.ipAddress")])


def _files(vms: list[Seen]) -> tuple[dict[Layer, LayerFile], datetime]:
    latest: dict[Layer, tuple[datetime, LayerFile]] = {}
    for seen in vms:
        when = seen.get("layoutEx.timestamp")
        for layer, file in _files_of(seen):
            if layer not in latest or when > latest[layer][0]:
                latest[layer] = (when, file)
    return {layer: file for layer, (_, file) in latest.items()}, min(
        when for when, _ in latest.values()
    )


def _files_of(seen: Seen) -> Iterator[tuple[Layer, LayerFile]]:
    listed = {file.key: file for file in seen.get("layoutEx.file")}
    snapshots = seen.get("layoutEx.snapshot") or ()
    disks = [*seen.get("layoutEx.disk"), *(disk for one in snapshots for disk in one.disk)]
    for unit in (unit for disk in disks for unit in disk.chain):
        files = [listed[key] for key in unit.fileKey]
        (name,) = (file.name for file in files if file.type == "diskDescriptor")
        missing = not all(file.accessible for file in files)
        used = None if missing else sum(file.size for file in files)
        store, path = split_file_name(name)
        moids = {moid_of(one) for one in seen.get("datastore")}
        assert len(moids) == 1
        yield (
            Layer(store=StoreId(moids.pop()), path=path, store_name=store),
            LayerFile(used_bytes=used, missing=missing),
        )
