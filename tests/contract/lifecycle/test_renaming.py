"""Names: UUID, mark, files and lineage stay, and the old name is free."""

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import DuplicateNameError, GoneError, NotFoundError
from linkedclone.lineage.family import Lineage
from linkedclone.model.report import Mode
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import (
    clone,
    delete,
    error_of,
    find,
    make,
    read,
    result_of,
    set_power,
    step_for,
    take_snapshot,
    target_of,
)
from tests.contract.rigs.base import Rig


def test_a_renamed_vm_is_the_same_vm(rig: Rig, driver: Driver, other_driver: Driver) -> None:
    before = clone(driver, rig, "desk-001")
    result_of(driver, driver.start(do.rename_vm(before, "Büro 1")))
    after = find(other_driver, "Büro 1")
    assert (after.id, after.uuid, after.mark) == (before.id, before.uuid, before.mark)
    assert after.layers == before.layers
    assert after.owner == "linkedclone"
    assert after.path.endswith("/Büro 1")
    assert find(driver, before.uuid).name == "Büro 1"
    with pytest.raises(NotFoundError):
        driver.find_vms(["desk-001"])


def test_clones_still_depend_on_a_renamed_parent(rig: Rig, driver: Driver) -> None:
    first = clone(driver, rig, "desk-001")
    parent = find(driver, rig.parent)
    result_of(driver, driver.start(do.rename_vm(parent, "golden-2")))
    renamed = find(driver, "golden-2")
    second = make(driver, step_for(driver, renamed, "desk-002"))
    lineage = Lineage(driver.observe())
    for vm in (first, second):
        origin = lineage.origin(read(driver, vm.id))
        assert origin.mode is Mode.LINKED
        assert origin.parent is not None
        assert origin.parent.name == "golden-2"
    assert {vm.id for vm in lineage.descendants([renamed])} == {first.id, second.id}


def test_a_name_that_is_taken_is_refused_and_nothing_changes(rig: Rig, driver: Driver) -> None:
    one, two = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    error = error_of(driver, lambda: driver.start(do.rename_vm(two, "desk-001")))
    assert isinstance(error, DuplicateNameError)
    assert {read(driver, one.id).name, read(driver, two.id).name} == {"desk-001", "desk-002"}


def test_the_name_of_a_clone_that_is_being_made_is_taken(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    two = clone(driver, rig, "desk-002")
    rig.delay("clone", 1.0)
    job = other_driver.start(step_for(driver, find(driver, rig.parent), "desk-001"))
    error = error_of(driver, lambda: driver.start(do.rename_vm(two, "desk-001")))
    assert isinstance(error, DuplicateNameError)
    assert result_of(other_driver, job)
    assert read(driver, two.id).name == "desk-002"


def test_the_case_alone_can_be_changed(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    result_of(driver, driver.start(do.rename_vm(vm, "Desk-001")))
    assert find(driver, "Desk-001").id == vm.id
    target = target_of(driver, find(driver, rig.parent))
    assert [seen.id for seen in driver.observe_names(target, ["Desk-001"])] == [vm.id]


def test_the_same_name_again_is_done(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    result_of(driver, driver.start(do.rename_vm(vm, "desk-001")))
    assert read(driver, vm.id).name == "desk-001"


def test_a_vm_that_is_gone_cannot_be_renamed(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    delete(driver, vm)
    assert isinstance(
        error_of(driver, lambda: driver.start(do.rename_vm(vm, "desk-002"))), GoneError
    )


def test_a_running_vm_is_renamed_and_runs_on(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    set_power(driver, vm, Power.ON)
    result_of(driver, driver.start(do.rename_vm(vm, "desk-002")))
    assert read(driver, vm.id).power is Power.ON
    set_power(driver, vm, Power.OFF)
    assert read(driver, vm.id).power is Power.OFF


def test_a_new_clone_of_the_old_name_has_a_uuid_of_its_own(rig: Rig, driver: Driver) -> None:
    """The wanted UUID is made of the name, so it is the one that the renamed VM holds.

    Where two VMs could have it, the second clone is refused.
    """
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    first = make(driver, step)
    result_of(driver, driver.start(do.rename_vm(first, "desk-old")))
    assert first.uuid == step.uuid
    if not rig.ways.replaces_uuids:
        assert isinstance(error_of(driver, lambda: driver.start(step)), DuplicateNameError)
        assert [vm.id for vm in driver.observe().vms if vm.uuid == first.uuid] == [first.id]
        return
    second = make(driver, step)
    assert second.uuid != first.uuid
    assert second.valid_mark is None  # to be mended by whoever made it
    assert {vm.name for vm in driver.observe_vms([first.id, second.id])} == {"desk-001", "desk-old"}
    assert not {disk.top for disk in first.disks} & {disk.top for disk in second.disks}


def test_renamed_back_and_forth_and_deleted_nothing_is_left(rig: Rig, driver: Driver) -> None:
    before = rig.files()
    vm = clone(driver, rig, "desk-001")
    for name in ("desk-002", "desk-003", "desk-001"):
        result_of(driver, driver.start(do.rename_vm(vm, name)))
    take_snapshot(driver, vm, "mine")
    assert find(driver, "desk-001").id == vm.id
    delete(driver, vm)
    assert rig.files() == before
    again = clone(driver, rig, "desk-001")
    assert again.id != vm.id
