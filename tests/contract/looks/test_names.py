"""The name in its folder is the lock: one clone for each name, whoever else is making it."""

import threading

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import DuplicateNameError, GoneError
from linkedclone.model.jobs import JobStatus
from tests import do
from tests.contract.acts import (
    clone,
    delete,
    error_of,
    find,
    finish,
    make,
    result_of,
    step_for,
    target_of,
)
from tests.contract.rigs.base import Rig


def test_a_second_clone_of_the_same_name_is_refused(rig: Rig, driver: Driver) -> None:
    first = clone(driver, rig, "desk-001")
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    assert isinstance(error_of(driver, lambda: driver.start(step)), DuplicateNameError)
    assert driver.observe_vms([first.id])[0].uuid == first.uuid


def test_a_second_clone_is_refused_while_the_first_is_being_made(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    rig.delay("clone", 1.0)
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    first = driver.start(step)
    error = error_of(other_driver, lambda: other_driver.start(step))
    assert isinstance(error, DuplicateNameError)
    assert result_of(driver, first)
    assert len(driver.observe_names(step.target, ["desk-001"])) == 1


def test_the_same_name_in_another_folder_is_free(rig: Rig, driver: Driver) -> None:
    rig.add_folder("Desktops")
    here, there = clone(driver, rig, "twin"), clone(driver, rig, "twin", folder="Desktops")
    assert here.path != there.path
    assert here.uuid != there.uuid
    assert not here.layers & {disk.top for disk in there.disks}


def test_a_name_is_free_again_once_its_clone_is_deleted(rig: Rig, driver: Driver) -> None:
    delete(driver, clone(driver, rig, "desk-001"))
    assert clone(driver, rig, "desk-001").name == "desk-001"


def test_a_name_is_free_again_once_its_clone_failed(rig: Rig, driver: Driver) -> None:
    rig.fail("clone", "desk-001")
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    error_of(driver, lambda: driver.start(step))
    assert driver.observe_names(step.target, ["desk-001"]) == ()
    assert make(driver, step).name == "desk-001"


def test_of_many_that_want_one_name_one_gets_it(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    rig.delay("clone", 0.3)
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    errors: list[Exception] = []

    def try_it(one: Driver) -> None:
        try:
            errors.extend(s.error for s in finish(one, [one.start(step)]) if s.error)
        except DuplicateNameError as error:
            errors.append(error)

    threads = [threading.Thread(target=try_it, args=(d,)) for d in (driver, other_driver) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(error) for error in errors] == [DuplicateNameError] * 7
    assert len(driver.observe_names(step.target, ["desk-001"])) == 1


def test_attach_finds_the_clone_another_run_is_making(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    rig.delay("clone", 1.0)
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    job = driver.start(step)
    attached = other_driver.start(do.attach(step))
    (before,) = other_driver.wait([attached], 0.0)
    assert not before.finished
    assert result_of(other_driver, attached) == result_of(driver, job)


def test_attach_finds_the_clone_that_is_made_already(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    assert result_of(driver, driver.start(do.attach(step))) == made.id


def test_attach_fails_when_no_command_creates_the_vm(rig: Rig, driver: Driver) -> None:
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    assert isinstance(error_of(driver, lambda: driver.start(do.attach(step))), GoneError)


def test_attach_fails_when_the_other_run_fails(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    rig.delay("clone", 0.5)
    rig.fail("clone", "desk-001")
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    job = driver.start(step)
    attached = other_driver.start(do.attach(step))
    assert [state.status for state in finish(driver, [job])] == [JobStatus.FAILED]
    assert isinstance(error_of(other_driver, lambda: attached), GoneError)


def test_attached_clones_are_waited_for_together_with_others(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    rig.delay("clone", 0.5)
    parent = find(driver, rig.parent)
    theirs, ours = step_for(driver, parent, "desk-001"), step_for(driver, parent, "desk-002")
    driver.start(theirs)
    jobs = [other_driver.start(do.attach(theirs)), other_driver.start(ours)]
    assert [state.status for state in finish(other_driver, jobs)] == [JobStatus.DONE] * 2


@pytest.mark.parametrize("leave", [True, False])
def test_names_are_read_with_what_failed_clones_left(rig: Rig, driver: Driver, leave: bool) -> None:
    rig.fail("clone", "desk-002", leave=leave)
    parent = find(driver, rig.parent)
    clone(driver, rig, "desk-001")
    step = step_for(driver, parent, "desk-002")
    error_of(driver, lambda: driver.start(step))
    seen = driver.observe_names(step.target, ["desk-001", "desk-002", "desk-003"])
    assert {vm.name for vm in seen} == ({"desk-001", "desk-002"} if leave else {"desk-001"})


def test_names_are_read_in_the_targets_folder_alone(rig: Rig, driver: Driver) -> None:
    rig.add_folder("Desktops")
    there = clone(driver, rig, "desk-001", folder="Desktops")
    parent = find(driver, rig.parent)
    assert driver.observe_names(target_of(driver, parent), ["desk-001"]) == ()
    target = target_of(driver, parent, folder="Desktops")
    assert [vm.id for vm in driver.observe_names(target, ["desk-001"])] == [there.id]
