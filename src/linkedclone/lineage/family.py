"""Who depends on whom, read from the disks alone. Pure: an inventory in, answers out.

A linked clone has no flag on any hypervisor; it shows in its chain alone
[fact: vs-no-linked-flag]. A layer **belongs** to the VM that writes to it, else to
the one in whose folder it is, else to the one that froze it in a snapshot. The
last goes before one in whose folder it is and that does not read it. Any other
VM that reads it **depends** on that VM, and so does a stray file.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.report import Mode
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import LEFT_FAILED, Disk, Layer, Power, Snapshot, Vm


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The parent of a VM."""

    mode: Mode  # linked, full, or unknown where the chain is hidden or cannot be read
    # The VM that owns the layer below; None if it is gone or there is none.
    parent: Vm | None = None
    # The snapshot of that VM that the layer belongs to, if it still exists.
    snapshot: Snapshot | None = None
    base: Layer | None = None  # the layer that it depends on


Reader = Vm | Stray
"""What reads a layer: a VM, or a file that belongs to no VM here."""


class Lineage:
    """The family relations of one inventory, indexed once for many questions.

    Attributes:
        vms: All VMs.
        strays: All files of no VM.
        unread: The VMs of which it cannot be seen what they depend on.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.vms = inventory.vms
        self.unread = (*inventory.unreadable, *_find_untraceable(inventory))
        self.strays = inventory.strays
        self._readers: dict[Layer, list[Reader]] = defaultdict(list)
        self._by_home: dict[tuple[str, str], list[Vm]] = defaultdict(list)
        self._by_id = {vm.id: vm for vm in inventory.vms}
        self._by_uuid = {vm.uuid: vm for vm in inventory.vms if vm.uuid}
        self._hidden: dict[str, list[Vm]] = defaultdict(list)
        self._writer: dict[Layer, Vm] = {}
        self._frozen: dict[Layer, tuple[Vm, Snapshot]] = {}
        for vm in inventory.vms:
            self._index(vm)
        for vm in inventory.vms:
            for snapshot in vm.snapshots:
                for disk in snapshot.disks or ():
                    self._note_frozen(disk, vm, snapshot)
        for stray in inventory.strays:
            for layer in stray.chain:
                self._readers[layer].append(stray)
        self._owners = {layer: self._find_owner(layer) for layer in self._readers}
        self._owned: dict[VmId, list[Layer]] = defaultdict(list)
        for layer, owner in self._owners.items():
            if owner is not None:
                self._owned[owner.id].append(layer)

    def _index(self, vm: Vm) -> None:
        if vm.home is not None:
            self._by_home[vm.home].append(vm)
        mark = vm.valid_mark
        if mark is not None and mark.parent_uuid and _hides(vm):
            self._hidden[mark.parent_uuid].append(vm)
        for layer in vm.layers:
            self._readers[layer].append(vm)
        for disk in vm.disks:
            if disk.chain:
                self._writer[disk.top] = vm

    def _note_frozen(self, disk: Disk, vm: Vm, snapshot: Snapshot) -> None:
        if disk.independent or not disk.chain:
            return
        # A file frozen by two VMs belongs to the one whose folder holds it.
        known = self._frozen.get(disk.top)
        if known is None or self._lies_in(disk.top, vm):
            self._frozen[disk.top] = (vm, snapshot)

    @staticmethod
    def _lies_in(layer: Layer, vm: Vm) -> bool:
        return vm.home == (layer.store, layer.folder)

    # -- layers -----------------------------------------------------------------------

    @property
    def layers(self) -> Iterable[Layer]:
        """Every layer that anything reads."""
        return self._readers.keys()

    def owner(self, layer: Layer) -> Vm | None:
        """Return the VM that the layer belongs to, or None if that VM is gone."""
        return self._owners[layer] if layer in self._owners else self._find_owner(layer)

    def _find_owner(self, layer: Layer) -> Vm | None:
        writer = self._writer.get(layer)
        if writer is not None:
            return writer
        home = self._at_home(layer)
        frozen, _ = self._frozen.get(layer, (None, None))
        if home is None or frozen is None or frozen is home or layer in home.layers:
            return home or frozen
        return frozen

    def _at_home(self, layer: Layer) -> Vm | None:
        """Return the VM in whose folder the layer is; of several the one that reads it."""
        home = layer.store, layer.folder
        readers = (r for r in self._readers.get(layer, ()) if isinstance(r, Vm) and r.home == home)
        return next(readers, None) or next(iter(self._by_home.get(home, ())), None)

    def readers(self, layer: Layer) -> tuple[Reader, ...]:
        """Return everything that reads the layer, itself or through a snapshot."""
        return tuple(self._readers.get(layer, ()))

    # -- up ---------------------------------------------------------------------------

    def origin(self, vm: Vm) -> Origin:
        """Return the parent of the VM: the nearest layer below its disks that is not its own.

        For an unreadable VM the result is shown, but never counts as proof.
        """
        for disk in vm.disks:
            found = self._origin_in(disk.chain, vm)
            if found is not None:
                return replace(found, mode=Mode.UNKNOWN) if vm.unreadable else found
        if vm.unreadable or _hides(vm):
            return self._marked_origin(vm)
        return Origin(mode=Mode.FULL)

    def origin_of_stray(self, stray: Stray) -> Origin:
        """Return the parent of a stray file."""
        return self._origin_in(stray.chain, None) or Origin(mode=Mode.FULL)

    def _origin_in(self, chain: Sequence[Layer], vm: Vm | None) -> Origin | None:
        for layer in reversed(chain[:-1]):
            parent = self.owner(layer)
            if vm is not None and parent is not None and parent.id == vm.id:
                continue
            frozen = self._frozen.get(layer)
            snapshot = frozen[1] if frozen and frozen[0] is parent else None
            return Origin(mode=Mode.LINKED, parent=parent, snapshot=snapshot, base=layer)
        return None

    def _marked_origin(self, vm: Vm) -> Origin:
        mark = vm.valid_mark
        parent = self._by_uuid.get(mark.parent_uuid) if mark else None
        snapshots = parent.snapshots if parent else ()
        snapshot = next((s for s in snapshots if mark and s.id == mark.snapshot), None)
        return Origin(mode=Mode.UNKNOWN, parent=parent, snapshot=snapshot)

    def is_unconfirmed(self, vm: Vm) -> bool:
        """Say whether an instant clone runs that has no identity of its own, or none yet.

        A mark that a clone of it has inherited does not count. One counts that names a UUID
        which no VM has: the hypervisor gave the clone another, and its command was killed
        before it wrote so.
        """
        mark = vm.mark
        if mark is None or not mark.instant or mark.spec != LEFT_FAILED:
            return False
        if vm.power in {Power.OFF, Power.UNKNOWN}:
            return False
        return vm.valid_mark is not None or mark.uuid not in self._by_uuid

    def marked_parent(self, vm: Vm) -> VmId | None:
        """Return the id of the VM that the mark names as parent, if that is here."""
        mark = vm.valid_mark
        parent = self._by_uuid.get(mark.parent_uuid) if mark else None
        return parent.id if parent else None

    @staticmethod
    def depth(vm: Vm) -> int:
        """Return the number of files that the longest chain of the VM goes through.

        1 for a disk of its own that was never snapshotted. A chain that is
        hidden counts as far as it can be seen.
        """
        disks = [*vm.disks, *(d for s in vm.snapshots for d in s.disks or ())]
        return max((len(disk.chain) for disk in disks), default=0)

    def inherited(self, vm: Vm) -> frozenset[Layer]:
        """Return the layers below the VM's disks that belong to other VMs or are orphaned."""
        below = {layer for disk in vm.disks for layer in disk.chain[:-1]}
        return frozenset(
            layer for layer in below if (owner := self.owner(layer)) is None or owner.id != vm.id
        )

    # -- down -------------------------------------------------------------------------

    def owned(self, vm: Vm) -> frozenset[Layer]:
        """Return the layers that belong to this VM, also those that only others read."""
        return frozenset(self._owned.get(vm.id, ()))

    def dependants(self, vm: Vm) -> tuple[Reader, ...]:
        """Return what reads a layer which belongs to this VM: other VMs, and stray files.

        Also layers in its folder that the VM itself does not read any more,
        such as those of a deleted snapshot that clones still depend on. A
        clone that hides its chain depends on the parent that its mark names. A
        disk that several VMs write to belongs to one of them, and goes with each.
        """
        tops = (disk.top for disk in vm.disks if disk.chain)
        mine = (*self._owned.get(vm.id, ()), *tops)
        return self._others(mine, vm, self._hidden.get(vm.uuid, ()))

    def dependants_of_snapshot(self, vm: Vm, snapshot: Snapshot) -> tuple[Reader, ...]:
        """Return what depends on this snapshot's files, apart from the VM itself."""
        frozen = [d.top for d in snapshot.disks or () if d.chain and not d.independent]
        marked = [
            clone
            for clone in self._hidden.get(vm.uuid, ())
            if clone.mark and clone.mark.snapshot in {"", snapshot.id}
        ]
        return self._others(frozen, vm, marked)

    def dependants_of_layers(self, layers: Iterable[Layer], vm: Vm) -> tuple[Reader, ...]:
        """Return what reads one of these layers, apart from the VM itself."""
        return self._others(layers, vm, ())

    def _others(self, layers: Iterable[Layer], vm: Vm, hidden: Iterable[Vm]) -> tuple[Reader, ...]:
        found: dict[str, Reader] = {clone.id: clone for clone in hidden if clone.id != vm.id}
        for layer in layers:
            for reader in self._readers.get(layer, ()):
                if reader.id != vm.id and not _is_nobodys(reader, layer):
                    found[reader.id] = reader
        return tuple(sorted(found.values(), key=lambda reader: reader.name))

    def descendants(self, vms: Sequence[Vm]) -> tuple[Vm, ...]:
        """Return all VMs that depend on these, directly or through others; not these themselves."""
        seen = {vm.id for vm in vms}
        found: list[Vm] = []
        left = list(vms)
        while left:
            for reader in self.dependants(left.pop()):
                if isinstance(reader, Vm) and reader.id not in seen:
                    seen.add(reader.id)
                    found.append(reader)
                    left.append(reader)
        return tuple(sorted(found, key=lambda vm: vm.name))

    def lost_with(self, vms: Sequence[Vm]) -> tuple[Layer, ...]:
        """Return the layers that would go with these VMs though they belong to none of them.

        vCenter removes a layer with its last registered user, even a base whose VM
        was unregistered to keep it [fact: vs-base-goes-with-last-user].
        """
        going = {vm.id for vm in vms}
        # A VM that is not there any more reads nothing, and takes nothing along.
        here = [self._by_id[vm_id] for vm_id in going if vm_id in self._by_id]
        return tuple(
            sorted(
                layer
                for layer in {layer for vm in here for layer in vm.layers}
                if ((owner := self._owners[layer]) is None or owner.id not in going)
                and all(r.id in going or not _holds(r) for r in self._readers[layer])
            )
        )


