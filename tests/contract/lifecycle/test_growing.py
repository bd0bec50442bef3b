"""A disk grows for its own VM alone."""

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.model.plan import PromoteVm
from linkedclone.model.vm import Vm
from tests import do
from tests.contract.acts import clone, error_of, files_of, find, read, result_of
from tests.contract.rigs.base import Rig


def size_of(vm: Vm) -> int:
    return vm.disks[0].capacity_bytes


def grow(driver: Driver, vm: Vm, by: int) -> Vm:
    wanted = size_of(vm) + by
    result_of(driver, driver.start(do.grow_disk(vm, vm.disks[0].label, wanted)))
    return read(driver, vm.id)


def test_a_disk_of_its_own_grows(rig: Rig, driver: Driver) -> None:
    vm = find(driver, rig.bare)
    if PromoteVm in driver.features.steps:
        promoted = clone(driver, rig, "desk-001")
        result_of(driver, driver.start(do.promote_vm(promoted)))
        vm = read(driver, promoted.id)
    assert size_of(grow(driver, vm, 64 << 20)) == size_of(vm) + (64 << 20)
    assert files_of(read(driver, vm.id)) <= rig.files()


def test_a_linked_disk_grows_only_where_the_driver_says_so(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    if driver.features.grows_linked_disks:
        assert size_of(grow(driver, made, 64 << 20)) == size_of(made) + (64 << 20)
    else:
        label, wanted = made.disks[0].label, size_of(made) + (64 << 20)
        error_of(driver, lambda: driver.start(do.grow_disk(made, label, wanted)))
        assert size_of(read(driver, made.id)) == size_of(made)


def test_growing_a_clone_leaves_its_parent_as_it_is(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    if not driver.features.grows_linked_disks:
        if PromoteVm not in driver.features.steps:
            pytest.skip("what shares nothing cannot be made of a clone here")
        result_of(driver, driver.start(do.promote_vm(made)))
    before = find(driver, rig.parent)
    grow(driver, read(driver, made.id), 64 << 20)
    after = find(driver, rig.parent)
    assert size_of(after) == size_of(before)
    assert files_of(after) == files_of(before)


@pytest.mark.parametrize("label", ["Hard disk 99", "no such disk"])
def test_a_disk_that_is_not_there_cannot_grow(rig: Rig, driver: Driver, label: str) -> None:
    bare = find(driver, rig.bare)
    error_of(driver, lambda: driver.start(do.grow_disk(bare, label, size_of(bare) + (64 << 20))))
    assert size_of(read(driver, bare.id)) == size_of(bare)
