"""What fails is told in our own words, keeps the server's, and spoils nothing else."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import GoneError, HypervisorError, LinkedCloneError, PowerOnError
from linkedclone.lineage.proof import prove_linked
from linkedclone.model.jobs import Job, JobStatus
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.contract.acts import (
    clone,
    current,
    error_of,
    find,
    finish,
    make,
    read,
    running,
    set_power,
    step_for,
    take_snapshot,
)
from tests.contract.rigs.base import Action, At, Kind, Rig

Start = Callable[[Driver, Vm], Job]

STARTS: dict[Action, Start] = {
    "power-on": lambda driver, vm: driver.start(do.set_power(vm, Power.ON)),
    "snapshot": lambda driver, vm: driver.start(do.create_snapshot(vm, "more", "")),
    "delete-snapshot": lambda driver, vm: driver.start(do.delete_snapshot(vm, vm.snapshots[0].id)),
    "revert": lambda driver, vm: driver.start(do.revert_snapshot(vm, vm.snapshots[0].id)),
    "delete": lambda driver, vm: driver.start(do.delete_vm(vm)),
}


@pytest.mark.parametrize("at", ["submit", "job"])
@pytest.mark.parametrize("kind", Kind)
def test_a_failed_clone_reports_its_cause(rig: Rig, driver: Driver, kind: Kind, at: At) -> None:
    rig.fail("clone", "desk-001", kind=kind, at=at)
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    error = error_of(driver, lambda: driver.start(step))
    assert type(error) is kind.error
    assert isinstance(error, HypervisorError)
    assert error.brief
    assert error.details
    assert error.kind


@pytest.mark.parametrize("action", STARTS)
def test_any_failing_action_is_translated_and_changes_nothing(
    rig: Rig, driver: Driver, action: Action
) -> None:
    vm = clone(driver, rig, "desk-001")
    take_snapshot(driver, vm, "mine")
    before = read(driver, vm.id)
    rig.fail(action, "desk-001", kind=Kind.PERMISSION)
    error = error_of(driver, lambda: STARTS[action](driver, before))
    assert isinstance(error, Kind.PERMISSION.error | PowerOnError)
    assert read(driver, vm.id) == before


def test_a_failing_power_off_is_translated(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    set_power(driver, vm, Power.ON)
    rig.fail("power-off", "desk-001", kind=Kind.BUSY)
    error = error_of(driver, lambda: driver.start(do.set_power(vm, Power.OFF)))
    assert isinstance(error, Kind.BUSY.error)
    assert error.retryable
    assert read(driver, vm.id).power is Power.ON


def test_one_failing_clone_leaves_the_others_alone(rig: Rig, driver: Driver) -> None:
    rig.fail("clone", "desk-002", kind=Kind.NO_SPACE)
    parent = find(driver, rig.parent)
    names = ["desk-001", "desk-002", "desk-003"]
    jobs = [driver.start(step_for(driver, parent, name)) for name in names]
    statuses = [state.status for state in finish(driver, jobs)]
    assert statuses == [JobStatus.DONE, JobStatus.FAILED, JobStatus.DONE]


def test_a_clone_that_was_refused_leaves_nothing(rig: Rig, driver: Driver) -> None:
    before = rig.files()
    rig.fail("clone", "desk-001", kind=Kind.PERMISSION, at="submit")
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    error_of(driver, lambda: driver.start(step))
    assert driver.observe_names(step.target, ["desk-001"]) == ()
    assert rig.files() == before


def test_a_failed_power_on_leaves_a_good_clone(rig: Rig, driver: Driver) -> None:
    rig.fail("power-on-of-clone", "desk-001")
    parent = find(driver, rig.parent)
    step = running(step_for(driver, parent, "desk-001"))
    assert isinstance(error_of(driver, lambda: driver.start(step)), LinkedCloneError)
    (left,) = driver.observe_names(step.target, ["desk-001"])
    assert left.power is Power.OFF
    assert prove_linked(left.disks, current(parent).disks or ()).linked is True
    set_power(driver, left, Power.ON)
    assert read(driver, left.id).power is Power.ON


def test_a_clone_of_a_parent_that_is_gone_fails(rig: Rig, driver: Driver) -> None:
    child = clone(driver, rig, "desk-001")
    take_snapshot(driver, child, "mine")
    step = step_for(driver, read(driver, child.id), "desk-002")
    finish(driver, [driver.start(do.delete_vm(child))])
    assert isinstance(error_of(driver, lambda: driver.start(step)), GoneError)


def test_a_clone_of_a_snapshot_that_is_gone_fails_and_is_not_made_full(
    rig: Rig, driver: Driver
) -> None:
    parent = find(driver, rig.parent)
    step = step_for(driver, parent, "desk-001")
    finish(driver, [driver.start(do.delete_snapshot(parent, current(parent).id))])
    assert isinstance(error_of(driver, lambda: driver.start(step)), HypervisorError)
    assert driver.observe_names(step.target, ["desk-001"]) == ()


def test_a_template_cannot_be_snapshotted(rig: Rig, driver: Driver) -> None:
    vm = find(driver, rig.bare)
    rig.mark_template(vm.name)
    error = error_of(driver, lambda: driver.start(do.create_snapshot(vm, "mine", "")))
    assert isinstance(error, HypervisorError)
    assert read(driver, vm.id).snapshots == ()


ABSENT = VmId("vm-987654")


@pytest.mark.parametrize(
    "start",
    [
        lambda driver: driver.start(do.set_power(ABSENT, Power.ON)),
        lambda driver: driver.start(do.create_snapshot(ABSENT, "mine", "")),
        lambda driver: driver.start(do.revert_snapshot(ABSENT, SnapshotId("snapshot-987654"))),
    ],
    ids=["power", "snapshot", "revert"],
)
def test_acting_on_an_absent_vm_fails(
    rig: Rig, driver: Driver, start: Callable[[Driver], Job]
) -> None:
    assert isinstance(error_of(driver, lambda: start(driver)), GoneError)


def test_a_clone_to_be_linked_is_refused_without_a_snapshot(rig: Rig, driver: Driver) -> None:
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    unset = replace(step, snapshot=None)
    assert isinstance(error_of(driver, lambda: driver.start(unset)), LinkedCloneError)
    assert driver.observe_names(step.target, ["desk-001"]) == ()
    assert make(driver, step).name == "desk-001"
