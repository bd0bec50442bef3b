"""What this run cannot know it does not undo; what others made it does not misjudge."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import (
    BusyError,
    HypervisorError,
    InUseError,
    LinkedCloneError,
    PowerOnError,
    RefusedError,
)
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone, JobStep, WriteMark
from linkedclone.model.report import CloneReport, Status
from linkedclone.model.request import CloneRequest, Deletion, SnapshotChoice
from linkedclone.model.vm import Mark, Power, Vm
from tests.memory import MemoryHypervisor

REQUEST = CloneRequest(parent="gold", names=("desk-{1..3}",))


class Forgetful(MemoryDriver):
    """Fails in one way each time it is told to."""

    def __init__(self, hypervisor: MemoryHypervisor) -> None:
        super().__init__(hypervisor, "memory:")
        self.lab = hypervisor
        self.wait_error: LinkedCloneError | None = None
        self.observe_error: LinkedCloneError | None = None
        self.lose_answers = 0
        self.adopt_error: LinkedCloneError | None = None

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        error, self.wait_error = self.wait_error, None
        if error:
            super().wait(jobs, timeout_seconds)
            raise error
        return super().wait(jobs, timeout_seconds)

    def observe_vms(self, ids: Sequence[str]) -> tuple[Vm, ...]:
        if self.observe_error:
            raise self.observe_error
        return super().observe_vms(ids)  # type: ignore[arg-type]

    def start(self, step: JobStep) -> Job:
        if isinstance(step, WriteMark) and self.adopt_error:
            raise self.adopt_error
        job = super().start(step)
        if isinstance(step, CreateClone) and self.lose_answers:
            self.lose_answers -= 1
            raise BusyError("the connection broke")
        return job


@pytest.fixture
def lab() -> MemoryHypervisor:
    hypervisor = MemoryHypervisor()
    hypervisor.add_snapshot(hypervisor.add_vm("gold"), "base")
    return hypervisor


@pytest.fixture
def driver(lab: MemoryHypervisor) -> Forgetful:
    return Forgetful(lab)


def clone(driver: MemoryDriver, **wanted: object) -> CloneReport:
    request = replace(REQUEST, **wanted)  # type: ignore[arg-type]  # fields by name
    return Connection(driver, address="memory:").clone(request)


def statuses(report: CloneReport) -> set[Status]:
    return {made.status for made in report.clones}


def names(lab: MemoryHypervisor) -> set[str]:
    return {vm.name for vm in lab.vms}


ALL = {"gold", "desk-1", "desk-2", "desk-3"}


def test_a_poll_that_fails_destroys_no_good_clone(lab: MemoryHypervisor, driver: Forgetful) -> None:
    driver.wait_error = HypervisorError("system error")
    report = clone(driver, names=("desk-1",))
    assert statuses(report) == {Status.CREATED}
    assert report.clones[0].linked is True


def test_a_poll_that_fails_leaves_alone_what_may_still_be_starting(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    lab.fail("power-on", "desk-1", times=9)
    driver.wait_error = HypervisorError("system error")
    report = clone(driver, names=("desk-1",))
    assert statuses(report) == {Status.FAILED}
    assert "desk-1" in names(lab)


def test_a_clone_whose_answer_was_lost_is_found_again(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    driver.lose_answers = 2
    report = clone(driver)
    assert statuses(report) == {Status.CREATED}
    assert names(lab) == ALL


def test_a_call_that_was_busy_is_made_once_more(lab: MemoryHypervisor, driver: Forgetful) -> None:
    lab.fail("clone", "desk-1", error=BusyError("busy"), at="submit")
    assert statuses(clone(driver)) == {Status.CREATED}


def test_when_nothing_can_be_read_any_more_the_report_still_comes(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    driver.observe_error = BusyError("the connection broke")
    report = clone(driver)
    assert statuses(report) == {Status.FAILED}
    assert names(lab) == ALL
    assert all(made.error and "run the same command" in made.error.hint for made in report.clones)


def test_a_good_clone_that_fails_to_start_is_kept_whatever_the_reason(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    lab.fail("power-on", "desk-2", error=HypervisorError("no licence"))
    (failed,) = clone(driver).failed
    assert failed.error
    assert failed.error.stage == "power-on"
    assert names(lab) == ALL


def renumber(lab: MemoryHypervisor, name: str) -> None:
    """Leave a clone as a run does that was killed before it could mend the mark."""
    (vm,) = (vm for vm in lab.vms if vm.name == name)
    assert vm.mark
    machine = lab._estate.machine(vm.id)
    machine.uuid = "12345678-1234-4234-8234-123456789abc"


def test_a_mark_that_was_not_mended_is_mended_by_the_next_run(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    clone(driver)
    renumber(lab, "desk-1")
    assert statuses(clone(driver)) == {Status.EXISTING}
    assert all(vm.owner for vm in lab.vms if vm.name != "gold")


def test_a_mark_that_cannot_be_mended_fails_its_clone_alone(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    clone(driver)
    renumber(lab, "desk-1")
    driver.adopt_error = HypervisorError("no permission")
    report = clone(driver)
    assert [made.name for made in report.failed] == ["desk-1"]
    assert report.exit_code == 4


def test_an_inherited_mark_is_not_mended(lab: MemoryHypervisor, driver: Forgetful) -> None:
    stranger = lab.add_vm("desk-1")
    lab.set_mark(stranger, Mark(owner="linkedclone", uuid="somebody else's"))
    with pytest.raises(RefusedError):
        clone(driver)


def test_a_full_copy_that_bears_our_mark_is_not_called_good(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    lab.degrade()
    steps = Connection(driver, address="memory:").propose_clone(REQUEST).plan.creates
    MemoryDriver(lab, "memory:").start(steps[0])
    report = clone(driver)
    (failed,) = report.failed
    assert (failed.name, failed.linked) == ("desk-1", False)
    assert "desk-1" in names(lab)
    assert clone(driver).exit_code == 4


def test_a_clone_with_a_hidden_chain_protects_its_parent_and_snapshot(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    lab.hide(1)
    clone(driver, names=("desk-1",))
    here = Connection(driver, address="memory:")
    with pytest.raises(InUseError, match="gold"):
        here.delete(["gold"], Deletion(force=True))
    with pytest.raises(InUseError, match="base"):
        here.snapshots.delete("gold", "base", force=True)
    (family,) = here.lineage.tree("gold")
    assert "desk-1" in str(family.document())


def test_an_attached_clone_that_is_off_is_started(lab: MemoryHypervisor, driver: Forgetful) -> None:
    lab.delays["clone"] = 0.1
    lab.fail("power-on", "desk-1", error=PowerOnError("no host"))
    steps = Connection(driver, address="memory:").propose_clone(REQUEST).plan.creates
    MemoryDriver(lab, "memory:").start(steps[0])
    report = clone(driver)
    assert report.exit_code == 0
    assert {made.power for made in report.clones} == {Power.ON}


def test_the_parent_of_a_running_clone_job_is_not_deleted(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    lab.delays["clone"] = 5.0
    here = Connection(driver, address="memory:")
    for step in here.propose_clone(REQUEST).plan.creates:
        driver.start(step)
    with pytest.raises(BusyError, match="gold"):
        here.delete(["gold"], Deletion(force=True))
    with pytest.raises(BusyError, match="gold"):
        here.snapshots.delete("gold", "base", force=True)


def test_a_new_snapshot_without_dependents_is_reported(
    lab: MemoryHypervisor, driver: Forgetful
) -> None:
    lab.fail("clone", times=-1)
    report = clone(driver, snapshot=SnapshotChoice(kind="new", name="now"))
    assert statuses(report) == {Status.FAILED}
    assert "'now'" in report.notes[0]


def test_a_second_snapshot_of_one_name_is_refused(lab: MemoryHypervisor, driver: Forgetful) -> None:
    with pytest.raises(RefusedError, match="base"):
        clone(driver, snapshot=SnapshotChoice(kind="new", name="base"))
