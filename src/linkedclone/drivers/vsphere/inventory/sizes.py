"""Sizes of layers and datastores, put together from what was read. Pure.

Apart from ``observe``, because making clones needs none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from linkedclone.drivers.vsphere.inventory.decoder import LAYOUT, Read
from linkedclone.drivers.vsphere.inventory.devices import LayerBook, settle_layer
from linkedclone.drivers.vsphere.inventory.file_layout import Layout, Unit
from linkedclone.drivers.vsphere.inventory.vm import Surroundings
from linkedclone.drivers.vsphere.names import store_of, unescape
from linkedclone.model.inventory import Inventory, LayerFile, Store
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer, Vm

STORE: Final = ("name", "summary.capacity", "summary.freeSpace")
"""What is read of a datastore."""


def measure(found: Inventory, around: Surroundings, book: LayerBook) -> Inventory:
    """Return an inventory with all that was read of sizes."""
    sizes = Sizes()
    for vm in found.vms:
        _measure_vm(vm, around, book, sizes)
    return replace(
        found,
        files=sizes.files,
        stores=tuple(_build_stores(around.reads.values())),
        measured=sizes.oldest,
    )


def _measure_vm(vm: Vm, around: Surroundings, book: LayerBook, sizes: Sizes) -> None:
    read = around.reads[vm.id]
    layout: Layout | None = read.get(LAYOUT)
    if layout is None:
        return
    stores = around.store_names(read)
    for unit in layout.units:
        if unit.name:
            layer = book.find(unit.name, stores.get(store_of(unit.name)))
        else:
            owner, disk, number = unit.place
            hardware = around.hardware(owner or vm.id)
            found = hardware and hardware.layer_at(disk, number, unit.length)
            if not found:
                continue
            layer = found
        sizes.add(settle_layer(layer, stores), unit, layout.measured)


def _build_stores(reads: Iterable[Read]) -> Iterable[Store]:
    for read in reads:
        if read.kind == "Datastore":
            yield Store(
                id=StoreId(read.id),
                name=unescape(str(read.get("name") or "")),
                capacity_bytes=read.get("summary.capacity"),
                free_bytes=read.get("summary.freeSpace"),
            )


class Sizes:
    """Collects what the layouts of many VMs say of layers; of each the latest word counts."""

    def __init__(self) -> None:
        self._known: dict[Layer, tuple[datetime | None, LayerFile]] = {}

    def add(self, layer: Layer, unit: Unit, measured: datetime | None) -> None:
        """Take in what a VM's layout says of a layer, and when that was measured."""
        known = self._known.get(layer)
        if known is None or _is_later(measured, known[0]):
            self._known[layer] = (measured, _build_file(unit))

    @property
    def files(self) -> dict[Layer, LayerFile]:
        """What is known of each layer."""
        return {layer: file for layer, (_, file) in self._known.items()}

    @property
    def oldest(self) -> datetime | None:
        """The age of the oldest word that counts."""
        return min((when for when, _ in self._known.values() if when is not None), default=None)


def _build_file(unit: Unit) -> LayerFile:
    if unit.missing:
        return LayerFile(missing=True)
    return LayerFile(used_bytes=unit.used_bytes)


def _is_later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)
