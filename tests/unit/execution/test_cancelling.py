"""Runs that another thread cancels: at each step boundary, on the hypervisor in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from linkedclone.app.connection import Connection
from linkedclone.app.proposal import Proposal
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import InterruptedByUserError
from linkedclone.execution.outage import REAL, Cancellation, Pace
from linkedclone.execution.progress import Silent
from linkedclone.execution.runner import Runner
from linkedclone.model.jobs import Job
from linkedclone.model.plan import Plan, SetPower
from linkedclone.model.pool import Rollout
from linkedclone.model.pool_report import PoolReport
from linkedclone.model.report import STILL_RUNNING, ActionReport, CloneReport, Status
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from linkedclone.planning.pool.membership import state_of
from tests.memory import MemoryHypervisor
from tests.unit.app.pooling import Stage, pool

NAMES = tuple(f"desk-{number}" for number in range(1, 5))


class Canceller:
    """A progress listener that cancels when it is told something for the nth time."""

    def __init__(self, number: int) -> None:
        self.cancel = Cancellation()
        self._left = number

    def begin(self, *_: object) -> None:
        self._count()

    def update(self, _: object) -> None:
        self._count()

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.cancel.cancel()


def make_lab() -> tuple[MemoryHypervisor, Connection]:
    hypervisor = MemoryHypervisor()
    hypervisor.add_snapshot(hypervisor.add_vm("gold"), "base")
    here = Connection(MemoryDriver(hypervisor, "memory:"), address="memory:")
    here.clone(CloneRequest(parent="gold", names=NAMES))
    return hypervisor, here


def count_boundaries(run: Callable[[Canceller], object]) -> int:
    """Return how often a run that is not cancelled tells something."""
    listener = Canceller(1_000_000)
    run(listener)
    return 1_000_000 - listener._left


def delete(listener: Canceller) -> tuple[MemoryHypervisor, ActionReport]:
    lab, here = make_lab()
    proposal = here.vms.propose_delete(NAMES)
    return lab, proposal.apply(progress=listener, cancel=listener.cancel)


def test_a_deletion_that_is_cancelled_anywhere_tells_what_was_and_was_not_done() -> None:
    boundaries = count_boundaries(delete)
    assert boundaries > len(NAMES)
    interrupted = 0
    for number in range(1, boundaries + 1):
        lab, report = delete(Canceller(number))
        there = {vm.name: vm for vm in lab.vms}
        assert {result.name for result in report.results} == set(NAMES)
        for result in report.results:
            assert result.status in {Status.DONE, Status.SKIPPED}, number
            if result.status is Status.DONE and result.action == "delete":
                assert result.name not in there
            elif result.status is Status.SKIPPED and result.note != STILL_RUNNING:
                assert result.name in there
        interrupted += report.interrupted
        assert report.exit_code == (130 if report.interrupted else 0)
    assert interrupted > len(NAMES)


def test_a_run_cancelled_at_the_start_does_nothing() -> None:
    lab, report = delete(Canceller(1))
    assert report.interrupted
    assert {result.status for result in report.results} == {Status.SKIPPED}
    assert {vm.name: vm.power for vm in lab.vms if vm.name in NAMES} == dict.fromkeys(
        NAMES, Power.ON
    )


def clone(listener: Canceller) -> tuple[MemoryHypervisor, CloneReport]:
    lab, here = make_lab()
    request = CloneRequest(parent="gold", names=("web-{1..4}",), parallel=2)
    proposal = here.propose_clone(request)
    return lab, proposal.apply(progress=listener, cancel=listener.cancel)


def test_a_batch_that_is_cancelled_anywhere_tells_which_clones_are_there() -> None:
    boundaries = count_boundaries(clone)
    interrupted = 0
    for number in range(1, boundaries + 1):
        lab, report = clone(Canceller(number))
        there = {vm.name for vm in lab.vms}
        for made in report.clones:
            assert made.status in {Status.CREATED, Status.SKIPPED}, number
            if made.status is Status.CREATED:
                assert made.name in there
                assert made.linked
            elif made.error and "continues" not in made.error.brief:
                assert made.name not in there
        interrupted += report.interrupted
    assert interrupted > len(NAMES)


def test_a_pool_that_is_cancelled_anywhere_is_given_back_and_taken_up_again() -> None:
    spec = pool(3, snapshot="new", rollout=Rollout(max_unavailable=2))

    def recompose(listener: Canceller) -> tuple[Stage, PoolReport]:
        stage = Stage()
        stage.apply(replace(spec, snapshot="old"))
        pools, scene = stage.survey(spec)
        proposal = pools.propose_apply(scene)
        return stage, proposal.apply(progress=listener, cancel=listener.cancel)

    interrupted = 0
    for number in range(1, count_boundaries(recompose) + 1):
        stage, report = recompose(Canceller(number))
        members = stage.members(spec)
        interrupted += report.interrupted
        assert not any(state_of(vm).claim for vm in members.values()), number
        assert report.interrupted or stage.is_settled(spec), number
        assert all(result.status is not Status.FAILED for result in report.results), number
        assert stage.apply(spec).exit_code == 0
        assert set(stage.snapshots(spec).values()) == {"new"}
        assert len(stage.members(spec)) == 3
    assert interrupted > len(NAMES)


def test_each_run_is_reported_once() -> None:
    cancel = Cancellation()
    first, second = cancel.govern(REAL), cancel.govern(REAL)
    first.check()
    cancel.cancel()
    for pace in (first, second):
        with pytest.raises(KeyboardInterrupt):
            pace.sleep(600)
        pace.check()


def test_a_cancelled_run_still_waits_where_it_puts_something_in_order() -> None:
    slept: list[float] = []
    cancel = Cancellation()
    pace = cancel.govern(Pace(sleep=slept.append))
    cancel.cancel()
    with pytest.raises(KeyboardInterrupt):
        pace.check()
    pace.sleep(7)
    assert slept == [7]


def test_a_cancelled_run_without_a_report_ends_with_an_error_and_not_as_ctrl_c() -> None:
    def act(_plan: Plan, _progress: object, cancel: Cancellation) -> None:
        cancel.cancel()
        cancel.govern(REAL).check()

    with pytest.raises(InterruptedByUserError):
        Proposal(Plan, act, instance="vc-1").apply()


def test_steps_started_by_one_batch_call_are_reported_as_under_way() -> None:
    """Also where nobody has taken note yet of what the call began for each."""
    lab, here = make_lab()
    here.vms.set_power(NAMES, Power.OFF)
    cancel, driver = Cancellation(), MemoryDriver(lab, "memory:")

    class Batch:
        def start_vms(self, vms: Sequence[VmId]) -> Mapping[VmId, Job]:
            cancel.cancel()
            return {vm: driver.start(SetPower(vm=vm, vm_name="", power=Power.ON)) for vm in vms}

    steps = [SetPower(vm=vm.id, vm_name=vm.name, power=Power.ON) for vm in here.vms.find(NAMES)]
    driver.services = replace(driver.services, batch_power=Batch())
    runner = Runner(driver, Silent(), pace=cancel.govern(REAL))
    assert runner.run_stage(steps) == []
    assert runner.in_flight == frozenset(NAMES)
