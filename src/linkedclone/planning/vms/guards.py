"""What is never done to VMs that exist: the guards that all plans of actions share."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from linkedclone.errors import (
    BusyError,
    GoneError,
    InUseError,
    LinkedCloneError,
    NotOursError,
    RefusedError,
)
from linkedclone.lineage.family import Lineage, Reader
from linkedclone.model.inventory import Inventory, tell_all_unreadable
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
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Disk, Layer, Snapshot, Vm


def refuse_foreign(vms: Sequence[Vm], *, action: str, force: bool) -> None:
    """Refuse to act on VMs that bear no valid mark of ours, unless forced."""
    foreign = [vm for vm in vms if vm.owner is None]
    unread = [vm for vm in foreign if vm.unreadable]
    if unread and not force:
        raise NotOursError(
            f"refusing to {action} {_named(unread)}: whose it is cannot be read",
            details=_reasons(unread),
            hint=_find_remedy(unread)
            or "``doctor`` says how to make it readable; or, if you are sure, "
            "repeat with ``force``",
        )
    if foreign and not force:
        raise NotOursError(
            f"refusing to {action} what linkedclone did not make: "
            + ", ".join(vm.name for vm in foreign),
            hint=f"to make it yours once and for all: ``adopt`` {foreign[0].name}; "
            "or, if you are sure, repeat with ``force``",
        )


def refuse_busy(vms: Sequence[Vm], sources: Collection[VmId], *, action: str) -> None:
    """Refuse what would pull the base away from clones that are being made."""
    busy = [vm.name for vm in vms if vm.id in sources]
    if busy:
        raise BusyError(
            f"refusing to {action} {', '.join(busy)}: clones are being made from it right now",
            hint="wait until they are finished, then look at its clones again",
            kind="TaskInProgress",
        )


def refuse_templates(vms: Sequence[Vm], *, action: str) -> None:
    """Refuse what cannot be done to templates."""
    templates = [vm.name for vm in vms if vm.template]
    if templates:
        raise RefusedError(
            f"templates cannot be {action}: {', '.join(templates)}",
            hint="convert it to a VM first",
        )


def refuse_unread(vms: Sequence[Vm], *, action: str, despite: bool | None = None) -> None:
    """Refuse to act on VMs that cannot be read.

    ``despite`` tells whether the user was told of it and goes on; it is None where a
    command has no such option.
    """
    unread = [vm for vm in vms if vm.unreadable]
    if unread and not despite:
        raise RefusedError(
            f"refusing to {action} {_named(unread)}: it cannot be read, "
            "so what depends on it is unknown",
            details=_reasons(unread),
            hint=_find_remedy(unread)
            or "make it readable: ``doctor``"
            + _way_past("that nothing depends on it", despite=despite),
        )


def find_unread_users(
    layers: Iterable[Layer], lineage: Lineage, going: Collection[str] = ()
) -> tuple[Vm, ...]:
    """Return the VMs that may read one of these layers, and cannot be read well enough to tell.

    Also those that hide their chains and bear no mark that tells their parent. One whose
    files are known to be on other datastores does not, nor one that is ``going`` as well.
    """
    stores = {layer.store for layer in layers}
    return tuple(
        vm
        for vm in lineage.unread
        if vm.id not in going and stores and (not vm.stores or vm.stores & stores)
    )


def refuse_unread_users(
    what: str,
    layers: Iterable[Layer],
    lineage: Lineage,
    *,
    going: Collection[str] = (),
    despite: bool | None = None,
) -> None:
    """Refuse what would take layers away while a VM that cannot be read may hang from them.

    ``what`` is to be done, as a person says it; see :func:`refuse_unread` for
    ``despite``.
    """
    unread = () if despite else find_unread_users(layers, lineage, going)
    if unread:
        raise _refuse_unread_users(what, unread, despite=despite)


def _refuse_unread_users(what: str, unread: Sequence[Vm], *, despite: bool | None) -> RefusedError:
    return RefusedError(
        f"refusing to {what}: {_named(unread)} may depend on it, and cannot be read",
        details=_reasons(unread),
        hint="make it readable (``doctor``), or remove it"
        + _way_past("that it does not depend on that", despite=despite),
    )


def _way_past(sure: str, *, despite: bool | None) -> str:
    if despite is None:
        return ""
    return f"; if you are sure {sure}, repeat with ``despite_unreadable``"


def _named(vms: Iterable[Vm]) -> str:
    return list_names([vm.name or vm.id for vm in vms])


def _reasons(vms: Iterable[Vm]) -> str:
    return "\n".join(tell_all_unreadable(vms))


def _find_remedy(vms: Iterable[Vm]) -> str:
    return next((vm.remedy for vm in vms if vm.remedy), "")


def hangable(vm: Vm, lineage: Lineage) -> frozenset[Layer]:
    """Return the layers of a VM that linked clones may hang from.

    All that belong to it, but for the files that a clone of ours writes to: it
    was made without a snapshot, and whatever hangs from one hangs from a layer
    below. So a clone that never had a snapshot has none of these. Of other VMs
    nobody knows what their disks were used for.
    """
    tops = frozenset(disk.top for disk in vm.disks if disk.chain)
    mark = vm.valid_mark
    made_here = mark is not None and bool(mark.run and mark.parent_uuid)
    owned = lineage.owned(vm) | tops
    return owned - tops if made_here else owned


def what_to_know(vms: Iterable[Vm], inventory: Inventory) -> tuple[str, ...]:
    """Return what nobody could look at, where it matters.

    Only a VM with snapshots can be needed by somebody who is not seen here, for
    that is what clones hang from; but what a VM hangs from that cannot be read,
    nobody knows.
    """
    matters = inventory.unreadable or any(vm.snapshots for vm in vms)
    return inventory.not_seen if matters else ()


def refuse_used(brief: str, readers: Iterable[Reader], *, hint: str) -> None:
    """Refuse what would take a layer away from those that read it."""
    names = tuple(reader.name for reader in readers)
    if names:
        raise InUseError(brief, dependants=names, hint=hint)


def latest(vms: Sequence[Vm], inventory: Inventory) -> tuple[Vm, ...]:
    """Return the VMs as the inventory has them: it was read after they were looked up."""
    found = {vm.id: vm for vm in inventory.vms}
    missing = [vm.name for vm in vms if vm.id not in found]
    if missing:
        raise RefusedError(
            f"missing from the list of all VMs that was just read: {list_names(missing)}",
            details="the clones of a VM that is missing from that list are unknown",
            hint="it may have been removed meanwhile: look again with ``list``; "
            "or you may not see all: ``doctor``",
        )
    for vm in vms:
        if _is_another(found[vm.id], vm.uuid):
            raise _refuse_another(found[vm.id], vm.name)
    return tuple(found[vm.id] for vm in vms)


def _is_another(vm: Vm, uuid: str) -> bool:
    """Say whether a VM is not the one that was meant: ids are given again after a restore."""
    return bool(vm.uuid and uuid and vm.uuid != uuid)


def _refuse_another(vm: Vm, name: str) -> RefusedError:
    return RefusedError(
        f"{vm.id} is another VM than the {name} that was looked up",
        details=f"by now it is {vm.name}, with the UUID {vm.uuid}",
        hint="look again: ``list``",
    )


def latest_snapshot(vm: Vm, snapshot: Snapshot) -> Snapshot:
    """Return a snapshot as the VM has it, which was read after it was looked up."""
    for one in vm.snapshots:
        if one.id == snapshot.id:
            return one
    raise RefusedError(
        f"{vm.name} has no snapshot {snapshot.name!r} any more",
        hint=f"look again: ``snapshot list`` {vm.name}",
    )


def present_only(vm: Vm) -> frozenset[Layer]:
    """Return the layers that only the VM's present state reads, and none of its snapshots."""
    frozen = {layer for s in vm.snapshots for d in s.disks or () for layer in d.chain}
    return frozenset(layer for disk in vm.disks for layer in disk.chain) - frozen


