"""Plan what is deleted: clones before what they depend on, and no base that anything needs."""

from collections.abc import Iterable, Sequence

from linkedclone.errors import InUseError, RefusedError
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.needed_layers import hangable
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.plan import DeleteVm, Plan, SetPower, Step, UnregisterVm
from linkedclone.model.request import Deletion
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Layer, Power, Vm
from linkedclone.planning.vms.guards import (
    latest,
    refuse_foreign,
    refuse_unread,
    refuse_unread_users,
    refuse_used,
    what_to_know,
)


def plan_delete(vms: Sequence[Vm], inventory: Inventory, how: Deletion | None = None) -> Plan:
    """Delete VMs, clones before what they depend on.

    The inventory is what counts: it was read after the VMs were looked up.
    The guards, since vCenter is not known to refuse [fact: vs-parent-unguarded]:

    - a VM whose layers others read is never deleted, forced or not, unless all
      of those others go in the same command, named or by ``cascade``;
    - what depends on it and is no VM here, a stray file, is in the way for good:
      nothing here can tell whose it is;
    - a VM that is not ours needs ``force``;
    - what a VM that cannot be read depends on is not known, so nothing goes that
      it may depend on, but with ``despite_unreadable``;
    - if a base that belongs to no VM any more would go with its last user,
      ``force`` is needed, or ``keep_base``: then one of the last users is
      unregistered when the others are gone, and all its files stay.
    """
    how = how or Deletion()
    lineage = Lineage(inventory)
    vms = latest(vms, inventory)
    below = lineage.descendants(vms) if how.cascade else ()
    going = (*vms, *below)
    refuse_foreign(going, action="delete", force=how.force)
    refuse_unread(going, action="delete", despite=how.despite_unreadable)
    _refuse_dependants(going, lineage, how)
    lost = frozenset(lineage.lost_with(going))
    _refuse_unread_users(going, lost, lineage, despite=how.despite_unreadable)
    kept = _choose_kept(going, lost, lineage) if how.keep_base else ()
    if lost and not how.keep_base:
        _refuse_lost(lost, lineage, force=how.force)
    keepers = {vm.id for vm in kept}
    gone = [vm for vm in going if vm.id not in keepers]
    takes = frozenset[Layer]() if how.keep_base else lost
    stages = (*_waves(gone, lineage, takes, how), *_unregister(kept, lost))
    notes = (*_notes(vms, below, inventory), *how.notes)
    return Plan(stages=stages, notes=notes, routine=inventory.unscanned)


def _refuse_dependants(going: Sequence[Vm], lineage: Lineage, how: Deletion) -> None:
    ids = {vm.id for vm in going}
    for vm in going:
        staying = [reader for reader in lineage.dependants(vm) if reader.id not in ids]
        strays = [reader for reader in staying if isinstance(reader, Stray)]
        hint = "delete those first, or all in one go with ``cascade``"
        if how.cascade or len(strays) == len(staying):
            hint = "files of no VM here use it: find out whose they are; ``gc`` lists them"
        refuse_used(f"refusing to delete {vm.name}: linked clones depend on it", staying, hint=hint)


def _refuse_unread_users(
    going: Sequence[Vm], lost: frozenset[Layer], lineage: Lineage, *, despite: bool
) -> None:
    ids = {vm.id for vm in going}
    for vm in going:
        layers = hangable(vm, lineage) | (vm.layers & lost)
        refuse_unread_users(f"delete {vm.name}", layers, lineage, going=ids, despite=despite)


def _refuse_lost(lost: frozenset[Layer], lineage: Lineage, *, force: bool) -> None:
    """Refuse to take a base along, unless forced; never one that a stray file depends on."""
    strays = {
        reader.name
        for layer in lost
        for reader in lineage.readers(layer)
        if isinstance(reader, Stray) and reader.layer != layer and not reader.orphaned
    }
    if strays:
        raise InUseError(
            "refusing to delete the last VMs on a base that disk files of no VM here use",
            dependants=tuple(sorted(strays)),
            hint="keep it with ``keep_base``",
        )
    if not force:
        raise RefusedError(
            "refusing to delete the last users of a base that belongs to no VM here: "
            "the base would go with them",
            details="\n".join(str(layer) for layer in sorted(lost)),
            hint="keep it with ``keep_base``; or, if nothing outside this endpoint needs it, "
            "repeat with ``force``",
        )


def _choose_kept(going: Sequence[Vm], lost: frozenset[Layer], lineage: Lineage) -> tuple[Vm, ...]:
    """Choose as few VMs as will do so that each of the layers stays in use by one.

    What a chosen one depends on is chosen as well: nothing is deleted from
    under it, and its files are to be of use when it is registered again.
    """
    if not lost:
        return ()
    below: dict[str, list[Vm]] = {vm.id: [] for vm in going}
    for vm in going:
        for reader in lineage.dependants(vm):
            below.setdefault(reader.id, []).append(vm)
    kept: dict[VmId, Vm] = {}
    left = set(lost)
    while left:
        # Of two that do as well the one that depends on fewer, however they were listed.
        best = min(going, key=lambda vm: (-len(left & vm.layers), len(below[vm.id]), vm.uuid))
        more = [best]
        while more:
            vm = more.pop()
            if vm.id not in kept:
                kept[vm.id] = vm
                left -= vm.layers
                more.extend(below[vm.id])
    return tuple(kept.values())


def _unregister(vms: Sequence[Vm], lost: frozenset[Layer]) -> Iterable[tuple[Step, ...]]:
    """Stop and unregister VMs: last of all, for until then they keep the base in use."""
    running = _stops(vms)
    if running:
        yield running
    if vms:
        yield tuple(
            UnregisterVm(vm=vm.id, vm_name=vm.name, keeps=tuple(sorted(vm.layers & lost)))
            for vm in vms
        )


def _stops(vms: Iterable[Vm]) -> tuple[Step, ...]:
    return tuple(
        SetPower(vm=vm.id, vm_name=vm.name, power=Power.OFF)
        for vm in vms
        if vm.power is not Power.OFF
    )


def _waves(
    vms: Sequence[Vm], lineage: Lineage, lost: frozenset[Layer], how: Deletion
) -> tuple[tuple[Step, ...], ...]:
    """Order deletions so that no VM goes before one that depends on it."""
    left = {vm.id: vm for vm in vms}
    waves: list[tuple[Step, ...]] = []
    while left:
        ready = [
            vm
            for vm in left.values()
            if not any(user.id in left for user in lineage.dependants(vm))
        ] or list(left.values())
        running = _stops(ready)
        if running:
            waves.append(running)
        waves.append(tuple(_delete(vm, lost, how) for vm in ready))
        for vm in ready:
            del left[vm.id]
    return tuple(waves)


def _delete(vm: Vm, lost: frozenset[Layer], how: Deletion) -> DeleteVm:
    return DeleteVm(
        vm=vm.id,
        vm_name=vm.name,
        vm_uuid=vm.uuid,
        takes_base=tuple(sorted(vm.layers & lost)),
        seen=how.marks.get(vm.id),
    )


def _notes(vms: Sequence[Vm], below: Sequence[Vm], inventory: Inventory) -> tuple[str, ...]:
    """Say what a person should know: how many clones go too, and what could not be checked."""
    count = len(below)
    clones = render_count(count, "clone")
    come = (f"{clones} of the VMs that you named will be deleted as well",) if below else ()
    return (*come, *what_to_know(vms, inventory))
