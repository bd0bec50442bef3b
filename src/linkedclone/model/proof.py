"""Whether a clone is linked, read from its own disks and its parent's alone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from linkedclone.model.observed import Disk, Vm


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
