"""The mark is there from birth, and counts only for the VM that it was made for."""

from dataclasses import replace

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import ChangedError
from linkedclone.model.vm import Mark, PoolState, Power
from tests import do
from tests.contract.acts import (
    clone,
    error_of,
    find,
    make,
    read,
    result_of,
    running,
    step_for,
    take_snapshot,
)
from tests.contract.rigs.base import Rig


def test_a_clone_carries_its_whole_mark(rig: Rig, driver: Driver) -> None:
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    made = make(driver, step)
    assert made.mark == step.mark
    assert made.owner == "linkedclone"


def test_a_parent_carries_no_mark_of_a_clone(rig: Rig, driver: Driver) -> None:
    mark = find(driver, rig.parent).mark  # an image that linkedclone imported is its own
    assert mark is None or (mark.uuid, mark.parent_uuid) == (find(driver, rig.parent).uuid, "")


def test_a_half_made_clone_carries_its_mark(rig: Rig, driver: Driver) -> None:
    rig.fail("clone", "desk-001", leave=True)
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    error_of(driver, lambda: driver.start(step))
    (left,) = driver.observe_names(step.target, ["desk-001"])
    assert left.valid_mark == step.mark
    assert left.power is Power.OFF


def test_a_clone_that_did_not_start_carries_its_mark(rig: Rig, driver: Driver) -> None:
    rig.fail("power-on-of-clone", "desk-001")
    step = running(step_for(driver, find(driver, rig.parent), "desk-001"))
    error_of(driver, lambda: driver.start(step))
    (left,) = driver.observe_names(step.target, ["desk-001"])
    assert left.valid_mark == step.mark


def test_a_clone_of_a_clone_has_a_mark_of_its_own(rig: Rig, driver: Driver) -> None:
    child = clone(driver, rig, "desk-001")
    take_snapshot(driver, child, "mine")
    step = step_for(driver, read(driver, child.id), "desk-002")
    step = replace(step, mark=replace(step.mark, owner="desktops"))
    assert make(driver, step).owner == "desktops"
    assert read(driver, child.id).owner == "linkedclone"


def test_a_mark_holds_addresses_and_no_clone_inherits_them(rig: Rig, driver: Driver) -> None:
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    step = replace(step, mark=replace(step.mark, addresses=("10.0.0.5", "fd00::5")))
    child = make(driver, step)
    assert child.mark == step.mark
    take_snapshot(driver, child, "mine")
    grandchild = make(driver, step_for(driver, read(driver, child.id), "desk-002"))
    assert grandchild.mark
    assert grandchild.mark.addresses == ()
    seen = {vm.name: vm.mark for vm in driver.observe().vms}
    assert seen["desk-001"] == step.mark


def test_a_mark_does_not_count_where_the_hypervisor_gave_another_uuid(
    rig: Rig, driver: Driver
) -> None:
    if not rig.ways.replaces_uuids:
        pytest.skip("it gives no other UUID than the one asked for")
    first = clone(driver, rig, "desk-001")
    step = step_for(driver, find(driver, rig.parent), "desk-002")
    same = replace(step, uuid=first.uuid, mark=replace(step.mark, uuid=first.uuid))
    second = make(driver, same)
    assert second.uuid != first.uuid
    assert second.mark == same.mark
    assert second.owner is None


def test_a_mark_counts_again_once_it_adopted_the_uuid(rig: Rig, driver: Driver) -> None:
    first = clone(driver, rig, "desk-001")
    step = step_for(driver, find(driver, rig.parent), "desk-002")
    second = make(driver, replace(step, uuid=first.uuid, mark=replace(step.mark, uuid=first.uuid)))
    assert second.mark is not None
    own = replace(second.mark, uuid=second.uuid)
    result_of(driver, driver.start(do.write_mark(second, own, second.mark)))
    mended = read(driver, second.id)
    assert mended.valid_mark == replace(step.mark, uuid=second.uuid)
    assert read(driver, first.id).owner == "linkedclone"


def in_pool(mark: Mark | None, **state: object) -> Mark:
    assert mark is not None
    return replace(mark, pool=PoolState(slot="desk-001", **state))  # type: ignore[arg-type]


def test_two_commands_that_change_a_mark_at_once_lose_nothing(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    made = clone(driver, rig, "desk-001")
    seen = in_pool(made.mark)
    result_of(driver, driver.start(do.write_mark(made, seen, made.mark)))
    held, claimed = in_pool(seen, hold="Anne"), in_pool(seen, claim="run", claimed=7)
    result_of(driver, driver.start(do.write_mark(made, held, seen)))
    result_of(other_driver, other_driver.start(do.write_mark(made, claimed, seen)))
    result_of(
        other_driver, other_driver.start(do.write_mark(made, claimed, seen))
    )  # its answer was lost
    both = in_pool(seen, hold="Anne", claim="run", claimed=7)
    assert read(driver, made.id).mark == both
    others = in_pool(seen, claim="another", claimed=8)
    error = error_of(driver, lambda: driver.start(do.write_mark(made, others, seen)))
    assert isinstance(error, ChangedError)
    assert read(driver, made.id).mark == both


def test_a_vm_whose_mark_was_changed_since_it_was_seen_is_not_deleted(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    made = clone(driver, rig, "desk-001")
    held = in_pool(made.mark, hold="Anne")
    result_of(other_driver, other_driver.start(do.write_mark(made, held, made.mark)))
    error = error_of(driver, lambda: driver.start(do.delete_vm(made, made.mark)))
    assert isinstance(error, ChangedError)
    assert read(driver, made.id).mark == held
    result_of(driver, driver.start(do.delete_vm(made, held)))
    assert driver.observe_vms([made.id]) == ()
    result_of(driver, driver.start(do.delete_vm(made, held)))
