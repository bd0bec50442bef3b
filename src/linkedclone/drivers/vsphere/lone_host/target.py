"""Where clones go at a lone host, and what makes their UUIDs its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.shared_datastores import URL, read_volume
from linkedclone.drivers.vsphere.placement.target import Placer
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.errors import RefusedError, UnsupportedError
from linkedclone.model.request import CloneRequest, DiskMove, Target
from linkedclone.model.values.ids import FolderId
from linkedclone.model.vm import Vm

_TYPE: Final = "summary.type"
_WANTED: Final = {"Datastore": ("name", URL, _TYPE)}
_NAMESPACES: Final = frozenset({"vsan", "vsand", "vvol"})
"""Kinds of datastores, in lower case, whose folders are objects that this driver does not make."""


def folder_of(target: Target) -> FolderId:
    """Return the inventory folder of a target: what precedes the id of its datastore."""
    return FolderId(target.folder.partition("@")[0])


def resolve_target(
    session: Session, collector: Collector, placer: Placer, source: Vm, request: CloneRequest
) -> Target:
    """Look up where clones go: one folder of VMs, and in their datastore a directory for each.

    UUIDs follow from the folder, and so from the datastore as well: hosts of cheap boards
    share the id of their hardware [fact: vs-esxi-host-id].
    """
    if request.disk_move is DiskMove.CHILD_MOST:
        raise UnsupportedError(
            f"``disk_move`` {request.disk_move.value} means nothing to a lone ESXi host",
            hint="leave it out for linked clones, or make full ones",
            kind="NotSupported",
        )
    target = placer.resolve_target(source, request)
    linked = request.disk_move.linked
    ids = {target.datastore, *(str(layer.store) for layer in source.layers if linked)}
    starts = [session.managed("Datastore", moid) for moid in sorted(ids)]
    stores = collector.read("look at the datastores", starts, _WANTED)
    _check_kinds(source, target, stores)
    volume = read_volume(str(stores[target.datastore].demand(URL)))
    return replace(target, folder=FolderId(f"{target.folder}@{volume}"))


def _check_kinds(source: Vm, target: Target, stores: Mapping[str, Seen]) -> None:
    """Refuse a datastore without plain directories, and a chain over file systems of two kinds."""
    kinds = {moid: str(seen.demand(_TYPE)).lower() for moid, seen in stores.items()}
    kind = kinds.get(target.datastore, "")
    if kind in _NAMESPACES:
        raise RefusedError(
            f"the datastore {target.datastore_name} is {kind}, where linkedclone cannot make the "
            "folders of clones without a vCenter",
            hint="name a VMFS or NFS ``placement.datastore``, or the vCenter as the endpoint",
        )
    others = sorted({other for other in kinds.values() if other != kind})
    if others:
        raise RefusedError(
            f"the disks of {source.name} are on {', '.join(others)}, and {target.datastore_name} "
            f"is {kind}: a chain of disks does not cross kinds of file systems",
            hint="name a ``placement.datastore`` of the same kind, or make full clones",
        )
