"""Plan which linked clones of other tools, and which golden images, become ours."""

from collections.abc import Sequence

from linkedclone.errors import NotOursError, RefusedError
from linkedclone.lineage.family import Lineage, Origin
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import Plan, WriteMark
from linkedclone.model.report import Mode
from linkedclone.model.vm import Mark, Vm
from linkedclone.planning.vms.guards import latest, refuse_unread


def plan_adopt(
    vms: Sequence[Vm], inventory: Inventory, *, owner: str, version: str, force: bool = False
) -> Plan:
    """Mark linked clones as ours, with what their disks say of their parent, and golden images.

    A golden image is a VM with a snapshot that clones can depend on. What bears the
    owner's mark already is left alone; what bears another owner's needs ``force``.
    """
    lineage = Lineage(inventory)
    vms = latest(vms, inventory)
    refuse_unread(vms, action="adopt")
    existing = tuple(vm for vm in vms if vm.owner == owner)
    wanted = [vm for vm in vms if vm.owner != owner]
    full = [vm.name for vm in wanted if lineage.origin(vm).mode is Mode.FULL and not vm.snapshots]
    if full:
        raise RefusedError(
            f"not linked clones, so there is nothing to adopt: {', '.join(full)}",
            hint="a VM that clones are to depend on is adopted once it has a snapshot; "
            "``show`` NAME draws the disk chains",
        )
    others = [f"{vm.name} (of {vm.owner})" for vm in wanted if vm.owner is not None]
    if others and not force:
        raise NotOursError(
            f"refusing to adopt what has another owner: {', '.join(others)}",
            hint="if you are sure, repeat with ``force``",
        )
    steps = tuple(
        WriteMark(
            vm=vm.id,
            vm_name=vm.name,
            mark=_build_mark(vm, lineage.origin(vm), owner=owner, version=version),
            seen=vm.mark,
        )
        for vm in wanted
    )
    return Plan(stages=(steps,) if steps else (), existing=existing)


def _build_mark(vm: Vm, origin: Origin, *, owner: str, version: str) -> Mark:
    """Build the mark; no run, so that nothing ever undoes what no run of ours made."""
    parent, snapshot = origin.parent, origin.snapshot
    return Mark(
        owner=owner,
        uuid=vm.uuid,
        parent_uuid=parent.uuid if parent else "",
        parent_name=parent.name if parent else "",
        snapshot=snapshot.id if snapshot else "",
        snapshot_name=snapshot.name if snapshot else "",
        version=version,
    )