def refuse_unreadable(vm: Vm, snapshot: Snapshot) -> Sequence[Disk]:
    """Return a snapshot's disks."""
    if snapshot.disks is None:
        raise RefusedError(
            f"the disks of snapshot {snapshot.name!r} of {vm.name} cannot be read, "
            "so its clones are unknown",
            hint="look at the privileges: ``doctor``",
        )
    return snapshot.disks


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
        The steps that would take away what something hangs from, or may hang
        from, each with the error that names it; those whose VM is there and
        was not in the inventory; and those that by now would take along a base
        of no VM that nobody spoke of.
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
        if vm is not None and isinstance(step, _AIMED) and _is_another(vm, step.vm_uuid):
            return _refuse_another(vm, step.vm_name)
        names = tuple(r.name for r in _readers(step, here, lineage) if r.id not in self._going)
        if names:
            brief = "something uses it: it was not removed, or was created in the meantime"
            return InUseError(brief, dependants=names, hint="``tree``")
        if isinstance(step, DeleteVm) and (bases := self._lost & _layers_of(step, here)):
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
        return _refuse_unread_users("go on", unread, despite=despite) if unread else None


def _endangered(step: Step, vm: Vm | None, lineage: Lineage) -> frozenset[Layer]:
    """Return the layers that a step takes away, and that others may hang from."""
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


def frozen_by(vm: Vm, snapshot: SnapshotId) -> frozenset[Layer]:
    """Return the layers that a snapshot froze, and that clones of it hang from."""
    found = (s for s in vm.snapshots if s.id == snapshot)
    return frozenset(disk.top for s in found for disk in s.disks or () if disk.chain)


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
        "the base, which belongs to no VM here, would be deleted too: it has no other users left",
        details="\n".join(map(str, sorted(bases))),
        hint="look again: ``tree``; then keep it with ``keep_base``",
    )


def _written_by(vm: Vm, step: GrowDisk) -> frozenset[Layer]:
    """Return the one layer that grows with a disk: of what it hangs from, nothing changes."""
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
