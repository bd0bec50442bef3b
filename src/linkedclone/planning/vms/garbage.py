"""Find what nothing uses any more, and plan its removal."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from linkedclone.lineage.family import Lineage
from linkedclone.lineage.needed_layers import find_unread_users, frozen_by, hangable
from linkedclone.model.garbage import Waste, WasteKind
from linkedclone.model.images import Image
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.plan import DeleteSnapshot, DeleteVm, Plan, RemoveStray, Step
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Layer, Power, Snapshot, Vm
from linkedclone.planning.clone.plan import SNAPSHOT_NOTE

DEFAULT_KINDS = frozenset({WasteKind.FILE, WasteKind.VM})
"""What is removed without being named: leftovers. Snapshots and images may be wanted yet."""


def find_waste(
    inventory: Inventory, images: Sequence[Image] = (), *, despite_unreadable: bool = False
) -> tuple[Waste, ...]:
    """Return what nothing uses: files, half-made VMs, snapshots, images.

    - **Files** that no VM reads. Only those are removable that can be nothing
      but leftovers, and that nothing else depends on.
    - **VMs** with our valid mark, no disk and no snapshot: what a failed clone
      left. One with a snapshot may have an owner who detached its disks.
    - **Snapshots** that were taken for clones, by us, when nothing depends on
      them and a later one is current.
    - **Images** that nothing depends on.

    What an unreadable VM may depend on is reported as not removable,
    unless the user allows it with ``despite_unreadable``.
    """
    lineage = Lineage(inventory)
    found = (
        *_files(inventory, lineage),
        *_half_made(inventory.vms, lineage),
        *_snapshots(inventory, lineage),
        *_images(images),
    )
    if despite_unreadable:
        return found
    vms = {vm.id: vm for vm in inventory.vms}
    return tuple(_keep_if_needed(waste, vms, lineage) for waste in found)


def _keep_if_needed(waste: Waste, vms: Mapping[VmId, Vm], lineage: Lineage) -> Waste:
    """Return a piece of waste; not removable if a VM that cannot be read may depend on it."""
    match waste.step:
        case RemoveStray(stray=stray):
            layers = frozenset([stray.layer])
        case DeleteSnapshot() | DeleteVm() as step:
            vm = vms.get(step.vm)
            layers = frozenset() if vm is None else _layers_that_go(step, vm, lineage)
        case _:
            return waste
    unread = find_unread_users(layers, lineage)
    if not unread:
        return waste
    names = list_names([vm.name or vm.id for vm in unread])
    return replace(waste, step=None, why_not=f"{names} may depend on it, and cannot be read")


def _layers_that_go(step: DeleteSnapshot | DeleteVm, vm: Vm, lineage: Lineage) -> frozenset[Layer]:
    if isinstance(step, DeleteSnapshot):
        return frozen_by(vm, step.snapshot)
    return hangable(vm, lineage)


def plan_removal(
    found: Sequence[Waste], kinds: Collection[WasteKind], busy: Collection[VmId] = ()
) -> Plan:
    """Plan the removal of some kinds.

    What clones in the making may need stays: they are made from the ``busy``
    VMs. A snapshot that nothing depends on yet may be the one that they are to
    depend on, and a VM without a disk may be one of them.

    What depends on other waste goes before it, and snapshots of one VM go one
    after the other: a VM does one thing at a time.
    """
    stages: dict[tuple[int, int], list[Step]] = defaultdict(list)
    snapshots: Counter[VmId] = Counter()
    for waste in found:
        match waste.step if waste.kind in kinds and waste.source not in busy else None:
            case None:
                continue
            case RemoveStray() as step:
                stages[0, -len(step.stray.chain)].append(step)
            case DeleteSnapshot() as step:
                stages[1, snapshots[step.vm]].append(step)
                snapshots[step.vm] += 1
            case step:
                stages[1, 0].append(step)
    return Plan(stages=tuple(tuple(stages[order]) for order in sorted(stages)))


def _files(inventory: Inventory, lineage: Lineage) -> Iterator[Waste]:
    removable = _removable(inventory.strays, lineage)
    for stray in sorted(inventory.strays, key=lambda stray: stray.layer):
        free = stray.id in removable
        why_not = "" if free else "a VM outside this endpoint may use it"
        if stray.orphaned and not free:
            why_not = "another file or VM uses it"
        yield Waste(
            kind=WasteKind.FILE,
            name=str(stray.layer),
            used_bytes=stray.used_bytes,
            reason=stray.about or "no VM reads it",
            step=RemoveStray(stray=stray) if free else None,
            why_not=why_not,
        )


def _removable(strays: Iterable[Stray], lineage: Lineage) -> frozenset[str]:
    """Return the strays that can go: orphans that nothing depends on but such orphans."""
    by_depth = sorted(strays, key=lambda stray: -len(stray.chain))
    found: set[str] = set()
    for stray in by_depth:
        above = [reader for reader in lineage.readers(stray.layer) if reader.id != stray.id]
        if stray.orphaned and all(reader.id in found for reader in above):
            found.add(stray.id)
    return frozenset(found)


def _half_made(vms: Iterable[Vm], lineage: Lineage) -> Iterator[Waste]:
    for vm in vms:
        bare = vm.power is Power.OFF and not vm.disks and not vm.snapshots
        bare = bare and not vm.unreadable
        mark = vm.valid_mark  # A golden image of ours names no parent: nothing of it is half-made.
        if bare and mark is not None and mark.parent_uuid and not lineage.dependants(vm):
            yield Waste(
                kind=WasteKind.VM,
                name=vm.path or vm.name,
                used_bytes=vm.own_bytes,
                reason="a clone that was not finished: it has no disk",
                step=DeleteVm(vm=vm.id, vm_name=vm.name, vm_uuid=vm.uuid),
                source=lineage.marked_parent(vm),
            )


def _snapshots(inventory: Inventory, lineage: Lineage) -> Iterator[Waste]:
    for vm in inventory.vms:
        for snapshot in () if vm.unreadable else vm.snapshots:
            if _is_superseded(snapshot) and not lineage.dependants_of_snapshot(vm, snapshot):
                tops = [disk.top for disk in snapshot.disks or () if disk.chain]
                sizes = [inventory.files[top].used_bytes for top in tops if top in inventory.files]
                yield Waste(
                    kind=WasteKind.SNAPSHOT,
                    name=f"{vm.name}@{snapshot.path}",
                    used_bytes=sum(size or 0 for size in sizes) if sizes else None,
                    reason="taken for clones, but no clone uses it; a later snapshot is current",
                    step=DeleteSnapshot(
                        vm=vm.id,
                        vm_name=vm.name,
                        vm_uuid=vm.uuid,
                        snapshot=snapshot.id,
                        name=snapshot.name,
                    ),
                    source=vm.id,
                )


def _is_superseded(snapshot: Snapshot) -> bool:
    ours = snapshot.description == SNAPSHOT_NOTE
    return ours and not snapshot.current and snapshot.disks is not None


def _images(images: Iterable[Image]) -> Iterator[Waste]:
    for image in images:
        if not image.dependants:
            yield Waste(
                kind=WasteKind.IMAGE,
                name=image.name,
                used_bytes=image.file_bytes,
                reason="no clone uses it",
                step=DeleteVm(vm=image.vm, vm_name=image.name),
            )
