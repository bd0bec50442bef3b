"""Jobs that take several tasks, one after the other, as the files of one disk to delete."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.errors import LinkedCloneError
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.values.ids import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One of the tasks."""

    subject: str  # what it is about, as the server names it
    send: Callable[[], Native]  # sends a call that returns a task; raises what the session raises


IsDone = Callable[[str, LinkedCloneError, str], bool]
"""Says whether an action failed because there is nothing left to do with its subject."""


class Sequel(Protocol):
    """What follows some tasks before their jobs are done."""

    def waits(self, job: Job) -> bool:
        """Say whether a job waits for something else than a task."""

    def find_later(self, job: Job) -> Job | None:
        """Return a job with the later task that it is at; None where that is its first, or none."""

    def go_on(self, states: Sequence[JobState], waiting: Sequence[Job]) -> list[JobState]:
        """Return how far all these jobs are, given the states of those that are at a task."""


class Sequences:
    """Knows which task each such job is at."""

    def __init__(self, is_done: IsDone) -> None:
        self._is_done = is_done
        self._left: dict[JobId, Iterator[Start]] = {}
        self._tasks: dict[JobId, str] = {}
        self._subjects: dict[JobId, str] = {}
        self._lock = threading.Lock()

    def begin(self, job: Job, starts: Iterable[Start]) -> bool:
        """Start the first task of a job; False if there is nothing to do at all.

        Each further one is asked for when the one before it is done: so what comes may
        depend on what came of it.
        """
        with self._lock:
            self._left[job.id] = iter(starts)
        return self._start_next(job)

    def may_go_on(self, state: JobState) -> bool:
        """Say whether the present task of a job is done, and another may follow."""
        with self._lock:
            return state.status is JobStatus.DONE and state.job.id in self._left

    def task_of(self, job: Job) -> str:
        """Return the id of the task that a job is at; of most jobs the only one."""
        with self._lock:
            return self._tasks.get(job.id, job.id)

    def subject_of(self, job: Job) -> str:
        """Return what the task is about that a job is at; empty for jobs of one task."""
        with self._lock:
            return self._subjects.get(job.id, "")

    def go_on(self, state: JobState) -> JobState:
        """Start the next task of a job whose present one is done; return how far the job is."""
        if not self.may_go_on(state):
            return state
        job = state.job
        try:
            started = self._start_next(job)
        except LinkedCloneError as error:
            return JobState(job=job, status=JobStatus.FAILED, error=error)
        return replace(state, status=JobStatus.RUNNING, percent=None) if started else state

    def _start_next(self, job: Job) -> bool:
        with self._lock:
            left = self._left.pop(job.id)
        for start in left:
            try:
                task = start.send()
            except LinkedCloneError as error:
                if self._is_done(job.action, error, start.subject):
                    continue
                raise
            with self._lock:
                self._left[job.id] = left
                self._tasks[job.id] = moid_of(task)
                self._subjects[job.id] = start.subject
            return True
        return False
