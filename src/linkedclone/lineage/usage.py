"""What families of linked clones take, and what they save. Pure: an inventory in, figures out.

Every figure is a sum over files, each of which is counted once however many
VMs read it:

- A **family** is the VMs and strays that share layers, directly or through others.
- Its **base** is the layers that several of them read, its **deltas** are the
  layers that one reads.
- **Full copies** would take what each VM reads, counted for each VM anew.

Sizes that are unknown count as nothing; ``unknown`` says how many they were.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from linkedclone.lineage.family import Lineage, Reader
from linkedclone.model.inventory import Inventory, Store, Stray
from linkedclone.model.values.document import Document, told_by
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer, Vm


@dataclass(frozen=True, slots=True, kw_only=True)
class VmUsage(Document):
    """One VM of a family.

    Attributes:
        vm: The VM.
        own_bytes: Its layers that nothing else reads.
        shared_bytes: The layers that it reads together with others.
        depth: Files that its longest chain goes through.
        clones: How many others depend on it, directly or through others.
        frees_bytes: What deleting it alone would free; None while others depend
            on it, since it cannot be deleted alone.
        frees_with_clones_bytes: What deleting it and all that depends on it would free.
    """

    vm: Vm = field(metadata=told_by(lambda _, vm: {"name": vm.name, "id": vm.id}))
    own_bytes: int
    shared_bytes: int
    depth: int
    clones: int
    frees_bytes: int | None
    frees_with_clones_bytes: int

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        told = {
            "log_bytes": self.vm.log_bytes,
            "snapshot_memory_bytes": memory_of(self.vm),
            "unreadable": self.vm.unreadable or None,
        }
        return {**Document.document(self), **told}


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyUsage:
    """What a family takes and saves.

    Attributes:
        root: The VM that all depend on; None if it is gone.
        layer: The layer that all depend on, where its VM is gone.
        base_bytes: The layers that several members read.
        delta_bytes: The layers that one member reads.
        full_bytes: What full copies would take.
        depth: Files that the longest chain goes through.
        unknown: How many layers have an unknown size.
        vms: Its VMs, the root first, then by name.
        strays: Its files that belong to no VM.
    """

    root: Vm | None
    layer: Layer | None
    base_bytes: int
    delta_bytes: int
    full_bytes: int
    depth: int
    unknown: int
    vms: tuple[VmUsage, ...]
    strays: tuple[Stray, ...] = ()

    @property
    def name(self) -> str:
        """What people are shown."""
        return self.root.name if self.root else str(self.layer)

    @property
    def used_bytes(self) -> int:
        """What the family takes."""
        return self.base_bytes + self.delta_bytes

    @property
    def saved_bytes(self) -> int:
        """What it saves against full copies."""
        return self.full_bytes - self.used_bytes

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "parent": self.root.name if self.root else None,
            "parent_id": self.root.id if self.root else None,
            "layer": str(self.layer) if self.layer else None,
            "clones": len(self.vms) - (self.root is not None),
            "base_bytes": self.base_bytes,
            "delta_bytes": self.delta_bytes,
            "used_bytes": self.used_bytes,
            "full_bytes": self.full_bytes,
            "saved_bytes": self.saved_bytes,
            "saved_percent": percent(self.saved_bytes, self.full_bytes),
            "depth": self.depth,
            "unknown_layers": self.unknown,
            "vms": [vm.document() for vm in self.vms],
            "strays": [str(stray.layer) for stray in self.strays],
        }


def _tell_store(_: str, store: Store) -> dict[str, object]:
    room = {"capacity_bytes": store.capacity_bytes, "free_bytes": store.free_bytes}
    return {"name": store.name, "id": store.id, **room}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsage(Document):
    """What all families take and save on one datastore; a full copy counts where its delta is."""

    store: Store = field(metadata=told_by(_tell_store))
    used_bytes: int
    full_bytes: int

    @property
    def saved_bytes(self) -> int:
        """What the families save here; below zero where only their bases are."""
        return self.full_bytes - self.used_bytes

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {**Document.document(self), "saved_bytes": self.saved_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What all families take and save.

    Attributes:
        families: The largest saving first.
        stores: The datastores that families are on, by name.
        measured: The age of the oldest figure; None where they are read as they are.
        blind: Places that could not be read.
        unscanned: Those of ``blind`` that name places outside the requested scan.
        logging: The VMs of whose logs the size is known, in families or not, the
            largest logs first.
        remembering: The VMs whose snapshots hold memory, in families or not, the most first.
    """

    families: tuple[FamilyUsage, ...]
    stores: tuple[StoreUsage, ...]
    measured: datetime | None = None
    blind: tuple[str, ...] = ()
    unscanned: tuple[str, ...] = ()
    logging: tuple[Vm, ...] = ()
    remembering: tuple[Vm, ...] = ()

    @property
    def log_bytes(self) -> int | None:
        """What the logs of all VMs take; None where that is not known."""
        return sum(vm.log_bytes or 0 for vm in self.logging) if self.logging else None

    @property
    def snapshot_memory_bytes(self) -> int:
        """What the memory takes that snapshots hold, beside the disks."""
        return sum(map(memory_of, self.remembering))

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        used = sum(family.used_bytes for family in self.families)
        full = sum(family.full_bytes for family in self.families)
        return {
            "families": [family.document() for family in self.families],
            "datastores": [store.document() for store in self.stores],
            "used_bytes": used,
            "full_bytes": full,
            "saved_bytes": full - used,
            "saved_percent": percent(full - used, full),
            "log_bytes": self.log_bytes,
            "snapshot_memory_bytes": self.snapshot_memory_bytes,
            "measured": self.measured.isoformat() if self.measured else None,
            "not_seen": list(self.blind),
        }


