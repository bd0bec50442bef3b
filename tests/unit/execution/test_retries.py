"""What is tried again, how often and how long after; what is never sent twice. As tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from linkedclone.app.clone.job import prepare
from linkedclone.app.proposal import look_again
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import (
    BusyError,
    HypervisorError,
    InUseError,
    LinkedCloneError,
    LockedError,
    LostAnswerError,
    LostJobError,
    NoSpaceError,
    Transience,
    UnreachableError,
)
from linkedclone.execution.clone_stage import Made
from linkedclone.execution.outage import Outage, Pace
from linkedclone.execution.progress import Event
from linkedclone.execution.runner import Runner
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import (
    CreateClone,
    DeleteMemory,
    DeleteSnapshot,
    DeleteVm,
    GrowDisk,
    JobStep,
    Plan,
    PromoteVm,
    RevertSnapshot,
    SetPower,
    ShutDownGuest,
    Step,
    TakeSnapshot,
    WriteMark,
)
from linkedclone.model.report import Status
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Mark, Power
from linkedclone.planning.clone.outcome import Fate
from linkedclone.planning.retries import ALLOWANCES, may_repeat, plan_retry
from tests.memory import MemoryHypervisor

VM, SNAPSHOT = VmId("vm-1"), SnapshotId("snapshot-1")
DELETE = DeleteVm(vm=VM, vm_name="a")
START = SetPower(vm=VM, vm_name="a", power=Power.ON)
TAKE = TakeSnapshot(vm=VM, vm_name="a", name="s")
REVERT = RevertSnapshot(vm=VM, vm_name="a", snapshot=SNAPSHOT, name="s")

IDEMPOTENT: tuple[Step, ...] = (
    DELETE,
    START,
    DeleteSnapshot(vm=VM, vm_name="a", snapshot=SNAPSHOT, name="s"),
    DeleteMemory(vm=VM, vm_name="a", snapshot=SNAPSHOT, name="s"),
    PromoteVm(vm=VM, vm_name="a"),
    GrowDisk(vm=VM, vm_name="a", disk="Hard disk 1", capacity_bytes=1),
    WriteMark(vm=VM, vm_name="a", mark=Mark(owner="linkedclone", uuid="u"), seen=None),
)


@pytest.fixture
def lab() -> MemoryHypervisor:
    hypervisor = MemoryHypervisor()
    hypervisor.add_snapshot(hypervisor.add_vm("gold"), "base")
    return hypervisor


@pytest.fixture
def create(lab: MemoryHypervisor) -> CreateClone:
    request = CloneRequest(parent="gold", names=("desk-1",))
    return prepare(MemoryDriver(lab, "memory:"), request).creates[0]


@pytest.mark.parametrize("step", IDEMPOTENT, ids=lambda step: type(step).__name__)
@pytest.mark.parametrize("accepted", [False, True])
def test_what_counts_as_done_the_second_time_may_be_sent_whatever_happened(
    step: Step, *, accepted: bool
) -> None:
    assert all(may_repeat(step, why, accepted=accepted) for why in Transience)


def test_an_unclassified_step_is_not_retried_if_it_may_have_been_done() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Unjudged(ShutDownGuest):
        """As a step that is new."""

    step = Unjudged(vm=VmId("vm-1"), vm_name="desk-1", deadline_seconds=1.0)
    assert may_repeat(step, Transience.BUSY, accepted=False)
    assert not may_repeat(step, Transience.LOST, accepted=False)
    assert not may_repeat(step, Transience.INTERNAL, accepted=True)


@pytest.mark.parametrize(
    ("transience", "accepted", "snapshot", "clone"),
    [
        (Transience.BUSY, False, True, True),
        (Transience.BUSY, True, True, False),  # a clone's leavings are undone first
        (Transience.INTERNAL, False, True, True),
        (Transience.INTERNAL, True, False, False),
        (Transience.LOST, False, False, False),
        (Transience.LOST, True, False, False),
    ],
)
def test_a_snapshot_or_a_clone_is_sent_again_only_if_nothing_was_done(
    create: CreateClone, transience: Transience, *, accepted: bool, snapshot: bool, clone: bool
) -> None:
    assert may_repeat(TAKE, transience, accepted=accepted) is snapshot
    assert may_repeat(REVERT, transience, accepted=accepted) is snapshot
    assert may_repeat(create, transience, accepted=accepted) is clone


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (BusyError("busy"), 6),
        (BusyError("host", transience=Transience.HOST), 3),
        (LockedError("locked"), 2),
        (HypervisorError("unable to access", transience=Transience.UNREADABLE), 3),
        (HypervisorError("broken", transience=Transience.INTERNAL), 1),
        (LostAnswerError("lost"), 3),
        (NoSpaceError("full"), 0),
        (HypervisorError("no"), 0),
    ],
    ids=str,
)
def test_each_cause_has_so_many_tries(error: LinkedCloneError, tries: int) -> None:
    pauses = [plan_retry(DELETE, error, failures=n, accepted=False) for n in range(1, 9)]
    given = [pause for pause in pauses if pause is not None]
    assert len(given) == tries
    assert given == sorted(given)
    assert sum(given) < 40


def test_every_allowance_is_bounded() -> None:
    for allowance in ALLOWANCES.values():
        assert allowance.pause_seconds(allowance.tries + 1) is None


# -- doing it -------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def pace(self) -> Pace:
        return Pace(now=lambda: self.time, sleep=self.sleep, chance=lambda: 0.5)


class Told:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def begin(self, names: tuple[str, ...], action: str) -> None:
        pass

    def update(self, event: Event) -> None:
        self.events.append(event)

    def texts(self, action: str) -> list[str]:
        return [event.text for event in self.events if event.action == action]


class Away(MemoryDriver):
    """An endpoint that is away for some seconds of a clock."""

    def __init__(self, lab: MemoryHypervisor, clock: Clock, since: float, until: float) -> None:
        super().__init__(lab, "memory:")
        self.features = replace(self.features, patience_seconds=60.0)
        self._clock, self._since, self._until = clock, since, until

    def _knock(self) -> None:
        if self._since <= self._clock.time < self._until:
            raise UnreachableError("refused")

    def start(self, step: JobStep) -> Job:
        self._knock()
        return super().start(step)

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        self._knock()
        return super().wait(jobs, timeout_seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_deletion_of_a_busy_object_is_retried_and_reported(
    lab: MemoryHypervisor, clock: Clock, told: Told
) -> None:
    vm = lab.add_vm("old")
    lab.fail("delete", "old", error=BusyError("another task"), at="submit")
    lab.fail("delete", "old", error=BusyError("another task"))
    runner = Runner(MemoryDriver(lab, "memory:"), told, pace=clock.pace())
    report = runner.run(Plan(stages=((DeleteVm(vm=vm, vm_name="old"),),)), endpoint="memory:")
    assert [result.status for result in report.results] == [Status.DONE]
    assert told.texts("retry") == [
        "another task; again in 0.5 s",
        "another task; again in 1.0 s",
    ]
    assert "old" not in {vm.name for vm in lab.vms}


def test_an_object_gone_at_the_second_look_needs_no_call(
    lab: MemoryHypervisor, clock: Clock, told: Told
) -> None:
    """Its id may be another VM's by the time that a call would arrive."""
    vm = lab.add_vm("old", power=Power.ON)
    driver = MemoryDriver(lab, "memory:")
    off = SetPower(vm=vm, vm_name="old", power=Power.OFF)
    plan = Plan(stages=((off,), (DeleteVm(vm=vm, vm_name="old"),)))

    def check(steps: Sequence[Step]) -> Sequence[tuple[Step, LinkedCloneError]]:
        lab.remove(vm)
        return look_again(driver, steps)

    report = Runner(driver, told, pace=clock.pace()).run(plan, endpoint="memory:", check=check)
    (result,) = report.results
    assert (result.status, result.note) == (Status.DONE, "it did not exist any more")
    assert lab.calls["DeleteVm"] == 0


