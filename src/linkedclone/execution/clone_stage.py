"""Make clones: submit, attach to what others make, prove, undo."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from linkedclone.errors import (
    BusyError,
    DuplicateNameError,
    GoneError,
    InterruptedByUserError,
    LinkedCloneError,
    LostJobError,
    Transience,
)
from linkedclone.execution.early_read import EarlyLook
from linkedclone.execution.job_queue import JobQueue
from linkedclone.execution.progress import Event
from linkedclone.execution.stages import Landing, Stages, StageWorker
from linkedclone.model.jobs import JobStatus
from linkedclone.model.plan import (
    AttachClone,
    CreateClone,
    DeleteVm,
    SetPower,
    Step,
    WriteMark,
)
from linkedclone.model.report import Failure, Stage
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import LEFT_FAILED, Mark, Power, Vm
from linkedclone.planning.clone.outcome import CloneVerdict, Fate, judge
from linkedclone.planning.retries import plan_pause

Landings = dict[str, Landing[CreateClone]]
"""How each clone's last call ended, by the clone's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Landing[CreateClone]):
    """What became of one clone."""

    verdict: CloneVerdict
    vm: Vm | None = None  # the clone as it was seen last
    # Why its job failed, where the hypervisor itself told so.
    failed_task: LinkedCloneError | None = None


