"""Who hangs from whom, read from the disks alone. Pure: an inventory in, answers out.

A linked clone has no flag on any hypervisor; it shows in its chain alone
(handbook, section 2). A layer **belongs** to the VM in whose folder it lies, else
to the one that writes to it, else to the one that froze it in a snapshot; any
other VM that reads it **depends** on that VM.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from linkedclone.model.ids import VmId
from linkedclone.model.observed import Disk, Inventory, Layer, Snapshot, Vm


class Mode(StrEnum):
    """How a VM's disks came to be."""

    LINKED = "linked"
    FULL = "full"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether a clone is linked.

    Attributes:
        linked: True or False where the disks prove it; None where the
            hypervisor hides the chain.
        reason: Why not, or why it cannot be told; empty if linked.
    """

    linked: bool | None
    reason: str = ""


def prove_linked(clone_disks: Sequence[Disk], snapshot_disks: Sequence[Disk]) -> Proof:
    """Prove that a new clone hangs from a snapshot.

    It does only if the parent of every non-independent disk is a file of that
    snapshot, each such file is used by exactly one disk, and there are as many
    disks as in the snapshot. A chain that the hypervisor hides gives None.
    """
    wanted = {disk.top for disk in snapshot_disks if disk.chain and not disk.independent}
    disks = [disk for disk in clone_disks if not disk.independent]
    if not wanted:
        return Proof(linked=False, reason="the snapshot has no disk that a clone could hang from")
    for disk in disks:
        if not disk.hidden and (len(disk.chain) < 2 or disk.chain[-2] not in wanted):
            below = str(disk.chain[-2]) if len(disk.chain) > 1 else "nothing"
            return Proof(linked=False, reason=f"{disk.label} hangs from {below}")
    if len(disks) != len(wanted):
        return Proof(linked=False, reason="not every disk of the snapshot has its delta")
    if any(disk.hidden for disk in disks):
        return Proof(linked=None, reason="the hypervisor hides the chain (native clone)")
    if {disk.chain[-2] for disk in disks} != wanted:
        return Proof(linked=False, reason="two disks hang from the same file")
    return Proof(linked=True)


def hangs_from(vm: Vm, snapshot_disks: Sequence[Disk]) -> Proof:
    """Say whether an older clone still hangs from a snapshot.

    Weaker than :func:`prove_linked`: the clone may have snapshots of its own,
    and disks that were added later.
    """
    wanted = {disk.top for disk in snapshot_disks if disk.chain and not disk.independent}
    below = {layer for disk in vm.disks for layer in disk.chain[:-1]}
    if wanted and wanted <= below:
        return Proof(linked=True)
    if any(disk.hidden for disk in vm.disks):
        return Proof(linked=None, reason="the hypervisor hides the chain (native clone)")
    return Proof(linked=False, reason="no disk hangs from that snapshot")


def hangs_from_any(vm: Vm, parent: Vm) -> Proof:
    """Say whether an older clone hangs from its parent, by whichever snapshot.

    The snapshot that its mark names is tried first. Where that is gone, any
    layer that the parent reads too will do.
    """
    mark = vm.valid_mark
    marked = [s for s in parent.snapshots if mark and s.id == mark.snapshot]
    proofs = [hangs_from(vm, s.disks or ()) for s in (*marked, *parent.snapshots)]
    for proof in proofs:
        if proof.linked is not False:
            return proof
    below = {layer for disk in vm.disks for layer in disk.chain[:-1]}
    if below & parent.layers:
        return Proof(linked=True)
    return proofs[0] if proofs else hangs_from(vm, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a VM hangs.

    Attributes:
        mode: Linked, full, or unknown where the chain is hidden.
        parent: The VM that owns the layer below; None if it is gone or there is none.
        snapshot: The snapshot of that VM that the layer belongs to, if it still exists.
        base: The layer that it hangs from.
    """

    mode: Mode
    parent: Vm | None = None
    snapshot: Snapshot | None = None
    base: Layer | None = None


