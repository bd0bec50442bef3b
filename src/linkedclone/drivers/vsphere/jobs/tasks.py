"""Jobs: vSphere tasks, and the one place that waits for them.

All unfinished jobs are read together, by one RetrievePropertiesEx each time.
A poll whose interval grows with the age of the oldest job costs few reads on a
vCenter and on the simulator, where WaitForUpdatesEx is slow for many tasks
[fact: sim-wait-for-updates]. It watches the jobs if they are few.
"""

import itertools
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.jobs.attach import Attacher, Attachment
from linkedclone.drivers.vsphere.jobs.sequence import Sequel, Sequences, Start
from linkedclone.drivers.vsphere.jobs.task_outcome import (
    build_job,
    build_state,
    has_failed,
    is_so_already,
    is_vague,
    render_action,
)
from linkedclone.drivers.vsphere.jobs.updates import Watch
from linkedclone.drivers.vsphere.native import Native, NativeCall, kind_of, moid_of
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    CertificateError,
    EndpointError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    UnreadableAnswerError,
)
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.request import Target
from linkedclone.model.values.ids import JobId, VmId

_PROGRESS: Final = {"Task": ("info.state", "info.progress", "info.result")}
_WITHOUT_RESULT: Final = {"Task": ("info.state", "info.progress")}
_OF_TARGETS: Final = {"VirtualMachine": "name", "VirtualMachineSnapshot": "vm"}
"""What every object has that can be deleted."""

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_SHARE_OF_AGE: Final = 0.06
_SHARE_FOR_FEW: Final = 0.04
_FEW: Final = 4
"""So few jobs are cheap to poll, and a user waits for each of them."""

_WATCH_SECONDS: Final = 1
"""The shortest time that WaitForUpdatesEx can wait, and how late a job
is noticed that another thread starts meanwhile."""

_PATIENCE: Final = 5.0
"""Seconds that the endpoint may be silent before the callers are notified, as
during a fail-over of its network. For how long they go on is their business."""

_FINAL: Final = (CertificateError, AuthenticationError)


def pause_seconds(age_seconds: float, *, jobs: int) -> float:
    """Return the pause before the next poll of so many jobs, for an oldest one of this age.

    A task is noticed at most a sixteenth of its own duration late, with a number
    of polls that grows with the logarithm of that duration.
    """
    share = _SHARE_FOR_FEW if jobs <= _FEW else _SHARE_OF_AGE
    return min(max(_FIRST_PAUSE, share * age_seconds), _LONGEST_PAUSE)


