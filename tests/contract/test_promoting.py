"""A promoted clone shares nothing any more, and nobody else notices."""

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import HypervisorError, NoSpaceError
from linkedclone.lineage.family import Lineage
from linkedclone.model.plan import PromoteVm
from linkedclone.model.report import Mode
from linkedclone.model.vm import Power, Vm
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
from tests.contract.rigs.base import Kind, Rig


@pytest.fixture(autouse=True)
def promotes(driver: Driver) -> None:
    if PromoteVm not in driver.features.steps:
        pytest.skip("it makes no clones independent")


def promote(driver: Driver, vm: Vm) -> Vm:
    result_of(driver, driver.start(do.promote_vm(vm)))
    return read(driver, vm.id)


def mode_of(driver: Driver, vm: Vm) -> Mode:
    return Lineage(driver.observe()).origin(vm).mode


def test_a_promoted_clone_reads_nothing_of_its_parent(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    promoted = promote(driver, made)
    parent = find(driver, rig.parent)
    assert mode_of(driver, promoted) is Mode.FULL
    assert not files_of(promoted) & files_of(parent)
    assert files_of(promoted) <= rig.files()


def test_promoting_keeps_what_makes_a_vm_itself(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    promoted = promote(driver, made)
    assert (promoted.uuid, promoted.name, promoted.mark) == (made.uuid, made.name, made.mark)
    assert promoted.disks[0].capacity_bytes == made.disks[0].capacity_bytes


def test_promoting_leaves_parent_and_siblings_alone(rig: Rig, driver: Driver) -> None:
    made, sibling = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    before = files_of(find(driver, rig.parent)) | files_of(sibling)
    promote(driver, made)
    assert files_of(find(driver, rig.parent)) | files_of(read(driver, sibling.id)) == before
    assert before <= rig.files()


def test_promoting_leaves_no_file_behind(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    before = rig.files() - files_of(made)
    promoted = promote(driver, made)
    assert rig.files() - files_of(promoted) <= before | files_of(find(driver, rig.parent))
    delete(driver, promoted)
    assert rig.files() <= before | files_of(find(driver, rig.parent))


def test_what_shares_nothing_is_promoted_already(rig: Rig, driver: Driver) -> None:
    bare = find(driver, rig.bare)
    promote(driver, bare)
    assert files_of(read(driver, bare.id)) == files_of(bare)


def test_promoting_twice_is_done(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    first = promote(driver, made)
    assert files_of(promote(driver, first)) == files_of(first)


def test_a_clone_of_a_clone_becomes_independent_of_both(rig: Rig, driver: Driver) -> None:
    middle = clone(driver, rig, "desk-001")
    take_snapshot(driver, middle, "own")
    last = make(driver, step_for(driver, find(driver, middle.uuid), "desk-002"))
    promoted = promote(driver, last)
    others = files_of(find(driver, rig.parent)) | files_of(read(driver, middle.id))
    assert not files_of(promoted) & others
    assert others <= rig.files()


def test_the_parent_can_go_once_its_last_clone_is_promoted(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    promote(driver, made)
    parent = find(driver, rig.parent)
    assert Lineage(driver.observe()).dependants(parent) == ()
    delete(driver, parent)
    assert files_of(read(driver, made.id)) <= rig.files()


def test_a_running_clone_is_promoted_and_runs_on(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    set_power(driver, made, Power.ON)
    promoted = promote(driver, made)
    assert promoted.power is Power.ON
    assert mode_of(driver, promoted) is Mode.FULL


def test_a_running_clone_with_a_snapshot_is_refused(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    take_snapshot(driver, made, "own")
    set_power(driver, made, Power.ON)
    before = files_of(read(driver, made.id))
    error_of(driver, lambda: driver.start(do.promote_vm(made)))
    assert files_of(read(driver, made.id)) == before


def test_a_failed_promotion_leaves_the_clone_as_it_was(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    rig.fail("promote", "desk-001", kind=Kind.NO_SPACE)
    error = error_of(driver, lambda: driver.start(do.promote_vm(made)))
    assert isinstance(error, NoSpaceError)
    assert files_of(read(driver, made.id)) == files_of(made)
    assert files_of(made) <= rig.files()


def test_promoting_a_deleted_vm_fails(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    delete(driver, made)
    assert isinstance(error_of(driver, lambda: driver.start(do.promote_vm(made))), HypervisorError)
