"""What the hypervisor in memory does beyond the contract: its clock, and failing on demand."""

from dataclasses import dataclass, replace

import pytest

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.drivers.registry import open_driver
from linkedclone.errors import (
    AmbiguousError,
    DuplicateNameError,
    EndpointError,
    GoneError,
    NoSpaceError,
    PowerOnError,
    SessionLostError,
)
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.proof import prove_linked
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.ids import JobId, StoreId
from linkedclone.model.vm import Mark, Power
from tests import do
from tests.memory import MemoryHypervisor


@dataclass
class Clock:
    """A clock that only goes on when somebody sleeps."""

    seconds: float = 100.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hypervisor(clock: Clock) -> MemoryHypervisor:
    made = MemoryHypervisor(now=clock.now, sleep=clock.sleep)
    made.add_snapshot(made.add_vm("golden"), "base")
    return made


@pytest.fixture
def driver(hypervisor: MemoryHypervisor) -> MemoryDriver:
    return MemoryDriver(hypervisor)


def step_for(driver: MemoryDriver, name: str, parent: str = "golden") -> CreateClone:
    (source,) = driver.find_vms([parent])
    target = driver.resolve_target(source, CloneRequest(parent=parent, names=(name,)))
    mark = Mark(owner="linkedclone", uuid=f"uuid-{name}")
    return CreateClone(
        source=source,
        snapshot=source.snapshots[-1],
        target=target,
        name=name,
        uuid=mark.uuid,
        mark=mark,
    )


def end(driver: MemoryDriver, job: Job) -> JobState:
    (state,) = driver.wait([job], 1000.0)
    return state


def test_a_job_takes_effect_when_it_is_due(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, clock: Clock
) -> None:
    hypervisor.delays["clone"] = 10.0
    step = step_for(driver, "desk")
    job = driver.start(step)
    clock.sleep(4.0)
    (state,) = driver.wait([job], 0.0)
    assert (state.status, state.percent) == (JobStatus.RUNNING, 40)
    assert driver.observe_names(step.target, ["desk"]) == ()
    clock.sleep(6.0)
    assert len(driver.observe_names(step.target, ["desk"])) == 1


def test_waiting_lasts_until_the_first_job_is_due(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, clock: Clock
) -> None:
    hypervisor.delays["clone"] = 10.0
    slow = driver.start(step_for(driver, "slow"))
    hypervisor.delays["clone"] = 3.0
    quick = driver.start(step_for(driver, "quick"))
    states = driver.wait([slow, quick], 60.0)
    assert [state.finished for state in states] == [False, True]
    assert clock.now() == pytest.approx(103.0)


def test_jobs_take_effect_in_the_order_in_which_they_are_due(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, clock: Clock
) -> None:
    hypervisor.delays["clone"] = 10.0
    late = driver.start(step_for(driver, "late"))
    hypervisor.delays["clone"] = 3.0
    early = driver.start(step_for(driver, "early"))
    clock.sleep(60.0)
    assert [state.result for state in driver.wait([early, late], 0.0)] == ["vm-2", "vm-3"]


def test_an_unknown_job_has_failed(driver: MemoryDriver) -> None:
    state = end(driver, Job(id=JobId("job-99"), about="desk", action="clone"))
    assert isinstance(state.error, GoneError)


