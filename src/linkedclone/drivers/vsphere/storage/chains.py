"""The chains of disk files that no VM describes: followed from descriptor to descriptor."""

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.names import VOLUMES
from linkedclone.drivers.vsphere.storage.datastores import Datastore
from linkedclone.drivers.vsphere.storage.file_access import read_head
from linkedclone.errors import LinkedCloneError, NotFoundError
from linkedclone.formats.vmdk_descriptor import HEAD_BYTES, Descriptor, parse_descriptor
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer, Vm

_LONGEST: Final = 256
"""Files in a chain: one more than vSphere allows [fact: vs-depth]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of reading one file."""

    # What it says; None if it is not a descriptor or could not be read.
    descriptor: Descriptor | None = None
    error: LinkedCloneError | None = None  # why it could not be read

    @property
    def missing(self) -> bool:
        """Whether there is no such file."""
        return isinstance(self.error, NotFoundError)


Read = Callable[[Sequence[Layer]], Sequence[Reading]]
"""Reads files, several at once."""


class Chains:
    """Follows chains down, each file read at most once.

    Attributes:
        readings: What came of the files that were read.
        puzzling: Files with a parent that cannot be made out.
    """

    def __init__(self, vms: Iterable[Vm], stores: Sequence[Datastore], read: Read) -> None:
        self._known = _index(vms)
        self._stores = stores
        self._read = read
        self.readings: dict[Layer, Reading] = {}
        self.puzzling: set[Layer] = set()
        self._below: dict[Layer, Layer] = {}

    def follow(self, layers: Iterable[Layer]) -> None:
        """Read these files, what they depend on, and so on to what a VM describes or to a base."""
        wave = list(dict.fromkeys(layers))
        for _ in range(_LONGEST):
            if not wave:
                return
            for layer, reading in zip(wave, self._read(wave), strict=True):
                self._note(layer, reading)
            below = dict.fromkeys(self._below[layer] for layer in wave if layer in self._below)
            wave = [one for one in below if one not in self.readings and one not in self._known]

    def _note(self, layer: Layer, reading: Reading) -> None:
        self.readings[layer] = reading
        hint = reading.descriptor.parent if reading.descriptor else ""
        if not hint:
            return
        parent = find_parent(hint, layer, self._stores)
        if parent is None:
            self.puzzling.add(layer)
        else:
            self._below[layer] = parent

    def is_unknown(self, bottom: Layer) -> bool:
        """Say whether a chain may go on below the last file of it that is known."""
        reading = self.readings.get(bottom)
        unread = reading is not None and reading.error is not None and not reading.missing
        return unread or bottom in self.puzzling

    def chain(self, layer: Layer) -> tuple[Layer, ...]:
        """Return a file with all below it, base first, as far as it is known."""
        found: list[Layer] = []
        current: Layer | None = layer
        while current is not None and current not in found:
            if current in self._known:
                chain, length = self._known[current]
                return (*chain[:length], *reversed(found))
            found.append(current)
            current = self._below.get(current)
        return tuple(reversed(found))


def _index(vms: Iterable[Vm]) -> dict[Layer, tuple[tuple[Layer, ...], int]]:
    """Return for each layer of a VM a chain that goes through it, and its position in it."""
    known: dict[Layer, tuple[tuple[Layer, ...], int]] = {}
    for vm in vms:
        for disk in (*vm.disks, *(d for s in vm.snapshots for d in s.disks or ())):
            for number, layer in enumerate(disk.chain, 1):
                known.setdefault(layer, (disk.chain, number))
    return known


def read_through(session: Session, stores: Sequence[Datastore]) -> Read:
    """Return what reads files over the endpoint's own file access."""
    by_id: Mapping[StoreId, Datastore] = {store.id: store for store in stores}

    def read_one(layer: Layer) -> Reading:
        try:
            head = read_head(session, by_id[layer.store], layer.path, HEAD_BYTES)
        except LinkedCloneError as error:
            return Reading(error=error)
        return Reading(descriptor=parse_descriptor(head))

    return lambda layers: session.map(read_one, layers)


def find_parent(hint: str, layer: Layer, stores: Iterable[Datastore]) -> Layer | None:
    """Return the file that a layer's hint means; None if unknown.

    A hint is relative to the layer's folder, or a path of the host:
    ``/vmfs/volumes/`` with the datastore's name or its volume id.
    """
    if hint.startswith(VOLUMES):
        volume, _, path = hint.removeprefix(VOLUMES).partition("/")
        store = _find_store(volume, layer, tuple(stores))
        return store.layer(posixpath.normpath(path)) if store and path else None
    path = posixpath.normpath(posixpath.join(layer.folder, hint))
    if path.startswith(("/", "..")) or "://" in hint:
        return None
    return Layer(store=layer.store, path=path, store_name=layer.store_name)


def _find_store(volume: str, layer: Layer, stores: tuple[Datastore, ...]) -> Datastore | None:
    """Return the datastore of a volume id; or of a name, in the datacenter of the layer."""
    here = {store.datacenter for store in stores if store.id == layer.store}
    # Storage that several datacenters share has its own id in each.
    by_id = sorted(
        (store for store in stores if store.volume == volume),
        key=lambda store: store.datacenter not in here,
    )
    by_name = [store for store in stores if store.name == volume and store.datacenter in here]
    return next(iter(by_id or by_name), None)