def memory_of(vm: Vm) -> int:
    """Return what the memory takes that the snapshots of a VM hold."""
    return sum(snapshot.memory.size_bytes for snapshot in vm.snapshots if snapshot.memory)


def percent(part: int, whole: int) -> float:
    """Return a share in per cent with one digit behind the point; of nothing it is 0."""
    return round(100 * part / whole, 1) + 0.0 if whole else 0.0  # + 0.0: no minus before a zero


def measure(inventory: Inventory, only: Vm | None = None) -> Usage:
    """Measure all families, or only the one that a VM is in.

    The inventory has to hold sizes. A VM that shares nothing is not a family,
    unless it is the one that was asked for.
    """
    lineage = Lineage(inventory)
    measuring = _Measuring(inventory, lineage)
    families = [measuring.family(members) for members in _group(lineage, only)]
    families.sort(key=lambda family: (-family.saved_bytes, family.name))
    return Usage(
        families=tuple(families),
        stores=measuring.stores(families),
        measured=inventory.measured,
        blind=inventory.not_seen,
        unscanned=inventory.unscanned,
        logging=_list_logging(inventory, only),
        remembering=_list_remembering(inventory, only),
    )


def _list_logging(inventory: Inventory, only: Vm | None) -> tuple[Vm, ...]:
    known = [vm for vm in inventory.vms if vm.log_bytes is not None]
    if only is not None:
        known = [vm for vm in known if vm.id == only.id]
    return tuple(sorted(known, key=lambda vm: (-(vm.log_bytes or 0), vm.name)))


def _list_remembering(inventory: Inventory, only: Vm | None) -> tuple[Vm, ...]:
    found = [vm for vm in inventory.vms if memory_of(vm) and (only is None or vm.id == only.id)]
    return tuple(sorted(found, key=lambda vm: (-memory_of(vm), vm.name)))


def _group(lineage: Lineage, only: Vm | None) -> list[tuple[Reader, ...]]:
    """Return the families: what reads a common layer belongs together."""
    together = _Together()
    for layer in lineage.layers:
        together.join(reader.id for reader in lineage.readers(layer))
    for vm in lineage.vms:
        parent = lineage.origin(vm).parent  # also of a clone that hides its chain
        if parent is not None:
            together.join((vm.id, parent.id))
    groups: dict[str, list[Reader]] = {}
    everybody: tuple[Reader, ...] = (*lineage.vms, *lineage.strays)
    for reader in everybody:
        groups.setdefault(together.root(reader.id), []).append(reader)
    if only is not None:
        return [tuple(group) for group in groups.values() if only.id in {r.id for r in group}]
    return [
        tuple(group)
        for group in groups.values()
        if any(isinstance(r, Vm) and lineage.origin(r).base for r in group)
        or (len(group) > 1 and any(isinstance(r, Vm) for r in group))
    ]


