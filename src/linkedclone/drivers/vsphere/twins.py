"""Storage that several datacenters share: one set of files, a datastore object in each. Pure.

Objects of one storage have different ids and the same ``summary.url`` (field
reports, vsphere-csi-driver #2187, ManageIQ #428). Guards compare files by
datastore id and path, so all of them are given the id of one of its objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from linkedclone.drivers.vsphere.decoding import Read
from linkedclone.model.ids import StoreId
from linkedclone.model.inventory import Inventory
from linkedclone.model.observed import Disk, Layer, Vm

URL: Final = "summary.url"

Twins = Mapping[StoreId, StoreId]
"""Which id stands for a datastore's; of those alone that have another."""


def choose_ids(urls: Iterable[tuple[str, str]]) -> Twins:
    """Choose one id for each storage, given the ids and URLs of datastores."""
    chosen: dict[str, str] = {}
    twins: dict[StoreId, StoreId] = {}
    for store, url in sorted(urls):
        first = chosen.setdefault(url, store) if url else store
        if first != store:
            twins[StoreId(store)] = StoreId(first)
    return twins


def find_twins(reads: Iterable[Read]) -> Twins:
    """Choose among the datastores of one read."""
    return choose_ids((one.id, str(one.get(URL) or "")) for one in reads if one.kind == "Datastore")


def unify(inventory: Inventory, twins: Twins) -> Inventory:
    """Return the inventory with each file under one id, however many datacenters see it."""
    if not twins:
        return inventory
    files = sorted(inventory.files.items(), key=lambda item: item[0].store in twins, reverse=True)
    return replace(
        inventory,
        vms=tuple(_unify_vm(vm, twins) for vm in inventory.vms),
        files={_unify_layer(layer, twins): file for layer, file in files},
    )


def _unify_vm(vm: Vm, twins: Twins) -> Vm:
    snapshots = (
        one if one.disks is None else replace(one, disks=_unify_disks(one.disks, twins))
        for one in vm.snapshots
    )
    home = vm.home and (twins.get(vm.home[0], vm.home[0]), vm.home[1])
    disks = _unify_disks(vm.disks, twins)
    stores = frozenset(twins.get(store, store) for store in vm.stores)
    return replace(vm, home=home, disks=disks, snapshots=tuple(snapshots), stores=stores)


def _unify_disks(disks: Iterable[Disk], twins: Twins) -> tuple[Disk, ...]:
    return tuple(
        replace(d, chain=tuple(_unify_layer(one, twins) for one in d.chain)) for d in disks
    )


def _unify_layer(layer: Layer, twins: Twins) -> Layer:
    return replace(layer, store=twins[layer.store]) if layer.store in twins else layer
