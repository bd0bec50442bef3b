"""Make clones: submit, attach to what others make, prove, undo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from linkedclone.drivers.contract import Driver
from linkedclone.errors import (
    BusyError,
    DuplicateNameError,
    GoneError,
    InterruptedByUserError,
    LinkedCloneError,
    LostJobError,
    NotFoundError,
    Transience,
)
from linkedclone.execution.early_read import EarlyLook
from linkedclone.execution.job_queue import Landing
from linkedclone.execution.progress import Event
from linkedclone.execution.runner import Runner
from linkedclone.model.jobs import Job, JobStatus
from linkedclone.model.plan import (
    AttachClone,
    CreateClone,
    DeleteVm,
    SetPower,
    Step,
    TakeSnapshot,
    WriteMark,
)
from linkedclone.model.report import Failure, Stage
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import LEFT_FAILED, Mark, Power, Snapshot, Vm
from linkedclone.planning.clone.outcome import CloneVerdict, Fate, judge
from linkedclone.planning.retries import plan_pause

Landings = dict[str, Landing[Step]]
"""How each clone's last call ended, by the clone's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of one step.

    Attributes:
        step: The step.
        verdict: The judgement; None if the run was interrupted before it ended.
        vm: The clone as it was seen last.
        seconds: How long it took.
        submitted_seconds: Of these, until the hypervisor took the call; None if
            it did not.
        landed: When its job ended, by ``time.monotonic``.
        task: What the hypervisor calls the job that made it, or that failed to.
        failed_task: Why that job failed, where the hypervisor itself told so.
    """

    step: CreateClone
    verdict: CloneVerdict | None
    vm: Vm | None = None
    seconds: float | None = None
    submitted_seconds: float | None = None
    landed: float = 0.0
    task: str = ""
    failed_task: LinkedCloneError | None = None


class Cloning:
    """Makes the clones of one batch through a runner.

    Args:
        runner: Carries the steps out.
        keep_failed: Whether what a failed clone call has left is kept, to be
            looked at.
    """

    def __init__(self, runner: Runner, *, keep_failed: bool = False) -> None:
        self._runner = runner
        self._keep_failed = keep_failed
        self._driver: Driver = runner.driver

    def take_snapshot(self, step: TakeSnapshot, source: Vm) -> tuple[Vm, Snapshot]:
        """Take the snapshot that the batch hangs from; return it with the parent read again."""
        taken = self._take(step)
        (parent,) = self._runner.outage.ask(lambda: self._driver.find_vms([source.uuid]))
        for snapshot in parent.snapshots:
            if snapshot.id == taken:
                return parent, snapshot
        raise NotFoundError(
            f"the snapshot {step.name!r} of {source.name} was taken but cannot be found",
            hint="another user may have deleted it; run the command again",
        )

    def _take(self, step: TakeSnapshot) -> str | None:
        """Take a snapshot; return its id."""
        if step.template_pool:
            from linkedclone.execution.template_snapshot import snapshot_template

            return snapshot_template(self._runner, step)
        landings = self._runner.run_stage([step])
        if not landings:
            raise InterruptedByUserError(
                f"interrupted: the snapshot {step.name!r} of {step.vm_name} goes on at the endpoint"
                if self._runner.in_flight
                else "interrupted before anything was sent",
                hint="no clone was made; run the same command again to make them",
            )
        if landings[0].error:
            raise landings[0].error
        return landings[0].result

    def make(self, steps: Sequence[CreateClone]) -> list[Made]:
        """Make the clones and judge each; what failed half-way is undone.

        A clone whose name is taken meanwhile is waited for, whoever makes it;
        if that comes to nothing it is submitted once more. One whose task
        failed for a reason that may pass is made again, once nothing is left
        of the first try.
        """
        made = self._make_once(steps)
        failures = 0
        try:
            while again := self._worth_another_try(made, failures := failures + 1):
                redone = {m.step.name: m for m in self._make_once(again)}
                made = [redone.get(m.step.name, m) for m in made]
        except KeyboardInterrupt:
            self._runner.interrupted = True
        return made

    def _worth_another_try(self, made: Sequence[Made], failures: int) -> list[CreateClone]:
        """Return the clones to make again, after a pause; those of other reasons stay failed."""
        if self._runner.interrupted:
            return []
        pauses = {
            m.step.name: plan_pause(m.failed_task, failures=failures)
            for m in made
            if m.failed_task is not None and _left_nothing(m)
        }
        again = {name: pause for name, pause in pauses.items() if pause is not None}
        if not again:
            return []
        pause = self._runner.pace.spread(max(again.values()))
        for m in made:
            if m.step.name in again and m.failed_task is not None:
                text = f"{m.failed_task.brief}; again in {pause:.1f} s"
                event = Event(name=m.step.name, action="retry", status=JobStatus.QUEUED, text=text)
                self._runner.progress.update(event)
        self._runner.pace.sleep(pause)
        return [m.step for m in made if m.step.name in again]

    def _make_once(self, steps: Sequence[CreateClone]) -> list[Made]:
        look = EarlyLook(self._driver)
        landings = _by_name(self._runner.run_stage(steps, landed=look.landed))
        self._attach(landings)
        return self._undo(self._judge(steps, landings, look))

    def _attach(self, landings: Landings) -> None:
        """Follow the clones whose names are taken, or of whose calls the answer was lost."""
        for last_try in (False, True):
            open_ones = [ldg.item for ldg in landings.values() if _is_open(ldg)]
            if not open_ones or self._runner.interrupted:
                return
            lost = []
            for landing in self._runner.run_stage(open_ones, start=self._start_attached):
                name = landing.item.about
                if isinstance(landing.error, GoneError) and not last_try:
                    lost.append(landings.pop(name).item)
                else:
                    landings[name] = replace(landing, accepted=True)
            landings |= _by_name(self._runner.run_stage(lost))

    def _start_attached(self, step: Step) -> Job:
        if not isinstance(step, CreateClone):
            msg = f"only clones are attached to, not {step!r}"
            raise TypeError(msg)
        return self._driver.start(AttachClone(create=step))

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
                made.append(Made(step=step, verdict=None))
                continue
            vm = vms.get(step.name.casefold())
            verdict = judge(
                step,
                vm,
                error=landing.error,
                known=landing.known,
                keep_failed=self._keep_failed,
            )
            told = landing.error if landing.accepted and landing.known else None
            made.append(
                Made(
                    step=step,
                    verdict=verdict,
                    vm=vm,
                    seconds=landing.seconds,
                    submitted_seconds=landing.submitted_seconds,
                    landed=landing.landed,
                    task=landing.task,
                    failed_task=told,
                )
            )
        return self._mend_marks(made)

    def _unseen(self, landings: Landings, error: BaseException) -> Landings:
        """Return how calls ended where nothing can be looked at; what was never sent stays so."""
        if isinstance(error, LinkedCloneError):
            why: LinkedCloneError = error
        else:
            self._runner.interrupted = True
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
        ask = self._runner.outage.ask
        seen = ask(lambda: look.observe(done))
        if doubtful:
            seen += ask(lambda: self._driver.observe_names(steps[0].target, doubtful))
        return {vm.name.casefold(): vm for vm in seen}

    def _with_latest_parent(
        self, steps: Sequence[CreateClone], vms: Mapping[str, Vm]
    ) -> Sequence[CreateClone]:
        """Read the parent again if other runs made some: those may hang from newer snapshots."""
        theirs = [
            step
            for step in steps
            if (vm := vms.get(step.name.casefold())) is not None
            and (vm.mark is None or vm.mark.run != step.mark.run)
        ]
        if not theirs:
            return steps
        source = steps[0].source.uuid
        (parent,) = self._runner.outage.ask(lambda: self._driver.find_vms([source]))
        return [replace(step, source=parent) for step in steps]

    def _mend_marks(self, made: list[Made]) -> list[Made]:
        """Rewrite marks that name another UUID than their clone's, or that say it is a good one."""
        mend: list[Step] = [
            WriteMark(vm=m.vm.id, vm_name=m.vm.name, mark=mark, seen=m.vm.mark)
            for m in made
            if m.vm and (mark := _mended(m))
        ]
        trouble = {
            landing.item.about: landing.error
            for landing in (self._runner.run_stage(mend) if mend else ())
            if landing.error
        }
        return [_unmended(m, trouble.get(m.step.name)) for m in made]

    def _undo(self, made: list[Made]) -> list[Made]:
        """Delete what this run made and what is not as it should be."""
        undo = {m.vm.id: m.vm for m in made if m.vm and m.verdict and m.verdict.fate is Fate.UNDONE}
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
            for landing in self._runner.run_stage(stage) if stage else ():
                if landing.error:
                    trouble[landing.item.subject] = landing.error
        return [_with_trouble(m, trouble.get(m.vm.id) if m.vm else None) for m in made]


