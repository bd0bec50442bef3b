"""Whole inventories: from the XML of the answers straight to our own data.

**What is read.** One RetrievePropertiesEx from the root folder, for leaf
properties only: of a VM those in ``vms.PROPERTIES``, its mark and metadata by key
out of extraConfig; its files, for what it shares, a tenth of the answer
(simulator); of a snapshot its devices, because only they tell the layers that
clones depend on; of folders their names, for paths. With sizes, the other parts
of ``layoutEx`` and the room on the datastores come in the same answers.
``config.hardware.device`` is most of it, and cannot be read in part: a disk may
have any key, and a guard must see every chain.

**How.** The server sends pages of 100 objects. While one is taken apart, the
next is on its way: its token precedes the objects, so a look at the head
of a page is enough to ask for it (``response``). Of each page

1. the devices that are neither disk nor card are cut out of the bytes
   (``hardware.drop_devices``): an unused third of the answer;
2. the rest is parsed with the standard library's ElementTree, which is C;
3. each property becomes plain data by a function of its own, below, in
   ``devices``, ``snapshots`` and ``file_layout``; no object of pyVmomi is made;
4. the page is dropped. What stays is our own data, each layer once however many
   VMs read it.

VMs are put together last (``vms``), since their folders, datastores and snapshots
may come on other pages. Python's cycle collector is held off meanwhile.

**What it costs**, in processor time for 10,000 VMs of which 4,000 are linked
clones, with sizes, from the bytes to the Lineage (138 MB; the row ``lineage`` of
``script/bench`` measures it again): 1.2 times a bare streaming parse of the same
bytes with iterparse, 3 times expat that is not even looked at, an eighth of what
pyVmomi takes for its decoding alone, in a process of less than 100 MB. Of our
time the parse is half; cutting the devices out saves a quarter of it, the
collector another quarter.

That it says the same as pyVmomi is held by ``tests/vsphere/inventory/test_decoding.py``,
field by field.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any, Final
from xml.etree.ElementTree import Element

from linkedclone.drivers.vsphere.connection.answers import NS, TYPE, read_date, read_flag
from linkedclone.drivers.vsphere.inventory import marks, metadata
from linkedclone.drivers.vsphere.inventory.devices import LayerBook, read_hardware
from linkedclone.drivers.vsphere.inventory.guest_info import read_cards, read_customization
from linkedclone.drivers.vsphere.inventory.snapshots import read_snapshots
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.drivers.vsphere.property.response import Found

LAYOUT: Final = "layoutEx"
"""The name of the layout among a VM's values, put together of four properties."""

FILES: Final = "layoutEx.file"
"""The files of a VM, with their sizes."""

DISK_FILES: Final = "disk files"
"""The name of those that are descriptors and extents of disks."""

DiskFile = tuple[str, int, int | None]
"""A file's name, its size, and how much of it no other file shares; None if that is not told."""

INSTANCE_ID: Final = "instance-id"
"""The name of the instance-id, which is in the text of a property."""

_PLACES: Final = frozenset({"Folder", "Datacenter"})
_DISK_TYPES: Final = frozenset({"diskDescriptor", "diskExtent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Seen):
    """One managed object, its values plain data: a reference is the id of what it refers to."""

    def id_at(self, path: str) -> str:
        """Return the id of the object that a property refers to, or an empty string."""
        return str(self.values.get(path, ""))

    def ids_at(self, path: str) -> tuple[str, ...]:
        """Return the ids of all objects that a property refers to."""
        return tuple(self.values.get(path, ()))


class Decoder:
    """Decodes the objects of one read; remembers the layers that it has met."""

    def __init__(self) -> None:
        self.book = LayerBook()
        self._decoders: dict[str, Callable[[Element], Any]] = {
            **_DECODERS,
            "config.hardware.device": lambda element: read_hardware(element, self.book),
        }

    def decode(self, found: Found) -> Read:
        """Decode an object's properties."""
        decoders, values = self._decoders, {}
        for path, element in found.elements.items():
            values[path] = decoders.get(path, _read_text)(element)
        if metadata.TEXT in values:
            # Some KiB, of which a few characters count.
            values[INSTANCE_ID] = metadata.read_instance_id(
                values.pop(metadata.TEXT), values.pop(metadata.ENCODING, "")
            )
        if FILES in values:
            values[DISK_FILES] = _read_disk_files(values[FILES])
        if any(path.startswith("layoutEx.") and path != FILES for path in values):
            from linkedclone.drivers.vsphere.inventory import file_layout

            parts = (values.pop(path, None) for path in file_layout.PATHS)
            if (listed := next(parts)) is not None:
                values[LAYOUT] = file_layout.read_layout(listed, *parts)
        values.pop(FILES, None)
        return Read(kind=found.kind, id=found.id, values=values, refused=found.refused)


def _read_text(element: Element) -> str:
    return element.text or ""


def _read_option(element: Element) -> str:
    return element.findtext(NS + "value") or ""


def _keep(element: Element) -> Element:
    return element


def _read_references(element: Element) -> tuple[str, ...]:
    return tuple(intern(reference.text or "") for reference in element)


def _read_reference(element: Element) -> str:
    return intern(element.text or "")


def _read_one_or_all(element: Element) -> str | tuple[str, ...]:
    """Read what is one reference of a snapshot, and a list of them of a datastore."""
    several = "ArrayOf" in element.get(TYPE, "")
    return _read_references(element) if several else _read_reference(element)


def _read_places(element: Element) -> tuple[tuple[str, str], ...]:
    found = ((intern(one.get("type", "")), intern(one.text or "")) for one in element)
    return tuple((kind, moid) for kind, moid in found if kind in _PLACES)


def _read_flag(element: Element) -> bool:
    return read_flag(element.text)


def _read_number(element: Element) -> int:
    return int(element.text or 0)


def _read_date(element: Element) -> datetime:
    return read_date(element.text)


def _read_disk_files(files: Element) -> tuple[DiskFile, ...]:
    return tuple(
        (
            file.findtext(NS + "name") or "",
            int(file.findtext(NS + "size") or 0),
            None if (unique := file.findtext(NS + "uniqueSize")) is None else int(unique),
        )
        for file in files
        if file.findtext(NS + "type") in _DISK_TYPES
    )


_DECODERS: Final[Mapping[str, Callable[[Element], Any]]] = {
    "parent": _read_reference,
    "parentVApp": _read_reference,
    "parentFolder": _read_reference,
    "datastore": _read_references,
    "host": _read_references,
    "vm": _read_one_or_all,
    "childEntity": _read_places,
    "rootSnapshot": _read_references,
    "config.template": _read_flag,
    "config.createDate": _read_date,
    "config.hardware.numCPU": _read_number,
    "config.hardware.numCoresPerSocket": _read_number,
    "config.hardware.memoryMB": _read_number,
    "snapshot": read_snapshots,
    "runtime.powerState": _read_reference,
    "runtime.bootTime": _read_date,
    "runtime.instantCloneFrozen": _read_flag,
    "guest.net": read_cards,
    "guest.customizationInfo": read_customization,
    "guest.toolsRunningStatus": _read_reference,
    "layoutEx.timestamp": _read_date,
    FILES: _keep,
    "layoutEx.disk": _keep,
    "layoutEx.snapshot": _keep,
    **dict.fromkeys((*marks.PATHS, *metadata.PATHS), _read_option),
    "summary.capacity": _read_number,
    "summary.freeSpace": _read_number,
}
"""Properties that are not plain text."""
