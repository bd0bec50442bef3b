"""Families as trees: a VM, its snapshots, the clones of each, their clones. With the JSON form."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

from linkedclone.lineage.family import Lineage
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.report import Mode
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Layer, Snapshot, SnapshotMemory, Vm


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """A VM, a layer (mostly a snapshot's) or a stray file, and what depends on it.

    Attributes:
        vm: The VM.
        mode: For a VM: linked, full, or unknown.
        layer: The layer; with a ``snapshot`` the first that it froze.
        snapshot: The snapshot that froze the layer.
        stray: The file that belongs to no VM.
        own_bytes: Of a VM what nothing else uses, of a layer or stray its file.
        shared_bytes: Of a VM what it uses together with others.
        depth: Of a VM the number of files that its longest chain goes through.
        created: When the VM or snapshot was made.
        children: What depends on it.
    """

    vm: Vm | None = None
    mode: Mode | None = None
    layer: Layer | None = None
    snapshot: Snapshot | None = None
    stray: Stray | None = None
    own_bytes: int | None = None
    shared_bytes: int | None = None
    depth: int | None = None
    created: datetime | None = None
    children: tuple["TreeNode", ...] = ()

    @property
    def instant(self) -> bool:
        """Whether it is a VM that was born as an instant clone."""
        mark = self.vm.valid_mark if self.vm else None
        return mark is not None and mark.instant

    @property
    def memory(self) -> SnapshotMemory | None:
        """The memory that the snapshot holds."""
        return self.snapshot.memory if self.snapshot else None

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {**self._head(), "children": [child.document() for child in self.children]}

    def _head(self) -> dict[str, object]:
        created = self.created.isoformat() if self.created else None
        if self.vm is not None:
            return {
                "vm": self.vm.name,
                "id": self.vm.id,
                "uuid": self.vm.uuid,
                "mode": self.mode.value if self.mode else None,
                "instant": self.instant,
                "power": self.vm.power.value,
                "template": self.vm.template,
                "owner": self.vm.owner,
                "unreadable": self.vm.unreadable or None,
                "own_bytes": self.own_bytes,
                "shared_bytes": self.shared_bytes,
                "depth": self.depth,
                "created": created,
            }
        if self.stray is not None:
            return {
                "stray": str(self.stray.layer),
                "about": self.stray.about,
                "own_bytes": self.own_bytes,
            }
        return {
            "layer": str(self.layer) if self.layer else None,
            "snapshot": self.snapshot.name if self.snapshot else None,
            "snapshot_id": self.snapshot.id if self.snapshot else None,
            "current": self.snapshot.current if self.snapshot else None,
            "memory": self.memory.document() if self.memory else None,
            "bytes": self.own_bytes,
            "created": created,
        }


def build_tree(inventory: Inventory, parent: Vm | None = None) -> tuple[TreeNode, ...]:
    """Return the families of an inventory, or only the one below ``parent``.

    A family is a VM with the snapshots it has and the clones that depend on
    each; a base whose VM is gone heads a family of its own. VMs without
    snapshots, clones or parent are not a family and are left out, but for those
    with unknown dependencies: they may belong to any.
    """
    return _TreeBuilder(inventory).build(parent)


class _TreeBuilder:
    def __init__(self, inventory: Inventory) -> None:
        self._sizes = inventory.used_bytes
        self._lineage = Lineage(inventory)
        self._vms = sorted(inventory.vms, key=attrgetter("name"))
        self._strays = sorted(inventory.strays, key=attrgetter("layer"))
        self._origins = {vm.id: self._lineage.origin(vm) for vm in self._vms}
        self._stray_origins = {s.id: self._lineage.origin_of_stray(s) for s in self._strays}
        self._nodes: dict[VmId, TreeNode] = {}
        self._clones: dict[VmId, list[Vm]] = {}
        for vm in self._vms:
            above = self._origins[vm.id].parent
            if above is not None and above.id != vm.id:
                self._clones.setdefault(above.id, []).append(vm)
        self._strays_of: dict[VmId, list[Stray]] = {}
        self._strays_on: dict[Layer | None, list[Stray]] = {}
        for stray in self._strays:
            origin = self._stray_origins[stray.id]
            self._strays_on.setdefault(origin.base, []).append(stray)
            if origin.parent is not None:
                self._strays_of.setdefault(origin.parent.id, []).append(stray)

    def build(self, parent: Vm | None) -> tuple[TreeNode, ...]:
        if parent is not None:
            seen = next((vm for vm in self._vms if vm.id == parent.id), parent)
            return (self._draw(seen),)
        roots = [self._draw(vm) for vm in self._vms if self._is_root(vm)]
        families = [node for node in roots if node.children or node.mode is Mode.UNKNOWN]
        orphans = self._orphans()
        crossed = [self._draw(self._circle(vm)) for vm in self._vms if vm.id not in self._nodes]
        return (*families, *orphans, *crossed)

    def _is_root(self, vm: Vm) -> bool:
        origin = self._origins[vm.id]
        return origin.base is None and origin.parent is None

    def _circle(self, vm: Vm) -> Vm:
        seen: set[VmId] = set()
        above: Vm | None = vm
        while above is not None and above.id not in seen:
            seen.add(above.id)
            vm, above = above, self._origins[above.id].parent
        return above or vm

    def _draw(self, top: Vm) -> TreeNode:
        """Draw a VM and all below it, from the leaves up: Python's calls go less deep."""
        order = {top.id: top}
        left = [top]
        while left:
            clones = self._clones.get(left.pop().id, ())
            new = [clone for clone in clones if clone.id not in order]
            order |= {clone.id: clone for clone in new}
            left.extend(new)
        for vm in reversed(order.values()):
            self._nodes[vm.id] = self._draw_with_clones(vm)
        return self._nodes[top.id]

    def _vm_node(self, vm: Vm) -> TreeNode:
        """Return the node of a VM with all below it; of one that comes below itself, it alone.

        VMs of several disks can depend on each other, though only by hand.
        """
        return self._nodes.get(vm.id) or self._build_node(vm, ())

    def _build_node(self, vm: Vm, children: tuple[TreeNode, ...]) -> TreeNode:
        return TreeNode(
            vm=vm,
            mode=self._origins[vm.id].mode if vm.id in self._origins else None,
            own_bytes=vm.own_bytes,
            shared_bytes=vm.shared_bytes,
            depth=self._lineage.depth(vm),
            created=vm.created,
            children=children,
        )

    def _draw_with_clones(self, vm: Vm) -> TreeNode:
        clones = self._clones.get(vm.id, [])
        strays = self._strays_of.get(vm.id, [])
        nodes = [self._snapshot_node(snapshot, clones, strays) for snapshot in vm.snapshots]
        rest = [c for c in clones if self._origins[c.id].snapshot is None]
        loose = [s for s in strays if self._stray_origins[s.id].snapshot is None]
        lost = tuple(self._vm_node(c) for c in rest if self._origins[c.id].base is None)
        return self._build_node(vm, (*nodes, *self._layer_nodes(rest, loose), *lost))

    def _snapshot_node(
        self, snapshot: Snapshot, clones: Iterable[Vm], strays: Iterable[Stray]
    ) -> TreeNode:
        mine = []
        for clone in clones:
            of_clone = self._origins[clone.id].snapshot
            if of_clone is not None and of_clone.id == snapshot.id:
                mine.append(self._vm_node(clone))
        for stray in strays:
            of_stray = self._stray_origins[stray.id].snapshot
            if of_stray is not None and of_stray.id == snapshot.id:
                mine.append(self._stray_node(stray))
        layers = [d.top for d in snapshot.disks or () if d.chain]
        return TreeNode(
            layer=layers[0] if layers else None,
            snapshot=replace(snapshot, disks=None),
            own_bytes=self._sizes(layers),
            created=snapshot.created,
            children=tuple(mine),
        )

    def _stray_node(self, stray: Stray) -> TreeNode:
        above = self._strays_on.get(stray.layer, ())
        nodes = tuple(self._stray_node(other) for other in above)
        return TreeNode(stray=stray, own_bytes=stray.used_bytes, children=nodes)

    def _orphans(self) -> tuple[TreeNode, ...]:
        vms = [
            vm
            for vm in self._vms
            if (origin := self._origins[vm.id]).base is not None and origin.parent is None
        ]
        for vm in vms:
            self._draw(vm)
        own = {stray.layer for stray in self._strays}
        strays = [
            stray
            for stray in self._strays
            if (origin := self._stray_origins[stray.id]).parent is None
            and origin.base is not None
            and origin.base not in own
        ]
        return self._layer_nodes(vms, strays)

    def _layer_nodes(self, clones: Iterable[Vm], strays: Iterable[Stray]) -> tuple[TreeNode, ...]:
        """Return one node for each layer that something depends on without a snapshot to show."""
        by_layer: dict[Layer, list[TreeNode]] = {}
        for clone in clones:
            base = self._origins[clone.id].base
            if base is not None:
                by_layer.setdefault(base, []).append(self._vm_node(clone))
        for stray in strays:
            base = self._stray_origins[stray.id].base
            if base is not None:
                by_layer.setdefault(base, []).append(self._stray_node(stray))
        return tuple(
            TreeNode(layer=layer, own_bytes=self._sizes([layer]), children=tuple(nodes))
            for layer, nodes in sorted(by_layer.items(), key=lambda item: item[0])
        )