@pytest.mark.parametrize("away_seconds", [2.0, 40.0])
def test_a_retry_after_an_outage_is_preceded_by_another_look(
    lab: MemoryHypervisor, clock: Clock, told: Told, away_seconds: float
) -> None:
    vm = lab.add_vm("old")
    driver = Away(lab, clock, since=0.0, until=away_seconds)
    looks: list[Sequence[Step]] = []

    def check(steps: Sequence[Step]) -> Sequence[tuple[Step, LinkedCloneError]]:
        looks.append(steps)
        return [(step, InUseError("a clone came", dependants=("new",))) for step in steps]

    plan = Plan(stages=((DeleteVm(vm=vm, vm_name="old"),),))
    report = Runner(driver, told, pace=clock.pace()).run(plan, endpoint="memory:", check=check)
    (result,) = report.results
    old = away_seconds > 20
    assert (len(looks), result.status) == ((1, Status.FAILED) if old else (0, Status.DONE))
    assert ("old" in {vm.name for vm in lab.vms}) is old


def test_what_stays_busy_fails_after_a_bounded_time(
    lab: MemoryHypervisor, clock: Clock, told: Told
) -> None:
    vm = lab.add_vm("old")
    lab.fail("delete", "old", error=BusyError("another task"), times=-1)
    runner = Runner(MemoryDriver(lab, "memory:"), told, pace=clock.pace())
    report = runner.run(Plan(stages=((DeleteVm(vm=vm, vm_name="old"),),)), endpoint="memory:")
    assert [result.status for result in report.results] == [Status.FAILED]
    assert lab.calls["DeleteVm"] == 7
    assert sum(clock.slept) < 40


