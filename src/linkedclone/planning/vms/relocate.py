"""Plan where VMs move, so that they depend on what they depended on before."""

from collections.abc import Mapping, Sequence

from linkedclone.errors import NoSpaceError, RefusedError
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.needed_layers import hangable
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import Plan, RelocateVm
from linkedclone.model.request import Target
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.model.values.sizes import render_size
from linkedclone.model.vm import Vm
from linkedclone.planning.vms.guards import (
    latest,
    refuse_foreign,
    refuse_templates,
    refuse_unread,
    refuse_unread_users,
    refuse_used,
    what_to_know,
)


def plan_relocate(
    vms: Sequence[Vm],
    targets: Mapping[VmId, Target],
    inventory: Inventory,
    *,
    moves_disks: bool,
    force: bool = False,
    despite_unreadable: bool = False,
) -> Plan:
    """Move VMs; one whose disks are all at the datastore already is not moved for its sake.

    The inventory has to hold sizes. ``moves_disks`` tells whether a datastore was named.
    """
    vms = latest(vms, inventory)
    refuse_foreign(vms, action="move", force=force)
    refuse_templates(vms, action="moved")
    refuse_unread(vms, action="move", despite=despite_unreadable)
    moving = [vm for vm in vms if moves_disks and _leaves(vm, targets[vm.id])]
    leaving = {vm.id for vm in moving}
    _refuse_hidden(moving)
    lineage = Lineage(inventory)
    for vm in moving:
        hint = "move its clones instead, or promote them first: ``tree``"
        refuse_used(f"refusing to move the disks of {vm.name}", lineage.dependants(vm), hint=hint)
        what = f"move the disks of {vm.name}"
        layers = hangable(vm, lineage)
        refuse_unread_users(what, layers, lineage, going={vm.id}, despite=despite_unreadable)
    _refuse_snapshots(moving)
    _refuse_full(moving, targets, inventory)
    steps = tuple(
        RelocateVm(
            vm=vm.id,
            vm_name=vm.name,
            vm_uuid=vm.uuid,
            target=targets[vm.id],
            moves_disks=vm.id in leaving,
        )
        for vm in vms
        if vm.id in leaving or targets[vm.id].host or targets[vm.id].pool
    )
    going = {step.vm for step in steps}
    still = tuple(vm for vm in vms if vm.id not in going)
    notes = dict.fromkeys(note for vm in vms for note in targets[vm.id].notes)
    return Plan(
        stages=(steps,) if steps else (),
        existing=still,
        notes=(*notes, *what_to_know(moving, inventory)),
        routine=inventory.unscanned,
    )


def _leaves(vm: Vm, target: Target) -> bool:
    own = {disk.top.store for disk in vm.disks} | ({vm.home[0]} if vm.home else set())
    return own != {StoreId(target.datastore)}


def _refuse_hidden(vms: Sequence[Vm]) -> None:
    """Refuse native clones, which cannot be moved [fact: vs-native-clones]."""
    hidden = [vm.name for vm in vms if any(disk.hidden for disk in vm.disks)]
    if hidden:
        raise RefusedError(
            f"native linked clones cannot be moved: {', '.join(hidden)}",
            details="the storage keeps the delta and its base together, and does not show the "
            "chain (CannotMoveVmWithNativeDeltaDisk)",
            hint="promote it first, or make a new clone at the target",
        )


def _refuse_snapshots(vms: Sequence[Vm]) -> None:
    """Refuse to tear a VM from its own snapshots.

    Only the top layer of the present configuration moves [fact: vs-relocate], so
    the layers of the snapshots would stay in the old folder without an owner.
    """
    kept = [vm.name for vm in vms if vm.snapshots]
    if kept:
        raise RefusedError(
            f"refusing to move the disks of VMs with snapshots of their own: {', '.join(kept)}",
            details="only the current delta moves; the layers of the snapshots stay",
            hint="delete the snapshots first: ``snapshot delete``",
        )


def _refuse_full(vms: Sequence[Vm], targets: Mapping[VmId, Target], inventory: Inventory) -> None:
    free = {store.id: store for store in inventory.stores}
    needed: dict[StoreId, int] = {}
    for vm in vms:
        store = StoreId(targets[vm.id].datastore)
        tops = [disk.top for disk in vm.disks if disk.top.store != store]
        needed[store] = needed.get(store, 0) + (inventory.used_bytes(tops) or 0)
    for store, wanted in needed.items():
        place = free.get(store)
        if place is not None and place.free_bytes is not None and wanted > place.free_bytes:
            raise NoSpaceError(
                f"{place.name} has too little free space for the move",
                details=f"{render_size(wanted)} are to move, "
                f"{render_size(place.free_bytes)} are free",
                hint="free space there, or name another ``placement.datastore``",
            )
