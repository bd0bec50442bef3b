"""The hypervisor in memory: an estate, jobs that go on by themselves, and failures on demand."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from linkedclone.drivers.memory.faults import Action, At, Faults, Rule, default_error
from linkedclone.drivers.memory.inventory import Estate, Linking, name_taken
from linkedclone.drivers.memory.jobs import Effect, Schedule
from linkedclone.drivers.memory.vm import Guest, Machine
from linkedclone.errors import (
    EndpointError,
    GoneError,
    LinkedCloneError,
    NoSnapshotError,
)
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import Target
from linkedclone.model.values.ids import FolderId, SnapshotId, VmId
from linkedclone.model.vm import CustomizationStatus, Disk, Layer, Mark, Power, Vm

_Place = tuple[FolderId, str]


class MemoryHypervisor:
    """Behaves like vSphere, as far as linked clones go, and may be shared by many drivers.

    It outlives the drivers that are connected to it, and so do its jobs.

    Attributes:
        delays: How many seconds a job of each action takes; none unless given.
        programs: With what each program ends, by VM and program; an empty name
            stands for every VM. A program that is not there does not exist.
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
        self._faults = Faults()
        self._making: dict[_Place, VmId] = {}
        self._next_linkings: list[Linking] = []
        self._down: EndpointError | None = None

    @contextmanager
    def access(self, call: str) -> Iterator[Estate]:
        """Let one call of a driver in, and only one at a time; due jobs take effect first."""
        with self._lock:
            if self._down is not None:
                raise self._down
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
        """Let a guest become who it is to be, or fail in it."""
        rule = self._faults.take("customize", machine.name, "job")
        if machine.inside is None:
            return
        if rule is None:
            machine.inside.succeed()
        else:
            machine.inside.fail(str(rule.error))

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

    def add_folder(self, path: str) -> FolderId:
        """Add an inventory folder."""
        with self._inside() as estate:
            return estate.places.make_folder(path)

    def add_disk(self, vm: VmId, *, independent: bool = False) -> Disk:
        """Add a disk to a VM."""
        with self._inside() as estate:
            return estate.add_disk(estate.machine(vm), independent=independent)

    def add_snapshot(self, vm: VmId, name: str, description: str = "") -> SnapshotId:
        """Take a snapshot at once."""
        with self._inside() as estate:
            return estate.take_snapshot(vm, name, description)

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

    def remove(self, vm: VmId) -> None:
        """Delete a VM at once, whether it runs or not."""
        with self._inside() as estate:
            estate.machine(vm).power = Power.OFF
            estate.delete(vm)

    def add_orphan(self, vm: VmId) -> Layer:
        """Leave a delta behind that no VM reads."""
        with self._inside() as estate:
            return estate.leave_orphan(vm)

    def set_mark(self, vm: VmId, mark: Mark | None) -> None:
        """Give a VM a mark, or take it away."""
        with self._inside() as estate:
            estate.set_mark(vm, mark)

    def mark_template(self, vm: VmId) -> None:
        """Turn a VM into a template: it has no resource pool then."""
        with self._inside() as estate:
            machine = estate.machine(vm)
            machine.template, machine.power, machine.pool = True, Power.OFF, ""

    def make_unreadable(self, vm: VmId, reason: str) -> None:
        """Show no more of a VM than its name, as of one whose host cannot get at its files."""
        with self._inside() as estate:
            estate.machine(vm).unreadable = reason

    def overlook(self, vm: VmId) -> None:
        """Leave a VM out where all are read at once; asked for by itself it is there."""
        with self._inside() as estate:
            estate.machine(vm).overlooked = True

    def set_guest(self, vm: VmId, guest: Guest) -> None:
        """Say how a guest takes it to be asked to shut down."""
        with self._inside() as estate:
            estate.machine(vm).guest = guest

    def insert_media(self, vm: VmId) -> None:
        """Put an image into the CD drive of a VM."""
        with self._inside() as estate:
            estate.machine(vm).media = True

    def fail(
        self,
        action: Action,
        name: str = "",
        *,
        error: LinkedCloneError | None = None,
        at: At = "job",
        times: int = 1,
        leave: bool = False,
    ) -> None:
        """Let an action fail for a VM of this name, or for any.

        ``leave`` leaves the half-made VM of a failed clone behind: marked, and
        without disks. ``power-on`` strikes clones that are to be started, too:
        the clone is there then, off. ``customize`` strikes the call, or the
        guest once it runs. ``times`` below zero means for ever.
        """
        error = error or default_error(action)
        with self._lock:
            self._faults.add(
                Rule(action=action, name=name, error=error, at=at, times=times, leave=leave)
            )

    def heal(self) -> None:
        """Let nothing fail any more."""
        with self._lock:
            self._faults.clear()

    def degrade(self, times: int = 1) -> None:
        """Make the next clones full ones, without a word."""
        with self._lock:
            self._next_linkings += ["full"] * times

    def hide(self, times: int = 1) -> None:
        """Make the next clones native ones: linked, but the chain cannot be seen."""
        with self._lock:
            self._next_linkings += ["hidden"] * times

    def disconnect(self, error: EndpointError | None = None) -> None:
        """Let every call fail until :meth:`reconnect`; jobs go on."""
        with self._lock:
            self._down = error or EndpointError("the hypervisor does not answer")

    def reconnect(self) -> None:
        """Answer again."""
        with self._lock:
            self._down = None

    # -- to look at the scene ---------------------------------------------------------

    @property
    def files(self) -> frozenset[Layer]:
        """Every disk file that exists."""
        with self._inside() as estate:
            return estate.storage.files

    @property
    def vms(self) -> tuple[Vm, ...]:
        """Every VM, without counting as a call."""
        with self._inside() as estate:
            return estate.view(estate.machines.values(), with_disks=True)

    def macs(self, vm: VmId) -> tuple[str, ...]:
        """Return the MAC addresses of a VM."""
        with self._inside() as estate:
            return estate.machine(vm).macs

    # -- jobs: to be called within ``access`` -----------------------------------------

    def start(self, action: str, name: str, effect: Effect) -> Job:
        """Start an action on a VM; the failures to come strike it."""
        self._faults.strike(action, name, "submit")

        def run() -> str | None:
            self._faults.strike(action, name, "job")
            return effect()

        return self._submit(action, name, run)

    def start_clone(self, step: CreateClone) -> Job:
        """Start to make a clone; its name is taken from now on."""
        if step.snapshot is None and step.disk_move.linked:
            brief = f"{step.source.name} has no snapshot to hang {step.name} from"
            raise NoSnapshotError(brief, hint="take one with ``snapshot`` new")
        self._faults.strike("clone", step.name, "submit")
        if step.guest is not None:
            self._faults.strike("customize", step.name, "submit")
        place = _place(step)
        if place in self._making or self._estate.at(step.target.folder, step.name):
            raise name_taken(step.name)
        self._making[place] = step.source.id
        return self._submit("clone", step.name, partial(self._clone, step))

    def _clone(self, step: CreateClone) -> VmId:
        del self._making[_place(step)]
        rule = self._faults.take("clone", step.name, "job")
        if rule is not None:
            if rule.leave:
                self._estate.clone_without_disks(step, self._estate.machine(step.source.id))
            raise rule.error
        linking = self._next_linkings.pop(0) if self._next_linkings else "linked"
        machine = self._estate.clone(step, linking)
        if step.power_on:
            self._faults.strike("power-on", step.name, "job")
            self._estate.set_power(machine.id, Power.ON)
        return machine.id

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
        """Watch the clone of this name that somebody else is making."""

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
