"""Which layers others may need, although nobody is seen that does. Pure."""

from collections.abc import Collection, Iterable

from linkedclone.lineage.family import Lineage
from linkedclone.model.values.ids import SnapshotId
from linkedclone.model.vm import Layer, Vm


def hangable(vm: Vm, lineage: Lineage) -> frozenset[Layer]:
    """Return the layers of a VM that linked clones may depend on.

    All that belong to it, but for the files that a clone of ours writes to: it
    was made without a snapshot, and whatever depends on one depends on a layer
    below. So a clone that never had a snapshot has none of these. Of other VMs
    it is unknown what their disks were used for.
    """
    tops = frozenset(disk.top for disk in vm.disks if disk.chain)
    mark = vm.valid_mark
    made_here = mark is not None and bool(mark.run and mark.parent_uuid)
    owned = lineage.owned(vm) | tops
    return owned - tops if made_here else owned


def frozen_by(vm: Vm, snapshot: SnapshotId) -> frozenset[Layer]:
    """Return the layers that a snapshot froze, and that clones of it depend on."""
    found = (s for s in vm.snapshots if s.id == snapshot)
    return frozenset(disk.top for s in found for disk in s.disks or () if disk.chain)


def find_unread_users(
    layers: Iterable[Layer], lineage: Lineage, going: Collection[str] = ()
) -> tuple[Vm, ...]:
    """Return the VMs that may read one of these layers, and cannot be read well enough to tell.

    Also those that hide their chains and bear no mark that tells their parent. One whose
    files are known to be on other datastores does not, nor one that is ``going`` as well.
    """
    stores = {layer.store for layer in layers}
    return tuple(
        vm
        for vm in lineage.unread
        if vm.id not in going and stores and (not vm.stores or vm.stores & stores)
    )
