"""Jobs that go on by themselves: each takes effect when it is due, even if no caller waits.

There is no thread. Due jobs take effect, in the order of their times, at the
next access to the hypervisor; from outside this looks the same, and it is
deterministic.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from linkedclone.errors import GoneError, LinkedCloneError
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.values.ids import JobId

Effect = Callable[[], str | None]
"""What a job does when it is due; returns what it made."""

Look = Callable[[], str | None]
"""What a watching job sees: the result, or None as long as it has to go on watching."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    job: Job
    effect: Effect
    started: float
    due: float


class Schedule:
    """All jobs of one hypervisor. The caller holds the hypervisor's lock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self._queue: list[tuple[float, int, _Pending]] = []
        self._watching: dict[JobId, Look] = {}
        self._states: dict[JobId, JobState] = {}

    def submit(self, action: str, about: str, effect: Effect, *, seconds: float) -> Job:
        """Accept a job that takes effect so many seconds from now."""
        number = next(self._numbers)
        job = Job(id=JobId(f"job-{number}"), about=about, action=action)
        started = self._now()
        pending = _Pending(job=job, effect=effect, started=started, due=started + seconds)
        heapq.heappush(self._queue, (pending.due, number, pending))
        self._states[job.id] = JobState(job=job, status=JobStatus.RUNNING, percent=0)
        return job

    def watch(self, action: str, about: str, look: Look) -> Job:
        """Accept a job that only watches what others do."""
        job = Job(id=JobId(f"job-{next(self._numbers)}"), about=about, action=action)
        self._watching[job.id] = look
        self._states[job.id] = JobState(job=job, status=JobStatus.RUNNING)
        return job

    def run_due(self) -> None:
        """Let every due job take effect."""
        now = self._now()
        while self._queue and self._queue[0][0] <= now:
            pending = heapq.heappop(self._queue)[2]
            self._finish(pending.job, pending.effect)
        for job_id, look in list(self._watching.items()):
            if self._finish(self._states[job_id].job, look, may_go_on=True).finished:
                del self._watching[job_id]
        for _, _, pending in self._queue:
            share = (now - pending.started) / (pending.due - pending.started)
            state = self._states[pending.job.id]
            self._states[pending.job.id] = replace(state, percent=int(100 * share))

    def _finish(self, job: Job, effect: Effect, *, may_go_on: bool = False) -> JobState:
        state = self._states[job.id]
        try:
            result = effect()
        except LinkedCloneError as error:
            state = JobState(job=job, status=JobStatus.FAILED, error=error)
        else:
            if result is not None or not may_go_on:
                state = JobState(job=job, status=JobStatus.DONE, percent=100, result=result)
        self._states[job.id] = state
        return state

    def state(self, job: Job) -> JobState:
        """Return how far a job is; an unknown job has failed."""
        known = self._states.get(job.id)
        if known is not None:
            return known
        error = GoneError(f"there is no job {job.id}", kind="ManagedObjectNotFound")
        return JobState(job=job, status=JobStatus.FAILED, error=error)

    def seconds_to_next(self) -> float | None:
        """Return in how many seconds the next job is due; None if none is on its way."""
        return max(0.0, self._queue[0][0] - self._now()) if self._queue else None
