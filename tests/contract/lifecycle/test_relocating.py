"""Moving to another datastore: the VM depends on what it depended on before."""

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import NotFoundError
from linkedclone.lineage.proof import prove_kept
from linkedclone.model.plan import RelocateVm
from linkedclone.model.request import Placement
from linkedclone.model.vm import Vm
from tests.contract.acts import clone, delete, error_of, find, read, result_of
from tests.contract.rigs.base import Rig


def mover(driver: Driver) -> Driver:
    if RelocateVm not in driver.features.steps:
        pytest.skip("there is one place for all here")
    return driver


def other_store(rig: Rig, driver: Driver, vm: Vm) -> str:
    """Return the name of a datastore that the VM is not on."""
    name = rig.add_store()
    assert vm.disks[0].top.store_name != name
    return name


def step_to(driver: Driver, vm: Vm, store: str) -> RelocateVm:
    target = mover(driver).resolve_relocation(vm, Placement(datastore=store))
    return RelocateVm(vm=vm.id, vm_name=vm.name, target=target)


def test_only_what_it_writes_itself_moves(rig: Rig, driver: Driver) -> None:
    vm, sibling = clone(driver, rig, "desk-001"), clone(driver, rig, "desk-002")
    mover(driver)
    store = other_store(rig, driver, vm)
    step = step_to(driver, vm, store)
    assert step.target.datastore
    assert not step.target.pool
    result_of(driver, mover(driver).start(step))
    after = read(driver, vm.id)
    assert {disk.top.store_name for disk in after.disks} == {store}
    assert after.home is not None
    assert after.home[0] == step.target.datastore
    assert prove_kept(vm, after).linked is True
    assert (after.uuid, after.mark, after.name) == (vm.uuid, vm.mark, vm.name)
    assert str(vm.disks[0].top) not in rig.files()
    assert read(driver, sibling.id).disks == sibling.disks


def test_a_moved_clone_is_deleted_without_a_trace(rig: Rig, driver: Driver) -> None:
    mover(driver)
    before = rig.files()
    vm = clone(driver, rig, "desk-001")
    result_of(driver, mover(driver).start(step_to(driver, vm, other_store(rig, driver, vm))))
    delete(driver, vm)
    assert rig.files() == before


def test_a_failed_move_leaves_it_as_it_was(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    step = step_to(driver, vm, other_store(rig, driver, find(driver, "desk-001")))
    rig.fail("relocate", "desk-001")
    error_of(driver, lambda: mover(driver).start(step))
    assert read(driver, vm.id).disks == vm.disks


def test_a_datastore_that_does_not_exist_is_reported(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    with pytest.raises(NotFoundError):
        mover(driver).resolve_relocation(vm, Placement(datastore="no-such"))
