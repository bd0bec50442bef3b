"""Places and sources on the hypervisor in memory: what is modelled, and what is refused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from linkedclone.app.clone.job import CloneJob, prepare
from linkedclone.app.proposal import Acting
from linkedclone.app.vms.golden_images import Parents
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import (
    HypervisorError,
    InputError,
    InterruptedByUserError,
    NoSnapshotError,
)
from linkedclone.execution.progress import Silent
from linkedclone.model.findings import Verdict
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import JobStep, SetTemplate
from linkedclone.model.report import CloneReport, Status
from linkedclone.model.request import (
    CloneRequest,
    Mending,
    Placement,
    SnapshotChoice,
)
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.memory import MemoryHypervisor

PLAIN = CloneRequest(parent="golden", names=("desk-1",))
NEW = SnapshotChoice(kind="new")


@pytest.fixture
def hypervisor() -> MemoryHypervisor:
    made = MemoryHypervisor()
    made.add_snapshot(made.add_vm("golden"), "base")
    made.add_vm("bare")
    return made


@pytest.fixture
def driver(hypervisor: MemoryHypervisor) -> MemoryDriver:
    return MemoryDriver(hypervisor)


def run(driver: MemoryDriver, request: CloneRequest) -> CloneReport:
    return CloneJob(driver, prepare(driver, request), Silent()).run("memory:")


def vm(hypervisor: MemoryHypervisor, name: str) -> Vm:
    (found,) = [vm for vm in hypervisor.vms if vm.name == name]
    return found


# -- what is modelled ---------------------------------------------------------------------


def test_a_missing_folder_is_made_and_the_second_run_finds_the_clones(driver: MemoryDriver) -> None:
    request = replace(PLAIN, placement=Placement(folder="VDI/a", create_folder=True))
    first, second = run(driver, request), run(driver, request)
    assert driver.find_vms(["desk-1"])[0].path == "/vm/VDI/a/desk-1"
    assert [c.status for c in first.clones + second.clones] == [Status.CREATED, Status.EXISTING]
    assert first.clones[0].uuid == second.clones[0].uuid


def test_a_batch_is_spread_over_datastores(driver: MemoryDriver) -> None:
    request = replace(PLAIN, names=("d-{1..4}",), placement=Placement(spread="datastore"))
    run(driver, request)
    made = driver.find_vms(["d-1", "d-2", "d-3", "d-4"])
    assert Counter(one.disks[0].top.store_name for one in made) == {"ssd1": 2, "ssd2": 2}
    with pytest.raises(InputError):
        run(driver, replace(PLAIN, placement=Placement(spread="datastore", datastore="ssd1")))


# -- templates ----------------------------------------------------------------------------

PREPARED = CloneRequest(
    parent="bare", names=("desk-1",), snapshot=SnapshotChoice(prepare_template=True)
)


@pytest.fixture
def template(hypervisor: MemoryHypervisor) -> Vm:
    hypervisor.mark_template(vm(hypervisor, "bare").id)
    return vm(hypervisor, "bare")


def test_a_template_is_prepared_once(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, template: Vm
) -> None:
    assert run(driver, PREPARED).clones[0].linked is True
    assert vm(hypervisor, "bare").template
    assert run(driver, replace(PREPARED, names=("desk-2",))).clones[0].linked is True
    assert len(vm(hypervisor, "bare").snapshots) == 1


@pytest.mark.parametrize("at", ["submit", "job"])
def test_a_template_is_one_again_when_its_snapshot_fails(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, template: Vm, at: str
) -> None:
    hypervisor.fail("snapshot", at="submit" if at == "submit" else "job")
    with pytest.raises(HypervisorError):
        run(driver, PREPARED)
    assert vm(hypervisor, "bare").template


def test_a_template_is_one_again_after_an_interrupt(
    hypervisor: MemoryHypervisor,
    driver: MemoryDriver,
    template: Vm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, interrupts = driver.wait, iter((KeyboardInterrupt,))

    def wait(jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        for interrupt in interrupts if jobs[0].action == "snapshot" else ():
            raise interrupt
        return real(jobs, timeout_seconds)

    monkeypatch.setattr(driver, "wait", wait)
    with pytest.raises(InterruptedByUserError, match="a template as before, with the snapshot"):
        run(driver, PREPARED)
    assert vm(hypervisor, "bare").template
    assert hypervisor.calls["CreateClone"] == 0


def test_a_template_is_one_again_after_an_interrupt_of_its_unmarking(
    hypervisor: MemoryHypervisor,
    driver: MemoryDriver,
    template: Vm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = driver.start

    def start(step: JobStep) -> Job:
        job = real(step)
        if isinstance(step, SetTemplate) and not step.template:
            raise KeyboardInterrupt
        return job

    monkeypatch.setattr(driver, "start", start)
    with pytest.raises(InterruptedByUserError, match=r"a template as before$"):
        run(driver, PREPARED)
    assert vm(hypervisor, "bare").template
    assert vm(hypervisor, "bare").snapshots == ()


def test_a_vm_left_by_a_killed_run_is_reported(driver: MemoryDriver) -> None:
    with pytest.raises(NoSnapshotError, match="is not a template") as caught:
        run(driver, PREPARED)
    assert "template again" in caught.value.hint


# -- golden images ------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["power-off", "disconnect-media", "mark", "snapshot"])
def test_what_mends_a_golden_image_is_interrupted_as_every_command(
    hypervisor: MemoryHypervisor,
    driver: MemoryDriver,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
) -> None:
    bare, real = vm(hypervisor, "bare"), driver.wait
    driver.wait([driver.start(do.set_power(bare, Power.ON))], 5)

    def wait(jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        if jobs[0].action == action:
            raise KeyboardInterrupt
        return real(jobs, timeout_seconds)

    monkeypatch.setattr(driver, "wait", wait)
    mending = Mending(power_off=True, disconnect_media=True, snapshot="2026-11")
    parents = Parents(Acting(driver, address="memory:", log_folder=None))
    with pytest.raises(InterruptedByUserError, match=f"interrupted: {action} of bare"):
        parents.prepare("bare", mending)


def test_a_golden_image_is_checked_and_mended(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    bare = vm(hypervisor, "bare")
    hypervisor.insert_media(bare.id)
    driver.wait([driver.start(do.set_power(bare, Power.ON))], 5)
    parents = Parents(Acting(driver, address="memory:", log_folder=None))
    before = parents.prepare("bare", Mending())
    verdicts = {one.check: one.verdict for one in before.findings}
    assert (verdicts["snapshot"], verdicts["media"]) == (Verdict.FAILED, Verdict.WARNING)
    assert (before.exit_code, before.mended) == (1, ())
    mending = Mending(power_off=True, disconnect_media=True, snapshot="2026-11")
    after = parents.prepare("bare", mending)
    assert [one.action for one in after.mended] == ["power-off", "disconnect-media", "snapshot"]
    assert {one.verdict for one in after.findings} == {Verdict.OK}
    assert after.exit_code == 0
