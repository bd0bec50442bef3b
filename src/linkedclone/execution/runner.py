"""Carry out a plan, stage by stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from linkedclone.errors import (
    GoneError,
    InterruptedByUserError,
    LinkedCloneError,
    NotFoundError,
)
from linkedclone.execution.batch_power_on import PowerBatches
from linkedclone.execution.clone_stage import CloneStage
from linkedclone.execution.guest_shutdown import STOPPED_HARD, Shutdowns
from linkedclone.execution.job_queue import JobQueue
from linkedclone.execution.outage import Pace
from linkedclone.execution.stages import Landing, Stages, Workers
from linkedclone.execution.template_snapshot import TemplateSnapshots
from linkedclone.model.jobs import Job
from linkedclone.model.plan import (
    CreateClone,
    CreateFolder,
    DeleteSnapshot,
    DeleteVm,
    Plan,
    RenameVm,
    SetPower,
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
from linkedclone.model.values.ids import FolderId
from linkedclone.model.vm import Snapshot, Vm
from linkedclone.planning.clone.plan import hang_from, put_into

Check = Callable[[Sequence[Step]], Sequence[tuple[Step, LinkedCloneError]]]
"""Returns the steps that must not be carried out any more, each with the reason."""

_STALE_SECONDS: Final = 20.0
"""How old the last look may be when a step is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a plan."""

    results: Mapping[str, ActionResult]  # what became of what each step is about, by the step's key
    landings: tuple[Landing[Any], ...]  # how each step ended that was carried out, in order


class Runner(Stages):
    """Carries out plans through one driver."""

    workers: ClassVar[Workers] = {
        ShutDownGuest: Shutdowns,
        CreateClone: CloneStage,
        TakeSnapshot: TemplateSnapshots,
        SetPower: PowerBatches,
        object: JobQueue,
    }
    _recheck: _Recheck | None = None

    def start(self, step: Step) -> Job:
        """Start the one call of a step."""
        if self._recheck is not None:
            self._recheck.before(step)
        return super().start(step)

    def run(self, plan: Plan, *, endpoint: str, check: Check | None = None) -> ActionReport:
        """Carry out a plan of actions; see :meth:`carry_out`.

        Args:
            plan: The plan.
            endpoint: Its name, for the report.
            check: As there.
        """
        begun = time.monotonic()
        outcome = self.carry_out(plan, check=check)
        return ActionReport(
            endpoint=endpoint,
            results=tuple(outcome.results.values()),
            seconds=time.monotonic() - begun,
            interrupted=self.interrupted,
            notes=plan.notes,
            routine=plan.routine,
            unchanged=tuple(vm.name for vm in plan.existing),
        )

    def carry_out(self, plan: Plan, *, check: Check | None = None) -> Outcome:
        """Carry out a plan; a VM whose step failed is left out of later stages.

        Args:
            plan: The plan.
            check: Called with the steps of each stage right before it begins,
                but for the first: the plan was made only just before that one.
                What it refuses is not sent, and nothing that comes later for that
                VM. It fails, unless it was to be deleted and is gone.

        Raises:
            LinkedCloneError: A step whose result later ones refer to has failed.
        """
        results: dict[str, ActionResult] = {}
        landings: list[Landing[Any]] = []
        failed: set[str] = set()
        for number, stage in enumerate(plan.stages):
            steps = [step for step in stage if step.subject not in failed]
            for step in stage:
                left_out = step.subject in failed
                if not left_out or step.key not in results:
                    results[step.key] = _pending(step, self, left_out=left_out)
            late = _LateValues(self, plan, steps, landings)
            if self.interrupted:
                continue
            refused = self._ask(check, steps) if number and check else ()
            if refused is None:
                continue
            for step, error in refused:
                results[step.key] = _settle(results[step.key], step, error)
                failed.add(step.subject)
            left = [late.fill_in(s) for s in steps if s.subject not in failed]
            self._recheck = _Recheck(check, left, self.pace) if check else None
            for landing in self.run_stage(left):
                landings.append(landing)
                key = landing.item.key
                pending = results.get(key) or _pending(landing.item, self, left_out=False)
                results[key] = _land(pending, landing)
                if landing.error:
                    failed.add(landing.item.subject)
        self._recheck = None
        if self.interrupted:
            results = {key: self._mark_in_flight(result) for key, result in results.items()}
        return Outcome(results=results, landings=tuple(landings))

    def _ask(
        self, check: Check, steps: Sequence[Step]
    ) -> Sequence[tuple[Step, LinkedCloneError]] | None:
        """Ask what must not be carried out; where this is unknown, nothing is.

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


def _find_awaited(steps: Iterable[Step]) -> tuple[TakeSnapshot | CreateFolder, ...]:
    """Return the steps whose results others refer to."""
    creates = (step for step in steps if isinstance(step, CreateClone))
    return tuple(dict.fromkeys(one for create in creates for one in create.awaits))


class _LateValues:
    """What steps have made that those of a later stage refer to.

    Raises:
        LinkedCloneError: One that any later stage refers to has failed.
        InterruptedByUserError: One was not carried out.
    """

    def __init__(
        self,
        stages: Stages,
        plan: Plan,
        steps: Sequence[Step],
        landings: Iterable[Landing[Any]],
    ) -> None:
        self._stages = stages
        self._made: dict[Step, str] = {}
        self._parents: dict[Step, tuple[Vm, Snapshot]] = {}
        awaited = _find_awaited(plan.steps)
        for landing in landings:
            if landing.item in awaited:
                if landing.error is not None:
                    raise landing.error
                self._made[landing.item] = str(landing.result)
        for one in (one for one in _find_awaited(steps) if one not in self._made):
            what = f"folder {one.about!r}"
            if isinstance(one, TakeSnapshot):
                what = f"snapshot {one.name!r} of {one.about}"
            raise InterruptedByUserError(
                f"interrupted: the {what} goes on at the endpoint"
                if stages.in_flight
                else "interrupted before any clone was sent",
                hint="no clone was made; run the same command again to make them",
            )

    def fill_in(self, step: Step) -> Step:
        """Return the step with what was made in the place of what refers to it."""
        if not isinstance(step, CreateClone):
            return step
        for one in step.awaits:
            if isinstance(one, CreateFolder):
                identity = self._stages.driver.identify()
                step = put_into(step, FolderId(self._made[one]), identity)
            else:
                if one not in self._parents:
                    self._parents[one] = self._find_taken(one, step.source)
                step = hang_from(step, *self._parents[one])
        return replace(step, awaits=())

    def _find_taken(self, take: TakeSnapshot, source: Vm) -> tuple[Vm, Snapshot]:
        """Read the parent again, with the snapshot that was taken of it."""
        find = self._stages.driver.find_vms
        (parent,) = self._stages.outage.ask(lambda: find([source.uuid]))
        for snapshot in parent.snapshots:
            if snapshot.id == self._made[take]:
                return parent, snapshot
        raise NotFoundError(
            f"the snapshot {take.name!r} of {source.name} was taken but cannot be found",
            hint="another user may have deleted it; run the command again",
        )


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
