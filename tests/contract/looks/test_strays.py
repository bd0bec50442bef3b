"""Files of no VM are seen where they are looked for, and removed only when nothing reads them."""

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import NotFoundError
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.plan import UnregisterVm
from linkedclone.model.request import Scan
from linkedclone.model.vm import Vm
from tests import do
from tests.contract.acts import clone, delete, error_of, files_of, find, read, result_of
from tests.contract.rigs.base import Rig


def scan(driver: Driver) -> Inventory:
    return driver.observe(sizes=True, scan=Scan())


def stray_at(driver: Driver, file: str) -> Stray:
    (found,) = [stray for stray in scan(driver).strays if str(stray.layer) == file]
    return found


def bottom_of(vm: Vm) -> str:
    return str(vm.disks[0].chain[0])


def test_an_intact_endpoint_has_no_strays(rig: Rig, driver: Driver) -> None:
    clone(driver, rig, "desk-001")
    assert scan(driver).strays == ()


def test_a_delta_that_a_dead_task_left_is_an_orphan(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    stray = stray_at(driver, rig.leave_orphan("desk-001"))
    assert stray.orphaned
    assert str(stray.chain[0]) == bottom_of(made)
    assert stray.used_bytes


def test_an_orphan_is_removed_and_nothing_else(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    before = rig.files()
    orphan = rig.leave_orphan("desk-001")
    result_of(driver, driver.start(do.remove_stray(stray_at(driver, orphan))))
    assert rig.files() == before
    assert scan(driver).strays == ()
    assert files_of(read(driver, made.id)) <= rig.files()


def test_removing_an_absent_stray_is_done(rig: Rig, driver: Driver, other_driver: Driver) -> None:
    clone(driver, rig, "desk-001")
    stray = stray_at(driver, rig.leave_orphan("desk-001"))
    result_of(driver, driver.start(do.remove_stray(stray)))
    result_of(driver, driver.start(do.remove_stray(stray)))
    result_of(other_driver, other_driver.start(do.remove_stray(stray)))


def test_what_a_vm_reads_is_never_removed_as_a_stray(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    for layer_of_vm in made.disks[0].chain:
        claim = Stray(chain=(layer_of_vm,), orphaned=True)
        error_of(driver, lambda claim=claim: driver.start(do.remove_stray(claim)))  # type: ignore[misc]  # bound at once
    assert files_of(read(driver, made.id)) <= rig.files()


def test_disks_of_an_unregistered_vm_are_strays_with_a_possible_owner(
    rig: Rig, driver: Driver
) -> None:
    if UnregisterVm not in driver.features.steps:
        pytest.skip("what exists here is in the inventory")
    made = clone(driver, rig, "desk-001")
    result_of(driver, driver.start(do.unregister_vm(made)))
    assert driver.observe_vms([made.id]) == ()
    assert files_of(made) <= rig.files()
    stray = stray_at(driver, str(made.disks[0].top))
    assert not stray.orphaned
    assert str(stray.chain[0]) == bottom_of(made)


def test_a_place_that_is_not_there_cannot_be_scanned(rig: Rig, driver: Driver) -> None:
    with pytest.raises(NotFoundError):
        driver.observe(scan=Scan(places=("/no/such/place",)))


def test_every_layer_has_its_size(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    inventory = driver.observe(sizes=True)
    for layer in read(driver, made.id).layers:
        assert inventory.files[layer].used_bytes
        assert not inventory.files[layer].missing
    stores = {store.id: store for store in inventory.stores}
    assert stores[made.disks[0].top.store].free_bytes


def test_sizes_cost_nothing_where_they_are_not_wanted(rig: Rig, driver: Driver) -> None:
    inventory = driver.observe()
    assert not inventory.files
    assert not inventory.stores


def test_what_was_not_looked_at_is_said(rig: Rig, driver: Driver) -> None:
    assert driver.observe().blind


def test_a_parent_is_still_read_by_its_clones_when_it_is_unregistered(
    rig: Rig, driver: Driver
) -> None:
    if UnregisterVm not in driver.features.steps:
        pytest.skip("what exists here is in the inventory")
    made = clone(driver, rig, "desk-001")
    parent = find(driver, rig.parent)
    result_of(driver, driver.start(do.unregister_vm(parent)))
    assert files_of(read(driver, made.id)) <= rig.files()
    delete(driver, made)
    assert str(made.disks[0].top) not in rig.files()
