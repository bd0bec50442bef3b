"""A VM's snapshot tree, flattened. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.model.ids import SnapshotId
from linkedclone.model.observed import Disk, Snapshot


def build_snapshots(
    info: Native,
    disks: Mapping[SnapshotId, tuple[Disk, ...]],
) -> tuple[Snapshot, ...]:
    """Return all snapshots, parents before children; those not in ``disks`` come without any."""
    if info is None:
        return ()
    current = "" if info.currentSnapshot is None else moid_of(info.currentSnapshot)
    return tuple(_walk(info.rootSnapshotList, "", current, disks))


def _walk(
    nodes: Native,
    above: str,
    current: str,
    disks: Mapping[SnapshotId, tuple[Disk, ...]],
) -> Iterator[Snapshot]:
    for node in nodes or ():
        moid = SnapshotId(moid_of(node.snapshot))
        name = unescape(node.name)
        path = f"{above}/{name}" if above else name
        yield Snapshot(
            id=moid,
            name=name,
            path=path,
            created=node.createTime,
            current=moid == current,
            disks=disks.get(moid),
            description=node.description or "",
        )
        yield from _walk(node.childSnapshotList, path, current, disks)


def list_snapshots(info: Native) -> tuple[Native, ...]:
    """Return the managed objects of all snapshots."""
    if info is None:
        return ()
    found: list[Native] = []
    left = list(info.rootSnapshotList)
    while left:
        node = left.pop()
        found.append(node.snapshot)
        left.extend(node.childSnapshotList or ())
    return tuple(found)