_UNTRACEABLE = "neither its storage nor a mark shows what its disks depend on"


def _find_untraceable(inventory: Inventory) -> Iterable[Vm]:
    """Yield the VMs of which neither chains nor a mark tell what they depend on.

    A parent that has lost all its disks does not tell either what those depended on. A
    native delta is on the datastore of its base [fact: vs-native-clones].
    """
    uuids = {vm.uuid for vm in inventory.vms if vm.disks or vm.snapshots}
    for vm in inventory.vms:
        disks = (*vm.disks, *(disk for s in vm.snapshots for disk in s.disks or ()))
        mark = vm.valid_mark
        if vm.unreadable or not any(disk.hidden for disk in disks):
            continue
        if mark is None or not mark.parent_uuid or mark.parent_uuid not in uuids:
            stores = frozenset(layer.store for layer in vm.layers)
            yield replace(vm, unreadable=_UNTRACEABLE, stores=stores)


def _hides(vm: Vm) -> bool:
    """Say whether only its mark can tell what a VM depends on.

    A native clone hides its chain, and a clone that was not finished shows no disk yet.
    """
    if vm.valid_mark is not None and not vm.disks and not vm.snapshots:
        return True
    return any(disk.hidden for disk in vm.disks)


def _is_nobodys(reader: Reader, layer: Layer) -> bool:
    """Say whether a reader of a layer does not count: an orphan, or the layer itself."""
    return isinstance(reader, Stray) and (reader.orphaned or reader.layer == layer)


def _holds(reader: Reader) -> bool:
    """Say whether the hypervisor keeps a layer for the sake of this reader."""
    return reader.holds if isinstance(reader, Stray) else True
