"""Whether a clone is linked, read from its own disks and its parent's alone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from linkedclone.model.vm import Disk, Layer, Vm

DEEPEST = 30
"""Files in a chain that still count as healthy [fact: vs-depth]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether a clone is linked."""

    # True or False where the disks prove it; None where the hypervisor hides the chain.
    linked: bool | None
    reason: str = ""  # why not, or why it is unknown; empty if linked


def prove_linked(
    clone_disks: Sequence[Disk], snapshot_disks: Sequence[Disk], *, added: int = 0
) -> Proof:
    """Prove that a new clone depends on a snapshot.

    It does only if the parent of every non-independent disk is a file of that snapshot,
    each such file is used by exactly one disk, and there are as many disks as in the
    snapshot. A chain that the hypervisor hides gives None. The clone was given ``added``
    new, empty disks besides: so many of one file are left out.
    """
    wanted = {disk.top for disk in snapshot_disks if disk.chain and not disk.independent}
    disks = _without_added([disk for disk in clone_disks if not disk.independent], added)
    if not wanted:
        return Proof(linked=False, reason="the snapshot has no disk that a clone could depend on")
    for disk in disks:
        if not disk.hidden and (len(disk.chain) < 2 or disk.chain[-2] not in wanted):
            below = str(disk.chain[-2]) if len(disk.chain) > 1 else "nothing"
            return Proof(linked=False, reason=f"{disk.label} depends on {below}")
    if len(disks) != len(wanted):
        return Proof(linked=False, reason="not every disk of the snapshot has its delta")
    if any(disk.hidden for disk in disks):
        return Proof(linked=None, reason="the hypervisor hides the chain (native clone)")
    if {disk.chain[-2] for disk in disks} != wanted:
        return Proof(linked=False, reason="two disks depend on the same file")
    return Proof(linked=True)


def _without_added(disks: Sequence[Disk], added: int) -> list[Disk]:
    """Leave out the last ``added`` disks that depend on nothing: new ones come last."""
    alone = [disk for disk in disks if len(disk.chain) == 1 and not disk.hidden]
    new = alone[len(alone) - added :] if 0 < added <= len(alone) else []
    return [disk for disk in disks if disk not in new]


def prove_copied(
    clone_disks: Sequence[Disk], snapshot_disks: Sequence[Disk], *, added: int = 0
) -> Proof:
    """Look whether a clone that was not to be linked has all its disks, and the ``added`` ones.

    It is never linked, and a reason is given only if disks are missing.
    """
    wanted = len(snapshot_disks) + added
    if len(clone_disks) < wanted:
        reason = f"it has {len(clone_disks)} of {wanted} disks"
        return Proof(linked=False, reason=reason)
    return Proof(linked=False)


def shared_layers(vm: Vm) -> tuple[Layer, ...]:
    """Return the files below a VM's disks outside its own folder.

    Several disks may read one file; it comes once. A disk's top file is the
    VM's own, wherever it is.
    """
    if vm.home is None:
        return ()
    below = (layer for disk in vm.disks for layer in disk.chain[:-1])
    return tuple(dict.fromkeys(at for at in below if (at.store, at.folder) != vm.home))


def hangs_from(vm: Vm, snapshot_disks: Sequence[Disk]) -> Proof:
    """Say whether an older clone still depends on a snapshot.

    Weaker than :func:`prove_linked`: the clone may have snapshots of its own,
    and disks that were added later.
    """
    wanted = {disk.top for disk in snapshot_disks if disk.chain and not disk.independent}
    below = {layer for disk in vm.disks for layer in disk.chain[:-1]}
    if wanted and wanted <= below:
        return Proof(linked=True)
    if any(disk.hidden for disk in vm.disks):
        return Proof(linked=None, reason="the hypervisor hides the chain (native clone)")
    return Proof(linked=False, reason="no disk depends on that snapshot")


def hangs_from_any(vm: Vm, parent: Vm) -> Proof:
    """Say whether an older clone depends on its parent, by whichever snapshot.

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


def prove_kept(before: Vm, after: Vm) -> Proof:
    """Prove that a VM depends on exactly what it depended on, whatever became of its own layers.

    It is linked if the files below each disk's top are the same as before; this
    is unknown where a chain is hidden. A disk that depended on nothing still has to.
    """
    below = {disk.label: disk.chain[:-1] for disk in before.disks}
    if {disk.label for disk in after.disks} != set(below):
        return Proof(linked=False, reason="it has other disks than before")
    for disk in after.disks:
        wanted, found = below[disk.label], disk.chain[:-1]
        if found != wanted and not disk.hidden:
            had, has = (str(chain[-1]) if chain else "nothing" for chain in (wanted, found))
            return Proof(linked=False, reason=f"{disk.label} depended on {had}, and now on {has}")
    if any(disk.hidden for disk in (*before.disks, *after.disks)):
        return Proof(linked=None, reason="the hypervisor hides the chain (native clone)")
    return Proof(linked=True)
