"""Plan what is done to snapshots and disks of VMs that exist."""

from dataclasses import replace

from linkedclone.errors import InputError, NotFoundError, RefusedError
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.needed_layers import frozen_by, hangable
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import (
    DeleteMemory,
    DeleteSnapshot,
    GrowDisk,
    Plan,
    RevertSnapshot,
    TakeSnapshot,
)
from linkedclone.model.values.sizes import render_size
from linkedclone.model.vm import Disk, Snapshot, Vm
from linkedclone.planning.vms.guards import (
    latest,
    latest_snapshot,
    present_only,
    refuse_foreign,
    refuse_unread,
    refuse_unread_users,
    refuse_unreadable,
    refuse_used,
    what_to_know,
)


def plan_create_snapshot(
    vm: Vm, name: str, description: str = "", *, quiesce: bool = False, memory: bool = False
) -> Plan:
    """Take a snapshot. Allowed on what is not ours: golden images rarely are."""
    if vm.template:
        raise RefusedError(
            f"{vm.name} is a template, and a template cannot be snapshotted",
            hint="convert it to a VM, take the snapshot, convert it back",
        )
    step = TakeSnapshot(
        vm=vm.id,
        vm_name=vm.name,
        name=name,
        description=description,
        quiesce=quiesce,
        memory=memory,
    )
    return Plan(stages=((step,),))


def plan_delete_snapshot(
    vm: Vm,
    snapshot: Snapshot,
    inventory: Inventory,
    *,
    force: bool = False,
    despite_unreadable: bool = False,
) -> Plan:
    """Delete a snapshot that nothing depends on."""
    vm, snapshot = _see_now(vm, snapshot, inventory, "delete a snapshot of", despite_unreadable)
    lineage = Lineage(inventory)
    refuse_used(
        f"refusing to delete snapshot {snapshot.name!r} of {vm.name}: linked clones depend on it",
        lineage.dependants_of_snapshot(vm, snapshot),
        hint="delete or promote those first",
    )
    refuse_unread_users(
        f"delete snapshot {snapshot.name!r} of {vm.name}",
        frozen_by(vm, snapshot.id),
        lineage,
        going={vm.id},
        despite=despite_unreadable,
    )
    refuse_foreign([vm], action="delete a snapshot of", force=force)
    step = DeleteSnapshot(
        vm=vm.id, vm_name=vm.name, vm_uuid=vm.uuid, snapshot=snapshot.id, name=snapshot.name
    )
    return Plan(stages=((step,),), notes=what_to_know([vm], inventory), routine=inventory.unscanned)


def _see_now(
    vm: Vm,
    snapshot: Snapshot,
    inventory: Inventory,
    action: str,
    despite: bool,  # noqa: FBT001
) -> tuple[Vm, Snapshot]:
    """Return a VM and its snapshot as the inventory has them; refuse what cannot be read."""
    refuse_unreadable(vm, snapshot)
    (vm,) = latest([vm], inventory)
    snapshot = latest_snapshot(vm, snapshot)
    refuse_unreadable(vm, snapshot)
    refuse_unread([vm], action=action, despite=despite)
    return vm, snapshot


def plan_delete_memory(
    vm: Vm,
    snapshot: Snapshot,
    inventory: Inventory,
    *,
    force: bool = False,
    despite_unreadable: bool = False,
) -> Plan:
    """Delete the memory that a snapshot holds; its disks stay, and so do forks that run.

    Spares are in the way: their pool would have nothing to make others of.
    """
    action = "delete the memory of a snapshot of"
    vm, snapshot = _see_now(vm, snapshot, inventory, action, despite_unreadable)
    called = f"snapshot {snapshot.name!r} of {vm.name}"
    if snapshot.memory is None:
        raise RefusedError(f"the {called} holds no memory", hint="``snapshot list`` tells")
    lineage = Lineage(inventory)
    forks = lineage.dependants_of_snapshot(vm, snapshot)
    refuse_used(
        f"refusing to delete the memory of {called}: spares of a pool stand still in it",
        [fork for fork in forks if isinstance(fork, Vm) and fork.mark and fork.mark.spare],
        hint="set spares in the pool's file to 0 and apply it: ``pool apply``",
    )
    refuse_foreign([vm], action=action, force=force)
    step = DeleteMemory(
        vm=vm.id, vm_name=vm.name, vm_uuid=vm.uuid, snapshot=snapshot.id, name=snapshot.name
    )
    return Plan(stages=((step,),))