def test_a_snapshot_whose_job_failed_is_not_taken_again(
    lab: MemoryHypervisor, clock: Clock, told: Told
) -> None:
    (gold,) = lab.vms
    broken = HypervisorError("broken", transience=Transience.INTERNAL)
    lab.fail("snapshot", "gold", error=broken)
    runner = Runner(MemoryDriver(lab, "memory:"), told, pace=clock.pace())
    (landing,) = runner.run_stage([TakeSnapshot(vm=gold.id, vm_name="gold", name="s")])
    assert landing.error is broken
    assert lab.calls["TakeSnapshot"] == 1


def test_a_clone_whose_task_failed_is_undone_and_made_again(
    lab: MemoryHypervisor, clock: Clock, told: Told, create: CreateClone
) -> None:
    lab.fail("clone", "desk-1", error=LockedError("locked"), leave=True)
    runner = Runner(MemoryDriver(lab, "memory:"), told, pace=clock.pace())
    (made,) = runner.run_stage([create])
    assert isinstance(made, Made)
    assert made.verdict.fate is Fate.CREATED
    assert (lab.calls["CreateClone"], lab.calls["DeleteVm"]) == (2, 1)
    assert told.texts("retry") == ["locked; again in 2.0 s"]


def test_a_clone_that_cannot_be_undone_is_not_made_again(
    lab: MemoryHypervisor, clock: Clock, told: Told, create: CreateClone
) -> None:
    lab.fail("clone", "desk-1", error=LockedError("locked"), leave=True)
    lab.fail("delete", "desk-1", error=HypervisorError("no"))
    runner = Runner(MemoryDriver(lab, "memory:"), told, pace=clock.pace())
    (made,) = runner.run_stage([create])
    assert isinstance(made, Made)
    assert made.verdict.failure is not None
    assert lab.calls["CreateClone"] == 1


def test_what_does_not_pass_is_not_tried_again(
    lab: MemoryHypervisor, clock: Clock, told: Told, create: CreateClone
) -> None:
    lab.fail("clone", "desk-1", error=NoSpaceError("full"))
    Runner(MemoryDriver(lab, "memory:"), told, pace=clock.pace()).run_stage([create])
    assert lab.calls["CreateClone"] == 1
    assert clock.slept == []


@pytest.mark.parametrize("since", [0.0, 0.1], ids=["before a call", "while it is waited for"])
def test_an_endpoint_that_comes_back_is_waited_for(
    lab: MemoryHypervisor, clock: Clock, told: Told, since: float
) -> None:
    # One alone while it is waited for: others would not be sent any more.
    names = ("a",) if since else ("a", "b", "c")
    steps = [DeleteVm(vm=lab.add_vm(name), vm_name=name) for name in names]
    driver = Away(lab, clock, since, since + 20.0)
    if since:
        lab.delays["delete"] = 0.05
        clock.time = 0.1 - 1e-9
        real = driver.start

        def start(step: JobStep) -> Job:
            job = real(step)
            clock.time = max(clock.time, 0.1)
            return job

        driver.start = start  # type: ignore[method-assign]
    runner = Runner(driver, told, pace=clock.pace())
    report = runner.run(Plan(stages=(tuple(steps),)), endpoint="memory:")
    assert [result.status for result in report.results] == [Status.DONE] * len(names)
    waits = told.texts("connection")
    assert len(waits) == 2
    assert "waiting for it, at most 60 s" in waits[0]
    assert "answers again" in waits[1]


