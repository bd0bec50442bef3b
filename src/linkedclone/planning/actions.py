"""Plan what is done to VMs that exist: power, deletion, snapshots. The guards are here."""

from collections.abc import Collection, Sequence

from linkedclone.errors import BusyError, InUseError, NotOursError, RefusedError
from linkedclone.model.ids import VmId
from linkedclone.model.lineage import Lineage
from linkedclone.model.observed import Inventory, Layer, Power, Snapshot, Vm
from linkedclone.model.plan import (
    DeleteSnapshot,
    DeleteVm,
    Plan,
    RevertSnapshot,
    SetPower,
    Step,
    TakeSnapshot,
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
            hint="if you are sure, repeat with --force",
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


def plan_power(vms: Sequence[Vm], power: Power, *, force: bool = False) -> Plan:
    """Start or stop VMs; those that are there already are left alone.

    Raises:
        NotOursError: One is not ours.
        RefusedError: One is a template.
    """
    refuse_foreign(vms, action="start" if power is Power.ON else "stop", force=force)
    templates = [vm.name for vm in vms if vm.template]
    if templates:
        raise RefusedError("templates cannot be started: " + ", ".join(templates))
    steps = tuple(
        SetPower(vm=vm.id, vm_name=vm.name, power=power) for vm in vms if vm.power is not power
    )
    existing = tuple(vm for vm in vms if vm.power is power)
    return Plan(stages=(steps,) if steps else (), existing=existing)


def plan_restart(vms: Sequence[Vm], *, force: bool = False) -> Plan:
    """Stop the VMs that run, then start all.

    Raises:
        NotOursError: One is not ours.
        RefusedError: One is a template.
    """
    stop = plan_power(vms, Power.OFF, force=force)
    start = tuple(SetPower(vm=vm.id, vm_name=vm.name, power=Power.ON) for vm in vms)
    return Plan(stages=(*stop.stages, start))


def plan_delete(vms: Sequence[Vm], inventory: Inventory, *, force: bool = False) -> Plan:
    """Delete VMs, clones before what they hang from.

    The inventory is what counts: it was read after the VMs were looked up.
    Three guards, since nothing in vCenter is known to refuse (handbook,
    section 3):

    - a VM whose layers others read is never deleted, forced or not, unless all
      of those others go in the same command;
    - a VM that is not ours needs ``force``;
    - if a base that belongs to no VM any more would go with its last user,
      ``force`` is needed.

    Raises:
        InUseError: Other VMs hang from one of them.
        NotOursError: One is not ours.
        RefusedError: A base would go as well.
    """
    latest = {vm.id: vm for vm in inventory.vms}
    vms = [latest.get(vm.id, vm) for vm in vms]
    refuse_foreign(vms, action="delete", force=force)
    lineage = Lineage(inventory)
    going = {vm.id for vm in vms}
    for vm in vms:
        staying = [user for user in lineage.dependants(vm) if user.id not in going]
        if staying:
            raise InUseError(
                f"refusing to delete {vm.name}: linked clones hang from it",
                dependants=tuple(user.name for user in staying),
                hint="delete those first, or in the same command",
            )
    lost = lineage.lost_with(vms)
    if lost and not force:
        raise RefusedError(
            "refusing to delete the last users of a base that belongs to no VM here: "
            "the base would go with them",
            details="\n".join(str(layer) for layer in lost),
            hint="if nothing outside this endpoint needs it, repeat with --force",
        )
    return Plan(stages=_waves(vms, lineage, lost))


def _waves(
    vms: Sequence[Vm], lineage: Lineage, lost: Sequence[Layer]
) -> tuple[tuple[Step, ...], ...]:
    """Order deletions so that no VM goes before one that hangs from it."""
    left = {vm.id: vm for vm in vms}
    waves: list[tuple[Step, ...]] = []
    while left:
        ready = [
            vm
            for vm in left.values()
            if not any(user.id in left for user in lineage.dependants(vm))
        ] or list(left.values())
        running = tuple(
            SetPower(vm=vm.id, vm_name=vm.name, power=Power.OFF)
            for vm in ready
            if vm.power is not Power.OFF
        )
        if running:
            waves.append(running)
        waves.append(tuple(_delete(vm, lost) for vm in ready))
        for vm in ready:
            del left[vm.id]
    return tuple(waves)


def _delete(vm: Vm, lost: Sequence[Layer]) -> DeleteVm:
    return DeleteVm(
        vm=vm.id,
        vm_name=vm.name,
        takes_base=tuple(layer for layer in lost if layer in vm.layers),
    )


def plan_create_snapshot(vm: Vm, name: str, description: str) -> Plan:
    """Take a snapshot. Allowed on what is not ours: golden images rarely are.

    Raises:
        RefusedError: The VM is a template.
    """
    if vm.template:
        raise RefusedError(
            f"{vm.name} is a template, and a template cannot be snapshotted",
            hint="convert it to a VM, take the snapshot, convert it back",
        )
    step = TakeSnapshot(vm=vm.id, vm_name=vm.name, name=name, description=description)
    return Plan(stages=((step,),))


def plan_delete_snapshot(
    vm: Vm, snapshot: Snapshot, inventory: Inventory, *, force: bool = False
) -> Plan:
    """Delete a snapshot that nothing hangs from.

    Raises:
        InUseError: Linked clones hang from it.
        NotOursError: The VM is not ours.
    """
    if snapshot.disks is None:
        raise RefusedError(
            f"the disks of snapshot {snapshot.name!r} of {vm.name} cannot be read, "
            "so nobody can tell what hangs from it",
            hint="look at the privileges: linkedclone doctor",
        )
    lineage = Lineage(inventory)
    users = lineage.dependants_of_snapshot(vm, snapshot)
    if users:
        raise InUseError(
            f"refusing to delete snapshot {snapshot.name!r} of {vm.name}: "
            "linked clones hang from it",
            dependants=tuple(user.name for user in users),
            hint="delete those first",
        )
    refuse_foreign([vm], action="delete a snapshot of", force=force)
    step = DeleteSnapshot(vm=vm.id, vm_name=vm.name, snapshot=snapshot.id, name=snapshot.name)
    return Plan(stages=((step,),))


def plan_revert(vm: Vm, snapshot: Snapshot, *, force: bool = False) -> Plan:
    """Put a VM back to a snapshot. Only its top delta goes, which nothing can hang from.

    Raises:
        NotOursError: The VM is not ours.
    """
    refuse_foreign([vm], action="revert", force=force)
    step = RevertSnapshot(vm=vm.id, vm_name=vm.name, snapshot=snapshot.id, name=snapshot.name)
    return Plan(stages=((step,),))
