"""One last look, right before a stage is carried out, at what it would take away."""

from collections.abc import Iterable, Mapping, Sequence

from linkedclone.errors import GoneError, InUseError, LinkedCloneError, RefusedError
from linkedclone.lineage.family import Lineage, Reader
from linkedclone.lineage.needed_layers import find_unread_users, frozen_by, hangable
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import (
    DeleteSnapshot,
    DeleteVm,
    GrowDisk,
    PromoteVm,
    RelocateVm,
    RemoveStray,
    RevertSnapshot,
    Step,
)
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Layer, Vm
from linkedclone.planning.vms.guards import (
    build_another_refusal,
    build_unread_refusal,
    is_another,
    present_only,
)

_AIMED = (DeleteVm, DeleteSnapshot, RevertSnapshot, PromoteVm, GrowDisk, RelocateVm)
_CHECKED = (*_AIMED, RemoveStray)


def needs_check(steps: Iterable[Step]) -> bool:
    """Say whether a stage takes anything away that others could need."""
    return any(isinstance(step, _CHECKED) for step in steps)


def find_missing(steps: Iterable[Step], inventory: Inventory) -> tuple[VmId, ...]:
    """Return the VMs of steps that are not as expected in the inventory: gone, or unseen.

    Also those that are there, but without the snapshot that a step is about.
    """
    here = {vm.id: vm for vm in inventory.vms}
    aimed = (step for step in steps if isinstance(step, _AIMED))
    return tuple(dict.fromkeys(step.vm for step in aimed if not _has(here, step)))


def _has(vms: Mapping[VmId, Vm], step: Step) -> bool:
    if not isinstance(step, _AIMED):
        return True
    vm = vms.get(step.vm)
    if vm is None or not isinstance(step, DeleteSnapshot | RevertSnapshot):
        return vm is not None
    return any(snapshot.id == step.snapshot for snapshot in vm.snapshots)


def check_steps(
    steps: Sequence[Step],
    inventory: Inventory,
    direct: Iterable[Vm] = (),
    *,
    despite: bool | None = None,
) -> list[tuple[Step, LinkedCloneError]]:
    """Look once more, right before a stage is carried out, whether anything needs it after all.

    The plan was made on an older inventory: a person may have taken their time, the
    stages before took theirs, and may have failed. ``direct`` is what the endpoint said
    when it was asked for the :func:`find_missing` alone: what is in neither is gone.

    Returns:
        The steps that would take away what something depends on, or may depend
        on, each with the error that names it; those whose VM is there and
        was not in the inventory; and those that by now would take along a base
        without a VM that the plan does not name.
    """
    look = _Look(steps, inventory, direct)
    refused: list[tuple[Step, LinkedCloneError]] = []
    for step in steps:
        error = look.find_error(step) or (None if despite else look.find_doubt(step, despite))
        if error is not None:
            refused.append((step, error))
    return refused


class _Look:
    def __init__(self, steps: Sequence[Step], inventory: Inventory, direct: Iterable[Vm]) -> None:
        self._lineage = Lineage(inventory)
        self._here = {vm.id: vm for vm in inventory.vms}
        self._direct = {vm.id: vm for vm in direct}
        self._going = {step.vm for step in steps if isinstance(step, DeleteVm)}
        self._lost = _lost_unasked(steps, self._here, self._lineage)
        last = (step.vm for step in steps if isinstance(step, DeleteVm | PromoteVm))
        users = [self._here[vm] for vm in last if vm in self._here]
        self._last = frozenset(self._lineage.lost_with(users))

    def find_error(self, step: Step) -> LinkedCloneError | None:
        """Return why a step must not be carried out, as far as that can be seen."""
        here, lineage = self._here, self._lineage
        if not _has(here, step):
            return _refuse_missing(step) if _has(self._direct, step) else _build_gone(step)
        vm = here[step.vm] if isinstance(step, _AIMED) else None
        if vm is not None and isinstance(step, _AIMED) and is_another(vm, step.vm_uuid):
            return build_another_refusal(vm, step.vm_name)
        names = tuple(r.name for r in _readers(step, here, lineage) if r.id not in self._going)
        if names:
            brief = "something uses it: it was not removed, or was created in the meantime"
            return InUseError(brief, dependants=names, hint="``tree``")
        if isinstance(step, DeleteVm) and vm is not None and (bases := self._lost & vm.layers):
            return _refuse_last(bases)
        return None

    def find_doubt(self, step: Step, despite: bool | None) -> LinkedCloneError | None:  # noqa: FBT001 - passed on
        """Return what cannot be read and may need what a step takes away."""
        vm = self._here.get(step.vm) if isinstance(step, _AIMED) else None
        layers = _endangered(step, vm, self._lineage)
        if vm is not None and isinstance(step, DeleteVm | PromoteVm):
            layers |= vm.layers & self._last
        unread = find_unread_users(layers, self._lineage, self._going)
        if vm is not None:
            unread = (*[vm] * bool(vm.unreadable), *(one for one in unread if one.id != vm.id))
        return build_unread_refusal("go on", unread, despite=despite) if unread else None


