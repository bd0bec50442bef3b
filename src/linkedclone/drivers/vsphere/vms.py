"""A VM as vSphere describes it, as ours. Pure: properties in, data out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from linkedclone.drivers.vsphere.collector import Seen
from linkedclone.drivers.vsphere.disks import StoreNames, build_disks, find_store
from linkedclone.drivers.vsphere.marks import PATHS, read_mark
from linkedclone.drivers.vsphere.names import split_file_name, unescape
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.paths import build_path
from linkedclone.drivers.vsphere.snapshots import build_snapshots
from linkedclone.model.ids import SnapshotId, StoreId, VmId
from linkedclone.model.observed import Disk, Power, Vm

PROPERTIES: Final = (
    "name",
    "parent",
    "parentVApp",
    "datastore",
    "config.instanceUuid",
    "config.uuid",
    "config.template",
    "config.files.vmPathName",
    "config.hardware.device",
    *PATHS,
    "snapshot",
    "runtime.powerState",
    "guest.hostName",
    "guest.ipAddress",
    "guest.net",
    "guest.toolsRunningStatus",
    "storage.perDatastoreUsage",
)
"""What is read of a VM: leaf properties only."""

_POWER: Final = {
    "poweredOn": Power.ON,
    "poweredOff": Power.OFF,
    "suspended": Power.SUSPENDED,
}


def build_vm(
    seen: Seen, around: Mapping[str, Seen], snapshot_disks: Mapping[SnapshotId, tuple[Disk, ...]]
) -> Vm:
    """Return a VM.

    One that is still being made has hardly any property; what is unset comes
    out empty.

    Args:
        seen: The VM's :data:`PROPERTIES`.
        around: Its folders and datastores, among others.
        snapshot_disks: The disks of snapshots, by snapshot.
    """
    stores = store_names(seen, around)
    usage = seen.get("storage.perDatastoreUsage")
    return Vm(
        id=VmId(seen.id),
        name=unescape(str(seen.get("name") or "")),
        uuid=str(seen.get("config.instanceUuid") or seen.get("config.uuid") or "").lower(),
        path=build_path(seen, around),
        home=_build_home(seen, stores),
        power=_POWER.get(str(seen.get("runtime.powerState")), Power.UNKNOWN),
        template=bool(seen.get("config.template")),
        disks=build_disks(seen.get("config.hardware.device") or (), stores),
        snapshots=build_snapshots(seen.get("snapshot"), snapshot_disks),
        mark=read_mark(seen.values),
        host_name=str(seen.get("guest.hostName") or ""),
        addresses=tuple(dict.fromkeys(_addresses(seen))),
        tools_running=seen.get("guest.toolsRunningStatus") == "guestToolsRunning",
        own_bytes=None if usage is None else sum(item.unshared for item in usage),
        shared_bytes=None
        if usage is None
        else sum(max(item.committed - item.unshared, 0) for item in usage),
    )


def store_names(seen: Seen, around: Mapping[str, Seen]) -> StoreNames:
    """Return the ids of the VM's datastores by their names."""
    stores = (around.get(moid_of(ref)) for ref in seen.get("datastore") or ())
    return {unescape(str(store.get("name"))): store.id for store in stores if store is not None}


def _build_home(seen: Seen, stores: StoreNames) -> tuple[StoreId, str] | None:
    name, path = split_file_name(str(seen.get("config.files.vmPathName") or ""))
    return (find_store(name, stores), path.rpartition("/")[0]) if name else None


def _addresses(seen: Seen) -> Iterator[str]:
    for card in seen.get("guest.net") or ():
        yield from filter(_reachable, _addresses_of(card))
    single = seen.get("guest.ipAddress")
    if single and _reachable(single):
        yield single


def _addresses_of(card: Native) -> Iterable[str]:
    configured = card.ipConfig.ipAddress if card.ipConfig else ()
    return [item.ipAddress for item in configured] or list(card.ipAddress or ())


def _reachable(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_link_local or address.is_loopback or address.is_unspecified)
