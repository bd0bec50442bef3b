"""The disks and network cards among a VM's or a snapshot's devices. Pure: XML in, data out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final
from xml.etree.ElementTree import Element

from linkedclone.drivers.vsphere.connection.answers import NS, TYPE
from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Disk, Layer

StoreNames = Mapping[str, str]
"""The ids of the datastores that a VM uses, by name. Names are unique per datacenter only."""

_DISK: Final = "VirtualDisk"
"""Nothing is derived from this type; a test asks the API's schema."""

_TPM: Final = "VirtualTPM"

_WITHOUT_FILE: Final = frozenset(
    {
        "VirtualDiskRawDiskVer2BackingInfo",
        "VirtualDiskPartitionedRawDiskVer2BackingInfo",
        "VirtualDeviceRemoteDeviceBackingInfo",
        "VirtualDeviceDeviceBackingInfo",
    }
)
"""The backings of disks that name a device of a host, and no file (a test asks the schema)."""

_BEGIN: Final = b"<VirtualDevice "
_END: Final = b"</VirtualDevice>"
_COUNTS: Final = (b"VirtualDisk", b"macAddress", b"VirtualTPM")
"""Every device that counts contains one of these; if in others too, they are parsed in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What counts of all devices."""

    # Every virtual disk with its device key. One without a file of its own, as a raw remote device,
    # has no chain.
    disks: tuple[tuple[int, Disk], ...] = ()
    macs: tuple[str, ...] = ()  # the MAC addresses of the network cards, lower case
    manual_cards: bool = False  # whether any of those was set by hand
    tpm: bool = False
    # The label of a disk whose files are not told down to the base, though it has a backing by
    # files; empty if there is none.
    cut: str = ""

    def chained(self, stores: StoreNames) -> tuple[Disk, ...]:
        """Return the disks that have files, each layer with the id of its datastore."""
        return tuple(_settle(disk, stores) for _, disk in self.disks if disk.chain)

    @property
    def layers(self) -> Iterator[Layer]:
        """The layers of all disks, as reported."""
        return (layer for _, disk in self.disks for layer in disk.chain)

    def layer_at(self, disk: int, number: int, length: int) -> Layer | None:
        """Return the layer at a place of a disk's chain, if that is as long as is said."""
        chain = next((found.chain for key, found in self.disks if key == disk), ())
        return chain[number] if len(chain) == length else None


class LayerBook:
    """Makes each layer once, however many VMs read it: that saves memory and comparisons."""

    def __init__(self) -> None:
        self._layers: dict[tuple[str | None, str], Layer] = {}

    def find(self, file_name: str, store: str | None) -> Layer:
        """Return the layer of a file name as ``[datastore] folder/file.vmdk``.

        If the server does not tell the datastore's id, the name in brackets takes its place
        until it is looked up.
        """
        key = (store, file_name)
        layer = self._layers.get(key)
        if layer is None:
            name, path = split_file_name(file_name)
            layer = Layer(store=StoreId(store or f"[{name}]"), path=path, store_name=name)
            layer = self._layers.setdefault(key, layer)
        return layer


def is_unresolved(store: str) -> bool:
    """Say whether a datastore's name in brackets takes the place of its id."""
    return store.startswith("[")


def find_store(name: str, stores: StoreNames) -> StoreId:
    """Return a datastore's id; one that nothing tells keeps its name in brackets."""
    return StoreId(stores.get(name, f"[{name}]"))


def drop_devices(body: bytes) -> bytes:
    """Cut out of an answer, before it is parsed, the devices that nothing is read of.

    A VM has a dozen, of which a disk and a card count; the rest is a third of
    the answer. What is cut ends at the next end tag: devices do not nest, and in
    well-formed XML a tag's text occurs nowhere else, except in comments and CDATA;
    with those, or if the server writes its tags otherwise, nothing is cut.
    """
    if b"<!" in body:
        return body
    head, *parts = body.split(_BEGIN)
    kept = [head]
    for part in parts:
        device, end, rest = part.partition(_END)
        counts = not end or any(mark in device for mark in _COUNTS)
        kept.append(_BEGIN + part if counts else rest)
    return b"".join(kept)


def read_hardware(devices: Element, book: LayerBook) -> Hardware:
    """Read the devices of a VM or a snapshot."""
    disks: list[tuple[int, Disk]] = []
    macs: list[str] = []
    manual = tpm = False
    cut = ""
    for device in devices:
        kind = device.get(TYPE, "")
        tpm = tpm or kind.endswith(_TPM)
        if kind == _DISK or kind.endswith(":" + _DISK):
            disk = _read_disk(device, book)
            disks.append((int(device.findtext(NS + "key", "0")), disk))
            cut = disk.label if _is_cut(device.find(NS + "backing")) else cut
            continue
        # Only network cards have this, and what tells its kind; the same test asks the schema.
        mac = device.findtext(NS + "macAddress")
        if mac:
            macs.append(mac.lower())
        manual = manual or device.findtext(NS + "addressType", "").lower() == "manual"
    return Hardware(disks=tuple(disks), macs=tuple(macs), manual_cards=manual, tpm=tpm, cut=cut)


def _read_disk(device: Element, book: LayerBook) -> Disk:
    """Read a disk with its chain [fact: vs-backing-parent, vs-native-clones]."""
    backing = device.find(NS + "backing")
    info = device.find(NS + "deviceInfo")
    label = None if info is None else info.findtext(NS + "label")
    in_bytes = int(device.findtext(NS + "capacityInBytes") or 0)
    return Disk(
        label=f"disk {device.findtext(NS + 'key')}" if label is None else label,
        chain=tuple(_layers(backing, book))[::-1],
        capacity_bytes=in_bytes or int(device.findtext(NS + "capacityInKB") or 0) * 1024,
        independent=backing is not None
        and is_left_out(
            backing.findtext(NS + "diskMode"), backing.findtext(NS + "compatibilityMode")
        ),
        hidden=device.findtext(NS + "nativeUnmanagedLinkedClone") in {"true", "1"},
    )


def _layers(backing: Element | None, book: LayerBook) -> Iterator[Layer]:
    while backing is not None and (name := backing.findtext(NS + "fileName")):
        yield book.find(name, backing.findtext(NS + "datastore"))
        backing = backing.find(NS + "parent")


def _is_cut(backing: Element | None) -> bool:
    """Say whether a chain ends in a backing that has to name a file, and names none.

    Only disks that are devices of a host have backings without files.
    """
    while backing is not None and backing.findtext(NS + "fileName"):
        backing = backing.find(NS + "parent")
        if backing is None:
            return False
    return backing is None or backing.get(TYPE, "").rpartition(":")[2] not in _WITHOUT_FILE


def is_left_out(mode: str | None, compatibility: str | None) -> bool:
    """Say whether snapshots leave a disk out: independent ones, and physical raw mappings."""
    return (mode or "").startswith("independent") or compatibility == "physicalMode"


def _settle(disk: Disk, stores: StoreNames) -> Disk:
    if not any(is_unresolved(layer.store) for layer in disk.chain):
        return disk
    return replace(disk, chain=tuple(settle_layer(layer, stores) for layer in disk.chain))


def settle_layer(layer: Layer, stores: StoreNames) -> Layer:
    """Return a layer with the id of its datastore, where that was not told with it."""
    if not is_unresolved(layer.store):
        return layer
    return replace(layer, store=find_store(layer.store_name, stores))