def _endangered(step: Step, vm: Vm | None, lineage: Lineage) -> frozenset[Layer]:
    """Return the layers that a step takes away, and that others may depend on."""
    if isinstance(step, RemoveStray):
        return frozenset([step.stray.layer])
    if vm is None:
        return frozenset()
    match step:
        case DeleteVm() | PromoteVm():
            return hangable(vm, lineage)
        case RelocateVm():
            return hangable(vm, lineage) if step.moves_disks else frozenset()
        case DeleteSnapshot():
            return frozen_by(vm, step.snapshot)
        case GrowDisk():
            return _written_by(vm, step) & hangable(vm, lineage)
        case _:
            return present_only(vm) & hangable(vm, lineage)


def _build_gone(step: Step) -> GoneError:
    what = f"snapshot {step.name!r}" if isinstance(step, DeleteSnapshot | RevertSnapshot) else "it"
    return GoneError(f"{what} is gone", hint="look again: ``list``")


def _refuse_missing(step: Step) -> RefusedError:
    what = f"snapshot {step.name!r}" if isinstance(step, DeleteSnapshot | RevertSnapshot) else "it"
    return RefusedError(
        f"{what} exists, but is missing from the list of all VMs that was just read",
        details="the clones of a VM that is missing from that list are unknown",
        hint="look again: ``list``; or you may not see all: ``doctor``",
    )


def _lost_unasked(
    steps: Iterable[Step], here: Mapping[VmId, Vm], lineage: Lineage
) -> frozenset[Layer]:
    """Return the bases of no VM that would go with this stage, though its plan said nothing of it.

    Another command has deleted or unregistered their other users since.
    """
    deletions = [step for step in steps if isinstance(step, DeleteVm)]
    lost = lineage.lost_with([here[step.vm] for step in deletions if step.vm in here])
    said = {layer for step in deletions for layer in step.takes_base}
    return frozenset(layer for layer in lost if lineage.owner(layer) is None) - said


def _refuse_last(bases: Iterable[Layer]) -> RefusedError:
    return RefusedError(
        "the base, which belongs to no VM here, would be deleted too: it has no other users left",
        details="\n".join(map(str, sorted(bases))),
        hint="look again: ``tree``; then keep it with ``keep_base``",
    )


def _written_by(vm: Vm, step: GrowDisk) -> frozenset[Layer]:
    """Return the one layer that grows with a disk: of what it depends on, nothing changes."""
    return frozenset(disk.top for disk in vm.disks if disk.chain and disk.label == step.disk)


def _readers(step: Step, here: Mapping[VmId, Vm], lineage: Lineage) -> Iterable[Reader]:
    if isinstance(step, RemoveStray):
        return [r for r in lineage.readers(step.stray.layer) if r.id != step.stray.id]
    vm = here.get(step.vm) if isinstance(step, _AIMED) else None
    if vm is None:
        return ()
    match step:
        case DeleteVm() | PromoteVm():
            return lineage.dependants(vm)
        case RelocateVm():
            return lineage.dependants(vm) if step.moves_disks else ()
        case DeleteSnapshot():
            found = [s for s in vm.snapshots if s.id == step.snapshot]
            return [r for s in found for r in lineage.dependants_of_snapshot(vm, s)]
        case GrowDisk():
            return lineage.dependants_of_layers(_written_by(vm, step), vm)
        case _:
            return lineage.dependants_of_layers(present_only(vm), vm)
