"""Makes clones at a lone host: several tasks, one after the other, are one job.

First the directory, which is the lock on the name; then the files that a clone needs before
it is a VM; then the VM, with its mark and its UUID; at last its power-on. So a VM that is
there lacks nothing but its power-on, and a directory without one may be begun anew. What
the process did not get to is taken up by the next run.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.jobs.task_outcome import find_fault, render_action
from linkedclone.drivers.vsphere.lone_host.directory import (
    TAKEN,
    Directories,
    claim_of,
    directory_of,
    find_foreign,
    find_users,
    next_claim,
)
from linkedclone.drivers.vsphere.lone_host.requests import (
    POWER_ON,
    POWERING,
    Call,
    build_calls,
    build_removal,
)
from linkedclone.drivers.vsphere.lone_host.source import Sources
from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.drivers.vsphere.native import moid_of
from linkedclone.drivers.vsphere.storage.orphans import NOTE
from linkedclone.errors import (
    DuplicateNameError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    LostAnswerError,
    LostJobError,
    NameTakenError,
    NoSnapshotError,
    Transience,
)
from linkedclone.model.inventory import Inventory
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import JobId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Power, Vm

QUIET_SECONDS: Final = 5.0
"""How long nothing may happen to a directory without a VM before another run takes it over.

A run that lives needs one call from the directory to the next task."""

LookUp = Callable[[Sequence[CreateClone]], Sequence[Vm]]
"""Reads the VMs that have the names of these clones."""


@dataclass(slots=True)
class _Making:
    """A clone on its way."""

    job: Job
    step: CreateClone
    left: deque[Call] = field(default_factory=deque)
    call: Call | None = None  # what started its present task
    task: str = ""  # that task; empty while it waits for what another run may be making
    vm: str | None = None  # set once it is there
    error: LinkedCloneError | None = None  # why it failed, while what was made is removed
    quiet_since: float | None = None


class Creations:
    """Knows how far each clone is. Its methods that look are called by one thread at a time."""

    def __init__(
        self,
        session: Session,
        sources: Sources,
        directories: Directories,
        look_up: LookUp,
        observe: Callable[[], Inventory],
    ) -> None:
        self._session = session
        self._sources = sources
        self._directories = directories
        self._look_up = look_up
        self._observe = observe
        self._makings: dict[JobId, _Making] = {}
        self._lock = threading.Lock()

    def create(self, job: Job, step: CreateClone) -> None:
        """Lock the name of a clone, and send the first call of a job that makes it."""
        directory, making = directory_of(step), _Making(job=job, step=step)
        claim = claim_of(step)
        making.left.extend(self._build_calls(step, claim))
        self._directories.make(directory)
        if claim:
            self._directories.make(claim)
        state = self._go_on(making)
        if state.error is not None:
            raise state.error
        self._add(making)

    def _build_calls(self, step: CreateClone, claim: str) -> tuple[Call, ...]:
        """Return the calls that make a clone; never over disks that the VM writes to."""
        if step.snapshot is None and step.disk_move.linked:
            raise NoSnapshotError(
                f"a linked clone of {step.source.name} needs a snapshot to depend on",
                hint="take one: ``snapshot create``",
            )
        return build_calls(self._session, step, self._sources.read(step), claim)

    def follow(self, job: Job, step: CreateClone) -> None:
        """Follow the clone that another run makes under this name, or take over what it left."""
        self._add(_Making(job=job, step=step))

    def _add(self, making: _Making) -> None:
        with self._lock:
            self._makings[making.job.id] = making

    # -- what the jobs ask ------------------------------------------------------------

    def waits(self, job: Job) -> bool:
        """Say whether a job waits for another run."""
        with self._lock:
            making = self._makings.get(job.id)
        return making is not None and not making.task

    def find_later(self, job: Job) -> Job | None:
        """Return a job as that of the task that it is at."""
        with self._lock:
            making = self._makings.get(job.id)
        if making is None or making.call is None:
            return None
        return replace(job, action=making.call.action, task=making.task)

    def go_on(self, states: Iterable[JobState], waiting: Sequence[Job]) -> list[JobState]:
        """Return how far jobs are; those whose task has ended go on with the next."""
        with self._lock:
            makings = dict(self._makings)
        ended: list[JobState] = []
        out: list[JobState] = []
        for state in states:
            mine = state.finished and state.job.id in makings
            (ended if mine else out).append(state)
        out += self._session.map(lambda state: self._end(state, makings[state.job.id]), ended)
        out += self._look([makings[job.id] for job in waiting])
        with self._lock:
            for state in out:
                if state.finished:
                    self._makings.pop(state.job.id, None)
        return out

    # -- task after task --------------------------------------------------------------

    def _end(self, state: JobState, making: _Making) -> JobState:
        """Go on behind a task that has ended."""
        call = making.call
        if making.error is not None:
            return self._failed(making, _also(making.error, state.error))
        if state.error is not None:
            if call is None or not call.counts_as_done(state.error):
                return self._fail(making, state.error)
        elif call is not None and call.makes_vm:
            making.vm = state.result
        return self._go_on(making)

    def _go_on(self, making: _Making) -> JobState:
        """Send the next call, unless all are done."""
        while making.left:
            call = making.left[0]
            try:
                task = self._send(making, call)
            except LinkedCloneError as error:
                if error.transience is Transience.AWAY and making.task:
                    return _running(making)  # the task before is looked at again, and then goes on
                making.left.popleft()
                making.call = call
                if call.counts_as_done(error):
                    continue
                return self._fail(making, error)
            making.left.popleft()
            making.call, making.task = call, task
            return _running(making)
        return JobState(job=_job(making), status=JobStatus.DONE, result=making.vm)

    def _send(self, making: _Making, call: Call) -> str:
        """Send a call; return the id of its task."""
        vm = self._session.managed("VirtualMachine", making.vm) if making.vm else None
        about = render_action(call.action, making.step.name)
        arguments = call.arguments()
        method = getattr(call.this or vm, call.method)
        return moid_of(self._session.call(about, method, **arguments))

    def _fail(self, making: _Making, error: LinkedCloneError) -> JobState:
        """End a job that failed; what it made for a VM that is not there is removed first."""
        call, step = making.call, making.step
        if isinstance(error, LostAnswerError) and making.task:
            error = LostJobError(error.brief, details=error.details, hint=error.hint)
        if call is not None and call.action == POWER_ON and error.__cause__ is not None:
            error = find_fault(step.name, POWER_ON, error.__cause__) or error
        unknown = error.transience in {Transience.AWAY, Transience.LOST}
        taken = isinstance(error, HypervisorError) and error.kind in TAKEN
        if taken:
            error = DuplicateNameError(
                error.brief, details=error.details, hint=error.hint, kind="DuplicateName"
            )
        if unknown or taken or making.vm is not None or step.keep_failed:
            return self._failed(making, error)
        return self._undo(making, error)

    def _undo(self, making: _Making, error: LinkedCloneError) -> JobState:
        """Remove the directory of a clone that was not made, unless a VM is there by now."""
        directory = directory_of(making.step)
        try:
            if self._directories.is_registered(directory):
                return self._failed(making, error)
            making.call = build_removal(self._session, directory)
            making.task = self._send(making, making.call)
        except LinkedCloneError as trouble:
            return self._failed(making, _also(error, trouble))
        making.error = error
        return _running(making)

    @staticmethod
    def _failed(making: _Making, error: LinkedCloneError) -> JobState:
        return JobState(job=_job(making), status=JobStatus.FAILED, error=error)

    # -- what other runs began --------------------------------------------------------

    def _look(self, makings: Sequence[_Making]) -> list[JobState]:
        """Look at the clones that others are making: at tasks first, then at what there is."""
        if not makings:
            return []
        busy = self._directories.is_being_filled()
        there = {vm.name.casefold(): vm for vm in self._look_up([one.step for one in makings])}
        return [self._judge(one, there.get(one.step.name.casefold()), busy=busy) for one in makings]

    def _judge(self, making: _Making, vm: Vm | None, *, busy: bool) -> JobState:
        try:
            if vm is not None and not (busy and vm.unreadable):
                return self._find_made(making, vm)
            if busy or vm is not None:
                making.quiet_since = None
                return _running(making)
            return self._take_over(making)
        except DuplicateNameError:
            making.quiet_since, making.task, making.call = None, "", None
            return _running(making)
        except LinkedCloneError as error:
            return self._failed(making, error)

    def _find_made(self, making: _Making, vm: Vm) -> JobState:
        """End with a clone that is there; one that this run had asked for is started, too."""
        making.vm, step = vm.id, making.step
        ours = vm.mark is not None and vm.mark.run == step.mark.run
        if ours and step.power_on and vm.power is Power.OFF:
            making.left.append(POWERING)
        return self._go_on(making)

    def _take_over(self, making: _Making) -> JobState:
        """Make a clone in a directory that another run has left, once that was quiet for long."""
        directory, now = directory_of(making.step), time.monotonic()
        since = making.quiet_since
        if since is not None and now - since < QUIET_SECONDS:
            return _running(making)
        files = self._directories.list_files(directory, making.step.target.datastore)
        if files is None:
            raise GoneError(
                f"the clone {making.step.name} is not being made any more",
                hint="run it again",
            )
        if since is None:
            making.quiet_since = now
            return _running(making)
        foreign = find_foreign(directory, files)
        if any(file.endswith(".vmdk") for file in files):
            store, folder = making.step.target.datastore, split_file_name(directory)[1]
            foreign += find_users(self._observe(), store, folder)
        if foreign:
            raise NameTakenError(
                f"the folder {directory} has files that linkedclone did not leave there, or that "
                "VMs read",
                details=list_names(sorted(foreign)),
                hint="choose another name, or look at the folder in the datastore browser",
            )
        claim = next_claim(directory, files)
        self._directories.make(claim)
        # The note goes first: where it is missing, a deletion that still runs goes no further.
        going = sorted(files, key=lambda file: file != NOTE)
        making.left.extend(build_removal(self._session, f"{directory}/{one}") for one in going)
        making.left.extend(self._build_calls(making.step, claim))
        return self._go_on(making)


def _running(making: _Making) -> JobState:
    return JobState(job=_job(making), status=JobStatus.RUNNING)


def _job(making: _Making) -> Job:
    return replace(making.job, task=making.task or making.job.task)


def _also(error: LinkedCloneError, trouble: LinkedCloneError | None) -> LinkedCloneError:
    """Tell beside an error that what was made could not be removed."""
    if trouble is not None:
        error.details = "\n".join(filter(None, (error.details, trouble.brief)))
    return error