class Lineage:
    """The family relations of one inventory, indexed once for many questions."""

    def __init__(self, inventory: Inventory) -> None:
        self.vms = inventory.vms
        self._users: dict[Layer, list[Vm]] = defaultdict(list)
        self._by_home: dict[tuple[str, str], list[Vm]] = defaultdict(list)
        self._by_uuid = {vm.uuid: vm for vm in inventory.vms if vm.uuid}
        self._hidden: dict[str, list[Vm]] = defaultdict(list)
        self._writer: dict[Layer, Vm] = {}
        self._frozen: dict[Layer, tuple[Vm, Snapshot]] = {}
        for vm in inventory.vms:
            if vm.home is not None:
                self._by_home[vm.home].append(vm)
            mark = vm.valid_mark
            if mark is not None and any(disk.hidden for disk in vm.disks):
                self._hidden[mark.parent_uuid].append(vm)
            for layer in vm.layers:
                self._users[layer].append(vm)
            for disk in vm.disks:
                if disk.chain:
                    self._writer[disk.top] = vm
        for vm in inventory.vms:
            for snapshot in vm.snapshots:
                for disk in snapshot.disks or ():
                    self._note_frozen(disk, vm, snapshot)
        self._owned = self._by_owner()

    def _by_owner(self) -> dict[VmId, list[Layer]]:
        owned: dict[VmId, list[Layer]] = defaultdict(list)
        for layer in self._users:
            owner = self.owner(layer)
            if owner is not None:
                owned[owner.id].append(layer)
        return owned

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

    def owner(self, layer: Layer) -> Vm | None:
        """Return the VM that the layer belongs to, or None if that VM is gone."""
        found = self._writer.get(layer) or self._at_home(layer)
        if found is not None:
            return found
        frozen = self._frozen.get(layer)
        return frozen[0] if frozen else None

    def _at_home(self, layer: Layer) -> Vm | None:
        """Return the VM in whose folder the layer lies; of several the one that reads it."""
        homes = self._by_home.get((layer.store, layer.folder), [])
        readers = [vm for vm in homes if layer in vm.layers] if len(homes) > 1 else homes
        return next(iter(readers or homes), None)

    def users(self, layer: Layer) -> tuple[Vm, ...]:
        """Return every VM that reads the layer, itself or through a snapshot."""
        return tuple(self._users.get(layer, ()))

    def origin(self, vm: Vm) -> Origin:
        """Return where the VM hangs: the nearest layer below its disks that is not its own."""
        for disk in vm.disks:
            for layer in reversed(disk.chain[:-1]):
                parent = self.owner(layer)
                if parent is not None and parent.id == vm.id:
                    continue
                frozen = self._frozen.get(layer)
                snapshot = frozen[1] if frozen and frozen[0] is parent else None
                return Origin(mode=Mode.LINKED, parent=parent, snapshot=snapshot, base=layer)
        if any(disk.hidden for disk in vm.disks):
            return self._marked_origin(vm)
        return Origin(mode=Mode.FULL)

    def _marked_origin(self, vm: Vm) -> Origin:
        """Return what the mark says of a clone whose chain is hidden."""
        mark = vm.valid_mark
        parent = self._by_uuid.get(mark.parent_uuid) if mark else None
        snapshots = parent.snapshots if parent else ()
        snapshot = next((s for s in snapshots if mark and s.id == mark.snapshot), None)
        return Origin(mode=Mode.UNKNOWN, parent=parent, snapshot=snapshot)

    def dependants(self, vm: Vm) -> tuple[Vm, ...]:
        """Return the other VMs that read a layer which belongs to this one.

        Also layers in its folder that the VM itself does not read any more,
        such as those of a deleted snapshot that clones still hang from. A
        clone that hides its chain depends on the parent that its mark names.
        """
        return self._others(self._owned.get(vm.id, ()), vm, self._hidden.get(vm.uuid, ()))

    def dependants_of_snapshot(self, vm: Vm, snapshot: Snapshot) -> tuple[Vm, ...]:
        """Return the other VMs that hang from this snapshot's files."""
        frozen = [d.top for d in snapshot.disks or () if d.chain and not d.independent]
        marked = [
            clone
            for clone in self._hidden.get(vm.uuid, ())
            if clone.mark and clone.mark.snapshot in {"", snapshot.id}
        ]
        return self._others(frozen, vm, marked)

    def _others(self, layers: Iterable[Layer], vm: Vm, hidden: Iterable[Vm]) -> tuple[Vm, ...]:
        found = {clone.id: clone for clone in hidden if clone.id != vm.id}
        for layer in layers:
            for user in self._users.get(layer, ()):
                if user.id != vm.id:
                    found[user.id] = user
        return tuple(sorted(found.values(), key=lambda v: v.name))

    def lost_with(self, vms: Sequence[Vm]) -> tuple[Layer, ...]:
        """Return the layers that would go with these VMs though they belong to none of them.

        vCenter counts the registered users of a layer; deleting the last one
        removes it, even when somebody meant to keep a base whose VM was
        unregistered (handbook, section 3, inferred from field reports).
        """
        going = {vm.id for vm in vms}
        lost: set[Layer] = set()
        for vm in vms:
            for layer in vm.layers:
                owner = self.owner(layer)
                if owner is not None and owner.id in going:
                    continue
                if all(user.id in going for user in self.users(layer)):
                    lost.add(layer)
        return tuple(sorted(lost))
