"""Jobs of this process: threads that do the work, and one place that waits for them."""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from linkedclone.errors import EndpointError, LinkedCloneError
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.values.ids import JobId
from linkedclone.system.os_errors import translated

_THREADS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    about: str
    action: str  # what is done, in one word
    run: Callable[[], str | None]  # does it; what it returns is the job's result
    # Called at the end in any case, also if ``run`` is never called.
    release: Callable[[], object] = lambda: None


class JobBoard:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="local")
        self._numbers = itertools.count(1)
        self._futures: dict[JobId, Future[str | None]] = {}

    def start(self, work: Work) -> Job:
        """Start some work, or queue it if many others run; returns at once."""
        job = Job(
            id=JobId(f"{work.action}-{next(self._numbers)}"),
            about=work.about,
            action=work.action,
        )
        try:
            self._futures[job.id] = self._pool.submit(_run, work)
        except RuntimeError as error:  # the pool takes no more
            work.release()
            raise EndpointError("this connection is closed", hint="open it again") from error
        return job

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        """Wait until one has finished, or for so long; return the states of all."""
        wait(
            [self._futures[job.id] for job in jobs],
            timeout=timeout_seconds,
            return_when=FIRST_COMPLETED,
        )
        return tuple(self._state(job) for job in jobs)

    def _state(self, job: Job) -> JobState:
        future = self._futures[job.id]
        if not future.done():
            status = JobStatus.RUNNING if future.running() else JobStatus.QUEUED
            return JobState(job=job, status=status)
        error = future.exception()
        if error is None:
            return JobState(job=job, status=JobStatus.DONE, percent=100, result=future.result())
        if isinstance(error, LinkedCloneError):
            return JobState(job=job, status=JobStatus.FAILED, error=error)
        raise error

    def close(self) -> None:
        """Take no more work; what was started goes on, and the process ends after it."""
        self._pool.shutdown(wait=False)


def _run(work: Work) -> str | None:
    try:
        with translated(f"cannot {work.action} {work.about}"):
            return work.run()
    finally:
        work.release()
