"""A VM as the hypervisor keeps it, and what of it can be seen from outside."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from linkedclone.drivers.memory.guest import Inside, show_inside
from linkedclone.drivers.memory.storage import Home, Storage
from linkedclone.model.values.ids import FolderId, SnapshotId, VmId
from linkedclone.model.vm import Disk, Layer, Mark, Power, Snapshot, SnapshotMemory, Vm


@dataclass(slots=True, kw_only=True)
class Point:
    """A snapshot; ``above`` is the one that it was taken after."""

    id: SnapshotId
    name: str
    description: str
    created: datetime
    above: SnapshotId | None
    disks: tuple[Disk, ...]
    memory: SnapshotMemory | None = None


Guest = Literal["obeys", "deaf", "mute"]
"""How a guest takes it to be asked to shut down: it does, it does not, or it has no tools."""


@dataclass(slots=True, kw_only=True)
class Machine:
    """A VM. Its disks tell the truth, also where outsiders see a hidden chain."""

    id: VmId
    name: str
    uuid: str
    folder: FolderId
    home: Home
    pool: str  # id of its resource pool; empty for a template
    macs: tuple[str, ...]
    created: datetime  # when it was made, by the clock of the estate
    power: Power = Power.OFF
    template: bool = False
    media: bool = False  # whether an image is in its CD drive
    guest: Guest = "obeys"  # how its guest takes it to be asked to shut down
    inside: Inside | None = None  # who its guest is to be; None for a guest without one
    whole: bool = True  # False for what a failed clone left behind
    unreadable: str = ""  # why outsiders see hardly more of it than its name; empty if they see all
    overlooked: bool = False  # whether it is missing where all VMs are read at once
    mark: Mark | None = None
    annotation: str = ""
    cpus: int = 1
    memory_bytes: int = 1 << 30
    disks: tuple[Disk, ...] = ()
    points: tuple[Point, ...] = ()  # its snapshots, parents before children
    current: SnapshotId | None = None  # the snapshot that its present state follows

    @property
    def layers(self) -> frozenset[Layer]:
        """Every file that it, or one of its snapshots, truly uses."""
        return frozenset(layer for disk in self.all_disks for layer in disk.chain)

    @property
    def all_disks(self) -> tuple[Disk, ...]:
        """Its present disks, and those of its snapshots."""
        return (*self.disks, *(disk for point in self.points for disk in point.disks))

    def point(self, snapshot: SnapshotId) -> Point | None:
        """Return one of its snapshots."""
        return next((point for point in self.points if point.id == snapshot), None)


def view(machine: Machine, path: str, *, with_disks: bool) -> Vm:
    """Return a VM as outsiders see it; ``with_disks`` adds the disks of its snapshots."""
    if machine.unreadable:
        return Vm(
            id=machine.id,
            name=machine.name,
            uuid="",
            path=path,
            template=machine.template,
            unreadable=machine.unreadable,
        )
    seen = Vm(
        id=machine.id,
        name=machine.name,
        uuid=machine.uuid,
        path=path,
        home=machine.home,
        power=machine.power,
        template=machine.template,
        disks=_shown(machine.disks),
        snapshots=tuple(
            Snapshot(
                id=point.id,
                name=point.name,
                path=_point_path(machine, point),
                created=point.created,
                current=point.id == machine.current,
                disks=_shown(point.disks) if with_disks else None,
                description=point.description,
                memory=point.memory,
            )
            for point in machine.points
        ),
        mark=machine.mark,
        created=machine.created,
        macs=machine.macs,
        cpus=machine.cpus,
        memory_bytes=machine.memory_bytes,
    )
    return show_inside(seen, machine.inside)


def with_sizes(vm: Vm, mine: frozenset[Layer], others: frozenset[Layer], files: Storage) -> Vm:
    """Add what the VM occupies alone and together with others."""
    if vm.unreadable:
        return vm
    return replace(
        vm,
        own_bytes=sum(files.size(layer) for layer in mine - others),
        shared_bytes=sum(files.size(layer) for layer in mine & others),
    )


def _shown(disks: tuple[Disk, ...]) -> tuple[Disk, ...]:
    return tuple(replace(d, chain=d.chain[-1:]) if d.hidden else d for d in disks)


def _point_path(machine: Machine, point: Point) -> str:
    above = machine.point(point.above) if point.above is not None else None
    return f"{_point_path(machine, above)}/{point.name}" if above is not None else point.name
