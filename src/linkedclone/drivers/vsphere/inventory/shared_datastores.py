"""Storage that several datacenters share: one set of files, a datastore object in each. Pure.

Objects of one storage have different ids and the same ``summary.url``
[fact: vs-shared-storage]. Guards compare files by datastore id and path, so all of
them are given the id of one of its objects.

Where the URL of one is not told, it may be any other of its name: they count as
one, so that guards rather see a clone too many than one too few.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from linkedclone.drivers.vsphere.inventory.decoder import Read
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.model.inventory import Inventory
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Disk, Layer, Vm

URL: Final = "summary.url"

Twins = Mapping[StoreId, StoreId]
"""The common id of each datastore that has several."""


def read_volume(url: str) -> str:
    """Return a storage's volume id; of a URL of another scheme than ``ds`` all of it.

    In ``netfs://SERVER/VOLUME/`` the last part is not an id [fact: vs-shared-storage].
    """
    bare = url.rstrip("/")
    scheme, found, _ = bare.partition("://")
    return bare if found and scheme != "ds" else bare.rpartition("/")[2]


def choose_ids(stores: Iterable[tuple[str, str, str]]) -> Twins:
    """Choose one id for each storage, given the ids, URLs and names of datastores."""
    known = sorted(stores)
    vague = {name for _, url, name in known if name and not url}
    first: dict[str, str] = {store: store for store, _, _ in known}
    for by_name in (False, True):
        chosen: dict[str, str] = {}
        for store, url, name in known:
            key = (name if name in vague else "") if by_name else url
            one = chosen.setdefault(key, first[store]) if key else first[store]
            least, other = sorted((one, first[store]))
            first = {s: least if f == other else f for s, f in first.items()}
    return {StoreId(store): StoreId(one) for store, one in first.items() if store != one}


_NOTHING: Final[Mapping[str, Collection[str]]] = MappingProxyType({})


def find_twins(reads: Iterable[Read], told: Mapping[str, Collection[str]] = _NOTHING) -> Twins:
    """Choose among the datastores of one read, and those that only the disks of VMs tell of."""
    seen = {one.id: one for one in reads if one.kind == "Datastore"}
    names = {store: name for name, stores in told.items() for store in stores}
    for store, one in seen.items():
        names[store] = unescape(str(one.get("name") or "")) or names.get(store, "")
    urls = {store: read_volume(str(one.get(URL) or "")) for store, one in seen.items()}
    return choose_ids((store, urls.get(store, ""), name) for store, name in names.items())


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
