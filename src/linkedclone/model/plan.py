"""What is to be done: steps as data, in stages. Steps of one stage do not wait for each other."""

from dataclasses import dataclass, field

from linkedclone.model.ids import SnapshotId, VmId
from linkedclone.model.observed import Layer, Mark, Power, Snapshot, Vm
from linkedclone.model.spec import Hardware, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot:
    """Take a snapshot of a VM."""

    vm: VmId
    vm_name: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClone:
    """Make one linked clone.

    Attributes:
        source: The parent.
        snapshot: What the clone hangs from; None stands for the snapshot that
            an earlier stage of the same plan takes.
        target: Where it goes.
        name: Its name.
        uuid: Its instance UUID, fixed before it exists.
        mark: What it carries from birth.
        hardware: What differs from the snapshot's hardware.
        annotation: Its notes; None keeps the parent's.
        power_on: Whether it is started as part of the clone call.
    """

    source: Vm
    snapshot: Snapshot | None
    target: Target
    name: str
    uuid: str
    mark: Mark
    hardware: Hardware = field(default_factory=Hardware)
    annotation: str | None = None
    power_on: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPower:
    """Start or stop a VM."""

    vm: VmId
    vm_name: str
    power: Power


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteVm:
    """Delete a VM and the files that it alone uses.

    Attributes:
        vm: Its id.
        vm_name: Its name.
        takes_base: Layers outside the VM's own folder that go with it, because
            it is the last VM here that uses them.
    """

    vm: VmId
    vm_name: str
    takes_base: tuple[Layer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSnapshot:
    """Delete one snapshot of a VM; its children stay."""

    vm: VmId
    vm_name: str
    snapshot: SnapshotId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertSnapshot:
    """Put a VM back to one of its snapshots; its present state is lost."""

    vm: VmId
    vm_name: str
    snapshot: SnapshotId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptUuid:
    """Write into a clone's mark the UUID that the hypervisor gave it instead of the wanted one."""

    vm: Vm


Step = (
    TakeSnapshot | CreateClone | AdoptUuid | SetPower | DeleteVm | DeleteSnapshot | RevertSnapshot
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Stages in order; an empty plan means that nothing is to be done.

    Attributes:
        stages: Each a set of steps that may run at the same time.
        existing: What is already as wanted, so that the report can show it.
    """

    stages: tuple[tuple[Step, ...], ...] = ()
    existing: tuple[Vm, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of all stages."""
        return tuple(step for stage in self.stages for step in stage)

    @property
    def empty(self) -> bool:
        """True if there is nothing to do."""
        return not self.steps
