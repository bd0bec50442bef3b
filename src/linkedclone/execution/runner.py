"""Carry out a plan, stage by stage."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from linkedclone.drivers.contract import Driver
from linkedclone.errors import GoneError, LinkedCloneError
from linkedclone.execution.guest_shutdown import STOPPED_HARD
from linkedclone.execution.job_queue import Endurance, Flight, Landing
from linkedclone.execution.outage import REAL, Outage, Pace
from linkedclone.execution.progress import Event, Progress
from linkedclone.execution.ways import Way, Ways
from linkedclone.model.jobs import Job, JobStatus
from linkedclone.model.plan import (
    CreateClone,
    DeleteSnapshot,
    DeleteVm,
    JobStep,
    Plan,
    RenameVm,
    ShutDownGuest,
    Step,
    TakeSnapshot,
)
from linkedclone.model.report import (
    STILL_RUNNING,
    ActionReport,
    ActionResult,
    Failure,
    Status,
)
from linkedclone.planning.retries import plan_retry

Check = Callable[[Sequence[Step]], Sequence[tuple[Step, LinkedCloneError]]]
"""Returns the steps that must not be carried out any more, each with the reason."""


_TICK_SECONDS: Final = 5.0

_STALE_SECONDS: Final = 20.0
"""How old the last look may be when a step is sent again."""


class Runner:
    """Carries out steps through one driver.

    Attributes:
        driver: The open connection.
        progress: Who is told.
        parallel: How many jobs may be in flight at once.
        interrupted: Set once the user interrupted; nothing more is started then.
        in_flight: Names of the VMs whose jobs go on at the hypervisor all the same.
        outage: Waits for the endpoint where it goes away in the middle of the run.
        pace: Where time and chance come from.
    """

    def __init__(
        self,
        driver: Driver,
        progress: Progress,
        parallel: int | None = None,
        *,
        pace: Pace = REAL,
    ) -> None:
        self.pace = pace
        self.outage = Outage(
            address=driver.identify().address,
            patience_seconds=driver.features.patience_seconds,
            progress=progress,
            pace=pace,
        )
        self.driver = driver
        self.progress = progress
        self.parallel = parallel or driver.features.parallel
        self._interrupted = False
        self.in_flight: frozenset[str] = frozenset()
        self._recheck: _Recheck | None = None

    @property
    def interrupted(self) -> bool:
        """Whether the user interrupted: nothing more is started then, and nothing waited for."""
        return self._interrupted

    @interrupted.setter
    def interrupted(self, interrupted: bool) -> None:
        self._interrupted = interrupted
        if interrupted:
            self.outage.give_up()

    def start(self, step: Step) -> Job:
        """Start the one call that a step stands for."""
        if self._recheck is not None:
            self._recheck.before(step)
        if isinstance(step, ShutDownGuest):
            msg = f"a guest's shutdown is no job, and cannot be started alone: {step!r}"
            raise TypeError(msg)
        return self.driver.start(step)

    def finish(self, step: JobStep) -> str | None:
        """Start a step that all others wait for, and wait until it is done; return its result.

        Raises:
            LinkedCloneError: It failed.
        """
        return self.wait(self.start(step))

    def wait(self, job: Job) -> str | None:
        """Wait until a job is done, past outages; return its result.

        Raises:
            LinkedCloneError: It failed.
        """
        while True:
            (state,) = self.outage.ask(lambda: self.driver.wait([job], _TICK_SECONDS))
            if state.error is not None:
                raise state.error
            if state.finished:
                return state.result

    def run_stage(
        self,
        steps: Sequence[Step],
        *,
        start: Callable[[Step], Job] | None = None,
        landed: Callable[[Landing[Step]], None] | None = None,
    ) -> list[Landing[Step]]:
        """Carry out steps that do not wait for each other; an interrupt ends it early.

        Args:
            steps: The steps.
            start: What starts a step, if not :meth:`start`.
            landed: Who is told of each end at once; must not wait.
        """
        landings: list[Landing[Step]] = []
        for way, some in self._ways(steps, start):
            try:
                for landing in way.run(some):
                    landings.append(landing)
                    self.tell(landing)
                    if landed is not None:
                        landed(landing)
            except KeyboardInterrupt:
                self.interrupted = True
                self.in_flight = frozenset(way.in_flight)
                break
        return landings

    def _ways(
        self, steps: Sequence[Step], start: Callable[[Step], Job] | None
    ) -> Iterable[tuple[Way, Sequence[Step]]]:
        if start is not None:
            return [(self._flight(start), steps)]
        ways = Ways(
            self.driver,
            start=self.start,
            fly=self._flight,
            parallel=self.parallel,
            progress=self.progress,
        )
        return ways.choose(steps)

    def _flight(self, start: Callable[[Step], Job]) -> Flight[Step]:
        return Flight(
            self.driver,
            start=start,
            describe=lambda step: step.about,
            parallel=self.parallel,
            progress=self.progress,
            endurance=Endurance(retry=plan_retry, outage=self.outage, pace=self.pace),
        )

    def tell(self, landing: Landing[Step]) -> None:
        """Report a finished step to the progress listener."""
        event = Event(
            name=landing.item.about,
            action=landing.item.action,
            status=JobStatus.FAILED if landing.error else JobStatus.DONE,
            text=str(landing.error) if landing.error else "",
        )
        self.progress.update(event)

    def run(self, plan: Plan, *, endpoint: str, check: Check | None = None) -> ActionReport:
        """Carry out a plan of actions; a VM whose step failed is left out of later stages.

        Args:
            plan: The plan.
            endpoint: Its name, for the report.
            check: Called with the steps of each stage right before it begins,
                but for the first: the plan was made only just before that one.
                What it refuses is not sent, and nothing that comes later for that
                VM. It fails, unless it was to be deleted and is gone.
        """
        begun = time.monotonic()
        results: dict[str, ActionResult] = {}
        failed: set[str] = set()
        for number, stage in enumerate(plan.stages):
            steps = [step for step in stage if step.subject not in failed]
            for step in stage:
                left_out = step.subject in failed
                if not left_out or step.key not in results:
                    results[step.key] = _pending(step, self, left_out=left_out)
            if self.interrupted:
                continue
            refused = self._ask(check, steps) if number and check else ()
            if refused is None:
                continue
            for step, error in refused:
                results[step.key] = _settle(results[step.key], step, error)
                failed.add(step.subject)
            left = [s for s in steps if s.subject not in failed]
            self._recheck = _Recheck(check, left, self.pace) if check else None
            for landing in self.run_stage(left):
                results[landing.item.key] = _land(results[landing.item.key], landing)
                if landing.error:
                    failed.add(landing.item.subject)
        self._recheck = None
        if self.interrupted:
            results = {key: self._mark_in_flight(result) for key, result in results.items()}
        return ActionReport(
            endpoint=endpoint,
            results=tuple(results.values()),
            seconds=time.monotonic() - begun,
            interrupted=self.interrupted,
            notes=plan.notes,
            routine=plan.routine,
            unchanged=tuple(vm.name for vm in plan.existing),
        )

    def _ask(
        self, check: Check, steps: Sequence[Step]
    ) -> Sequence[tuple[Step, LinkedCloneError]] | None:
        """Ask what must not be carried out; where nobody can tell, nothing is.

        None if the user interrupted it.
        """
        try:
            return self.outage.ask(lambda: check(steps))
        except KeyboardInterrupt:
            self.interrupted = True
            return None
        except LinkedCloneError as error:
            return [(step, error) for step in steps]

    def _mark_in_flight(self, result: ActionResult) -> ActionResult:
        if result.status is Status.SKIPPED and result.name in self.in_flight:
            return replace(result, note=STILL_RUNNING)
        return result


class _Recheck:
    """Looks once more before a step is sent again, where the last look is old.

    An endpoint that was away for a minute may come back with clones that were
    made meanwhile. Steps that are sent again at the same time share the look.
    """

    def __init__(self, check: Check, steps: Sequence[Step], pace: Pace) -> None:
        self._check, self._steps, self._pace = check, steps, pace
        self._looked = pace.now()
        self._sent: set[int] = set()
        self._refused: dict[int, LinkedCloneError] = {}
        self._lock = threading.Lock()

    def before(self, step: Step) -> None:
        """Note that a step is about to be sent."""
        with self._lock:
            again, old = id(step) in self._sent, self._pace.now() - self._looked > _STALE_SECONDS
            self._sent.add(id(step))
            if again and old:
                self._refused = {id(one): error for one, error in self._check(self._steps)}
                self._looked = self._pace.now()
            error = self._refused.get(id(step))
        # What is gone meanwhile may be what the call before has done: the driver tells.
        if again and error is not None and not isinstance(error, GoneError):
            raise error


def _pending(step: Step, runner: Runner, *, left_out: bool) -> ActionResult:
    note = "interrupted before it was sent" if runner.interrupted else "interrupted"
    return ActionResult(
        name=step.about,
        action=step.action,
        status=Status.SKIPPED,
        id=None if isinstance(step, CreateClone) else step.subject,
        key=step.key,
        note="left out: an earlier step failed" if left_out else note,
    )


def _settle(pending: ActionResult, step: Step, error: LinkedCloneError) -> ActionResult:
    """Return what became of a step that is not sent."""
    if isinstance(error, GoneError) and isinstance(step, DeleteVm | DeleteSnapshot):
        return replace(pending, status=Status.DONE, note="it did not exist any more")
    failure = Failure.from_error(step.action, error)
    return replace(pending, status=Status.FAILED, note="", error=failure)


def _land(pending: ActionResult, landing: Landing[Step]) -> ActionResult:
    """Return what became of a step that was sent."""
    step, error = landing.item, landing.error
    made = landing.result if isinstance(step, TakeSnapshot) else None
    return replace(
        pending,
        action=step.action,
        status=Status.FAILED if error else Status.DONE,
        id=made or pending.id,
        seconds=landing.seconds,
        note=_note(landing),
        task=landing.task,
        error=Failure.from_error(step.action, error) if error else None,
    )


def _note(landing: Landing[Step]) -> str:
    if isinstance(landing.item, RenameVm) and landing.error is None:
        return f"now called {landing.item.new_name}"
    hard = isinstance(landing.item, ShutDownGuest) and landing.result == STOPPED_HARD
    return "its guest did not shut down, so it was stopped hard" if hard else ""