def test_an_endpoint_that_stays_away_ends_the_run_with_a_true_report(
    lab: MemoryHypervisor, clock: Clock, told: Told, create: CreateClone
) -> None:
    runner = Runner(Away(lab, clock, 0.0, 1e9), told, pace=clock.pace())
    (made,) = runner.run_stage([create])
    assert isinstance(made, Made)
    assert made.verdict.failure is not None
    assert made.verdict.failure.brief == "refused"  # it was never sent, so nothing may go on
    assert 55 < clock.time < 70


def test_a_step_that_stands_in_a_stage_twice_is_sent_once(
    lab: MemoryHypervisor, told: Told
) -> None:
    step = DeleteVm(vm=lab.add_vm("a"), vm_name="a")
    runner = Runner(MemoryDriver(lab, "memory:"), told)
    report = runner.run(Plan(stages=((step, step),)), endpoint="memory:")
    assert [result.status for result in report.results] == [Status.DONE]
    assert lab.calls["DeleteVm"] == 1


def test_an_interrupt_ends_the_waiting(lab: MemoryHypervisor, told: Told) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    steps = [DeleteVm(vm=lab.add_vm("a"), vm_name="a")]
    runner = Runner(Away(lab, Clock(), 0.0, 1e9), told, pace=Pace(sleep=interrupt))
    report = runner.run(Plan(stages=(tuple(steps),)), endpoint="memory:")
    assert report.interrupted
    assert [result.status for result in report.results] == [Status.SKIPPED]


def test_a_job_that_was_forgotten_is_started_again_where_that_is_safe(
    lab: MemoryHypervisor, clock: Clock, told: Told
) -> None:
    vm = lab.add_vm("old")
    lab.fail("delete", "old", error=LostJobError("the task is gone"))
    runner = Runner(MemoryDriver(lab, "memory:"), told, pace=clock.pace())
    (landing,) = runner.run_stage([DeleteVm(vm=vm, vm_name="old")])
    assert landing.error is None


def test_a_clone_whose_job_was_forgotten_is_looked_up_and_made_once(
    lab: MemoryHypervisor, clock: Clock, told: Told, create: CreateClone
) -> None:
    lab.fail("clone", "desk-1", error=LostJobError("the task is gone"))
    runner = Runner(MemoryDriver(lab, "memory:"), told, pace=clock.pace())
    (made,) = runner.run_stage([create])
    assert isinstance(made, Made)
    assert made.verdict.fate is Fate.CREATED
    assert [vm.name for vm in lab.vms].count("desk-1") == 1
    assert lab.calls["AttachClone"] == 1


def test_a_question_is_asked_again_until_it_is_answered(clock: Clock, told: Told) -> None:
    answers: list[object] = [UnreachableError("refused"), LostAnswerError("reset"), "here"]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, LinkedCloneError):
            raise answer
        return str(answer)

    outage = Outage(address="x", patience_seconds=9.0, progress=told, pace=clock.pace())
    assert outage.ask(ask) == "here"
    assert clock.slept == [0.5, 1.0]


def test_who_has_given_up_asks_once(clock: Clock, told: Told) -> None:
    def ask() -> str:
        raise UnreachableError("refused")

    outage = Outage(address="x", patience_seconds=9.0, progress=told, pace=clock.pace())
    outage.give_up()
    with pytest.raises(UnreachableError):
        outage.ask(ask)
    assert clock.slept == []


def test_a_question_that_is_wrong_is_asked_once(clock: Clock, told: Told) -> None:
    def ask() -> str:
        raise NoSpaceError("full")

    outage = Outage(address="x", patience_seconds=9.0, progress=told, pace=clock.pace())
    with pytest.raises(NoSpaceError):
        outage.ask(ask)
    assert clock.slept == []
