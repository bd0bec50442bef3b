"""The hypervisor in memory: an estate, jobs that go on by themselves, and failures on demand."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Literal

from linkedclone.drivers.memory.inventory import Estate, Linking, name_taken, wrong_power
from linkedclone.drivers.memory.jobs import Effect, Schedule
from linkedclone.drivers.memory.snapshots import take_snapshot
from linkedclone.drivers.memory.vm import Machine
from linkedclone.errors import GoneError, HypervisorError, LinkedCloneError, NoSnapshotError
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import Target
from linkedclone.model.values.ids import FolderId, SnapshotId, VmId
from linkedclone.model.vm import CustomizationStatus, Layer, Mark, Power

_Place = tuple[FolderId, str]


class MemoryHypervisor:
    """Behaves like vSphere, as far as linked clones go, and may be shared by many drivers.

    It outlives the drivers that are connected to it, and so do its jobs.

    Attributes:
        delays: How many seconds a job of each action takes; none unless given.
        programs: With what each program ends, by VM and program; an empty name
            means every VM. A program that is not there does not exist.
        calls: How often each method of a driver reached it.
        now: The clock that jobs are timed by.
        sleep: What waiting drivers pass the time with; has to let ``now`` go on.
        instance: Its id, the same however it is addressed.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        instance: str = "6d656d6f-7279-4000-8000-000000000001",
    ) -> None:
        self.now = now
        self.sleep = sleep
        self.instance = instance
        self.delays: dict[str, float] = {}
        self.programs: dict[tuple[str, str], int] = {}
        self.calls: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._estate = Estate()
        self._schedule = Schedule(now)
        self._making: dict[_Place, VmId] = {}

    @contextmanager
    def access(self, call: str) -> Iterator[Estate]:
        """Let one call of a driver in, and only one at a time; due jobs take effect first."""
        with self._lock:
            self.calls[call] += 1
            self._run_due()
            yield self._estate

    @contextmanager
    def _inside(self) -> Iterator[Estate]:
        with self._lock:
            self._run_due()
            yield self._estate

    def _run_due(self) -> None:
        """Let every due job take effect; guests of VMs that run by then begin to customize."""
        self._schedule.run_due()
        booted = self._estate.booted()
        for machine in booted:
            if machine.inside is not None:
                machine.inside.status = CustomizationStatus.RUNNING
                self._submit("customize", machine.name, partial(self._customize, machine))
        if booted:
            self._schedule.run_due()

    def _customize(self, machine: Machine) -> None:
        if machine.inside is None:
            return
        try:
            self.strike("customize", machine.name, "job")
        except LinkedCloneError as error:
            machine.inside.fail(str(error))
        else:
            machine.inside.succeed()

    # -- what tests let go wrong ------------------------------------------------------

    def strike(self, action: str, name: str, at: Literal["submit", "job"]) -> None:
        """Fail in an action on a VM, when it is asked for or when it takes effect: never here."""

    def strike_clone(self, step: CreateClone) -> None:
        """Fail in making a clone; what that leaves behind is there then."""

    def choose_linking(self) -> Linking:
        """Return what the disks of the next clone that is to be linked become."""
        return "linked"

    # -- to set the scene -------------------------------------------------------------

    def add_vm(
        self,
        name: str,
        *,
        folder: str = "",
        disks: int = 1,
        power: Power = Power.OFF,
        store: str = "ssd1",
    ) -> VmId:
        """Add a VM; a folder that is missing is made."""
        with self._inside() as estate:
            place = estate.places.make_folder(folder)
            machine = estate.create(name, place, estate.places.find_store(store), disks=disks)
            machine.power = power
            return machine.id

    def add_snapshot(
        self, vm: VmId, name: str, description: str = "", *, memory: bool = False
    ) -> SnapshotId:
        """Take a snapshot at once, with the memory of a VM that runs if wanted."""
        with self._inside() as estate:
            return take_snapshot(estate, vm, name, description, memory=memory)

    def add_clone(
        self, source: VmId, snapshot: SnapshotId, name: str, *, owner: str = "", run: bool = False
    ) -> VmId:
        """Make a linked clone at once; without an owner it is another tool's, and bears no mark."""
        with self._inside() as estate:
            parent = estate.machine(source)
            (seen,) = estate.view([parent], with_disks=True)
            mark = Mark(
                owner=owner,
                uuid=estate.fresh_uuid(),
                parent_uuid=seen.uuid,
                parent_name=seen.name,
                snapshot=snapshot,
                snapshot_name=next(s.name for s in seen.snapshots if s.id == snapshot),
            )
            store = parent.home[0]
            target = Target(
                folder=parent.folder,
                folder_path=estate.places.folders[parent.folder],
                datastore=store,
                datastore_name=estate.places.stores[store],
                pool=parent.pool,
            )
            step = CreateClone(
                source=seen,
                snapshot=next(s for s in seen.snapshots if s.id == snapshot),
                target=target,
                name=name,
                uuid=mark.uuid,
                mark=mark,
            )
            made = estate.clone(step, "linked")
            made.mark = mark if owner else None
            made.power = Power.ON if run else Power.OFF
            return made.id

    def forget(self, vm: VmId) -> None:
        """Unregister a VM at once; its files stay."""
        with self._inside() as estate:
            estate.unregister(vm)

    def add_orphan(self, vm: VmId) -> Layer:
        """Leave a delta behind that no VM reads."""
        with self._inside() as estate:
            return estate.leave_orphan(vm)

    # -- jobs: to be called within ``access`` -----------------------------------------

    def start(self, action: str, name: str, effect: Effect) -> Job:
        """Start an action on a VM; the failures to come strike it."""
        self.strike(action, name, "submit")

        def run() -> str | None:
            self.strike(action, name, "job")
            return effect()

        return self._submit(action, name, run)

    def start_clone(self, step: CreateClone) -> Job:
        """Start to make a clone; its name is taken from now on."""
        if step.instant:
            self._require_memory(step)
        elif step.snapshot is None and step.disk_move.linked:
            brief = f"{step.source.name} has no snapshot to link {step.name} to"
            raise NoSnapshotError(brief, hint="take one with ``snapshot`` new")
        self.strike("clone", step.name, "submit")
        if step.guest is not None:
            self.strike("customize", step.name, "submit")
        place = _place(step)
        if place in self._making or self._estate.at(step.target.folder, step.name):
            raise name_taken(step.name)
        self._making[place] = step.source.id
        return self._submit("clone", step.name, partial(self._clone, step))

    def _require_memory(self, step: CreateClone) -> None:
        """Refuse to fork what neither runs nor is a snapshot with memory."""
        if step.snapshot is None:
            source = self._estate.machine(step.source.id)
            if source.power is not Power.ON:
                raise wrong_power(source)
            return
        _, point = self._estate.point(step.source.id, step.snapshot.id)
        if point.memory is None or point.memory.stale:
            brief = f"no VM can be forked from {point.name!r} of {step.source.name}"
            raise HypervisorError(brief, details=point.memory.stale if point.memory else "")

    def _clone(self, step: CreateClone) -> VmId:
        del self._making[_place(step)]
        self.strike_clone(step)
        machine = self._claim(step) or self._estate.clone(step, self.choose_linking())
        if step.mark.spare:
            machine.power = Power.PAUSED
            machine.mark = replace(step.mark, uuid=machine.uuid)
        elif step.instant:
            machine.power = Power.ON
            self.strike("identity", step.name, "job")
            machine.mark = replace(step.mark, uuid=machine.uuid)
        elif step.power_on:
            self.strike("power-on", step.name, "job")
            self._estate.set_power(machine.id, Power.ON)
        return machine.id

    def _claim(self, step: CreateClone) -> Machine | None:
        """Make a spare the clone that is wanted; None if it is a spare no more."""
        machine = self._estate.machines.get(step.spare) if step.spare else None
        mark = machine.mark if machine else None
        if machine is None or mark is None or not mark.spare or machine.power is not Power.PAUSED:
            return None
        machine.mark = replace(step.born, uuid=machine.uuid)
        self._estate.rename(machine.id, step.name)
        return machine

    def rename(self, vm: VmId, name: str) -> None:
        """Give a VM another name, unless it is taken, be it by a clone on its way."""
        if (self._estate.machine(vm).folder, name.casefold()) in self._making:
            raise name_taken(name)
        self._estate.rename(vm, name)

    @property
    def sources(self) -> frozenset[VmId]:
        """The VMs that clones are being made from right now."""
        return frozenset(self._making.values())

    def watch_clone(self, step: CreateClone) -> Job:
        """Watch the clone of this name that another run is creating."""

        def look() -> VmId | None:
            machine = self._estate.at(step.target.folder, step.name)
            if machine is not None and machine.whole:
                return machine.id
            if self._making.get(_place(step)) == step.source.id:
                return None
            raise GoneError(f"no command is making {step.name} any more")

        return self._schedule.watch("clone", step.name, look)

    def _submit(self, action: str, name: str, effect: Effect) -> Job:
        return self._schedule.submit(action, name, effect, seconds=self.delays.get(action, 0.0))

    def states(self, jobs: Sequence[Job]) -> tuple[JobState, ...]:
        """Return how far the jobs are."""
        return tuple(self._schedule.state(job) for job in jobs)

    def seconds_to_next(self) -> float | None:
        """Return in how many seconds the next job takes effect; None if there is none."""
        return self._schedule.seconds_to_next()


def _place(step: CreateClone) -> _Place:
    return step.target.folder, step.name.casefold()
