"""Batches of clones on the hypervisor in memory: what fails, what is kept, what is undone."""

import threading
from dataclasses import replace

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import (
    CustomizationError,
    EndpointError,
    InterruptedByUserError,
    NameTakenError,
    NoSnapshotError,
    NoSpaceError,
    RefusedError,
    StaleProposalError,
)
from linkedclone.execution.progress import Event, Silent
from linkedclone.model.jobs import Job, JobStatus
from linkedclone.model.plan import CreateFolder, JobStep
from linkedclone.model.report import CloneReport, Status
from linkedclone.model.request import CloneRequest, Placement, SnapshotChoice, Wait
from linkedclone.model.vm import Power
from tests.memory import MemoryHypervisor

REQUEST = CloneRequest(parent="gold", names=("desk-{1..3}",))


@pytest.fixture
def lab() -> MemoryHypervisor:
    hypervisor = MemoryHypervisor()
    gold = hypervisor.add_vm("gold")
    hypervisor.add_snapshot(gold, "base")
    return hypervisor


def connect(lab: MemoryHypervisor) -> Connection:
    return Connection(MemoryDriver(lab, "memory:"), address="memory:")


def statuses(report: CloneReport) -> dict[str, Status]:
    return {clone.name: clone.status for clone in report.clones}


def names(lab: MemoryHypervisor) -> set[str]:
    return {vm.name for vm in lab.vms}


CREATED = {f"desk-{n}": Status.CREATED for n in (1, 2, 3)}
EXISTING = {f"desk-{n}": Status.EXISTING for n in (1, 2, 3)}


def test_each_clone_is_made_proven_and_started(lab: MemoryHypervisor) -> None:
    report = connect(lab).clone(REQUEST)
    assert statuses(report) == CREATED
    assert all(clone.linked is True and clone.power is Power.ON for clone in report.clones)
    assert (report.exit_code, report.parent, report.snapshot) == (0, "gold", "base")


def test_the_same_command_twice_makes_nothing_new(lab: MemoryHypervisor) -> None:
    connect(lab).clone(REQUEST)
    before = lab.vms
    report = connect(lab).clone(REQUEST)
    assert statuses(report) == EXISTING
    assert all(clone.linked for clone in report.clones)
    assert lab.vms == before
    assert lab.calls["CreateClone"] == 3


