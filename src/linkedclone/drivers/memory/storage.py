"""Disk files: which exist, how large they are, and what new ones are called."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import replace

from linkedclone.model.inventory import LayerFile, Store
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Disk, Layer

DELTA_BYTES = 1 << 20
"""What an empty delta occupies here."""

STORE_BYTES = 1 << 40
"""How much fits on a datastore here."""

Home = tuple[StoreId, str]
"""A VM's own folder, as (store, path)."""

_NUMBER = re.compile(r"-\d{6}$")


class Storage:
    """The files of all stores. Layers are named as vSphere names them."""

    def __init__(self, stores: dict[StoreId, str]) -> None:
        self.stores = stores
        self._bytes: dict[Layer, int] = {}
        self._homes: set[Home] = set()

    @property
    def files(self) -> frozenset[Layer]:
        """Every file that exists."""
        return frozenset(self._bytes)

    def size(self, layer: Layer) -> int:
        """Return the bytes that a file occupies; none if it is gone."""
        return self._bytes.get(layer, 0)

    def look(self, layer: Layer) -> LayerFile:
        """Return what is known of a file."""
        known = self._bytes.get(layer)
        return LayerFile(used_bytes=known, missing=known is None)

    def measure_store(self, store: StoreId) -> Store:
        """Return a datastore with what is free on it."""
        used = sum(size for layer, size in self._bytes.items() if layer.store == store)
        return Store(
            id=store,
            name=self.stores[store],
            capacity_bytes=STORE_BYTES,
            free_bytes=STORE_BYTES - used,
        )

    def make_home(self, store: StoreId, name: str) -> Home:
        """Make a folder for a new VM: ``golden``, or ``golden_1`` where that is taken."""
        paths = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(1)))
        home = next((store, path) for path in paths if not self._is_taken((store, path)))
        self._homes.add(home)
        return home

    def _is_taken(self, home: Home) -> bool:
        return home in self._homes or any((f.store, f.folder) == home for f in self._bytes)

    def drop_home(self, home: Home) -> None:
        """Forget a folder; files that are left in it still hold its name."""
        self._homes.discard(home)

    def make_base(self, home: Home, name: str, size_bytes: int) -> Layer:
        """Make a VM's own file that depends on nothing: ``name.vmdk``, ``name_1.vmdk`` …."""
        stems = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(1)))
        return self._make(home, stems, size_bytes)

    def make_delta(self, home: Home, below: Layer) -> Layer:
        """Make an empty file over another one: ``name-000001.vmdk`` …."""
        stem = _NUMBER.sub("", below.path.rpartition("/")[2].removesuffix(".vmdk"))
        stems = (f"{stem}-{number:06}" for number in itertools.count(1))
        return self._make(home, stems, DELTA_BYTES)

    def _make(self, home: Home, stems: Iterable[str], size_bytes: int) -> Layer:
        store, folder = home
        names = (f"{folder}/{stem}.vmdk" for stem in stems)
        layers = (Layer(store=store, path=name, store_name=self.stores[store]) for name in names)
        layer = next(layer for layer in layers if layer not in self._bytes)
        self._bytes[layer] = size_bytes
        return layer

    def push_deltas(self, home: Home, disks: Iterable[Disk]) -> tuple[Disk, ...]:
        """Put an empty delta over each disk that snapshots capture."""
        return tuple(
            disk if disk.independent else self._push(disk, self.make_delta(home, disk.top))
            for disk in disks
        )

    def link(self, home: Home, name: str, disks: Iterable[Disk]) -> tuple[Disk, ...]:
        """Make the disks of a linked clone: deltas over these, copies of independent ones."""
        return tuple(
            self._copy(home, name, disk)
            if disk.independent
            else self._push(disk, self.make_base(home, name, DELTA_BYTES))
            for disk in disks
        )

    def copy(self, home: Home, name: str, disks: Iterable[Disk]) -> tuple[Disk, ...]:
        """Make the disks of a full clone."""
        return tuple(self._copy(home, name, disk) for disk in disks)

    def copy_tops(self, home: Home, name: str, disks: Iterable[Disk]) -> tuple[Disk, ...]:
        """Make the disks of a clone that shares all but the top files with its source."""
        return tuple(
            replace(
                disk,
                chain=(*disk.chain[:-1], self.make_base(home, name, self.size(disk.top))),
                hidden=False,
            )
            for disk in disks
        )

    def _copy(self, home: Home, name: str, disk: Disk) -> Disk:
        size_bytes = sum(self.size(layer) for layer in disk.chain)
        return replace(disk, chain=(self.make_base(home, name, size_bytes),), hidden=False)

    @staticmethod
    def _push(disk: Disk, layer: Layer) -> Disk:
        return replace(disk, chain=(*disk.chain, layer))

    def merge(self, upper: Layer, lower: Layer) -> None:
        """Write one file into the one below it, and remove it."""
        self._bytes[lower] += self._bytes.pop(upper)

    def remove_unused(self, layers: Iterable[Layer], used: frozenset[Layer]) -> None:
        """Remove those of the files that nothing uses."""
        for layer in set(layers) - used:
            self._bytes.pop(layer, None)
