"""What people and programs are shown of an inventory: rows and trees, with their JSON forms."""

from dataclasses import dataclass, replace

from linkedclone.model.ids import VmId
from linkedclone.model.lineage import Lineage, Mode, Origin
from linkedclone.model.observed import Inventory, Layer, Snapshot, Vm

_LINKED = {Mode.LINKED: True, Mode.FULL: False, Mode.UNKNOWN: None}


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRow:
    """One VM with where it hangs.

    Attributes:
        vm: The VM.
        parent: Name of the VM that it hangs from; empty if none or gone.
        snapshot: Name of the snapshot that it hangs from; empty if none or gone.
        mode: How its disks came to be.
    """

    vm: Vm
    parent: str
    snapshot: str
    mode: Mode

    @property
    def linked(self) -> bool | None:
        """True if it is a linked clone, None if the hypervisor hides its chain."""
        return _LINKED[self.mode]

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "name": self.vm.name,
            "id": self.vm.id,
            "uuid": self.vm.uuid,
            "parent": self.parent or None,
            "snapshot": self.snapshot or None,
            "mode": self.mode.value,
            "linked": self.linked,
            "power": self.vm.power.value,
            "owner": self.vm.owner,
            "own_bytes": self.vm.own_bytes,
            "shared_bytes": self.vm.shared_bytes,
        }


def describe_vm(vm: Vm, lineage: Lineage) -> VmRow:
    """Say where a VM hangs; where the disks do not tell any more, its valid mark does."""
    origin = lineage.origin(vm)
    mark = vm.valid_mark
    parent, snapshot = _names(origin)
    if origin.mode is not Mode.FULL and mark is not None:
        parent = parent or mark.parent_name
        snapshot = snapshot or mark.snapshot_name
    return VmRow(vm=vm, parent=parent, snapshot=snapshot, mode=origin.mode)


def _names(origin: Origin) -> tuple[str, str]:
    return (
        origin.parent.name if origin.parent else "",
        origin.snapshot.name if origin.snapshot else "",
    )


def describe_vms(inventory: Inventory) -> tuple[VmRow, ...]:
    """Return a row for every VM, by name."""
    lineage = Lineage(inventory)
    rows = (describe_vm(vm, lineage) for vm in inventory.vms)
    return tuple(sorted(rows, key=lambda row: (row.vm.name, row.vm.path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """A VM, or a layer (mostly a snapshot's), and what hangs from it."""

    vm: Vm | None = None
    layer: Layer | None = None
    snapshot: Snapshot | None = None
    children: tuple["TreeNode", ...] = ()

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        if self.vm is not None:
            head: dict[str, object] = {
                "vm": self.vm.name,
                "id": self.vm.id,
                "uuid": self.vm.uuid,
                "power": self.vm.power.value,
                "owner": self.vm.owner,
                "own_bytes": self.vm.own_bytes,
                "shared_bytes": self.vm.shared_bytes,
            }
        else:
            head = {
                "layer": str(self.layer) if self.layer else None,
                "snapshot": self.snapshot.name if self.snapshot else None,
                "snapshot_id": self.snapshot.id if self.snapshot else None,
                "current": self.snapshot.current if self.snapshot else None,
            }
        return {**head, "children": [child.document() for child in self.children]}


def build_tree(inventory: Inventory, parent: Vm | None = None) -> tuple[TreeNode, ...]:
    """Return the families of an inventory, or only the one below ``parent``.

    A family is a VM with the snapshots it has and the clones that hang from
    each; a base whose VM is gone heads a family of its own. VMs without
    snapshots, clones or parent are no family and are left out.
    """
    return _TreeBuilder(inventory).build(parent)


class _TreeBuilder:
    def __init__(self, inventory: Inventory) -> None:
        self._lineage = Lineage(inventory)
        self._vms = sorted(inventory.vms, key=lambda vm: vm.name)
        self._origins = {vm.id: self._lineage.origin(vm) for vm in self._vms}
        self._clones: dict[VmId, list[Vm]] = {}
        for vm in self._vms:
            above = self._origins[vm.id].parent
            if above is not None and above.id != vm.id:
                self._clones.setdefault(above.id, []).append(vm)

    def build(self, parent: Vm | None) -> tuple[TreeNode, ...]:
        if parent is not None:
            seen = next((vm for vm in self._vms if vm.id == parent.id), parent)
            return (self._vm_node(seen),)
        roots = [self._vm_node(vm) for vm in self._vms if self._is_root(vm)]
        families = [node for node in roots if node.children]
        return (*families, *self._orphans())

    def _is_root(self, vm: Vm) -> bool:
        origin = self._origins[vm.id]
        return origin.base is None and origin.parent is None

    def _vm_node(self, vm: Vm) -> TreeNode:
        clones = self._clones.get(vm.id, [])
        nodes = [self._snapshot_node(snapshot, clones) for snapshot in vm.snapshots]
        rest = [c for c in clones if self._origins[c.id].snapshot is None]
        lost = tuple(self._vm_node(c) for c in rest if self._origins[c.id].base is None)
        return TreeNode(vm=vm, children=(*nodes, *self._layer_nodes(rest), *lost))

    def _snapshot_node(self, snapshot: Snapshot, clones: list[Vm]) -> TreeNode:
        mine = []
        for clone in clones:
            of_clone = self._origins[clone.id].snapshot
            if of_clone is not None and of_clone.id == snapshot.id:
                mine.append(self._vm_node(clone))
        layer = next((d.top for d in snapshot.disks or () if d.chain), None)
        shown = replace(snapshot, disks=None)
        return TreeNode(layer=layer, snapshot=shown, children=tuple(mine))

    def _orphans(self) -> tuple[TreeNode, ...]:
        alone = [
            vm
            for vm in self._vms
            if (origin := self._origins[vm.id]).base is not None and origin.parent is None
        ]
        return self._layer_nodes(alone)

    def _layer_nodes(self, clones: list[Vm]) -> tuple[TreeNode, ...]:
        """Return one node for each layer that clones hang from without a snapshot to show."""
        by_layer: dict[Layer, list[Vm]] = {}
        for clone in clones:
            base = self._origins[clone.id].base
            if base is not None:
                by_layer.setdefault(base, []).append(clone)
        return tuple(
            TreeNode(layer=layer, children=tuple(self._vm_node(vm) for vm in vms))
            for layer, vms in sorted(by_layer.items())
        )