class _Together:
    """Which ids belong together: union-find with path halving."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def root(self, one: str) -> str:
        above = self._above
        while above.setdefault(one, one) != one:
            above[one] = above[above[one]]
            one = above[one]
        return one

    def join(self, ids: Iterable[str]) -> None:
        roots = {self.root(one) for one in ids}
        first = min(roots, default="")
        for other in roots:
            self._above[other] = first


@dataclass(slots=True, kw_only=True)
class _StoreSums:
    used: int = 0
    full: int = 0


@dataclass(slots=True)
class _Measuring:
    inventory: Inventory
    lineage: Lineage
    sums: dict[StoreId, _StoreSums] = field(default_factory=dict)

    def sizes(self, layers: Iterable[Layer]) -> int:
        return self.inventory.used_bytes(layers) or 0

    def family(self, members: Sequence[Reader]) -> FamilyUsage:
        vms = [member for member in members if isinstance(member, Vm)]
        readers: dict[Layer, int] = {}
        for member in members:
            for layer in member.layers:
                readers[layer] = readers.get(layer, 0) + 1
        root = self._root(vms)
        usages = [self._vm(vm, readers) for vm in sorted(vms, key=attrgetter("name"))]
        usages.sort(key=lambda usage: usage.vm is not root)
        self._add_to_stores(vms, readers)
        orphan = next((vm for vm in vms if self.lineage.origin(vm).base), None)
        bottom = self.lineage.origin(orphan).base if orphan else None
        return FamilyUsage(
            root=root,
            layer=None if root else bottom,
            base_bytes=self.sizes(layer for layer, count in readers.items() if count > 1),
            delta_bytes=self.sizes(layer for layer, count in readers.items() if count == 1),
            full_bytes=sum(self.sizes(vm.layers) for vm in vms),
            depth=max((usage.depth for usage in usages), default=0),
            unknown=sum(self._is_unknown(layer) for layer in readers),
            vms=tuple(usages),
            strays=tuple(member for member in members if isinstance(member, Stray)),
        )

    def _is_unknown(self, layer: Layer) -> bool:
        found = self.inventory.files.get(layer)
        return found is None or found.used_bytes is None

    def _root(self, vms: Sequence[Vm]) -> Vm | None:
        """Return the VM that depends on nothing; of several the one that most depend on."""
        tops = []
        for vm in vms:
            origin = self.lineage.origin(vm)
            if origin.base is None and origin.parent is None:
                tops.append(vm)
        return max(tops, key=lambda vm: len(self.lineage.dependants(vm)), default=None)

    def _vm(self, vm: Vm, readers: Mapping[Layer, int]) -> VmUsage:
        below = self.lineage.descendants([vm])
        own = self.sizes(layer for layer in vm.layers if readers[layer] == 1)
        return VmUsage(
            vm=vm,
            own_bytes=own,
            shared_bytes=self.sizes(layer for layer in vm.layers if readers[layer] > 1),
            depth=self.lineage.depth(vm),
            clones=len(below),
            frees_bytes=None if self.lineage.dependants(vm) else self._freed((vm,)),
            frees_with_clones_bytes=self._freed((vm, *below)),
        )

    def _freed(self, vms: Sequence[Vm]) -> int:
        """Return what deleting all of these would free: the layers that no other VM needs."""
        going = {vm.id for vm in vms}
        layers = {layer for vm in vms for layer in vm.layers}
        return self.sizes(
            layer
            for layer in layers
            if all(r.id in going or _is_leftover(r) for r in self.lineage.readers(layer))
        )

    def _add_to_stores(self, vms: Sequence[Vm], layers: Iterable[Layer]) -> None:
        for layer in layers:
            self.sums.setdefault(layer.store, _StoreSums()).used += self.sizes([layer])
        for vm in vms:
            home = _store_of(vm)
            if home is not None:
                self.sums.setdefault(home, _StoreSums()).full += self.sizes(vm.layers)

    def stores(self, families: Sequence[FamilyUsage]) -> tuple[StoreUsage, ...]:
        known = {store.id: store for store in self.inventory.stores}
        names = {
            layer.store: layer.store_name
            for family in families
            for usage in family.vms
            for layer in usage.vm.layers
        }
        found = (
            StoreUsage(
                store=known.get(store) or Store(id=store, name=names.get(store) or store),
                used_bytes=sums.used,
                full_bytes=sums.full,
            )
            for store, sums in self.sums.items()
        )
        return tuple(sorted(found, key=lambda usage: usage.store.name))


def _is_leftover(reader: Reader) -> bool:
    """Say whether nothing is kept for the sake of this reader."""
    return isinstance(reader, Stray) and reader.orphaned


def _store_of(vm: Vm) -> StoreId | None:
    """Return the datastore that a full copy of the VM would fill: that of its own files."""
    tops = [disk.top.store for disk in vm.disks if disk.chain]
    return tops[0] if tops else (vm.home[0] if vm.home else None)
