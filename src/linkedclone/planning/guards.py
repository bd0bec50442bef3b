"""What is never done to VMs that exist: the guards that all plans of actions share."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from linkedclone.errors import (
    BusyError,
    InUseError,
    LinkedCloneError,
    NotOursError,
    RefusedError,
)
from linkedclone.model.ids import VmId
from linkedclone.model.inventory import Inventory
from linkedclone.model.lineage import Lineage, Reader
from linkedclone.model.observed import Disk, Layer, Snapshot, Vm
from linkedclone.model.plan import (
    DeleteSnapshot,
    DeleteVm,
    GrowDisk,
    PromoteVm,
    RemoveStray,
    RevertSnapshot,
    Step,
)


def refuse_foreign(vms: Sequence[Vm], *, action: str, force: bool) -> None:
    """Refuse to act on VMs that bear no valid mark of ours, unless forced.

    Raises:
        NotOursError: At least one is not ours; all of them are named.
    """
    foreign = [vm for vm in vms if vm.owner is None]
    if foreign and not force:
        raise NotOursError(
            f"refusing to {action} what linkedclone did not make: "
            + ", ".join(vm.name for vm in foreign),
            hint=f"to make it yours once and for all: linkedclone adopt {foreign[0].name}; "
            "or, if you are sure, repeat with --force",
        )


def refuse_busy(vms: Sequence[Vm], sources: Collection[VmId], *, action: str) -> None:
    """Refuse what would pull the base away from clones that are being made.

    Raises:
        BusyError: Clones are being made from one of them.
    """
    busy = [vm.name for vm in vms if vm.id in sources]
    if busy:
        raise BusyError(
            f"refusing to {action} {', '.join(busy)}: clones are being made from it right now",
            hint="wait until they are there; then look at what hangs from it",
            kind="TaskInProgress",
        )


def refuse_templates(vms: Sequence[Vm], *, action: str) -> None:
    """Refuse what cannot be done to templates.

    Raises:
        RefusedError: One is a template.
    """
    templates = [vm.name for vm in vms if vm.template]
    if templates:
        raise RefusedError(
            f"templates cannot be {action}: {', '.join(templates)}",
            hint="convert it to a VM first",
        )


def refuse_unread(vms: Sequence[Vm], inventory: Inventory, *, action: str, force: bool) -> None:
    """Refuse to act on VMs whose disks could not be read, unless forced.

    Raises:
        RefusedError: Nobody can tell what hangs from one of them.
    """
    unread = [vm.name for vm in vms if vm.id in inventory.unread]
    if unread and not force:
        raise RefusedError(
            f"refusing to {action} {', '.join(unread)}: the disks cannot be read, "
            "so nobody can tell what hangs from them",
            hint="look at the privileges: linkedclone doctor; if you are sure, repeat with --force",
        )


def what_to_know(vms: Iterable[Vm], inventory: Inventory) -> tuple[str, ...]:
    """Return what nobody could look at, where it matters.

    Only a VM with snapshots can be needed by somebody who is not seen here, for
    that is what clones hang from; but what a VM hangs from that could not be
    read, nobody knows.
    """
    matters = inventory.unread or any(vm.snapshots for vm in vms)
    return inventory.blind if matters else ()


def refuse_used(brief: str, readers: Iterable[Reader], *, hint: str) -> None:
    """Refuse what would take a layer away from those that read it.

    Raises:
        InUseError: There are any; all of them are named.
    """
    names = tuple(reader.name for reader in readers)
    if names:
        raise InUseError(brief, dependants=names, hint=hint)


def latest(vms: Sequence[Vm], inventory: Inventory) -> tuple[Vm, ...]:
    """Return the VMs as the inventory has them: it was read after they were looked up."""
    found = {vm.id: vm for vm in inventory.vms}
    return tuple(found.get(vm.id, vm) for vm in vms)


def present_only(vm: Vm) -> frozenset[Layer]:
    """Return the layers that only the VM's present state reads, and none of its snapshots."""
    frozen = {layer for s in vm.snapshots for d in s.disks or () for layer in d.chain}
    return frozenset(layer for disk in vm.disks for layer in disk.chain) - frozen