def _by_name(landings: Sequence[Landing[Step]]) -> Landings:
    return {landing.item.about: landing for landing in landings}


def _is_open(landing: Landing[Step]) -> bool:
    """Say whether a clone may be under way although its call has failed."""
    lost_answer = not landing.accepted and isinstance(landing.error, BusyError)
    return lost_answer or isinstance(landing.error, DuplicateNameError | LostJobError)


def _was_never_sent(landing: Landing[Step]) -> bool:
    away = landing.error is not None and landing.error.transience is Transience.AWAY
    return away and not landing.accepted


def _left_nothing(made: Made) -> bool:
    """Say whether a clone that failed has left nothing behind, or what it left was undone."""
    verdict = made.verdict
    if verdict is None or verdict.failure is None or verdict.failure.stage == Stage.UNDO:
        return False
    return verdict.fate is Fate.UNDONE or (verdict.fate is Fate.NOTHING and made.vm is None)


def _mended(made: Made) -> Mark | None:
    """Return the mark that a clone is to have; None if its own is right."""
    vm, verdict = made.vm, made.verdict
    if vm is None or vm.mark is None or verdict is None:
        return None
    if verdict.left_failed:
        return replace(vm.mark, uuid=vm.uuid, spec=LEFT_FAILED)
    return replace(vm.mark, uuid=vm.uuid) if verdict.mark_to_mend else None