class CloneStage(StageWorker):
    """Makes the clones of a batch, proves each, and undoes what failed half-way.

    If the name is taken meanwhile, wait for that clone, whichever run creates it; if
    that comes to nothing it is submitted once more. One whose task failed for
    a reason that may pass is made again, once nothing is left of the first try.
    What others have made and left off is started, if it is to run.
    """

    tells = True

    def __init__(self, stages: Stages) -> None:
        super().__init__(stages)
        self._driver = stages.driver
        self._open: tuple[str, ...] = ()

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Names of the clones that were not judged any more."""
        return self._open

    def run(self, steps: Sequence[CreateClone]) -> Iterator[Landing[Any]]:
        """Make the clones; those that an interrupt left unfinished do not land."""
        self._open = tuple(step.name for step in steps)
        made = self._make(steps)
        self._open = ()
        yield from made
        if not self._stages.interrupted:
            yield from self._start_theirs(made)

    def _start_theirs(self, made: Iterable[Made]) -> list[Landing[Any]]:
        """Start clones of other runs that are off: their power-on had failed."""
        return self._stages.run_stage(
            [
                SetPower(vm=m.vm.id, vm_name=m.vm.name, power=Power.ON)
                for m in made
                if m.vm and m.verdict.fate is Fate.EXISTING
                if m.item.power_on and not m.item.instant and m.vm.power is Power.OFF
            ]
        )

    def _make(self, steps: Sequence[CreateClone]) -> list[Made]:
        made = self._make_once(steps)
        failures = 0
        try:
            while again := self._worth_another_try(made, failures := failures + 1):
                names = {step.name for step in again}
                made = [m for m in made if m.item.name not in names]
                made += self._make_once(again)
        except KeyboardInterrupt:
            self._stages.interrupted = True
        return made

    def _worth_another_try(self, made: Sequence[Made], failures: int) -> list[CreateClone]:
        """Return the clones to make again, after a pause; those of other reasons stay failed."""
        if self._stages.interrupted:
            return []
        pauses = {
            m.item.name: plan_pause(m.failed_task, failures=failures)
            for m in made
            if m.failed_task is not None and _left_nothing(m)
        }
        again = {name: pause for name, pause in pauses.items() if pause is not None}
        if not again:
            return []
        pause = self._stages.pace.spread(max(again.values()))
        for m in made:
            if m.item.name in again and m.failed_task is not None:
                text = f"{m.failed_task.brief}; again in {pause:.1f} s"
                event = Event(name=m.item.name, action="retry", status=JobStatus.QUEUED, text=text)
                self._stages.progress.update(event)
        self._stages.pace.sleep(pause)
        return [m.item for m in made if m.item.name in again]

    def _make_once(self, steps: Sequence[CreateClone]) -> list[Made]:
        look = EarlyLook(self._driver)
        landings = _by_name(self._queue(steps, look.landed))
        self._attach(landings)
        return self._undo(self._judge(steps, landings, look))

    def _attach(self, landings: Landings) -> None:
        """Follow the clones whose names are taken, or of whose calls the answer was lost."""
        for last_try in (False, True):
            open_ones = [ldg.item for ldg in landings.values() if _is_open(ldg)]
            if not open_ones or self._stages.interrupted:
                return
            lost = []
            for landing in self._stages.run_stage([AttachClone(create=one) for one in open_ones]):
                name = landing.item.about
                if isinstance(landing.error, GoneError) and not last_try:
                    lost.append(landings.pop(name).item)
                else:
                    landings[name] = replace(landing, item=landing.item.create, accepted=True)
            landings |= _by_name(self._queue(lost))

    def _queue(
        self,
        steps: Sequence[CreateClone],
        landed: Callable[[Landing[CreateClone]], None] | None = None,
    ) -> list[Landing[CreateClone]]:
        """Start each clone as a job of its own, and wait for all."""
        return self._stages.work(JobQueue(self._stages), steps, landed)

    def _judge(
        self, steps: Sequence[CreateClone], landings: Landings, look: EarlyLook
    ) -> list[Made]:
        try:
            vms = self._look(steps, landings, look)
            steps = self._with_latest_parent(steps, vms)
        except (LinkedCloneError, KeyboardInterrupt) as error:
            # Nothing can be seen any more; what was made is there all the same.
            vms, landings = {}, self._unseen(landings, error)
        made = []
        for step in steps:
            landing = landings.get(step.name)
            if landing is None:
                continue
            vm, cause = vms.get(step.name.casefold()), landing.error
            made.append(
                Made(
                    item=step,
                    result=landing.result,
                    error=cause,
                    accepted=landing.accepted,
                    known=landing.known,
                    seconds=landing.seconds,
                    submitted_seconds=landing.submitted_seconds,
                    landed=landing.landed,
                    task=landing.task,
                    verdict=judge(step, vm, error=cause, known=landing.known),
                    vm=vm,
                    failed_task=cause if landing.accepted and landing.known else None,
                )
            )
        return self._mend_marks(made)

    def _unseen(self, landings: Landings, error: BaseException) -> Landings:
        """Return how calls ended where nothing can be looked at; what was never sent stays so."""
        if isinstance(error, LinkedCloneError):
            why: LinkedCloneError = error
        else:
            self._stages.interrupted = True
            why = InterruptedByUserError("interrupted before the clones were looked at")
        return {
            name: landing
            if _was_never_sent(landing)
            else replace(landing, error=landing.error or why, known=False)
            for name, landing in landings.items()
        }

    def _look(
        self, steps: Sequence[CreateClone], landings: Landings, look: EarlyLook
    ) -> dict[str, Vm]:
        """Read what the batch made: by id what succeeded, by name what failed half-way."""
        done = [VmId(ldg.result) for ldg in landings.values() if ldg.result]
        doubtful = [
            step.name
            for step in steps
            if (landing := landings.get(step.name)) is not None and landing.error
        ]
        ask = self._stages.outage.ask
        seen = ask(lambda: look.observe(done))
        if doubtful:
            seen += ask(lambda: self._driver.observe_names(steps[0].target, doubtful))
        return {vm.name.casefold(): vm for vm in seen}

    def _with_latest_parent(
        self, steps: Sequence[CreateClone], vms: Mapping[str, Vm]
    ) -> Sequence[CreateClone]:
        """Read the parent again if other runs made some: those may depend on newer snapshots.

        What this run made depends on what the parent was when that was planned.
        """
        theirs = {
            step.name
            for step in steps
            if (vm := vms.get(step.name.casefold())) is not None
            and (vm.mark is None or vm.mark.run != step.mark.run)
        }
        if not theirs:
            return steps
        source = steps[0].source.uuid
        (parent,) = self._stages.outage.ask(lambda: self._driver.find_vms([source]))
        return [replace(s, source=parent) if s.name in theirs else s for s in steps]

    def _mend_marks(self, made: list[Made]) -> list[Made]:
        """Rewrite marks that name another UUID than their clone's, or that say it is a good one."""
        mend: list[Step] = [
            WriteMark(vm=m.vm.id, vm_name=m.vm.name, mark=mark, seen=m.vm.mark)
            for m in made
            if m.vm and (mark := _mended(m))
        ]
        trouble = {
            landing.item.about: landing.error
            for landing in (self._stages.run_stage(mend) if mend else ())
            if landing.error
        }
        return [_unmended(m, trouble.get(m.item.name)) for m in made]

    def _undo(self, made: list[Made]) -> list[Made]:
        """Delete what this run made and what is not as it should be."""
        undo = {m.vm.id: m.vm for m in made if m.vm and m.verdict.fate is Fate.UNDONE}
        if not undo:
            return made
        stops: list[Step] = [
            SetPower(vm=vm.id, vm_name=vm.name, power=Power.OFF)
            for vm in undo.values()
            if vm.power is not Power.OFF
        ]
        deletes: list[Step] = [DeleteVm(vm=vm.id, vm_name=vm.name) for vm in undo.values()]
        trouble: dict[str, LinkedCloneError] = {}
        for stage in (stops, deletes):
            for landing in self._stages.run_stage(stage) if stage else ():
                if landing.error:
                    trouble[landing.item.subject] = landing.error
        return [_with_trouble(m, trouble.get(m.vm.id) if m.vm else None) for m in made]


