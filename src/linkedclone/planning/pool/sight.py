"""What is seen of a pool, and how far a clone is from what is wanted. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from linkedclone.errors import RefusedError
from linkedclone.lineage.proof import hangs_from_any
from linkedclone.model.inventory import Inventory
from linkedclone.model.pool import (
    Fitness,
    Health,
    PoolSpec,
)
from linkedclone.model.values.ids import FolderId, VmId
from linkedclone.model.vm import Snapshot, Vm
from linkedclone.planning.clone.spec_digest import changed_parts
from linkedclone.planning.pool.membership import (
    PoolIdentity,
    find_forks,
    members_of,
    spares_of,
)

_IN_PLACE: Final = frozenset({"cpus", "memory", "notes"})
"""The parts of a clone's shape that are changed without making it anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSight:
    """What is seen of a pool at one moment, and what its clones are to be made of."""

    parent: Vm  # the golden image
    # What the clones are to depend on, with its disks; None for any state of the parent, where
    # instant clones are made of it as it runs.
    snapshot: Snapshot | None
    folder: str  # inventory path of their folder
    shape: Mapping[str, str]  # what they are to be given, see ``planning.clone.spec_digest``
    inventory: Inventory  # all VMs, with sizes
    now: datetime  # the moment, with time zone
    # What was found of the clones; one that was not looked at is unknown.
    health: Mapping[VmId, Health] = field(default_factory=dict)
    asked: frozenset[VmId] = frozenset()  # clones that the user wants to recreate
    # Clones that belong to the pool though their marks do not say so.
    accepted: frozenset[VmId] = frozenset()
    origin: tuple[str, FolderId] | None = None  # see ``PoolIdentity``
    blocked: RefusedError | None = None  # why no clone can be made now; None if it can
    # Whether clones go that VMs which cannot be read may depend on.
    despite_unreadable: bool = False

    @property
    def image(self) -> tuple[str, str]:
        """The names of parent and snapshot; the second is empty for the parent as it runs."""
        return self.parent.name, self.snapshot.name if self.snapshot else ""

    def identify(self, spec: PoolSpec) -> PoolIdentity:
        """Return what a clone has to fit to belong to the pool."""
        return PoolIdentity(
            spec=spec,
            parent=self.parent,
            place=self.folder,
            accepted=self.accepted,
            origin=self.origin,
        )

    def members(self, spec: PoolSpec) -> tuple[Vm, ...]:
        """Return the pool's clones."""
        return members_of(self.inventory, self.identify(spec))

    def spares(self, spec: PoolSpec) -> tuple[Vm, ...]:
        """Return the pool's spares, whatever state they are in."""
        return spares_of(self.inventory, self.identify(spec))

    def fitness(self, vm: Vm) -> Fitness:
        """Return what is known of a clone's health."""
        found = self.health.get(vm.id)
        return found.fitness if found else Fitness.UNKNOWN


def on_image(vm: Vm, sight: PoolSight) -> bool:
    """Say whether a clone depends on the snapshot that is wanted; from its disks, if they tell.

    From that one itself: what depends on a later snapshot of the same parent
    reads the layers of the earlier ones, too.
    """
    if sight.snapshot is None:
        return hangs_from_any(vm, sight.parent).linked is not False
    if any(disk.hidden for disk in vm.disks):
        mark = vm.valid_mark
        return mark is not None and mark.snapshot == sight.snapshot.id
    wanted = {
        disk.top for disk in sight.snapshot.disks or () if disk.chain and not disk.independent
    }
    return bool(wanted) and wanted <= find_forks(vm)


def is_behind(vm: Vm, spec: PoolSpec, sight: PoolSight) -> bool:
    """Say whether a clone is of another image or another shape than is wanted."""
    return not on_image(vm, sight) or bool(parts_to_renew(vm, spec, sight))


def parts_to_renew(vm: Vm, spec: PoolSpec, sight: PoolSight) -> tuple[str, ...]:
    """Return the parts of a clone's shape that have changed and cannot be changed in place."""
    changed = changed_shape(vm, sight)
    mendable = mendable_parts(spec) if changed else frozenset()
    return tuple(part for part in changed if part not in mendable)


def changed_shape(vm: Vm, sight: PoolSight) -> tuple[str, ...]:
    """Return the parts of a clone's shape that are not as is wanted."""
    mark = vm.valid_mark
    return changed_parts(mark.spec if mark else "", sight.shape)


def mendable_parts(spec: PoolSpec) -> frozenset[str]:
    """Return the parts that can be changed in place: what the snapshot has is not known."""
    hardware = spec.hardware
    wanted = {"cpus": hardware.cpus, "memory": hardware.memory, "notes": spec.annotation}
    return frozenset(part for part in _IN_PLACE if wanted[part] is not None)


def hardware_to_change(vm: Vm, spec: PoolSpec) -> tuple[int | None, int | None]:
    """Return the CPUs and bytes of memory that a clone is to have instead; None for as it is.

    A clone has to be off for these, and for nothing else that is changed in place.
    """
    cpus, memory = spec.hardware.cpus, spec.hardware.memory
    return None if cpus == vm.cpus else cpus, None if memory == vm.memory_bytes else memory
