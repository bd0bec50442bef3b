"""Make clones: submit, attach to what others make, prove, undo."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from linkedclone.drivers.base import Driver
from linkedclone.errors import (
    DuplicateNameError,
    EndpointError,
    GoneError,
    LinkedCloneError,
    NotFoundError,
)
from linkedclone.execution.flight import Landing
from linkedclone.execution.runner import Runner, name_of
from linkedclone.model.ids import VmId
from linkedclone.model.jobs import Job
from linkedclone.model.observed import Power, Snapshot, Vm
from linkedclone.model.plan import CreateClone, DeleteVm, SetPower, Step, TakeSnapshot
from linkedclone.model.report import Failure, Stage
from linkedclone.planning.verdict import CloneVerdict, Fate, judge

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
    """

    step: CreateClone
    verdict: CloneVerdict | None
    vm: Vm | None = None
    seconds: float | None = None


class Cloning:
    """Makes the clones of one batch through a runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._driver: Driver = runner.driver

    def take_snapshot(self, step: TakeSnapshot, source: Vm) -> tuple[Vm, Snapshot]:
        """Take the snapshot that the batch hangs from; return it with the parent read again.

        Raises:
            LinkedCloneError: It could not be taken.
        """
        landings = self._runner.run_stage([step])
        if not landings:
            raise KeyboardInterrupt
        if landings[0].error:
            raise landings[0].error
        (parent,) = self._driver.find_vms([source.uuid])
        for snapshot in parent.snapshots:
            if snapshot.id == landings[0].result:
                return parent, snapshot
        raise NotFoundError(
            f"the snapshot {step.name!r} of {source.name} was taken but is not there",
            hint="somebody may have deleted it; run the command again",
        )

    def make(self, steps: Sequence[CreateClone]) -> list[Made]:
        """Make the clones and judge each; what failed half-way is undone.

        A clone whose name is taken meanwhile is waited for, whoever makes it;
        if that comes to nothing it is submitted once more.
        """
        landings = self._submit(steps)
        self._attach(landings)
        return self._undo(self._judge(steps, landings))

    def _submit(self, steps: Sequence[Step]) -> Landings:
        return {name_of(ldg.item): ldg for ldg in self._runner.run_stage(steps)}

    def _attach(self, landings: Landings) -> None:
        for last_try in (False, True):
            taken = [
                ldg.item for ldg in landings.values() if isinstance(ldg.error, DuplicateNameError)
            ]
            if not taken or self._runner.interrupted:
                return
            lost = []
            for landing in self._runner.run_stage(taken, start=self._start_attached):
                name = name_of(landing.item)
                if isinstance(landing.error, GoneError) and not last_try:
                    lost.append(landings.pop(name).item)
                else:
                    # Not accepted: whatever stands there now was made by another run.
                    landings[name] = replace(landing, accepted=False)
            landings |= self._submit(lost)

    def _start_attached(self, step: Step) -> Job:
        if not isinstance(step, CreateClone):
            msg = f"only clones are attached to, not {step!r}"
            raise TypeError(msg)
        return self._driver.attach_clone(step)

    def _judge(self, steps: Sequence[CreateClone], landings: Landings) -> list[Made]:
        try:
            vms = self._look(steps, landings)
        except EndpointError as error:
            # Nothing can be seen any more; what was made is there all the same.
            vms = {}
            landings = {n: replace(ldg, error=ldg.error or error) for n, ldg in landings.items()}
        made = []
        for step in steps:
            landing = landings.get(step.name)
            if landing is None:
                made.append(Made(step=step, verdict=None))
                continue
            vm = vms.get(step.name.casefold())
            verdict = judge(step, vm, error=landing.error, accepted=landing.accepted)
            vm = self._mend_mark(verdict, vm)
            made.append(Made(step=step, verdict=verdict, vm=vm, seconds=landing.seconds))
        return made

    def _look(self, steps: Sequence[CreateClone], landings: Landings) -> dict[str, Vm]:
        """Read what the batch made: by id what succeeded, by name what failed half-way."""
        done = [VmId(ldg.result) for ldg in landings.values() if ldg.result]
        doubtful = [
            step.name
            for step in steps
            if (landing := landings.get(step.name)) and landing.error and landing.accepted
        ]
        seen: list[Vm] = []
        if done:
            seen += self._driver.observe_vms(done)
        if doubtful:
            seen += self._driver.observe_names(steps[0].target, doubtful)
        return {vm.name.casefold(): vm for vm in seen}

    def _mend_mark(self, verdict: CloneVerdict, vm: Vm | None) -> Vm | None:
        """Rewrite the mark where the hypervisor gave the clone another UUID than asked for."""
        if vm is None or not verdict.mark_to_mend or vm.mark is None:
            return vm
        job = self._driver.adopt_uuid(vm)
        self._finish([job])
        return replace(vm, mark=replace(vm.mark, uuid=vm.uuid))

    def _finish(self, jobs: Iterable[Job]) -> None:
        left = {job.id: job for job in jobs}
        while left:
            for state in self._driver.wait(list(left.values()), 5.0):
                if state.finished:
                    left.pop(state.job.id, None)
                    if state.error:
                        raise state.error

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
                if landing.error and not isinstance(landing.item, CreateClone):
                    trouble[landing.item.vm] = landing.error
        return [_with_trouble(m, trouble.get(m.vm.id) if m.vm else None) for m in made]


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
