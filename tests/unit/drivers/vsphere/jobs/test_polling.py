"""When tasks are read, what they say, and when single finds are cheaper."""

import pytest
from pyVmomi import vim, vmodl

from linkedclone.drivers.vsphere.inventory.folder_children import prefers_finds
from linkedclone.drivers.vsphere.jobs.attach import Attachment, CloneTasks
from linkedclone.drivers.vsphere.jobs.attach import build_state as build_attached
from linkedclone.drivers.vsphere.jobs.task_outcome import build_state
from linkedclone.drivers.vsphere.jobs.tasks import pause_seconds
from linkedclone.drivers.vsphere.login import choose_version
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.errors import (
    DuplicateNameError,
    GoneError,
    HypervisorError,
    LostJobError,
    PowerOnError,
)
from linkedclone.model.jobs import Job, JobStatus
from linkedclone.model.values.ids import FolderId, JobId, VmId
from tests.unit.drivers.vsphere.build import seen


def job(action: str = "clone") -> Job:
    return Job(id=JobId("task-1"), about="desk-001", action=action)


# -- pauses ---------------------------------------------------------------------------


def test_pauses_grow_with_the_age_of_the_oldest_job() -> None:
    assert pause_seconds(0, jobs=100) == 0.05
    assert pause_seconds(0.2, jobs=100) == 0.05
    assert pause_seconds(2, jobs=100) == pytest.approx(0.12)
    assert pause_seconds(2, jobs=1) == pytest.approx(0.08)
    assert pause_seconds(3600, jobs=1) == 2.0


def test_a_task_of_two_seconds_costs_few_polls() -> None:
    age, polls = 0.0, 0
    while age < 2:
        age, polls = age + pause_seconds(age, jobs=100), polls + 1
    assert polls <= 35


# -- what a task says -----------------------------------------------------------------


def test_a_done_clone_gives_its_vm() -> None:
    task = seen("Task", "task-1", info__state="success", info__result=vim.VirtualMachine("vm-9"))
    state = build_state(job(), task)
    assert (state.status, state.result) == (JobStatus.DONE, "vm-9")


@pytest.mark.parametrize("action", ["clone", "snapshot"])
def test_a_task_that_does_not_tell_what_it_made_is_one_to_look_after(action: str) -> None:
    """The clone is there, and was reported as deleted by somebody."""
    state = build_state(job(action), seen("Task", "task-1", info__state="success"))
    assert isinstance(state.error, LostJobError)
    assert build_state(job("delete"), seen("Task", "t", info__state="success")).error is None


def test_a_running_task_gives_its_progress() -> None:
    state = build_state(job(), seen("Task", "task-1", info__state="running", info__progress=40))
    assert (state.status, state.percent) == (JobStatus.RUNNING, 40)


def test_a_failed_task_gives_its_translated_error() -> None:
    fault = vim.fault.DuplicateName(msg="taken", name="desk-001")
    state = build_state(job(), seen("Task", "task-1", info__state="error", info__error=fault))
    assert state.status is JobStatus.FAILED
    assert isinstance(state.error, DuplicateNameError)


def test_a_task_that_is_gone_has_failed() -> None:
    assert isinstance(build_state(job(), None).error, GoneError)


@pytest.mark.parametrize("state", [None, "", "meditating"])
def test_a_task_without_a_state_is_not_running(state: str | None) -> None:
    task = Seen(
        kind="Task",
        id="task-1",
        values={} if state is None else {"info.state": state},
        refused={"info.state": "NoPermission: privilegeId System.View"} if state is None else {},
    )
    ended = build_state(job(), task)
    assert isinstance(ended.error, LostJobError)
    assert (state or "System.View") in ended.error.details or state == ""
    assert "look whether it was done" in ended.error.hint


def test_deleting_a_missing_vm_succeeds() -> None:
    task = seen(
        "Task", "task-1", info__state="error", info__error=vmodl.fault.ManagedObjectNotFound()
    )
    assert build_state(job("delete"), task).status is JobStatus.FAILED
    assert build_state(job("revert"), task).status is JobStatus.FAILED