def _unmended(made: Made, trouble: LinkedCloneError | None) -> Made:
    """Tell that a clone's mark does not say what it should."""
    if trouble is None or made.verdict is None:
        return made
    if made.verdict.left_failed and (first := made.verdict.failure):
        told = f"{first.brief}; and it could not be marked as failed: {trouble.brief}"
        hint = f"delete it before another run uses it: ``delete`` {made.step.name}"
        failure = replace(first, brief=told, hint=hint)
        return replace(made, verdict=replace(made.verdict, failure=failure))
    failure = Failure(
        stage=Stage.CLONE,
        brief=f"{made.step.name} was made, but its mark could not be written: {trouble.brief}",
        details=trouble.details,
        hint="run the same command again: it continues with this clone and writes the mark",
    )
    return replace(made, verdict=replace(made.verdict, fate=Fate.KEPT, failure=failure))


def _with_trouble(made: Made, trouble: LinkedCloneError | None) -> Made:
    """Tell that something half-made could not be deleted."""
    if trouble is None or made.verdict is None or made.verdict.failure is None:
        return made
    first = made.verdict.failure
    failure = Failure(
        stage=Stage.UNDO,
        brief=f"{first.brief}; and what was made of it could not be deleted",
        details=f"{first.details}\n{trouble}".strip(),
        hint=f"delete {made.step.name} by hand",
    )
    return replace(made, verdict=replace(made.verdict, failure=failure))
