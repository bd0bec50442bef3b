"""What is to be done: steps as data, in stages. Steps of one stage do not wait for each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from linkedclone.model.guest import Guest
from linkedclone.model.request import DiskMove, Hardware, Target
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Layer, Mark, Power, Snapshot, Vm

if TYPE_CHECKING:
    from linkedclone.model.inventory import Stray


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot:
    """Take a snapshot of a VM.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        name: The snapshot's name.
        description: Its text.
        quiesce: Whether the guest's file systems are quiesced, if it runs.
        memory: Whether the memory is kept too, if it runs.
        template_pool: Id of the pool that a template is made a VM in for the
            moment; empty for what is a VM.
    """

    vm: VmId
    vm_name: str
    name: str
    description: str = ""
    quiesce: bool = False
    memory: bool = False
    template_pool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClone:
    """Make one clone, linked unless ``disk_move`` says otherwise.

    Attributes:
        source: The parent.
        snapshot: What the clone hangs from; None stands for the snapshot that
            an earlier stage of the same plan takes.
        target: Where it goes.
        name: Its name.
        uuid: Its instance UUID, fixed before it exists.
        mark: What it carries from birth.
        disk_move: What becomes of the disks.
        hardware: What differs from the snapshot's hardware.
        macs: The MAC addresses of its first cards, as far as they are given.
        annotation: Its notes; None keeps the parent's.
        guest: Who the guest is to be; None leaves it as the parent's is, or to
            the stored specification of the target alone.
        power_on: Whether it is started as part of the clone call.
    """

    source: Vm
    snapshot: Snapshot | None
    target: Target
    name: str
    uuid: str
    mark: Mark
    disk_move: DiskMove = DiskMove.LINKED
    hardware: Hardware = field(default_factory=Hardware)
    macs: tuple[str, ...] = ()
    annotation: str | None = None
    guest: Guest | None = None
    power_on: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPower:
    """Start or stop a VM."""

    vm: VmId
    vm_name: str
    power: Power


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutDownGuest:
    """Ask the guest of a VM to shut down, and wait until the VM is off.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        deadline_seconds: How long the guest may take.
        then_off: Whether it is stopped hard after that; else it is a failure.
    """

    vm: VmId
    vm_name: str
    deadline_seconds: float
    then_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameVm:
    """Give a VM another name; its files keep theirs.

    Attributes:
        vm: Its id.
        vm_name: Its name until then.
        new_name: Its name from then on.
    """

    vm: VmId
    vm_name: str
    new_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconfigureVm:
    """Change what can be changed of a VM without making it anew; it is off.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        cpus: Its virtual processors; None keeps them.
        memory_bytes: Its memory; None keeps it.
        annotation: Its notes; None keeps them.
        mark: The whole mark that it bears from then on; None keeps it.
    """

    vm: VmId
    vm_name: str
    cpus: int | None = None
    memory_bytes: int | None = None
    annotation: str | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelocateVm:
    """Move a VM; what it hangs from stays where it is.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        vm_uuid: Its UUID when this was planned; ids are given again after a restore.
        target: Where it goes; empty ids leave it where it is.
        moves_disks: Whether its own layers go to another datastore.
    """

    vm: VmId
    vm_name: str
    target: Target
    moves_disks: bool = True
    vm_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteVm:
    """Delete a VM and the files that it alone uses.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        vm_uuid: Its UUID when this was planned; ids are given again after a restore.
        takes_base: Layers outside the VM's own folder that go with it, because
            it is the last VM here that uses them.
    """

    vm: VmId
    vm_name: str
    takes_base: tuple[Layer, ...] = ()
    vm_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSnapshot:
    """Delete one snapshot of a VM; its children stay."""

    vm: VmId
    vm_name: str
    snapshot: SnapshotId
    name: str
    vm_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertSnapshot:
    """Put a VM back to one of its snapshots; its present state is lost."""

    vm: VmId
    vm_name: str
    snapshot: SnapshotId
    name: str
    vm_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisterVm:
    """Take a VM out of the inventory; all its files stay.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        keeps: The base for whose sake it is not deleted.
    """

    vm: VmId
    vm_name: str
    keeps: tuple[Layer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteVm:
    """Make a linked clone a full one: copy into it what it shares.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        vm_uuid: Its UUID when this was planned; ids are given again after a restore.
        copy_bytes: What is copied, at most; None where unknown.
    """

    vm: VmId
    vm_name: str
    copy_bytes: int | None = None
    vm_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowDisk:
    """Make a disk larger for the guest.

    Attributes:
        vm: Id of the VM.
        vm_name: Its name.
        vm_uuid: See :class:`DeleteVm`.
        disk: The disk's label.
        capacity_bytes: The new size.
    """

    vm: VmId
    vm_name: str
    disk: str
    capacity_bytes: int
    vm_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteMark:
    """Put a mark on a VM that is there: on one that is adopted, or to mend ours.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        mark: The whole mark, which replaces whatever stands there.
    """

    vm: VmId
    vm_name: str
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveStray:
    """Delete a disk file that belongs to no VM."""

    stray: Stray


Step = (
    TakeSnapshot
    | CreateClone
    | WriteMark
    | SetPower
    | ShutDownGuest
    | RenameVm
    | ReconfigureVm
    | RelocateVm
    | DeleteVm
    | UnregisterVm
    | DeleteSnapshot
    | RevertSnapshot
    | PromoteVm
    | GrowDisk
    | RemoveStray
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Stages in order; an empty plan means that nothing is to be done.

    Attributes:
        stages: Each a set of steps that may run at the same time.
        existing: What is already as wanted, so that the report can show it.
        notes: What a person should know before saying yes.
        routine: Those of the notes that are the same for every command, as
            where was not looked: they matter to who deletes.
    """

    stages: tuple[tuple[Step, ...], ...] = ()
    existing: tuple[Vm, ...] = ()
    notes: tuple[str, ...] = ()
    routine: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of all stages."""
        return tuple(step for stage in self.stages for step in stage)

    @property
    def empty(self) -> bool:
        """True if there is nothing to do."""
        return not self.steps