def test_a_failure_occurs_as_often_as_requested(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    hypervisor.fail("clone", "desk", error=NoSpaceError("full"), times=2)
    step = step_for(driver, "desk")
    ends = [end(driver, driver.start(step)).status for _ in range(3)]
    assert ends == [JobStatus.FAILED, JobStatus.FAILED, JobStatus.DONE]


def test_a_failure_without_an_end_strikes_for_ever(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    hypervisor.fail("clone", times=-1)
    for name in ("one", "two", "three"):
        state = end(driver, driver.start(step_for(driver, name)))
        assert state.status is JobStatus.FAILED


def test_a_half_made_clone_has_no_disks_cannot_start_and_is_not_attached_to(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    hypervisor.fail("clone", "desk", leave=True)
    step = step_for(driver, "desk")
    end(driver, driver.start(step))
    (left,) = driver.observe_names(step.target, ["desk"])
    assert left.disks == ()
    assert left.valid_mark == step.mark
    assert end(driver, driver.start(do.set_power(left, Power.ON))).status is JobStatus.FAILED
    assert isinstance(end(driver, driver.start(do.attach(step))).error, GoneError)


def test_a_clone_that_does_not_start_fails_with_a_power_on_error(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    hypervisor.fail("power-on", "desk")
    assert isinstance(end(driver, driver.start(step_for(driver, "desk"))).error, PowerOnError)


def test_names_are_taken_without_regard_to_case(driver: MemoryDriver) -> None:
    end(driver, driver.start(step_for(driver, "Desk")))
    with pytest.raises(DuplicateNameError):
        driver.start(step_for(driver, "dESK"))


def test_attaching_to_the_clone_of_another_source_fails(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    hypervisor.add_snapshot(hypervisor.add_vm("silver"), "base")
    hypervisor.delays["clone"] = 10.0
    driver.start(step_for(driver, "desk"))
    attached = driver.start(do.attach(step_for(driver, "desk", parent="silver")))
    assert isinstance(end(driver, attached).error, GoneError)


def test_deleting_the_last_reader_of_a_base_deletes_the_base(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    made = driver.start(replace(step_for(driver, "desk"), power_on=False))
    clone = str(end(driver, made).result)
    golden, desk = hypervisor.vms
    assert desk.id == clone
    end(driver, driver.start(do.delete_vm(golden)))
    assert [file.path for file in sorted(hypervisor.files)] == [
        "desk/desk.vmdk",
        "golden/golden.vmdk",
    ]
    end(driver, driver.start(do.delete_vm(desk)))
    assert hypervisor.files == frozenset()


def test_files_are_named_as_vsphere_names_them(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    golden = hypervisor.vms[0].id
    hypervisor.add_disk(golden)
    hypervisor.add_snapshot(golden, "second")
    end(driver, driver.start(step_for(driver, "desk")))
    paths = [[layer.path for layer in disk.chain] for disk in hypervisor.vms[1].disks]
    assert paths == [
        ["golden/golden.vmdk", "golden/golden-000001.vmdk", "desk/desk.vmdk"],
        ["golden/golden_1.vmdk", "desk/desk_1.vmdk"],
    ]
    assert [disk.top.path for disk in hypervisor.vms[0].disks] == [
        "golden/golden-000002.vmdk",
        "golden/golden_1-000001.vmdk",
    ]


def test_the_folder_of_a_namesake_gets_a_number(hypervisor: MemoryHypervisor) -> None:
    hypervisor.add_vm("golden", folder="Other")
    assert [vm.home for vm in hypervisor.vms] == [
        (StoreId("store-1"), "golden"),
        (StoreId("store-1"), "golden_1"),
    ]


def test_an_unneeded_snapshot_is_merged(hypervisor: MemoryHypervisor, driver: MemoryDriver) -> None:
    golden = hypervisor.vms[0]
    end(driver, driver.start(do.delete_snapshot(golden, golden.snapshots[0].id)))
    assert [file.path for file in hypervisor.files] == ["golden/golden.vmdk"]
    assert [layer.path for layer in hypervisor.vms[0].disks[0].chain] == ["golden/golden.vmdk"]


def test_the_parent_still_owns_the_file_of_a_deleted_snapshot_that_a_clone_reads(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    golden = hypervisor.vms[0]
    left = hypervisor.add_snapshot(golden.id, "left")
    end(driver, driver.start(step_for(driver, "desk")))
    end(driver, driver.start(do.revert_snapshot(golden, golden.snapshots[0].id)))
    end(driver, driver.start(do.delete_snapshot(golden, left)))
    inventory = driver.observe()
    parent, desk = inventory.vms
    assert desk.disks[0].chain[-2] not in parent.layers
    assert Lineage(inventory).dependants(parent) == (desk,)


def test_independent_disks_are_copied_and_the_others_linked(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    golden = hypervisor.vms[0].id
    hypervisor.add_disk(golden, independent=True)
    hypervisor.add_snapshot(golden, "second")
    end(driver, driver.start(step_for(driver, "desk")))
    parent, desk = hypervisor.vms
    assert prove_linked(desk.disks, parent.snapshots[1].disks or ()).linked
    assert [layer.path for layer in desk.disks[1].chain] == ["desk/desk_1.vmdk"]
    assert desk.disks[1].independent


def test_hidden_clones_hold_their_base_though_they_do_not_show_it(
    hypervisor: MemoryHypervisor, driver: MemoryDriver
) -> None:
    hypervisor.hide()
    end(driver, driver.start(step_for(driver, "desk")))
    golden, desk = hypervisor.vms
    assert (desk.disks[0].hidden, len(desk.disks[0].chain)) == (True, 1)
    end(driver, driver.start(do.delete_vm(golden)))
    assert "golden/golden.vmdk" in {file.path for file in hypervisor.files}


def test_a_disconnected_hypervisor_does_not_answer_but_keeps_working(
    hypervisor: MemoryHypervisor, driver: MemoryDriver, clock: Clock
) -> None:
    hypervisor.delays["clone"] = 10.0
    driver.start(step_for(driver, "desk"))
    hypervisor.disconnect(SessionLostError("the session is over"))
    with pytest.raises(SessionLostError):
        driver.observe()
    hypervisor.disconnect()
    with pytest.raises(EndpointError):
        driver.wait([], 1.0)
    clock.sleep(10.0)
    assert [vm.name for vm in hypervisor.vms] == ["golden", "desk"]
    hypervisor.reconnect()
    assert len(driver.observe().vms) == 2


def test_a_closed_connection_is_closed(hypervisor: MemoryHypervisor, driver: MemoryDriver) -> None:
    driver.close()
    with pytest.raises(EndpointError, match="closed"):
        driver.observe()
    assert len(MemoryDriver(hypervisor).observe().vms) == 1


def test_calls_are_counted_by_method(hypervisor: MemoryHypervisor, driver: MemoryDriver) -> None:
    driver.observe()
    driver.observe()
    driver.find_vms(["golden"])
    assert hypervisor.calls == {"observe": 2, "find_vms": 1}


def test_the_demo_has_something_for_every_case() -> None:
    driver = open_driver(Endpoint(kind="memory"))
    golden, bare = driver.find_vms(["golden", "bare"])
    assert [snapshot.name for snapshot in golden.snapshots if snapshot.current] == ["base"]
    assert bare.snapshots == ()
    with pytest.raises(AmbiguousError) as caught:
        driver.find_vms(["twin"])
    assert caught.value.candidates == ("/vm/Desktops/twin", "/vm/Servers/twin")
    assert driver.identify().address == "memory:"
