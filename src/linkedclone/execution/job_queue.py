"""Many jobs in flight at once: submitted in parallel, waited for in one place."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from dataclasses import replace

from linkedclone.errors import (
    BusyError,
    EndpointError,
    LinkedCloneError,
    LostJobError,
    Transience,
)
from linkedclone.execution.progress import Event
from linkedclone.execution.stages import Landing, Stages, StageWorker
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.plan import Step
from linkedclone.model.values.ids import JobId
from linkedclone.planning.retries import plan_retry

SUBMIT_THREADS = 16
"""Calls under way at once. 100 submissions at 20 ms a call took 0.48 s with 8
threads, 0.27 s with 16; more gain little, since each costs 1.5 ms of processor time."""

_TICK_SECONDS = 5.0


class JobQueue(StageWorker):
    """Start a job for each step, at most ``parallel`` at once, and yield each as it lands.

    Started in order. If the consumer is interrupted, nothing more is started;
    :attr:`in_flight` then names what goes on at the hypervisor.

    Args:
        stages: Whose steps these are.
        start: What starts a step, if not the driver itself.
    """

    def __init__(self, stages: Stages, start: Callable[[Step], Job] | None = None) -> None:
        super().__init__(stages)
        self._start = start or stages.start
        self._outage = stages.outage
        self._pace = stages.pace
        self._held: list[tuple[float, Step]] = []
        self._failures: dict[int, int] = {}
        self._since: dict[int, float] = {}
        self._taken: dict[int, float] = {}
        self._flying: dict[JobId, tuple[Job, Step]] = {}
        self._seen: dict[JobId, tuple[JobStatus, int | None]] = {}

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Names of the VMs whose jobs were accepted and have not been seen to end."""
        return tuple(item.about for _, item in self._flying.values())

    def run(self, items: Sequence[Step]) -> Iterator[Landing[Step]]:
        """Run them all.

        Raises nothing of its own: an item's error comes with its landing. A
        failure to wait at all (the endpoint is gone, for longer than is put up
        with) lands every item that is in flight with that error.
        """
        queue = deque(items)
        submitting: dict[Future[Job], Step] = {}
        pool = ThreadPoolExecutor(max_workers=SUBMIT_THREADS, thread_name_prefix="submit")
        try:
            while queue or submitting or self._flying or self._held:
                self._pace.check()
                queue.extend(self._release(idle=not (queue or submitting or self._flying)))
                while queue and len(submitting) + len(self._flying) < self._stages.parallel:
                    item = queue.popleft()
                    self._since.setdefault(id(item), time.monotonic())
                    submitting[pool.submit(self._start, item)] = item
                yield from self._collect(submitting)
                if self._flying and (queue or not submitting):
                    yield from self._poll(0.0 if submitting else self._tick())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            self._note_submitted(submitting)

    def _collect(self, submitting: dict[Future[Job], Step]) -> Iterator[Landing[Step]]:
        if not submitting:
            return
        done, _ = wait_for_futures(submitting, _TICK_SECONDS, FIRST_COMPLETED)
        for future in done:
            item = submitting.pop(future)
            error = future.exception()
            if error is None:
                job = future.result()
                self._outage.over()
                self._flying[job.id] = (job, item)
                self._taken[id(item)] = time.monotonic()
                self._tell(item, job.action, JobStatus.QUEUED)
            elif isinstance(error, LinkedCloneError):
                if not self._hold(item, error, accepted=False):
                    yield self._land(item, None, error, accepted=False, known=_was_told(error))
            else:
                raise error

    # -- trying again -----------------------------------------------------------------

    def _hold(self, item: Step, error: LinkedCloneError, *, accepted: bool) -> bool:
        """Keep an item for another try, if it is worth one and safe."""
        if error.transience is Transience.AWAY and not accepted:
            pause = self._outage.pause(error)
        else:
            self._failures[id(item)] = failures = self._failures.get(id(item), 0) + 1
            pause = plan_retry(item, error, failures=failures, accepted=accepted)
            if pause is not None:
                pause = self._pace.spread(pause)
                text = f"{error.brief}; again in {pause:.1f} s"
                self._tell(item, "retry", JobStatus.QUEUED, text=text)
        if pause is None:
            return False
        self._held.append((self._pace.now() + pause, item))
        return True

    def _release(self, *, idle: bool) -> list[Step]:
        """Return the items whose pause is over; where there is nothing else to do, wait for it."""
        if not self._held:
            return []
        if idle:
            first = min(due for due, _ in self._held)
            self._pace.sleep(max(first - self._pace.now(), 0.0))
        now = self._pace.now()
        ready = [item for due, item in self._held if due <= now]
        self._held = [(due, item) for due, item in self._held if due > now]
        return ready

    def _tick(self) -> float:
        """Return how long jobs may be waited for at once."""
        if not self._held:
            return _TICK_SECONDS
        first = min(due for due, _ in self._held)
        return min(max(first - self._pace.now(), 0.0), _TICK_SECONDS)

    # -- waiting ----------------------------------------------------------------------

    def _note_submitted(self, submitting: dict[Future[Job], Step]) -> None:
        """After an interrupt: calls that were under way have been accepted meanwhile."""
        for future, item in submitting.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                job = future.result()
                self._flying[job.id] = (job, item)

    def _poll(self, timeout: float) -> Iterator[Landing[Step]]:
        jobs = [job for job, _ in self._flying.values()]
        try:
            states = self._stages.driver.wait(jobs, timeout)
        except LinkedCloneError as error:
            pause = self._outage.pause(error)
            if pause is not None:
                # What is in flight goes on at the endpoint, or is looked up when it is back.
                self._pace.sleep(pause)
                return
            for job, item in self._flying.values():
                landing = self._land(item, None, error, accepted=True, known=False)
                yield replace(landing, task=job.task)
            self._flying.clear()
            return
        self._outage.over()
        for state in states:
            item = self._flying[state.job.id][1]
            if state.finished:
                del self._flying[state.job.id]
                if state.error is not None and self._hold(item, state.error, accepted=True):
                    continue
                known = not isinstance(state.error, LostJobError)
                landing = self._land(item, state.result, state.error, accepted=True, known=known)
                yield replace(landing, task=state.job.task)
            else:
                self._tell_change(item, state)

    def _land(
        self,
        item: Step,
        result: str | None,
        error: LinkedCloneError | None,
        *,
        accepted: bool,
        known: bool,
    ) -> Landing[Step]:
        now, since = time.monotonic(), self._since.pop(id(item))
        taken = self._taken.pop(id(item), None)
        return Landing(
            item=item,
            result=result,
            error=error,
            accepted=accepted,
            known=known,
            seconds=now - since,
            submitted_seconds=None if taken is None else taken - since,
            landed=now,
        )

    def _tell_change(self, item: Step, state: JobState) -> None:
        now = (state.status, state.percent)
        if self._seen.get(state.job.id) != now:
            self._seen[state.job.id] = now
            self._tell(item, state.job.action, state.status, state.percent)

    def _tell(
        self,
        item: Step,
        action: str,
        status: JobStatus,
        percent: int | None = None,
        *,
        text: str = "",
    ) -> None:
        event = Event(name=item.about, action=action, status=status, percent=percent, text=text)
        self._stages.progress.update(event)


def _was_told(error: LinkedCloneError) -> bool:
    """Say whether the failure of a call leaves no doubt that nothing was done."""
    if error.transience is Transience.AWAY:
        return True
    return not isinstance(error, BusyError | EndpointError)