class Jobs:
    """Starts tasks, remembers what is known of them, and waits.

    Without ``results`` for tasks that end in long lists, which no caller wants to
    get with each look at how far they are.
    """

    def __init__(
        self,
        session: Session,
        collector: Collector,
        attacher: Attacher,
        *,
        results: bool = True,
        sequel: Sequel | None = None,
    ) -> None:
        self._session = session
        self._collector = collector
        self._attacher = attacher
        self._progress = _PROGRESS if results else _WITHOUT_RESULT
        self._wanted = {"Task": (*self._progress["Task"], "info.error")}
        self._watch = Watch(session, self._wanted)
        self._states: dict[JobId, JobState] = {}
        self._begun: dict[JobId, float] = {}
        self._most = 0  # jobs that were under way together since there were none
        self._attachments: dict[JobId, Attachment] = {}
        self._targets: dict[JobId, Native] = {}
        self._sequences = Sequences(is_so_already)
        self._sequel = sequel
        self._last_read = 0.0
        self._silent_since = 0.0
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # of the fields above; never held during a call
        self._reading = threading.Lock()  # held by the one thread that polls

    # -- start ------------------------------------------------------------------------

    def start(self, about: str, action: str, method: NativeCall, **arguments: object) -> Job:
        """Send a call that returns a task; what is so already gives a job that is done."""
        try:
            task = self._session.call(render_action(action, about), method, **arguments)
        except HypervisorError as error:
            if not is_so_already(action, error):
                raise
            return self.done(about, action)
        return self.begin(build_job(moid_of(task), about, action))

    def delete(
        self, about: str, action: str, target: Native, method: NativeCall, **arguments: object
    ) -> Job:
        """Send a call that deletes an object; one that is gone already gives a job that is done."""
        try:
            task = self._session.call(render_action(action, about), method, **arguments)
        except GoneError:
            if not self.is_gone(target):
                raise
            return self.done(about, action)
        if task is None:
            return self.done(about, action)  # a call that is done when it returns
        job = build_job(moid_of(task), about, action)
        with self._lock:
            self._targets[job.id] = target
        return self.begin(job)

    def done(self, about: str, action: str, result: str | None = None) -> Job:
        """Return a job that is done, for what needs no call."""
        job = self.number(about, action)
        with self._lock:
            self._states[job.id] = JobState(job=job, status=JobStatus.DONE, result=result)
        return job

    def follow(self, about: str, action: str, task: Native) -> Job:
        """Return a job that follows a task which another call has started."""
        return self.begin(build_job(moid_of(task), about, action))

    def failed(self, about: str, action: str, error: LinkedCloneError) -> Job:
        """Return a job that has failed, for what was found before any call."""
        job = self.number(about, action)
        with self._lock:
            self._states[job.id] = JobState(job=job, status=JobStatus.FAILED, error=error)
        return job

    def sequence(self, about: str, action: str, starts: Iterable[Start]) -> Job:
        """Return a job of several tasks, of which each begins when the one before it is done."""
        job = self.number(about, action)
        if not self._sequences.begin(job, starts):
            return self.done(about, action)
        return self.begin(job)

    def attach(self, name: str, source: VmId, target: Target) -> Job:
        """Return a job that follows a clone which another run is creating."""
        job = self.number(name, "attach")
        with self._lock:
            self._attachments[job.id] = Attachment(
                job=job, source=source, folder=target.folder, pool=target.pool
            )
        return self.begin(job)

    def number(self, about: str, action: str) -> Job:
        """Return a job that is not tied to a task; :meth:`begin` it once its sequel knows it."""
        return Job(id=JobId(f"{action}-{next(self._numbers)}"), about=about, action=action)

    def begin(self, job: Job) -> Job:
        """Follow a job from now on."""
        with self._lock:
            self._most = max(self._most if self._begun else 0, len(self._begun) + 1)
            self._begun[job.id] = time.monotonic()
            self._states[job.id] = JobState(job=job, status=JobStatus.QUEUED)
        return job

    # -- wait -------------------------------------------------------------------------

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        """Wait until one of the jobs has finished, or for so long; return the states of all.

        Threads that wait at the same time share the reads.
        """
        end = time.monotonic() + timeout_seconds
        while True:
            due = self._poll(end)
            with self._lock:
                states = tuple(self._states[job.id] for job in jobs)
            now = time.monotonic()
            if now >= end or not states or any(state.finished for state in states):
                return states
            time.sleep(max(min(due, end) - now, 0.0))

    def _poll(self, end: float) -> float:
        """Read all unfinished jobs if it is time for it; return when it is time again."""
        if not self._reading.acquire(timeout=max(end - time.monotonic(), 0.0)):
            return end
        try:
            watching = self._may_watch(end)
            due = self._due()
            if time.monotonic() < due and not watching:
                return due
            with self._lock:
                unfinished = [self._states[moid].job for moid in self._begun]
            states = self._read_patiently(unfinished, watching=watching)
            with self._lock:
                self._last_read = time.monotonic()
                for state in states:
                    self._states[state.job.id] = state
                    if state.finished:
                        del self._begun[state.job.id]
            return 0.0 if watching and states else self._due()
        finally:
            self._reading.release()

    def _may_watch(self, end: float) -> bool:
        """Say whether to let the server tell the news: for few jobs, and where there is time."""
        with self._lock:
            few = bool(self._begun) and self._most <= _FEW
            followed = self._attachments.keys() & self._begun.keys()
        left = end - time.monotonic()
        waits = self._sequel is not None and any(
            self._sequel.waits(self._states[moid].job) for moid in list(self._begun)
        )
        return few and not followed and not waits and left >= _WATCH_SECONDS and self._watch.works

    def _read_patiently(self, jobs: Sequence[Job], *, watching: bool) -> list[JobState]:
        """Read jobs; while the endpoint does not answer for a moment, there is no news.

        The tasks go on at the server, so nothing is lost by asking again.
        """
        try:
            states = self._read(jobs, watching=watching)
        except (BusyError, EndpointError, UnreadableAnswerError) as error:
            self._silent_since = self._silent_since or time.monotonic()
            silent = time.monotonic() - self._silent_since
            if isinstance(error, _FINAL) or silent > _PATIENCE:
                raise
            return []
        self._silent_since = 0.0
        return states

    def _due(self) -> float:
        with self._lock:
            if not self._begun:
                return math.inf
            oldest = min(self._begun.values())
            age = max(self._last_read - oldest, 0.0)
            # Following clones of another run takes several calls a look, so look half as often.
            calls = 2 if self._attachments.keys() & self._begun.keys() else 1
            return max(self._last_read, oldest) + calls * pause_seconds(age, jobs=len(self._begun))

    def _read(self, jobs: Sequence[Job], *, watching: bool) -> list[JobState]:
        waiting = [job for job in jobs if self._sequel and self._sequel.waits(job)]
        busy = [job for job in jobs if job not in waiting]
        later = {job.id: self._find_later(job) for job in busy}
        with self._lock:
            followed = {
                job.id: self._attachments[job.id]
                for job in busy
                if job.id in self._attachments and later[job.id] is None
            }
        tasks = [later[job.id] or job for job in busy if job.id not in followed]
        ids = [job.task if later[job.id] else self._sequences.task_of(job) for job in tasks]
        natives = [self._session.managed("Task", moid) for moid in ids]
        seen = self._watch.observe(natives, _WATCH_SECONDS) if watching else {}
        if any(is_vague(j.action, seen.get(i)) for j, i in zip(tasks, ids, strict=True)):
            seen = self._poll_tasks(natives)
        states = [
            self._build_state(job, seen.get(moid)) for job, moid in zip(tasks, ids, strict=True)
        ]
        going = [state for state in states if self._sequences.may_go_on(state)]
        gone_on = {s.job.id: s for s in self._session.map(self._sequences.go_on, going)}
        states = [gone_on.get(state.job.id, state) for state in states]
        states = [*map(self._confirm, states), *self._attacher.observe(list(followed.values()))]
        return self._sequel.go_on(states, waiting) if self._sequel else states

    def _find_later(self, job: Job) -> Job | None:
        """Return a job with the later task that it is at, if it is at one."""
        return self._sequel.find_later(job) if self._sequel else None

    def _build_state(self, job: Job, task: Seen | None) -> JobState:
        subject = self._sequences.subject_of(job)
        return build_state(job, task, subject=subject, name_of=self._session.name_of)

    def _confirm(self, state: JobState) -> JobState:
        """Return a deletion that failed because something is gone as done, where it is that."""
        target = self._targets.get(state.job.id)
        if target is None or not isinstance(state.error, GoneError) or not self.is_gone(target):
            return state
        return JobState(job=state.job, status=JobStatus.DONE)

    def is_gone(self, target: Native) -> bool:
        """Ask for an object itself: what a fault calls gone may be another one, or the task."""
        wanted = {kind_of(target): (_OF_TARGETS[kind_of(target)],)}
        try:
            return not self._collector.read("check whether it still exists", [target], wanted)
        except HypervisorError:
            return False

    def _poll_tasks(self, tasks: Sequence[Native]) -> Mapping[str, Seen]:
        """Read tasks; why they failed, which costs more to decode, only of those that did."""
        seen = self._collector.read("follow tasks", tasks, self._progress)
        failed = [task for task in tasks if has_failed(seen.get(moid_of(task)))]
        return seen | self._read_failures(failed)

    def _read_failures(self, tasks: Sequence[Native]) -> dict[str, Seen]:
        """Read tasks with why they failed; a reason that cannot be decoded hides no other."""
        about = "read why tasks failed"
        try:
            return self._collector.read(about, tasks, self._wanted)
        except UnreadableAnswerError:
            if len(tasks) < 2:
                return {}  # what was seen before is kept: that it failed
        single = (self._read_failures([task]) for task in tasks)
        return {moid: one for found in single for moid, one in found.items()}
