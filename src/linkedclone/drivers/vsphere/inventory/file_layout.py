"""The sizes of layers, from ``layoutEx``. Pure: XML in, data out.

``layoutEx`` lists chains as descriptors and extents [fact: vs-layout]. The descriptor has
the name that the device's backing names as well, so it identifies the layer.

What is read here is as old as ``layoutEx.timestamp`` says; RefreshStorageInfo is
never called, since it is a call per VM that loads the hosts [fact: vs-layout-age].
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Final
from xml.etree.ElementTree import Element

from linkedclone.drivers.vsphere.connection.answers import NS

PATHS: Final = ("layoutEx.file", "layoutEx.disk", "layoutEx.snapshot", "layoutEx.timestamp")
"""What is read of a VM, in the order in which :func:`read_layout` takes it."""

_DESCRIPTOR: Final = "diskDescriptor"

Place = tuple[str, int, int]
"""Whose disk it is, that is the snapshot's id or nothing for the VM itself, the
disk's device key, and the position of an element in its chain, counted from the base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One element of a chain."""

    name: str  # its file as ``[datastore] folder/file.vmdk``; empty if no file is listed for it
    used_bytes: int  # what its files take together
    missing: bool  # whether one of them, or all, cannot be read
    place: Place
    length: int  # how many elements that chain has


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a VM's layout says."""

    units: tuple[Unit, ...]  # the elements of all its chains, each file once
    measured: datetime | None  # when the sizes were measured, where known


def read_layout(
    listed: Element, own: Element | None, snapshots: Element | None, measured: datetime | None
) -> Layout:
    """Read a VM's layout: its :data:`PATHS`, of which some may be unset."""
    files = {file.findtext(NS + "key"): file for file in listed}
    units: dict[object, Unit] = {}
    for place, length, element in _elements(own, snapshots):
        keys = tuple(key.text for key in element.findall(NS + "fileKey"))
        found = [files[key] for key in keys if key in files]
        identity = keys if found else place
        if identity not in units:
            units[identity] = _build_unit(found, place, length)
    return Layout(units=tuple(units.values()), measured=measured)


def _elements(
    own: Element | None, snapshots: Element | None
) -> Iterator[tuple[Place, int, Element]]:
    owners = [("", own)] if own is not None else []
    owners += [(one.findtext(NS + "key") or "", one) for one in snapshots or ()]
    for owner, holder in owners:
        for disk in holder if holder is own else holder.findall(NS + "disk"):
            key, chain = int(disk.findtext(NS + "key", "0")), disk.findall(NS + "chain")
            for number, element in enumerate(chain):
                yield (owner, key, number), len(chain), element


def _build_unit(files: Sequence[Element], place: Place, length: int) -> Unit:
    names = [file.findtext(NS + "name") or "" for file in files]
    for file, name in zip(files, names, strict=True):
        if file.findtext(NS + "type") == _DESCRIPTOR:
            names.insert(0, name)
            break
    return Unit(
        name=intern(names[0]) if names else "",
        used_bytes=sum(int(file.findtext(NS + "size") or 0) for file in files),
        # Where it is not told whether a file can be read, nothing speaks against it.
        missing=not files
        or any(file.findtext(NS + "accessible") in {"false", "0"} for file in files),
        place=place,
        length=length,
    )
