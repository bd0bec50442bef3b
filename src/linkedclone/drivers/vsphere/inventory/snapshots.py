"""A VM's snapshot tree, flattened. Pure: XML in, data out."""

from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element

from linkedclone.drivers.vsphere.connection.answers import NS, read_date
from linkedclone.drivers.vsphere.names import unescape, unescape_fully
from linkedclone.model.values.ids import SnapshotId
from linkedclone.model.vm import Snapshot


def read_snapshots(info: Element) -> tuple[Snapshot, ...]:
    """Return all snapshots, parents before children, as yet without their disks."""
    current = info.findtext(NS + "currentSnapshot") or ""
    return tuple(_walk(info.findall(NS + "rootSnapshotList"), (), current))


def _walk(nodes: Iterable[Element], above: tuple[str, ...], current: str) -> Iterator[Snapshot]:
    """Yield snapshots with their names as people gave them.

    The vSphere Client escapes a name before vCenter does: by default one holds
    ``10%252f24%252f2018`` (recorded with 6.7).
    """
    for node in nodes:
        moid = SnapshotId(node.findtext(NS + "snapshot") or "")
        kept = (*above, node.findtext(NS + "name") or "")
        name, path = unescape_fully(kept[-1]), "/".join(map(unescape_fully, kept))
        created = node.findtext(NS + "createTime")
        yield Snapshot(
            id=moid,
            name=name,
            path=path,
            created=read_date(created) if created else None,
            current=moid == current,
            description=node.findtext(NS + "description") or "",
            aliases=_find_aliases(kept, {name, path}),
        )
        yield from _walk(node.findall(NS + "childSnapshotList"), kept, current)


def _find_aliases(kept: tuple[str, ...], shown: set[str]) -> tuple[str, ...]:
    if not any("%" in name for name in kept):
        return ()
    once = tuple(map(unescape, kept))
    spelt = (kept[-1], "/".join(kept), once[-1], "/".join(once))
    return tuple(name for name in dict.fromkeys(spelt) if name not in shown)
