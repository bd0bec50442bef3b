"""What people and programs are shown of VMs: rows, with their JSON form."""

from dataclasses import dataclass, replace

from linkedclone.lineage.family import Lineage, Origin
from linkedclone.model.inventory import Inventory
from linkedclone.model.report import Mode
from linkedclone.model.vm import Vm

_LINKED = {Mode.LINKED: True, Mode.FULL: False, Mode.SHARED: False, Mode.UNKNOWN: None}


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRow:
    """One VM with its parent.

    Attributes:
        vm: The VM.
        parent: Name of the VM that it depends on; empty if none or gone.
        snapshot: Name of the snapshot that it depends on; empty if none or gone.
        mode: How its disks came to be.
        trouble: Why it does not run as it should, and what to do; empty if nothing is the matter.
    """

    vm: Vm
    parent: str
    snapshot: str
    mode: Mode
    trouble: str = ""

    @property
    def linked(self) -> bool | None:
        """True if it is a linked clone, None if its chain is hidden or cannot be read."""
        return _LINKED[self.mode]

    @property
    def instant(self) -> bool:
        """Whether it was born as an instant clone."""
        mark = self.vm.valid_mark
        return mark is not None and mark.instant

    @property
    def kind(self) -> str:
        """The mode in a word for people: an instant clone is a linked one that was forked."""
        return "instant" if self.instant and self.mode is Mode.LINKED else self.mode.value

    def document(self, *, whole: bool = False) -> dict[str, object]:
        """Return the JSON form; ``whole`` with what one VM alone is shown with."""
        document: dict[str, object] = {
            "name": self.vm.name,
            "id": self.vm.id,
            "uuid": self.vm.uuid,
            "parent": self.parent or None,
            "snapshot": self.snapshot or None,
            "mode": self.mode.value,
            "linked": self.linked,
            "instant": self.instant,
            "power": self.vm.power.value,
            "trouble": self.trouble or None,
            "unreadable": self.vm.unreadable or None,
            "owner": self.vm.owner,
            "own_bytes": self.vm.own_bytes,
            "shared_bytes": self.vm.shared_bytes,
        }
        return {**document, **_render_details(self.vm)} if whole else document


def _render_details(vm: Vm) -> dict[str, object]:
    return {
        "path": vm.path,
        "template": vm.template,
        "host_name": vm.host_name,
        "addresses": list(vm.addresses),
        "macs": list(vm.macs),
        "created": vm.created.isoformat() if vm.created else None,
        "depth": Lineage.depth(vm),
        "log_bytes": vm.log_bytes,
        "snapshots": [snapshot.document() for snapshot in vm.snapshots],
        "disks": [disk.document() for disk in vm.disks],
    }


def describe_vm(vm: Vm, lineage: Lineage) -> VmRow:
    """Return the parent of a VM: by its disks, else by its valid mark."""
    origin = lineage.origin(vm)
    mark = vm.valid_mark
    parent, snapshot = _names(origin)
    if origin.mode is not Mode.FULL and mark is not None:
        parent = parent or mark.parent_name
        snapshot = snapshot or mark.snapshot_name
    # Before all else: a fork that stands still cannot be continued, whatever its driver says.
    trouble = tell_unconfirmed(vm) if lineage.is_unconfirmed(vm) else vm.trouble
    return VmRow(vm=vm, parent=parent, snapshot=snapshot, mode=origin.mode, trouble=trouble)


def tell_unconfirmed(vm: Vm) -> str:
    """Say that an instant clone is not finished: its command failed, was killed, or still works."""
    return (
        "its identity is not confirmed, and its network cards stay down until it is; if no "
        f"command is working on it, delete it: ``delete`` {vm.name}"
    )


def _names(origin: Origin) -> tuple[str, str]:
    return (
        origin.parent.name if origin.parent else "",
        origin.snapshot.name if origin.snapshot else "",
    )


def describe_vms(inventory: Inventory) -> tuple[VmRow, ...]:
    """Return a row for every VM that is not outside, by name."""
    lineage = Lineage(inventory)
    rows = (describe_vm(vm, lineage) for vm in inventory.vms if vm.id not in inventory.outside)
    return tuple(sorted(rows, key=lambda row: (row.vm.name, row.vm.path)))


def restrict(inventory: Inventory) -> Inventory:
    """Return what is shown of an inventory: no VM outside, but for those that others depend on."""
    if not inventory.outside:
        return inventory
    lineage = Lineage(inventory)
    left = [vm for vm in inventory.vms if vm.id not in inventory.outside]
    kept = {vm.id for vm in left}
    while left:
        parent = lineage.origin(left.pop()).parent
        if parent is not None and parent.id not in kept:
            kept.add(parent.id)
            left.append(parent)
    vms = tuple(vm for vm in inventory.vms if vm.id in kept)
    stores = {layer.store for vm in vms for layer in vm.layers}
    strays = tuple(stray for stray in inventory.strays if stray.layer.store in stores)
    return replace(inventory, vms=vms, strays=strays, outside=inventory.outside & kept)