def plan_revert(
    vm: Vm,
    snapshot: Snapshot,
    inventory: Inventory,
    *,
    force: bool = False,
    despite_unreadable: bool = False,
) -> Plan:
    """Put a VM back to a snapshot; what it wrote since is lost.

    Clones depend on snapshots, which a revert leaves alone. But other tools can
    link a disk to any file, and the layers of the present state go.
    """
    vm, snapshot = _see_now(vm, snapshot, inventory, "revert", despite_unreadable)
    lineage = Lineage(inventory)
    refuse_used(
        f"refusing to revert {vm.name}: other VMs depend on its current state",
        lineage.dependants_of_layers(present_only(vm), vm),
        hint="take a snapshot first, which keeps the current state",
    )
    refuse_unread_users(
        f"revert {vm.name}",
        present_only(vm) & hangable(vm, lineage),
        lineage,
        going={vm.id},
        despite=despite_unreadable,
    )
    refuse_foreign([vm], action="revert", force=force)
    step = RevertSnapshot(
        vm=vm.id, vm_name=vm.name, vm_uuid=vm.uuid, snapshot=snapshot.id, name=snapshot.name
    )
    notes = (*_tell_stale(vm, snapshot), *what_to_know([vm], inventory))
    return Plan(stages=((step,),), notes=notes, routine=inventory.unscanned)


def _tell_stale(vm: Vm, snapshot: Snapshot) -> tuple[str, ...]:
    if snapshot.memory is None or not snapshot.memory.stale:
        return ()
    why = snapshot.memory.stale
    return (f"{vm.name} will be off: the memory of {snapshot.name} cannot be used: {why}",)


def plan_grow(
    vm: Vm,
    grow: GrowDisk,
    inventory: Inventory,
    *,
    linked_too: bool,
    force: bool = False,
    despite_unreadable: bool = False,
) -> Plan:
    """Make a disk larger; a layer that others depend on never changes.

    An empty label means the only disk. ``linked_too`` tells whether the hypervisor can
    grow a delta over its base.
    """
    (vm,) = latest([vm], inventory)
    disk = find_disk(vm, grow.disk)
    if grow.capacity_bytes < disk.capacity_bytes:
        raise InputError(
            f"{disk.label} of {vm.name} has {render_size(disk.capacity_bytes)}, "
            "and a disk cannot be made smaller"
        )
    refuse_foreign([vm], action="grow a disk of", force=force)
    refuse_unread([vm], action="grow a disk of", despite=despite_unreadable)
    lineage = Lineage(inventory)
    top = frozenset([disk.top] if disk.chain else ())
    refuse_used(
        f"refusing to grow {disk.label} of {vm.name}: other VMs use its file, "
        "and would no longer start",
        lineage.dependants_of_layers(top, vm),
        hint="delete or promote those first",
    )
    if grow.capacity_bytes == disk.capacity_bytes:
        return Plan(existing=(vm,))
    if len(disk.chain) > 1 and not linked_too:
        raise RefusedError(
            f"{disk.label} of {vm.name} depends on another file, and such disks cannot grow",
            hint=f"make it independent first: ``promote`` {vm.name}; "
            "or grow the parent's disk, and clone from a new snapshot",
        )
    what = f"grow {disk.label} of {vm.name}"
    layers = top & hangable(vm, lineage)
    refuse_unread_users(what, layers, lineage, going={vm.id}, despite=despite_unreadable)
    return Plan(
        stages=((replace(grow, disk=disk.label, vm_uuid=vm.uuid),),),
        notes=what_to_know([vm], inventory),
        routine=inventory.unscanned,
    )


def find_disk(vm: Vm, label: str) -> Disk:
    """Find a disk by its label; an empty one means the only disk."""
    found = [disk for disk in vm.disks if label in {"", disk.label}]
    if len(found) == 1:
        return found[0]
    labels = ", ".join(disk.label for disk in vm.disks)
    brief = f"{vm.name} has no disk {label!r}" if label else f"{vm.name} has {len(found)} disks"
    raise NotFoundError(brief, hint=f"name one of its disks with ``disk``: {labels or 'none'}")