def _by_name(landings: Iterable[Landing[CreateClone]]) -> Landings:
    return {landing.item.about: landing for landing in landings}


def _is_open(landing: Landing[CreateClone]) -> bool:
    """Say whether a clone may be under way although its call has failed."""
    lost_answer = not landing.accepted and isinstance(landing.error, BusyError)
    return lost_answer or isinstance(landing.error, DuplicateNameError | LostJobError)


def _was_never_sent(landing: Landing[CreateClone]) -> bool:
    away = landing.error is not None and landing.error.transience is Transience.AWAY
    return away and not landing.accepted


def _left_nothing(made: Made) -> bool:
    """Say whether a clone that failed has left nothing behind, or what it left was undone."""
    verdict = made.verdict
    if verdict.failure is None or verdict.failure.stage == Stage.UNDO:
        return False
    return verdict.fate is Fate.UNDONE or (verdict.fate is Fate.NOTHING and made.vm is None)


def _mended(made: Made) -> Mark | None:
    """Return the mark that a clone is to have; None if its own is right."""
    vm, verdict = made.vm, made.verdict
    if vm is None or vm.mark is None:
        return None
    if verdict.left_failed:
        return replace(vm.mark, uuid=vm.uuid, spec=LEFT_FAILED)
    return replace(vm.mark, uuid=vm.uuid) if verdict.mark_to_mend else None


def _unmended(made: Made, trouble: LinkedCloneError | None) -> Made:
    """Tell that a clone's mark does not say what it should."""
    if trouble is None:
        return made
    if made.verdict.left_failed and (first := made.verdict.failure):
        told = f"{first.brief}; and it could not be marked as failed: {trouble.brief}"
        hint = f"delete it before another run uses it: ``delete`` {made.item.name}"
        failure = replace(first, brief=told, hint=hint)
        return replace(made, verdict=replace(made.verdict, failure=failure))
    failure = Failure(
        stage=Stage.CLONE,
        brief=f"{made.item.name} was made, but its mark could not be written: {trouble.brief}",
        details=trouble.details,
        hint="run the same command again: it continues with this clone and writes the mark",
    )
    return replace(made, verdict=replace(made.verdict, fate=Fate.KEPT, failure=failure))


def _with_trouble(made: Made, trouble: LinkedCloneError | None) -> Made:
    """Tell that something half-made could not be deleted."""
    if trouble is None or made.verdict.failure is None:
        return made
    first = made.verdict.failure
    failure = Failure(
        stage=Stage.UNDO,
        brief=f"{first.brief}; and what was made of it could not be deleted",
        details=f"{first.details}\n{trouble}".strip(),
        hint=f"delete {made.item.name} by hand",
    )
    return replace(made, verdict=replace(made.verdict, failure=failure))