@pytest.mark.parametrize(
    ("action", "existing", "status"),
    [
        ("power-on", "poweredOn", JobStatus.DONE),
        ("power-off", "poweredOff", JobStatus.DONE),
        ("power-on", "suspended", JobStatus.FAILED),
        ("delete", "poweredOn", JobStatus.FAILED),
    ],
)
def test_a_power_state_that_is_so_already_is_done(
    action: str, existing: str, status: JobStatus
) -> None:
    fault = vim.fault.InvalidPowerState(existingState=existing, requestedState="poweredOn")
    task = seen("Task", "task-1", info__state="error", info__error=fault)
    assert build_state(job(action), task).status is status


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("[ssd1] a b/a b-000001.vmdk", JobStatus.DONE),
        ("/vmfs/volumes/5f3c-11/a b/a b-000001.vmdk", JobStatus.DONE),
        ("a b/a b-000001.vmdk", JobStatus.DONE),
        ("[ssd1] a b/a b-000002.vmdk", JobStatus.FAILED),
        ("[ssd2] a b/a b-000001.vmdk", JobStatus.FAILED),
        ("/vmfs/volumes/5f3c-11/c/a b/a b-000001.vmdk", JobStatus.FAILED),
        ("[ssd1]", JobStatus.FAILED),
        ("", JobStatus.FAILED),
    ],
)
def test_a_removal_is_done_only_if_the_file_that_is_missing_is_its_own(
    told: str, status: JobStatus
) -> None:
    fault = vim.fault.FileNotFound(file=told)
    task = seen("Task", "task-1", info__state="error", info__error=fault)
    subject = "[ssd1] a b/a b-000001.vmdk"
    for action in ("remove", "delete", "unregister"):
        assert build_state(job(action), task, subject=subject).status is status
    assert build_state(job("delete"), task).status is JobStatus.FAILED
    assert build_state(job("snapshot"), task, subject=subject).status is JobStatus.FAILED


def test_a_start_that_fails_for_any_reason_is_a_power_on_error() -> None:
    task = seen("Task", "task-1", info__state="error", info__error=vmodl.fault.SystemError())
    assert isinstance(build_state(job("power-on"), task).error, PowerOnError)
    assert type(build_state(job("power-off"), task).error) is HypervisorError


# -- clones that another run is creating ----------------------------------------------

ATTACHMENT = Attachment(
    job=job("attach"), source=VmId("vm-1"), folder=FolderId("group-v3"), pool=""
)
WHOLE = seen("VirtualMachine", "vm-9", name="desk-001", config__instanceUuid="abc")
HALF = seen("VirtualMachine", "vm-9", name="desk-001")


def test_an_attached_clone_is_done_when_its_task_has_made_it() -> None:
    tasks = CloneTasks(running=True, made={VmId("vm-9")})
    state = build_attached(ATTACHMENT, tasks, WHOLE)
    assert (state.status, state.result) == (JobStatus.DONE, "vm-9")


def test_an_attached_clone_is_done_when_it_exists_and_no_task_runs() -> None:
    assert build_attached(ATTACHMENT, CloneTasks(), WHOLE).status is JobStatus.DONE


@pytest.mark.parametrize("vm", [None, HALF, WHOLE])
def test_an_attached_clone_is_waited_for_while_its_task_may_run(vm: object) -> None:
    state = build_attached(ATTACHMENT, CloneTasks(running=True), vm)  # type: ignore[arg-type]  # all three are
    assert state.status is JobStatus.RUNNING


@pytest.mark.parametrize("vm", [None, HALF])
def test_an_attached_clone_is_gone_when_nothing_makes_it(vm: object) -> None:
    state = build_attached(ATTACHMENT, CloneTasks(), vm)  # type: ignore[arg-type]  # both are
    assert isinstance(state.error, GoneError)
    assert state.error.hint


# -- finds or a read ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "children", "finds"),
    [(1, 4000, True), (100, 4000, True), (100, 50, False), (500, 500, False), (10, 10, False)],
)
def test_the_cheaper_way_to_look_names_up(names: int, children: int, finds: bool) -> None:
    assert prefers_finds(names, children) is finds


def test_an_empty_folder_needs_no_find() -> None:
    assert not prefers_finds(100, 0)


# -- versions -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "chosen"),
    [
        ("8.0.3.0", "vim.version.v8_0_3_0"),
        ("8.0.3.5", "vim.version.v8_0_3_1"),
        ("7.0.3.0", "vim.version.v7_0_3_0"),
        ("6.7.3", "vim.version.version15"),
        ("99.0.0.0", "vim.version.v9_1_1_0"),
        ("odd", "vim.version.version11"),
    ],
)
def test_the_newest_common_version_is_spoken(server: str, chosen: str) -> None:
    assert choose_version(server) == chosen
