"""Plan what becomes independent: linked clones that get a copy of all that they share."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from linkedclone.errors import NoSpaceError, RefusedError
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.needed_layers import hangable
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import Plan, PromoteVm
from linkedclone.model.report import Mode
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.model.values.sizes import render_size
from linkedclone.model.vm import Layer, Power, Vm
from linkedclone.planning.vms.guards import (
    latest,
    refuse_foreign,
    refuse_templates,
    refuse_unread,
    refuse_unread_users,
    refuse_used,
    what_to_know,
)


def plan_promote(
    vms: Sequence[Vm],
    inventory: Inventory,
    *,
    force: bool = False,
    despite_unreadable: bool = False,
) -> Plan:
    """Make linked clones full ones; full ones are left alone.

    A VM that others depend on keeps its layers: promoting it would copy what
    they read to another file, and merge the rest below them [fact: vs-promote].
    One that runs must have no snapshots: its disks are rewritten while it reads them.
    """
    vms = latest(vms, inventory)
    lineage = Lineage(inventory)
    refuse_foreign(vms, action="promote", force=force)
    refuse_templates(vms, action="promoted")
    refuse_unread(vms, action="promote", despite=despite_unreadable)
    linked = [vm for vm in vms if lineage.origin(vm).mode is not Mode.FULL]
    going, lost = {vm.id for vm in linked}, frozenset(lineage.lost_with(linked))
    for vm in linked:
        refuse_used(
            f"refusing to promote {vm.name}: others depend on it",
            lineage.dependants(vm),
            hint="promote or delete those first",
        )
        layers = hangable(vm, lineage) | (vm.layers & lost)
        what = f"promote {vm.name}"
        refuse_unread_users(what, layers, lineage, going=going, despite=despite_unreadable)
    running = [vm.name for vm in linked if vm.power is not Power.OFF and vm.snapshots]
    if running:
        raise RefusedError(
            f"a VM that runs can be promoted only without snapshots: {', '.join(running)}",
            hint="stop it first, or delete its snapshots",
        )
    copies = {vm.id: lineage.inherited(vm) for vm in linked}
    _refuse_full(linked, [copies[vm.id] for vm in linked], inventory)
    steps = tuple(
        PromoteVm(
            vm=vm.id,
            vm_name=vm.name,
            vm_uuid=vm.uuid,
            copy_bytes=inventory.used_bytes(copies[vm.id]),
        )
        for vm in linked
    )
    existing = tuple(vm for vm in vms if vm.id not in going)
    notes = (*_notes(copies, lineage), *what_to_know(linked, inventory)) if steps else ()
    return Plan(
        stages=(steps,) if steps else (),
        existing=existing,
        notes=notes,
        routine=inventory.unscanned,
    )


def _notes(copies: Mapping[VmId, frozenset[Layer]], lineage: Lineage) -> tuple[str, ...]:
    """Report layers that no VM here reads afterwards.

    Whether vCenter removes such a file is not known [fact: vs-unnamed-layer].
    """
    going = copies.keys()
    left = sorted(
        layer
        for layer in frozenset().union(*copies.values())
        if lineage.owner(layer) is None
        and all(reader.id in going for reader in lineage.readers(layer))
    )
    return tuple(f"no VM here uses {layer} afterwards: it can be removed" for layer in left)


def _refuse_full(
    vms: Sequence[Vm], copies: Sequence[frozenset[Layer]], inventory: Inventory
) -> None:
    needed: dict[StoreId, int] = defaultdict(int)
    for vm, layers in zip(vms, copies, strict=True):
        for disk in vm.disks:
            below = frozenset(disk.chain[:-1]) & layers
            if disk.chain:
                needed[disk.top.store] += inventory.used_bytes(below) or 0
    for store in inventory.stores:
        want, free = needed.get(store.id, 0), store.free_bytes
        if free is not None and want > free:
            raise NoSpaceError(
                f"{store.name} has {render_size(free)} free, and {render_size(want)} are needed",
                hint="make room, or promote fewer at once",
                kind="InsufficientStorageSpace",
            )
