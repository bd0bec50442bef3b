"""One run over a pool: waves of changes, each after a new look, until it is as is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from linkedclone.app.clone.job import CloneJob, prepare
from linkedclone.app.pools.lock import PoolClaim
from linkedclone.app.pools.results import HEALTH, Tally, say_again
from linkedclone.app.pools.steps import build_step, find_names, shut_down, start
from linkedclone.app.proposal import look_again
from linkedclone.errors import BusyError, LinkedCloneError
from linkedclone.execution.member_health import HealthLook
from linkedclone.execution.outage import Cancellation, Pace
from linkedclone.execution.progress import Event
from linkedclone.execution.runner import Runner
from linkedclone.model.jobs import JobStatus
from linkedclone.model.plan import (
    DeleteVm,
    Plan,
    ReconfigureVm,
    Step,
    WriteMark,
)
from linkedclone.model.pool import (
    Create,
    Delete,
    Fitness,
    MemberChange,
    PoolChange,
    PoolPlan,
    Reconfigure,
    Rename,
    Replace,
    Start,
    Stop,
)
from linkedclone.model.pool_report import PoolReport
from linkedclone.model.report import ActionResult, Status
from linkedclone.model.request import Deletion
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.clone.spec_digest import render_shape
from linkedclone.planning.pool.instant import refuse_blocked
from linkedclone.planning.pool.membership import state_of
from linkedclone.planning.pool.plan import plan_pool
from linkedclone.planning.pool.requests import add_clones, find_recovered, forgive
from linkedclone.planning.pool.rollout import Wave, choose_wave
from linkedclone.planning.pool.sight import PoolSight, hardware_to_change
from linkedclone.planning.vms.delete import plan_delete

if TYPE_CHECKING:
    from linkedclone.app.pools.survey import PoolScene, PoolSurvey
    from linkedclone.app.proposal import Acting
    from linkedclone.execution.progress import Progress

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 2.0

ChangeT = TypeVar("ChangeT", bound=MemberChange)


class PoolRun:
    """Brings one pool to its spec.

    Each wave is planned on a fresh look, so whatever other users do in
    between is seen. A stop, or a kill, leaves a pool that the next run goes on
    with: nothing is remembered outside of the hypervisor.
    """

    def __init__(
        self,
        survey: PoolSurvey,
        acting: Acting,
        scene: PoolScene,
        cancel: Cancellation,
        *,
        pace: Pace,
        clock: Callable[[], datetime],
    ) -> None:
        self._driver = driver = acting.driver
        self._acting = acting
        self._survey = survey
        self._scene = scene
        self._whole_pace = pace
        self._pace = pace = cancel.govern(pace)
        self._clock = clock
        self._run = uuid4().hex
        self._tally = Tally()
        self._health = HealthLook(
            driver, scene.spec, secrets=scene.request.secrets, pace=pace, clock=clock
        )
        self._interrupted = False
        self._claimed: tuple[VmId, ...] = ()
        self._progress: Progress
        self._claim: PoolClaim

    def run(self, progress: Progress | None) -> PoolReport:
        """Carry it out.

        Raises:
            BusyError: Another run works on the pool.
        """
        begun = time.monotonic()
        scene = self._scene
        stopped, plan = "", PoolPlan()
        name = f"pool-{scene.spec.pool}-{self._run}"
        with self._acting.log(name, progress) as log:
            self._progress = log
            self._claim = PoolClaim(
                self._driver,
                scene.spec.pool,
                self._run,
                pace=self._whole_pace,  # A run that is cancelled gives its claim back.
                clock=self._clock,
                progress=log,
            )
            try:
                stopped, plan = self._loop()
            except KeyboardInterrupt:
                self._interrupted = True
            except LinkedCloneError as error:
                if not self._tally.results:
                    raise
                # What was done by then is not to be lost for the sake of an outage.
                stopped = str(error)
            finally:
                self._claim.leave(self._claimed)
        self._tally.note_lost()
        return PoolReport(
            endpoint=self._acting.address,
            pool=scene.spec.pool,
            image=scene.image,
            results=tuple(self._tally.results),
            skipped=plan.skipped,
            stopped=stopped,
            seconds=time.monotonic() - begun,
            interrupted=self._interrupted,
            notes=plan.notes,
            refused=plan.refused,
        )

    # -- waves ------------------------------------------------------------------------

    def _loop(self) -> tuple[str, PoolPlan]:
        """Go on until nothing is left to do, or nothing more may be done; return why."""
        spec, begun = self._scene.spec, False
        while True:
            self._pace.check()
            sight = self._look()
            plan = plan_pool(spec, sight)
            refuse_blocked(plan, sight.blocked)
            if self._tally.failures >= spec.rollout.stop_after_failures:
                return self._tally.say_failures(), plan
            chosen = choose_wave(spec, sight, plan)
            wave = replace(chosen, changes=tuple(filter(self._tally.may, chosen.changes)))
            if not begun and (wave.changes or self._starting(sight)):
                begun = True
                self._progress.begin(find_names(plan, self._starting(sight)), "pool")
            if wave.changes:
                # A spare may be taken over, and what its mark says with it.
                spares = sight.spares(self._scene.spec)
                leaving = {c.vm.id for c in wave.leaving} | {vm.id for vm in spares}
                stays = self._claim.take((*self._find_members(sight), *spares), leaving)
                self._carry_out(wave, sight, claim="" if stays else self._claim.text)
                if self._interrupted:
                    return "", plan
            elif self._starting(sight):
                self._await_guests(sight, first=bool(chosen.waits))
            else:
                self._forgive(sight)
                again = say_again(chosen.changes[0]) if chosen.changes else ""
                return again or chosen.waits, plan

    def _find_members(self, sight: PoolSight) -> tuple[Vm, ...]:
        return sight.members(self._scene.spec)

    def _look(self) -> PoolSight:
        """Look at everything, and count the clones of this run that do not come up."""
        sight = self._survey.look(self._scene, self._health)
        members = self._find_members(sight)
        bearers = (*members, *sight.spares(self._scene.spec))
        self._claimed = tuple(vm.id for vm in bearers if state_of(vm).claim)
        for vm in members:
            found = sight.health.get(vm.id)
            if found is not None and found.fitness is Fitness.UNHEALTHY:
                failure = self._tally.note_sick(vm, found.reason)
                if failure:
                    self._tell(vm.name, HEALTH, JobStatus.FAILED, failure.brief)
        return sight

    def _starting(self, sight: PoolSight) -> list[Vm]:
        members = self._find_members(sight)
        return [vm for vm in members if sight.fitness(vm) is Fitness.STARTING]

    def _await_guests(self, sight: PoolSight, *, first: bool) -> None:
        """Wait for the clones that come up.

        Args:
            sight: What is seen.
            first: Whether to go on as soon as one of them is healthy, because
                something waits for that. Whatever else becomes of one ends it.
        """
        waiting = self._starting(sight)
        for vm in waiting:
            self._tell(vm.name, "wait for health", JobStatus.RUNNING)
        pause = _FIRST_PAUSE
        while waiting:
            self._pace.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)
            self._claim.renew()
            seen = self._driver.observe_vms([vm.id for vm in waiting])
            health = self._health.look(seen)
            found = {vm.id: health[vm.id].fitness for vm in seen}
            for vm in seen:
                if found[vm.id] is Fitness.HEALTHY:
                    self._tell(vm.name, "wait for health", JobStatus.DONE)
            left = [vm for vm in seen if found[vm.id] is Fitness.STARTING]
            healthy = sum(fitness is Fitness.HEALTHY for fitness in found.values())
            if len(left) + healthy < len(waiting) or (healthy and first):
                return
            waiting = left

    # -- one wave ---------------------------------------------------------------------

    def _carry_out(self, wave: Wave, sight: PoolSight, *, claim: str) -> None:
        """Carry out a wave: what is quick first, then what goes, then what comes."""
        self._act(wave.all_of(Rename))
        self._act(wave.all_of(Start))
        self._act(self._still(wave.all_of(Stop)))
        self._reconfigure(wave.all_of(Reconfigure), sight)
        deleted, replaced = self._delete(wave.leaving), wave.all_of(Replace)
        coming: list[PoolChange] = [
            *map(self._hand_on, wave.all_of(Create)),
            *(change for change in replaced if change.beside),
            *(change for change in replaced if not change.beside and change.vm.id in deleted),
        ]
        if coming and not self._interrupted:
            self._create(coming, sight, claim)

    def _hand_on(self, change: Create) -> Create:
        """Let a clone that is missing have what the one had whose place it takes."""
        lost = self._tally.lost.get(change.slot)
        return replace(change, old=lost.vm, reasons=lost.reasons) if lost else change

    def _still(self, changes: Sequence[ChangeT]) -> list[ChangeT]:
        """Leave out what by now is held, in use, gone or not of the pool; the next look tells."""
        ids = [change.vm.id for change in changes]
        if not ids or self._interrupted:
            return []
        return self._leave_out(changes, self._driver.observe_vms(ids))

    def _leave_out(self, changes: Sequence[ChangeT], vms: Iterable[Vm]) -> list[ChangeT]:
        identity = self._scene.identity
        free = {vm.id: vm for vm in vms if identity.fits(vm) and not state_of(vm).hold}
        going = [
            replace(change, vm=free[change.vm.id]) for change in changes if change.vm.id in free
        ]
        used = self._health.find_used([change.vm for change in going])
        return [change for change in going if change.vm.id not in used]

    def _act(self, changes: Sequence[Rename | Start | Stop]) -> None:
        steps = {build_step(change): change for change in changes}
        if not steps or self._interrupted:
            return
        report = self._runner_run(Plan(stages=(tuple(steps),)))
        for step, change in steps.items():
            self._tally.note(change, report[step.subject])
            if isinstance(change, Start):
                self._health.started[change.vm.id] = self._clock()

    def _reconfigure(self, changes: Sequence[Reconfigure], sight: PoolSight) -> None:
        """Shut down what has to be off, change it, and start it again.

        A guest may take minutes to shut down, so its mark is read anew then.
        """
        changes = self._still(changes)
        running = [
            change.vm
            for change in changes
            if change.vm.power is Power.ON
            if hardware_to_change(change.vm, self._scene.spec) != (None, None)
        ]
        results = self._run_steps([shut_down(vm) for vm in running])
        down = [vm for vm in running if results[vm.id].status is Status.DONE]
        failed = {vm.id for vm in running} - {vm.id for vm in down}
        left = self._still([change for change in changes if change.vm.id not in failed])
        steps = [self._build_reconfiguration(change.vm, sight) for change in left]
        results |= self._run_steps(steps)
        for vm_id, result in self._run_steps([start(vm) for vm in down]).items():
            if result.status is not Status.DONE and results[vm_id].status is Status.DONE:
                results[vm_id] = result
            self._health.started[VmId(vm_id)] = self._clock()
        told = failed | {change.vm.id for change in left}
        for change in changes:
            if change.vm.id in told and change.vm.id in results:
                self._tally.note(change, results[change.vm.id])

    def _run_steps(self, steps: Sequence[Step]) -> dict[str, ActionResult]:
        return self._runner_run(Plan(stages=(tuple(steps),))) if steps else {}

    def _build_reconfiguration(self, vm: Vm, sight: PoolSight) -> ReconfigureVm:
        spec, mark = self._scene.spec, vm.valid_mark
        cpus, memory = hardware_to_change(vm, spec)
        return ReconfigureVm(
            vm=vm.id,
            vm_name=vm.name,
            cpus=cpus,
            memory_bytes=memory,
            annotation=spec.annotation,
            mark=replace(mark, spec=render_shape(sight.shape)) if mark else None,
            seen=mark,
        )

    def _delete(self, changes: Sequence[Delete | Replace]) -> set[VmId]:
        """Delete clones behind the guards; return those that are gone.

        A replaced one is noted only if it could not be deleted.
        """
        if not changes or self._interrupted:
            return set()
        inventory = self._driver.observe()
        going = {change.vm.id: change for change in self._leave_out(changes, inventory.vms)}
        if not going:
            return set()
        how = Deletion(
            despite_unreadable=self._scene.despite_unreadable,
            marks={c.vm.id: c.vm.mark for c in going.values() if c.vm.mark},
        )
        try:
            plan = plan_delete([change.vm for change in going.values()], inventory, how)
        except LinkedCloneError as error:
            # One that is refused is not to keep the others: it is found by halves.
            some, half = list(going.values()), len(going) // 2
            if half:
                return self._delete(some[:half]) | self._delete(some[half:])
            self._tally.fail(some[0], error)
            return set()
        return self._note_deletions(going, self._runner_run(plan, check=True))

    def _note_deletions(
        self, going: Mapping[VmId, Delete | Replace], report: Mapping[str, ActionResult]
    ) -> set[VmId]:
        failed = [c for vm_id, c in going.items() if _is_failed(report.get(vm_id))]
        # A clone that another run has taken meanwhile is left alone, which the next look tells.
        taken = {c.slot for c in failed} - {c.slot for c in self._still(failed)}
        gone: set[VmId] = set()
        for vm_id, change in going.items():
            result = report.get(vm_id)
            if change.slot in taken:
                continue
            if result is None or result.status is Status.DONE:
                gone.add(vm_id)
                if isinstance(change, Replace):
                    self._tally.lost[change.slot] = change
                elif result is not None:
                    self._tally.note(change, result)
            else:
                self._tally.note(change, result)
        return gone

    def _create(self, changes: Sequence[PoolChange], sight: PoolSight, claim: str) -> None:
        scene = self._scene
        request = add_clones(scene.request, scene.spec, sight, changes, claim)
        try:
            prepared = prepare(self._driver, request)
            report = CloneJob(self._driver, prepared, self._progress, self._pace).run(
                self._acting.address
            )
        except LinkedCloneError as error:
            for change in changes:
                self._tally.fail(change, error)
            return
        self._interrupted |= report.interrupted
        for change, result in zip(changes, report.clones, strict=True):
            self._tally.note_clone(change, result)
            if result.id:
                self._tally.lost.pop(change.slot, None)
                self._health.started[VmId(result.id)] = self._clock()
        if claim and report.clones[0].id:
            self._claim.stand_on(VmId(report.clones[0].id))

    def _runner_run(self, plan: Plan, *, check: bool = False) -> dict[str, ActionResult]:
        runner = Runner(self._driver, self._progress, pace=self._pace)
        ask = self._check if check else None
        report = runner.run(plan, endpoint=self._acting.address, check=ask)
        self._interrupted |= report.interrupted
        return {result.key: result for result in report.results}

    def _check(self, steps: Sequence[Step]) -> Sequence[tuple[Step, LinkedCloneError]]:
        """Look once more right before clones go: who depends on them, who holds them."""
        refused = look_again(self._driver, steps, despite=self._scene.despite_unreadable)
        told = {id(step) for step, _ in refused}
        aims = [step.vm for step in steps if isinstance(step, DeleteVm)]
        here = {vm.id: vm for vm in self._driver.observe_vms(aims)} if aims else {}
        for step in steps:
            vm = here.get(step.vm) if isinstance(step, DeleteVm) else None
            if vm is None or id(step) in told:
                continue
            if state_of(vm).hold:
                brief = f"{vm.name} is held by now: {state_of(vm).hold}"
                refused.append((step, BusyError(brief, hint="``pool release``")))
            elif not self._scene.identity.fits(vm):
                brief = f"{vm.name} now belongs to another pool"
                details = self._scene.identity.explain(vm)
                refused.append((step, BusyError(brief, details=details)))
        return refused

    def _tell(self, name: str, action: str, status: JobStatus, text: str = "") -> None:
        self._progress.update(Event(name=name, action=action, status=status, text=text))

    # -- marks ------------------------------------------------------------------------

    def _forgive(self, sight: PoolSight) -> None:
        """Take the count of failures from the clones that have become healthy."""
        recovered = find_recovered(self._find_members(sight), sight)
        # By the current marks: a user may have held a clone.
        seen = self._driver.observe_vms([vm.id for vm in recovered]) if recovered else ()
        steps = [
            WriteMark(vm=vm.id, vm_name=vm.name, mark=mark, seen=vm.mark)
            for vm in seen
            if (mark := forgive(vm))
        ]
        if steps:
            Runner(self._driver, self._progress, pace=self._pace).run_stage(steps)


def _is_failed(result: ActionResult | None) -> bool:
    return result is not None and result.status is Status.FAILED
