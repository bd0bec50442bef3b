"""Which of the files that were found belong to no VM here, and what can be said of them. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.vsphere.storage.chains import Chains
from linkedclone.drivers.vsphere.storage.search_results import Listing, is_extent_name
from linkedclone.model.inventory import Stray
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer, Vm

Home = tuple[str, str]
"""A folder: the datastore's id and the path."""

NOTE: Final = "linkedclone-deleting.txt"
"""The file in the folder of a VM of a lone host that was being deleted, see ``lone_host``."""

_DELTA: Final = re.compile(r"(.+)-\d{6}\.vmdk")
"""How vSphere calls the deltas of a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything known about stray files."""

    listing: Listing
    chains: Chains  # what they depend on
    vms: Sequence[Vm]  # the VMs that are registered here
    # The files that describe VMs which are not registered here, by their folder.
    foreign: Mapping[Home, Sequence[Layer]]
    # Folders with a :data:`NOTE`, and without a registered VM.
    deleted: frozenset[Home] = frozenset()
    # Datastores where something may depend on a file that cannot be seen from here.
    veiled: frozenset[StoreId] = frozenset()


def find_candidates(listing: Listing, vms: Iterable[Vm]) -> list[Layer]:
    """Return the files that no VM here reads, and that are not extents of an existing disk."""
    used = {layer for vm in vms for layer in vm.layers}
    return [layer for layer in listing.descriptors() if layer not in used]


def build_strays(candidates: Sequence[Layer], found: Found) -> tuple[Stray, ...]:
    """Return the strays; an extent whose descriptor is gone is none."""
    disks = [layer for layer in candidates if not _is_lone_extent(layer, found.chains)]
    sizes = found.listing.sizes()
    chains = {layer: found.chains.chain(layer) for layer in disks}
    orphans = _find_orphans(chains, found)
    return tuple(
        Stray(
            chain=chains[layer],
            used_bytes=sizes.get(layer),
            about=_describe(found.foreign.get((layer.store, layer.folder), ())),
            orphaned=layer in orphans,
        )
        for layer in disks
    )


def _is_lone_extent(layer: Layer, chains: Chains) -> bool:
    reading = chains.readings.get(layer)
    unread = reading is None or reading.descriptor is None
    return unread and is_extent_name(layer)


def _describe(configs: Iterable[Layer]) -> str:
    names = " or ".join(config.path for config in configs)
    return f"of the unregistered VM {names}" if names else ""


def _find_orphans(chains: Mapping[Layer, tuple[Layer, ...]], found: Found) -> frozenset[Layer]:
    """Return what can be nothing but leftovers: deltas of a VM's own disks in its own folder.

    A file counts only if no VM that is not registered here is in that folder,
    it has the name that vSphere itself gives to a further delta of one of the
    VM's disks there, and it depends on a file of such a disk, or from such a
    leftover. What depends on a snapshot alone may be a disk that a user took
    out of the VM and kept. So does every file that a deletion has left which was killed.
    Nothing counts where a file may depend on it unseen:
    on datastores with a disk that hides its chain, which is on one datastore
    [fact: vs-native-clones]; and nowhere while a stray's own chain is not known.
    """
    if any(found.chains.is_unknown(chain[0]) for chain in chains.values()):
        return frozenset()
    disks = (disk for vm in found.vms for disk in vm.disks if disk.hidden)
    veiled = found.veiled | {layer.store for disk in disks for layer in disk.chain}
    homes: dict[Home, list[Vm]] = defaultdict(list)
    for vm in found.vms:
        if vm.home is not None and vm.home[1]:
            homes[vm.home].append(vm)
    orphans: set[Layer] = set()
    for layer in sorted(chains, key=lambda layer: len(chains[layer])):
        home = (layer.store, layer.folder)
        below = chains[layer][:-1]
        if home in found.deleted and layer.store not in veiled:
            orphans.add(layer)
            continue
        hopeless = layer.store in veiled or found.foreign.get(home) or not below
        owners = [] if hopeless else homes.get(home, [])
        if any(_is_delta_of(layer, below[-1], vm, orphans) for vm in owners):
            orphans.add(layer)
    return frozenset(orphans)


def _is_delta_of(layer: Layer, parent: Layer, vm: Vm, orphans: set[Layer]) -> bool:
    layers = {own for disk in vm.disks for own in disk.chain}
    stems = {_stem(own.path) for own in layers if (own.store, own.folder) == vm.home}
    named = _DELTA.fullmatch(layer.path)
    hangs = parent in layers or parent in orphans
    return named is not None and named.group(1) in stems and hangs


def _stem(path: str) -> str:
    delta = _DELTA.fullmatch(path)
    return delta.group(1) if delta else path.removesuffix(".vmdk")
