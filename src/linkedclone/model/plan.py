"""What is to be done: steps as data, in stages. Steps of one stage do not wait for each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar

from linkedclone.model.guest import Guest
from linkedclone.model.request import DiskMove, Hardware, Target
from linkedclone.model.values.document import (
    LEFT_OUT_IF_EMPTY,
    NOT_TOLD,
    Document,
    render,
    render_line,
    told_as,
    told_by,
)
from linkedclone.model.values.ids import FolderId, SnapshotId, VmId
from linkedclone.model.vm import LEFT_FAILED, Layer, Mark, Power, Snapshot, Vm

if TYPE_CHECKING:
    from linkedclone.model.inventory import Stray


def _tell_guest(name: str, guest: Guest | None) -> dict[str, object]:
    """Tell who a guest is to be; of the files that it gets no more than a digest."""
    if guest is None:
        return {name: None}
    cards, given = render(guest.cards), render_line(render(guest.customization))
    digest = sha256(given.encode()).hexdigest()
    return {name: {"host_name": guest.host_name, "cards": cards, "customization": digest}}


def _tell_id(name: str, seen: Snapshot | None) -> dict[str, object]:
    return {name: seen.id if seen else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step(ABC, Document):
    """What all steps have."""

    @property
    @abstractmethod
    def about(self) -> str:
        """The name of what the step is about."""

    @property
    def subject(self) -> str:
        """What tells that from all else that a plan is about."""
        return self.about

    @property
    def key(self) -> str:
        """What the step's result is filed under: its subject, so that a later step replaces it."""
        return self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class _VmStep(_Step):
    """What all steps have that are about one VM."""

    vm: VmId
    vm_name: str = field(metadata=NOT_TOLD)

    @property
    def about(self) -> str:
        return self.vm_name

    @property
    def subject(self) -> str:
        return self.vm


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlannedVmStep(_VmStep):
    """A step that is taken only while its VM is the one that was planned for."""

    vm_uuid: str = ""  # its UUID when this was planned; ids are given again after a restore


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot(_VmStep):
    """Take a snapshot of a VM."""

    action: ClassVar[str] = "snapshot"
    name: str = field(metadata=told_as("called"))
    description: str = ""
    quiesce: bool = False  # whether the guest's file systems are quiesced, if it runs
    memory: bool = False  # whether the memory is kept too, if it runs
    # Id of the pool that a template is made a VM in for the moment; empty for what is a VM.
    template_pool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClone(_Step):
    """Make one clone, linked unless ``disk_move`` says otherwise."""

    action: ClassVar[str] = "clone"
    source: Vm = field(metadata=told_by(lambda _, vm: {"parent": vm.uuid}))
    # What the clone depends on; None while it is yet to be taken, and where a parent without
    # snapshots is copied.
    snapshot: Snapshot | None = field(metadata=told_by(_tell_id))
    target: Target
    name: str = field(metadata=NOT_TOLD)
    uuid: str  # its instance UUID, fixed before it exists
    # What it carries from birth; an instant clone only once it has its own identity, see ``born``.
    mark: Mark
    disk_move: DiskMove = DiskMove.LINKED  # what becomes of the disks
    # Whether it is forked with the parent's memory: of the snapshot, or of the parent as it runs if
    # there is none. It is good only when it has an identity of its own, and its network is up;
    # but one whose mark says that it is a spare stands still as its parent.
    instant: bool = False
    # A fork that stands still, and becomes the clone where it is there still, and fits; else the
    # clone is forked anew. It keeps its UUID and its MAC addresses.
    spare: VmId | None = field(default=None, metadata=LEFT_OUT_IF_EMPTY)
    hardware: Hardware = field(default_factory=Hardware)
    macs: tuple[str, ...] = ()  # the MAC addresses of its first cards, as far as they are given
    annotation: str | None = None  # its notes; None keeps the parent's
    # Who the guest is to be; None leaves it as the parent's is, or to the stored specification of
    # the target alone.
    guest: Guest | None = field(default=None, metadata=told_by(_tell_guest))
    power_on: bool = True  # whether it is started as part of the clone call
    # Whether what a failed call has left of it is kept, to be looked at. What is not linked
    # although its job succeeded goes all the same.
    keep_failed: bool = False
    generation: int = 0  # what its UUID is made of beside the endpoint, folder, owner and name
    # Earlier steps of the same plan whose results it refers to: the snapshot that it is to depend
    # on, and the folder that it goes into, from which its UUID follows.
    awaits: tuple[TakeSnapshot | CreateFolder, ...] = field(default=(), metadata=NOT_TOLD)

    @property
    def about(self) -> str:
        return self.name

    @property
    def subject(self) -> str:
        return f"new:{self.name}"

    @property
    def born(self) -> Mark:
        """The mark at birth: an instant clone is not good before it has its own identity."""
        return replace(self.mark, spec=LEFT_FAILED) if self.instant else self.mark


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachClone(_Step):
    """Wait for a clone that another run is creating under the same name."""

    action: ClassVar[str] = "attach"

    create: CreateClone  # the step that was refused for the name

    @property
    def about(self) -> str:
        return self.create.name


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFolder(_Step):
    """Make an inventory folder with all that is missing above it."""

    action: ClassVar[str] = "create-folder"

    above: FolderId  # the folder that it is made below
    path: str  # its path from there, as in ``Target.new_folder``

    @property
    def about(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTemplate(_VmStep):
    """Make a VM that is off a template, or a template a VM."""

    template: bool  # what it is to be
    pool: str = ""  # id of the resource pool that a template is made a VM in

    @property
    def action(self) -> str:
        """What the step does, in words."""
        return "make a template" if self.template else "make a VM"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectMedia(_VmStep):
    """Take all images and host devices out of the CD and floppy drives of a VM."""

    action: ClassVar[str] = "disconnect-media"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPower(_VmStep):
    """Start or stop a VM."""

    power: Power

    @property
    def action(self) -> str:
        """What the step does, in a word."""
        return "power-on" if self.power is Power.ON else "power-off"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutDownGuest(_VmStep):
    """Ask the guest of a VM to shut down, and wait until the VM is off."""

    action: ClassVar[str] = "shut-down"
    deadline_seconds: float  # how long the guest may take
    then_off: bool = False  # whether it is stopped hard after that; else it is a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameVm(_VmStep):
    """Give a VM another name; its files keep theirs."""

    action: ClassVar[str] = "rename"
    new_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconfigureVm(_VmStep):
    """Change what can be changed of a VM without making it anew; it is off."""

    action: ClassVar[str] = "reconfigure"
    cpus: int | None = None  # its virtual processors; None keeps them
    memory_bytes: int | None = None  # its memory; None keeps it
    annotation: str | None = None  # its notes; None keeps them
    mark: Mark | None = None  # the mark that it bears from then on; None keeps it
    seen: Mark | None = None  # the mark that ``mark`` was made of; see :class:`WriteMark`


@dataclass(frozen=True, slots=True, kw_only=True)
class RelocateVm(_PlannedVmStep):
    """Move a VM; what it depends on stays where it is."""

    action: ClassVar[str] = "relocate"
    target: Target  # where it goes; empty ids leave it where it is
    moves_disks: bool = True  # whether its own layers go to another datastore


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteVm(_PlannedVmStep):
    """Delete a VM and the files that it alone uses."""

    action: ClassVar[str] = "delete"
    # Layers outside the VM's own folder that go with it, because it is the last VM here that uses
    # them.
    takes_base: tuple[Layer, ...] = ()
    # The mark for which it goes: it stays if it bears another by then. None for one whose mark does
    # not matter.
    seen: Mark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSnapshot(_PlannedVmStep):
    """Delete one snapshot of a VM; its children stay."""

    action: ClassVar[str] = "delete-snapshot"
    snapshot: SnapshotId
    name: str = field(metadata=told_as("called"))

    @property
    def key(self) -> str:  # deletions of one VM's snapshots stay apart
        return f"{self.vm}@{self.snapshot}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMemory(_PlannedVmStep):
    """Delete the memory that a snapshot holds; the snapshot of the disks stays."""

    action: ClassVar[str] = "delete-memory"
    snapshot: SnapshotId
    name: str = field(metadata=told_as("called"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertSnapshot(_PlannedVmStep):
    """Put a VM back to one of its snapshots; its present state is lost."""

    action: ClassVar[str] = "revert"
    snapshot: SnapshotId
    name: str = field(metadata=told_as("called"))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisterVm(_VmStep):
    """Take a VM out of the inventory; all its files stay."""

    action: ClassVar[str] = "unregister"
    keeps: tuple[Layer, ...] = ()  # the base for whose sake it is not deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteVm(_PlannedVmStep):
    """Make a linked clone a full one: copy into it what it shares."""

    action: ClassVar[str] = "promote"
    # What is copied, at most; None where unknown.
    copy_bytes: int | None = field(default=None, metadata=NOT_TOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowDisk(_PlannedVmStep):
    """Make a disk larger for the guest."""

    action: ClassVar[str] = "grow"
    disk: str
    capacity_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteMark(_VmStep):
    """Put a mark on a VM that is there: on one that is adopted, or to mend ours."""

    action: ClassVar[str] = "mark"
    mark: Mark
    # The mark that it was made of; None for a VM that bears none. What others have changed since is
    # kept.
    seen: Mark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveStray(_Step):
    """Delete a disk file that belongs to no VM."""

    action: ClassVar[str] = "remove"
    stray: Stray

    @property
    def about(self) -> str:
        return str(self.stray.layer)

    @property
    def subject(self) -> str:
        return self.stray.id


JobStep = (
    TakeSnapshot
    | CreateClone
    | AttachClone
    | CreateFolder
    | SetTemplate
    | DisconnectMedia
    | WriteMark
    | SetPower
    | RenameVm
    | ReconfigureVm
    | RelocateVm
    | DeleteVm
    | UnregisterVm
    | DeleteSnapshot
    | DeleteMemory
    | RevertSnapshot
    | PromoteVm
    | GrowDisk
    | RemoveStray
)
"""What a driver starts as one job."""

Step = JobStep | ShutDownGuest
"""What is done; a guest is only asked, and then looked at until its VM is off."""


def render_step(step: Step) -> dict[str, object]:
    """Return the JSON form of a step; what was only measured is not in it."""
    return {"action": step.action, "name": step.about, **step.document()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Stages in order; an empty plan means that nothing is to be done.

    Attributes:
        stages: Each a set of steps that may run at the same time.
        existing: What is already as wanted, so that the report can show it.
        notes: What a person should know before saying yes.
        routine: Those of the notes that are the same for every command, as
            where was not looked: they matter to who deletes.
        absent: What was named and is not there.
    """

    stages: tuple[tuple[Step, ...], ...] = ()
    existing: tuple[Vm, ...] = ()
    notes: tuple[str, ...] = ()
    routine: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def parts(self) -> Mapping[str, str]:
        """What a token covers, each part with the words for it: every step, and every note."""
        steps = {
            render_line(render_step(step)): f"{step.action} {step.about}" for step in self.steps
        }
        return steps | {render_line(note): note for note in self.notes}

    def document(self) -> dict[str, object]:
        """Return the JSON form; steps of one stage do not wait for each other."""
        return {
            "stages": [[render_step(step) for step in stage] for stage in self.stages],
            "unchanged": [vm.name for vm in self.existing],
            "absent": list(self.absent),
            "notes": list(self.notes),
        }

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of all stages."""
        return tuple(step for stage in self.stages for step in stage)

    @property
    def empty(self) -> bool:
        """True if there is nothing to do."""
        return not self.steps
