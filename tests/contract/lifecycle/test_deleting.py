"""Deleting what is absent is done, and no layer goes that anything else uses."""

from linkedclone.drivers.contract import Driver
from linkedclone.errors import HypervisorError
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import (
    clone,
    delete,
    error_of,
    files_of,
    find,
    make,
    read,
    result_of,
    set_power,
    step_for,
    take_snapshot,
)
from tests.contract.rigs.base import Rig


def test_a_deleted_clone_is_gone(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    delete(driver, made)
    assert driver.observe_vms([made.id]) == ()
    assert made.id not in {vm.id for vm in driver.observe().vms}


def test_deleting_an_absent_vm_succeeds(rig: Rig, driver: Driver, other_driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    delete(driver, made)
    delete(driver, made)
    delete(other_driver, made)


def test_two_that_delete_the_same_vm_are_both_done(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    rig.delay("delete", 0.3)
    made = clone(driver, rig, "desk-001")
    jobs = [driver.start(do.delete_vm(made)), other_driver.start(do.delete_vm(made))]
    result_of(driver, jobs[0])
    result_of(other_driver, jobs[1])


def test_deleting_a_clone_keeps_the_base(rig: Rig, driver: Driver) -> None:
    before = rig.files()
    made = clone(driver, rig, "desk-001")
    delete(driver, made)
    assert rig.files() == before


def test_deleting_a_clone_keeps_its_siblings(rig: Rig, driver: Driver) -> None:
    one, two = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    delete(driver, one)
    assert files_of(read(driver, two.id)) <= rig.files()
    assert not {str(disk.top) for disk in one.disks} & rig.files()


def test_deleting_the_parent_keeps_layers_clones_read(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    parent = find(driver, rig.parent)
    delete(driver, parent)
    assert read(driver, made.id).disks == made.disks
    assert files_of(made) <= rig.files()
    assert not {str(disk.top) for disk in parent.disks} & rig.files()
    set_power(driver, made, Power.ON)


def test_deleting_a_parent_keeps_layers_that_hidden_clones_read(rig: Rig, driver: Driver) -> None:
    rig.hide()
    made = clone(driver, rig, "desk-001")
    parent = find(driver, rig.parent)
    delete(driver, parent)
    assert {str(disk.chain[0]) for disk in parent.disks} <= rig.files()
    set_power(driver, made, Power.ON)


def test_deleting_a_clone_keeps_layers_that_its_own_clones_read(rig: Rig, driver: Driver) -> None:
    child = clone(driver, rig, "desk-001")
    take_snapshot(driver, child, "mine")
    grandchild = make(driver, step_for(driver, read(driver, child.id), "desk-002"))
    delete(driver, child)
    assert files_of(read(driver, grandchild.id)) <= rig.files()
    set_power(driver, grandchild, Power.ON)


def test_a_running_vm_is_not_deleted(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    set_power(driver, made, Power.ON)
    assert isinstance(error_of(driver, lambda: driver.start(do.delete_vm(made))), HypervisorError)
    assert read(driver, made.id).power is Power.ON


def test_what_a_failed_clone_left_can_be_deleted(rig: Rig, driver: Driver) -> None:
    before = rig.files()
    rig.fail("clone", "desk-001", leave=True)
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    error_of(driver, lambda: driver.start(step))
    (left,) = driver.observe_names(step.target, ["desk-001"])
    delete(driver, left)
    assert driver.observe_names(step.target, ["desk-001"]) == ()
    assert rig.files() == before
