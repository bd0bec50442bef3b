"""A VM's snapshot tree, flattened. Pure: XML in, data out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element

from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.pages import NS
from linkedclone.model.ids import SnapshotId
from linkedclone.model.observed import Snapshot

_CURRENT: Final = NS + "currentSnapshot"
_ROOTS: Final = NS + "rootSnapshotList"
_BELOW: Final = NS + "childSnapshotList"
_SNAPSHOT: Final = NS + "snapshot"
_NAME: Final = NS + "name"
_DESCRIPTION: Final = NS + "description"
_CREATED: Final = NS + "createTime"


def read_snapshots(info: Element) -> tuple[Snapshot, ...]:
    """Return all snapshots, parents before children, as yet without their disks."""
    current = info.findtext(_CURRENT) or ""
    return tuple(_walk(info.findall(_ROOTS), "", current))


def _walk(nodes: Iterable[Element], above: str, current: str) -> Iterator[Snapshot]:
    for node in nodes:
        moid = SnapshotId(node.findtext(_SNAPSHOT) or "")
        name = unescape(node.findtext(_NAME) or "")
        path = f"{above}/{name}" if above else name
        created = node.findtext(_CREATED)
        yield Snapshot(
            id=moid,
            name=name,
            path=path,
            created=datetime.fromisoformat(created) if created else None,
            current=moid == current,
            description=node.findtext(_DESCRIPTION) or "",
        )
        yield from _walk(node.findall(_BELOW), path, current)