def test_two_such_commands_at_once_make_each_clone_once(lab: MemoryHypervisor) -> None:
    lab.delays["clone"] = 0.05
    reports: list[CloneReport] = []
    threads = [
        threading.Thread(target=lambda: reports.append(connect(lab).clone(REQUEST)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names(lab)) == ["desk-1", "desk-2", "desk-3", "gold"]
    assert [report.exit_code for report in reports] == [0, 0, 0]
    for name in CREATED:
        assert sum(statuses(report)[name] is Status.CREATED for report in reports) == 1


def test_one_of_n_fails_and_the_others_finish(lab: MemoryHypervisor) -> None:
    lab.fail("clone", "desk-2", error=NoSpaceError("full", details="No space"), leave=True)
    report = connect(lab).clone(REQUEST)
    assert statuses(report) == CREATED | {"desk-2": Status.FAILED}
    assert report.exit_code == 4
    assert names(lab) == {"gold", "desk-1", "desk-3"}
    (failed,) = report.failed
    assert failed.error
    assert (failed.error.stage, failed.error.details) == ("clone", "No space")


def test_failed_cleanup_is_reported(lab: MemoryHypervisor) -> None:
    lab.fail("clone", "desk-2", error=NoSpaceError("full"), leave=True)
    lab.fail("delete", "desk-2")
    (failed,) = connect(lab).clone(REQUEST).failed
    assert failed.error
    assert failed.error.stage == "undo"
    assert "could not be deleted" in failed.error.brief


def test_a_clone_that_did_not_power_on_is_kept_and_taken_up(lab: MemoryHypervisor) -> None:
    lab.fail("power-on", "desk-2")
    report = connect(lab).clone(REQUEST)
    (failed,) = report.failed
    assert failed.error
    assert (failed.error.stage, failed.linked, failed.power) == ("power-on", True, Power.OFF)
    again = connect(lab).clone(REQUEST)
    assert statuses(again) == EXISTING
    assert all(clone.power is Power.ON for clone in again.clones)
    assert lab.calls["CreateClone"] == 3


def test_taking_up_reports_a_power_on_that_fails_again(lab: MemoryHypervisor) -> None:
    lab.fail("power-on", "desk-2", times=2)
    connect(lab).clone(REQUEST)
    report = connect(lab).clone(REQUEST)
    assert statuses(report) == EXISTING | {"desk-2": Status.FAILED}
    assert report.exit_code == 4


def test_a_full_copy_in_place_of_a_linked_clone_is_deleted_and_fails(
    lab: MemoryHypervisor,
) -> None:
    lab.degrade()
    report = connect(lab).clone(REQUEST)
    (failed,) = report.failed
    assert failed.linked is False
    assert failed.error
    assert failed.error.stage == "proof"
    assert failed.name not in names(lab)


def test_a_hidden_chain_is_reported_and_never_undone(lab: MemoryHypervisor) -> None:
    lab.hide(3)
    report = connect(lab).clone(REQUEST)
    assert statuses(report) == CREATED
    assert all(clone.document()["proof"] == "hidden" for clone in report.clones)
    assert all(clone.linked is None for clone in report.clones)


def test_failed_customization_leaves_nothing(lab: MemoryHypervisor) -> None:
    lab.fail("power-on", "desk-1", error=CustomizationError("one setting for two cards"))
    report = connect(lab).clone(REQUEST)
    assert statuses(report)["desk-1"] is Status.FAILED
    assert "desk-1" not in names(lab)


def test_a_call_that_is_refused_fails_only_its_clone(lab: MemoryHypervisor) -> None:
    lab.fail("clone", "desk-3", at="submit")
    report = connect(lab).clone(REQUEST)
    assert statuses(report) == CREATED | {"desk-3": Status.FAILED}


def test_a_parent_without_a_snapshot_is_refused_with_the_way_out(lab: MemoryHypervisor) -> None:
    lab.add_vm("bare")
    with pytest.raises(NoSnapshotError) as caught:
        connect(lab).clone(replace(REQUEST, parent="bare"))
    assert "``snapshot`` new" in caught.value.hint
    assert names(lab) == {"gold", "bare"}


def test_a_new_snapshot_is_taken_once_for_all_clones(lab: MemoryHypervisor) -> None:
    lab.add_vm("bare")
    request = replace(REQUEST, parent="bare", snapshot=SnapshotChoice(kind="new", name="now"))
    with connect(lab) as here:
        report = here.clone(request)
        again = here.clone(request)
        assert [snapshot.name for snapshot in here.snapshots.list("bare")] == ["now"]
    assert statuses(report) == CREATED
    assert statuses(again) == EXISTING
    assert (report.snapshot, all(clone.linked for clone in report.clones)) == ("now", True)


def test_a_failed_snapshot_makes_no_clone(lab: MemoryHypervisor) -> None:
    lab.fail("snapshot", "gold", error=NoSpaceError("full"))
    with pytest.raises(NoSpaceError):
        connect(lab).clone(replace(REQUEST, snapshot=SnapshotChoice(kind="new")))
    assert names(lab) == {"gold"}


def test_an_interrupted_snapshot_makes_no_clone(lab: MemoryHypervisor) -> None:
    class Interrupting(Silent):
        def update(self, event: Event) -> None:
            if (event.action, event.status) == ("snapshot", JobStatus.QUEUED):
                raise KeyboardInterrupt

    lab.delays["snapshot"] = 0.1
    request = replace(REQUEST, snapshot=SnapshotChoice(kind="new", name="now"))
    with pytest.raises(InterruptedByUserError) as caught:
        connect(lab).clone(request, progress=Interrupting())
    assert caught.value.brief == ("interrupted: the snapshot 'now' of gold goes on at the endpoint")
    assert lab.calls["CreateClone"] == 0


def test_a_folder_that_cannot_be_made_makes_no_clone(lab: MemoryHypervisor) -> None:
    class NoFolders(MemoryDriver):
        def start(self, step: JobStep) -> Job:
            if isinstance(step, CreateFolder):
                raise RefusedError("no folders for you")
            return super().start(step)

    request = replace(REQUEST, placement=Placement(folder="Desktops", create_folder=True))
    with pytest.raises(RefusedError, match="no folders for you"):
        Connection(NoFolders(lab, "memory:"), address="memory:").clone(request)
    assert lab.calls["CreateClone"] == 0


def test_nothing_more_is_made_for_clones_whose_snapshot_failed(lab: MemoryHypervisor) -> None:
    lab.fail("snapshot", "gold", error=NoSpaceError("full"))
    new = SnapshotChoice(kind="new", name="now")
    place = Placement(folder="Desktops", create_folder=True)
    with pytest.raises(NoSpaceError, match="full"):
        connect(lab).clone(replace(REQUEST, snapshot=new, placement=place))
    assert (lab.calls["CreateFolder"], lab.calls["CreateClone"]) == (0, 0)


def test_a_foreign_name_is_refused_before_anything_is_sent(lab: MemoryHypervisor) -> None:
    lab.add_vm("desk-2")
    with pytest.raises(NameTakenError):
        connect(lab).clone(REQUEST)
    assert lab.calls["CreateClone"] == 0


def test_a_killed_runs_jobs_go_on_and_the_next_run_ends_with_exactly_n(
    lab: MemoryHypervisor,
) -> None:
    lab.delays["clone"] = 0.1
    here = connect(lab)
    for step in here.propose_clone(REQUEST).plan.creates[:2]:
        MemoryDriver(lab, "memory:").start(step)
    report = connect(lab).clone(REQUEST)
    assert report.exit_code == 0
    assert statuses(report) == EXISTING | {"desk-3": Status.CREATED}
    assert names(lab) == {"gold", "desk-1", "desk-2", "desk-3"}


def test_when_the_other_runs_clone_fails_it_is_made_again(lab: MemoryHypervisor) -> None:
    lab.delays["clone"] = 0.1
    lab.fail("clone", "desk-1")
    steps = connect(lab).propose_clone(REQUEST).plan.creates
    MemoryDriver(lab, "memory:").start(steps[0])
    report = connect(lab).clone(REQUEST)
    assert statuses(report) == CREATED


class Interrupting(Silent):
    """Presses Ctrl-C when the first clone is done."""

    def update(self, event: Event) -> None:
        if event.status is JobStatus.DONE:
            raise KeyboardInterrupt


def test_an_interrupt_says_what_goes_on(lab: MemoryHypervisor) -> None:
    report = connect(lab).clone(replace(REQUEST, parallel=1), Interrupting())
    assert report.exit_code == 130
    kinds = statuses(report)
    assert kinds["desk-1"] is Status.CREATED
    assert kinds["desk-3"] is Status.SKIPPED
    skipped = report.clones[2].error
    assert skipped
    assert "run the same command again" in skipped.hint
    assert connect(lab).clone(REQUEST).exit_code == 0


class Unplugging(Silent):
    """Cuts the connection when the first job is accepted."""

    def __init__(self, lab: MemoryHypervisor) -> None:
        self.lab = lab

    def update(self, event: Event) -> None:
        if event.status is JobStatus.QUEUED:
            self.lab.disconnect(EndpointError("the server is gone"))


def test_a_lost_endpoint_still_gives_a_report_and_the_next_run_completes(
    lab: MemoryHypervisor,
) -> None:
    lab.delays["clone"] = 0.05
    report = connect(lab).clone(REQUEST, Unplugging(lab))
    assert report.exit_code == 1
    assert all(clone.error and "gone" in clone.error.brief for clone in report.clones)
    lab.reconnect()
    assert connect(lab).clone(REQUEST).exit_code == 0
    assert names(lab) == {"gold", "desk-1", "desk-2", "desk-3"}


def test_no_more_are_in_flight_than_asked_for(lab: MemoryHypervisor) -> None:
    lab.delays["clone"] = 0.01
    report = connect(lab).clone(replace(REQUEST, names=("desk-{01..20}",), parallel=4))
    assert report.exit_code == 0
    assert len(report.clones) == 20


def test_a_silent_guest_is_reported_and_kept(lab: MemoryHypervisor) -> None:
    request = replace(REQUEST, names=("desk-1",), wait=Wait.IP, wait_seconds=0.1)
    (failed,) = connect(lab).clone(request).failed
    assert failed.error
    assert failed.error.stage == "wait"
    assert "desk-1" in names(lab)


def test_a_dry_run_sends_nothing(lab: MemoryHypervisor) -> None:
    with connect(lab) as here:
        prepared = here.propose_clone(REQUEST).plan
        assert len(here.preview(prepared)) == 3
        assert {c.status for c in here.planned(prepared).clones} == {Status.PLANNED}
    assert names(lab) == {"gold"}


def test_a_plan_that_has_changed_since_it_was_shown_is_not_carried_out(
    lab: MemoryHypervisor,
) -> None:
    with connect(lab) as here:
        here.clone(replace(REQUEST, power_on=False))
        proposal = here.vms.propose_delete(["desk-1"])
        here.vms.set_power(["desk-1"], Power.ON)
        with pytest.raises(StaleProposalError, match="changed in the meantime") as caught:
            proposal.apply()
    assert caught.value.details == "new: power-off desk-1"
    assert "desk-1" in names(lab)


def test_a_clone_that_cannot_be_stopped_is_not_deleted_and_the_others_are(
    lab: MemoryHypervisor,
) -> None:
    lab.fail("power-off", "desk-1")
    with connect(lab) as here:
        here.clone(REQUEST)
        report = here.delete(["desk-1", "desk-2"])
    assert {r.name: r.status for r in report.results} == {
        "desk-1": Status.FAILED,
        "desk-2": Status.DONE,
    }
    assert report.exit_code == 4
    assert "desk-1" in names(lab)
