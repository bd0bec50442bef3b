"""What snapshots, promotions and growth do to the disks of a VM."""

from dataclasses import replace
from datetime import timedelta

from linkedclone.drivers.memory.inventory import FIRST, Estate, wrong_power
from linkedclone.drivers.memory.vm import Machine, Point
from linkedclone.errors import HypervisorError, UnsupportedError
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Disk, Layer, Power, SnapshotMemory


def promote(estate: Estate, vm: VmId) -> None:
    """Give a VM copies of the layers outside its folder.

    Without snapshots the whole chain becomes one file. One that runs must
    have no snapshots [fact: vs-promote].
    """
    machine = estate.machine(vm)
    if machine.power is not Power.OFF and machine.points:
        raise wrong_power(machine)
    before = machine.layers
    copies: dict[tuple[Layer, ...], Layer] = {}
    machine.disks = tuple(_promoted(estate, machine, disk, copies) for disk in machine.disks)
    machine.points = tuple(
        replace(p, disks=tuple(_promoted(estate, machine, d, copies) for d in p.disks))
        for p in machine.points
    )
    estate.storage.remove_unused(before, estate.used())


def _promoted(
    estate: Estate, machine: Machine, disk: Disk, copies: dict[tuple[Layer, ...], Layer]
) -> Disk:
    outside = tuple(layer for layer in disk.chain if (layer.store, layer.folder) != machine.home)
    if not outside:
        return disk
    own = disk.chain[len(outside) :]
    merged = outside if machine.points else disk.chain
    if merged not in copies:
        size_bytes = sum(map(estate.storage.size, merged))
        copies[merged] = estate.storage.make_base(machine.home, machine.name, size_bytes)
    chain = (copies[merged], *own) if machine.points else (copies[merged],)
    return replace(disk, chain=chain, hidden=False)


def grow(estate: Estate, vm: VmId, label: str, capacity_bytes: int) -> None:
    """Make a disk larger, unless it depends on another file [fact: vs-linked-no-growth]."""
    machine = estate.machine(vm)
    disk = next((d for d in machine.disks if d.label == label), None)
    if disk is None or len(disk.chain) > 1:
        raise HypervisorError(f"{label!r} of {machine.name} cannot grow", kind="InvalidArgument")
    grown = replace(disk, capacity_bytes=capacity_bytes)
    machine.disks = tuple(grown if d is disk else d for d in machine.disks)


def take_snapshot(
    estate: Estate, vm: VmId, name: str, description: str, *, memory: bool = False
) -> SnapshotId:
    """Freeze a VM's disks, and move the VM onto new deltas; only one that runs has memory.

    A template cannot be snapshotted [fact: vs-template-snapshot].
    """
    machine = estate.machine(vm)
    if machine.template:
        brief = f"{machine.name} is a template and cannot be snapshotted"
        hint = "make it a VM again, take the snapshot, then mark it as a template"
        raise UnsupportedError(brief, hint=hint, kind="NotSupported")
    number = estate.number("snapshot")
    point = Point(
        id=SnapshotId(f"snapshot-{number}"),
        name=name,
        description=description,
        created=FIRST + timedelta(minutes=number),
        above=machine.current,
        disks=machine.disks,
        memory=SnapshotMemory(size_bytes=machine.memory_bytes)
        if memory and machine.power is Power.ON
        else None,
    )
    machine.disks = estate.storage.push_deltas(machine.home, machine.disks)
    machine.points += (point,)
    machine.current = point.id
    return point.id


def revert(estate: Estate, vm: VmId, snapshot: SnapshotId) -> None:
    """Put a VM onto new deltas over a snapshot's disks; what it had written is lost.

    It runs if the snapshot holds its memory, else it is off.
    """
    machine, point = estate.point(vm, snapshot)
    before = machine.layers
    machine.disks = estate.storage.push_deltas(machine.home, point.disks)
    machine.current = point.id
    machine.power = Power.ON if point.memory else Power.OFF
    estate.storage.remove_unused(before, estate.used())


def delete_memory(estate: Estate, vm: VmId, snapshot: SnapshotId) -> None:
    """Take the memory of a snapshot away; one without any counts as done."""
    machine = estate.machines.get(vm)
    point = machine.point(snapshot) if machine is not None else None
    if point is not None:
        point.memory = None


def delete_snapshot(estate: Estate, vm: VmId, snapshot: SnapshotId) -> None:
    """Remove a snapshot, merging its layers where no other VM reads them.

    A layer that another VM reads is kept as it is, so that clones go on
    working and the VM keeps a longer chain [fact: vs-snapshot-under-clones]. An
    absent snapshot, or one of an absent VM, counts as removed.
    """
    machine = estate.machines.get(vm)
    point = machine.point(snapshot) if machine is not None else None
    if machine is None or point is None:
        return
    before = machine.layers
    machine.points = tuple(
        replace(other, above=point.above) if other.above == snapshot else other
        for other in machine.points
        if other is not point
    )
    if machine.current == snapshot:
        machine.current = point.above
    foreign = estate.used(apart_from=machine)
    for disk in point.disks:
        if not disk.independent and disk.top not in foreign:
            _merge_above(estate, machine, disk.top, foreign)
    estate.storage.remove_unused(before, estate.used())


def _merge_above(estate: Estate, machine: Machine, lower: Layer, foreign: frozenset[Layer]) -> None:
    """Merge the only delta over a layer that no snapshot needs any more into it."""
    chains = [disk.chain for disk in machine.all_disks if lower in disk.chain]
    upper = {chain[chain.index(lower) + 1] for chain in chains if chain[-1] != lower}
    frozen = any(chain[-1] == lower for chain in chains)
    if frozen or len(upper) != 1 or upper & foreign:
        return
    gone = upper.pop()
    estate.storage.merge(gone, lower)
    machine.disks = _without(gone, machine.disks)
    machine.points = tuple(replace(p, disks=_without(gone, p.disks)) for p in machine.points)


def _without(layer: Layer, disks: tuple[Disk, ...]) -> tuple[Disk, ...]:
    return tuple(replace(d, chain=tuple(x for x in d.chain if x != layer)) for d in disks)