def refuse_unreadable(vm: Vm, snapshot: Snapshot) -> Sequence[Disk]:
    """Return a snapshot's disks.

    Raises:
        RefusedError: They cannot be read, so nobody can tell what hangs from them.
    """
    if snapshot.disks is None:
        raise RefusedError(
            f"the disks of snapshot {snapshot.name!r} of {vm.name} cannot be read, "
            "so nobody can tell what hangs from it",
            hint="look at the privileges: linkedclone doctor",
        )
    return snapshot.disks


_CHECKED = (DeleteVm, DeleteSnapshot, RevertSnapshot, PromoteVm, GrowDisk, RemoveStray)


def needs_check(steps: Iterable[Step]) -> bool:
    """Say whether a stage takes anything away that others could need."""
    return any(isinstance(step, _CHECKED) for step in steps)


def check_steps(steps: Sequence[Step], inventory: Inventory) -> list[tuple[Step, LinkedCloneError]]:
    """Look once more, right before a stage is carried out, whether anything needs it after all.

    The plan was made on an older inventory: a person may have taken their
    time, the stages before took theirs, and may have failed.

    Returns:
        The steps that would take away what something hangs from, each with the
        error that names it; and those that by now would take along a base of
        no VM that nobody spoke of.
    """
    lineage = Lineage(inventory)
    here = {vm.id: vm for vm in inventory.vms}
    going = {step.vm for step in steps if isinstance(step, DeleteVm)}
    lost = _lost_unasked(steps, here, lineage)
    refused: list[tuple[Step, LinkedCloneError]] = []
    for step in steps:
        names = tuple(r.name for r in _readers(step, here, lineage) if r.id not in going)
        if names:
            brief = "something hangs from it: it was not removed, or came to be in the meantime"
            refused.append((step, InUseError(brief, dependants=names, hint="linkedclone tree")))
        elif isinstance(step, DeleteVm) and (bases := lost & _layers_of(step, here)):
            refused.append((step, _refuse_last(bases)))
    return refused


def _lost_unasked(
    steps: Iterable[Step], here: Mapping[VmId, Vm], lineage: Lineage
) -> frozenset[Layer]:
    """Return the bases of no VM that would go with this stage, though its plan said nothing of it.

    Who else used them was deleted or unregistered since by somebody else.
    """
    deletions = [step for step in steps if isinstance(step, DeleteVm)]
    lost = lineage.lost_with([here[step.vm] for step in deletions if step.vm in here])
    said = {layer for step in deletions for layer in step.takes_base}
    return frozenset(layer for layer in lost if lineage.owner(layer) is None) - said


def _layers_of(step: DeleteVm, here: Mapping[VmId, Vm]) -> frozenset[Layer]:
    return here[step.vm].layers if step.vm in here else frozenset()


def _refuse_last(bases: Iterable[Layer]) -> RefusedError:
    return RefusedError(
        "a base that belongs to no VM here would go with it: what else used that is gone meanwhile",
        details="\n".join(map(str, sorted(bases))),
        hint="look again: linkedclone tree; then keep it with --keep-base",
    )


def _readers(step: Step, here: Mapping[VmId, Vm], lineage: Lineage) -> Iterable[Reader]:
    """Return what hangs by now from what a step takes away."""
    if isinstance(step, RemoveStray):
        return [r for r in lineage.readers(step.stray.layer) if r.id != step.stray.id]
    vm = here.get(step.vm) if isinstance(step, _CHECKED) else None
    if vm is None:
        return ()
    match step:
        case DeleteVm() | PromoteVm():
            return lineage.dependants(vm)
        case DeleteSnapshot():
            found = [s for s in vm.snapshots if s.id == step.snapshot]
            return [r for s in found for r in lineage.dependants_of_snapshot(vm, s)]
        case _:
            return lineage.dependants_of_layers(present_only(vm), vm)
