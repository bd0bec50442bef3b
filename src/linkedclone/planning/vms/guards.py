"""What is never done to VMs that exist: the guards that all plans of actions share."""

from collections.abc import Collection, Iterable, Sequence

from linkedclone.errors import (
    BusyError,
    InUseError,
    NotOursError,
    RefusedError,
)
from linkedclone.lineage.family import Lineage, Reader
from linkedclone.lineage.needed_layers import find_unread_users
from linkedclone.model.inventory import Inventory, tell_all_unreadable
from linkedclone.model.values.ids import VmId
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

    ``despite`` tells whether the user confirmed it; it is None where a
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


def refuse_unread_users(
    what: str,
    layers: Iterable[Layer],
    lineage: Lineage,
    *,
    going: Collection[str] = (),
    despite: bool | None = None,
) -> None:
    """Refuse what would take layers away while a VM that cannot be read may depend on them.

    ``what`` is to be done, as a person says it; see :func:`refuse_unread` for
    ``despite``.
    """
    unread = () if despite else find_unread_users(layers, lineage, going)
    if unread:
        raise build_unread_refusal(what, unread, despite=despite)


def build_unread_refusal(what: str, unread: Sequence[Vm], *, despite: bool | None) -> RefusedError:
    """Return the error that VMs which cannot be read may depend on what goes."""
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


def what_to_know(vms: Iterable[Vm], inventory: Inventory) -> tuple[str, ...]:
    """Return the places that could not be read, where they matter.

    Only a VM with snapshots can be needed by a VM that is not seen here, for
    that is what clones depend on; but what a VM depends on that cannot be read,
    is unknown.
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
        if is_another(found[vm.id], vm.uuid):
            raise build_another_refusal(found[vm.id], vm.name)
    return tuple(found[vm.id] for vm in vms)


def is_another(vm: Vm, uuid: str) -> bool:
    """Say whether a VM is not the one that was meant: ids are given again after a restore."""
    return bool(vm.uuid and uuid and vm.uuid != uuid)


def build_another_refusal(vm: Vm, name: str) -> RefusedError:
    """Return the error that an id belongs to another VM by now."""
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
