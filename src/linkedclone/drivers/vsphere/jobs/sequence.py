"""Jobs that take several tasks, one after the other, as the files of one disk to delete."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
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
        self._left: dict[JobId, deque[Start]] = {}
        self._tasks: dict[JobId, str] = {}
        self._subjects: dict[JobId, str] = {}
        self._lock = threading.Lock()

    def begin(self, job: Job, starts: Sequence[Start]) -> bool:
        """Start the first task of a job; False if there is nothing to do at all."""
        with self._lock:
            self._left[job.id] = deque(starts)
        return self._start_next(job)

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
        job = state.job
        with self._lock:
            more = state.status is JobStatus.DONE and bool(self._left.get(job.id))
        if not more:
            return state
        try:
            started = self._start_next(job)
        except LinkedCloneError as error:
            return JobState(job=job, status=JobStatus.FAILED, error=error)
        return replace(state, status=JobStatus.RUNNING, percent=None) if started else state

    def _start_next(self, job: Job) -> bool:
        left = self._left[job.id]
        while left:
            start = left.popleft()
            try:
                task = start.send()
            except LinkedCloneError as error:
                if self._is_done(job.action, error, start.subject):
                    continue
                left.clear()
                raise
            with self._lock:
                self._tasks[job.id] = moid_of(task)
                self._subjects[job.id] = start.subject
            return True
        return False
