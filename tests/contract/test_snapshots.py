"""Snapshots freeze files; deleting and reverting them keeps what clones read."""

from datetime import timedelta

from linkedclone.drivers.contract import Driver
from linkedclone.errors import GoneError, RefusedError
from linkedclone.lineage.proof import hangs_from, prove_linked
from linkedclone.model.plan import DeleteSnapshot
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.contract.acts import (
    clone,
    current,
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


def frozen(vm: Vm, name: str) -> set[str]:
    """The files that a snapshot froze."""
    (snapshot,) = [snapshot for snapshot in vm.snapshots if snapshot.name == name]
    return {str(disk.top) for disk in snapshot.disks or ()}


def deletion(vm: Vm, name: str) -> DeleteSnapshot:
    (snapshot,) = [snapshot for snapshot in vm.snapshots if snapshot.name == name]
    return do.delete_snapshot(vm, snapshot.id)


def delete_snapshot(driver: Driver, vm: Vm, name: str) -> None:
    result_of(driver, driver.start(deletion(vm, name)))


def test_a_snapshot_is_seen_as_it_was_taken(rig: Rig, driver: Driver) -> None:
    made = take_snapshot(driver, find(driver, rig.bare), "base", "freshly installed")
    assert (made.name, made.path, made.description) == ("base", "base", "freshly installed")
    assert made.current
    assert made.created is not None
    assert made.created.utcoffset() == timedelta(0)


def test_a_snapshot_freezes_the_disk_and_moves_the_vm_onto_a_delta(
    rig: Rig, driver: Driver
) -> None:
    bare = find(driver, rig.bare)
    snapshot = take_snapshot(driver, bare, "base")
    after = read(driver, bare.id)
    assert snapshot.disks == bare.disks
    assert after.disks[0].chain[:-1] == bare.disks[0].chain
    assert after.disks[0].top.folder == bare.disks[0].top.folder
    assert files_of(after) <= rig.files()


def test_two_snapshots_name_two_files(rig: Rig, driver: Driver) -> None:
    take_snapshot(driver, find(driver, rig.parent), "second")
    parent = find(driver, rig.parent)
    assert frozen(parent, "base").isdisjoint(frozen(parent, "second"))


def test_a_second_snapshot_follows_the_first_and_is_current(rig: Rig, driver: Driver) -> None:
    take_snapshot(driver, find(driver, rig.parent), "second")
    seen = find(driver, rig.parent).snapshots
    assert [(s.path, s.current) for s in seen] == [("base", False), ("base/second", True)]


def test_snapshots_may_share_a_name_and_keep_apart_by_id(rig: Rig, driver: Driver) -> None:
    second = take_snapshot(driver, find(driver, rig.parent), "base")
    seen = find(driver, rig.parent).snapshots
    assert [s.name for s in seen] == ["base", "base"]
    assert len({s.id for s in seen}) == 2
    assert current(find(driver, rig.parent)).id == second.id


def test_a_running_vm_can_be_snapshotted_and_runs_on(rig: Rig, driver: Driver) -> None:
    parent = find(driver, rig.parent)
    set_power(driver, parent, Power.ON)
    take_snapshot(driver, parent, "second")
    assert read(driver, parent.id).power is Power.ON


def test_deleting_a_snapshot_keeps_its_children(rig: Rig, driver: Driver) -> None:
    take_snapshot(driver, find(driver, rig.parent), "second")
    delete_snapshot(driver, find(driver, rig.parent), "base")
    parent = find(driver, rig.parent)
    assert [(s.path, s.current) for s in parent.snapshots] == [("second", True)]
    assert files_of(parent) <= rig.files()
    made = clone(driver, rig, "desk-001")
    assert prove_linked(made.disks, current(parent).disks or ()).linked is True


def test_deleting_the_current_snapshot_goes_back_to_the_one_above(rig: Rig, driver: Driver) -> None:
    take_snapshot(driver, find(driver, rig.parent), "second")
    delete_snapshot(driver, find(driver, rig.parent), "second")
    assert current(find(driver, rig.parent)).name == "base"
    assert files_of(find(driver, rig.parent)) <= rig.files()


def delete_under_clones(rig: Rig, driver: Driver, name: str) -> None:
    """Delete the parent's snapshot if the hypervisor keeps what clones read; else be refused."""
    parent = find(driver, rig.parent)
    if rig.ways.keeps_layers:
        delete_snapshot(driver, parent, name)
        return
    error = error_of(driver, lambda: driver.start(deletion(parent, name)))
    assert isinstance(error, RefusedError)
    assert find(driver, rig.parent) == parent


def test_deleting_a_snapshot_keeps_clones_working(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    delete_under_clones(rig, driver, "base")
    after = read(driver, made.id)
    assert after.disks == made.disks
    assert files_of(after) | files_of(find(driver, rig.parent)) <= rig.files()
    set_power(driver, made, Power.ON)


def test_deleting_an_older_snapshot_keeps_clones_of_the_newer_one_working(
    rig: Rig, driver: Driver
) -> None:
    take_snapshot(driver, find(driver, rig.parent), "second")
    made = clone(driver, rig, "desk-001")
    delete_under_clones(rig, driver, "base")
    after, parent = read(driver, made.id), find(driver, rig.parent)
    assert files_of(after) | files_of(parent) <= rig.files()
    assert prove_linked(after.disks, current(parent).disks or ()).linked is True
    set_power(driver, made, Power.ON)


def test_deleting_an_absent_snapshot_is_done(rig: Rig, driver: Driver) -> None:
    parent = find(driver, rig.parent)
    delete_snapshot(driver, parent, "base")
    delete_snapshot(driver, parent, "base")


def test_reverting_drops_what_came_after(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    take_snapshot(driver, made, "clean")
    before = read(driver, made.id)
    set_power(driver, made, Power.ON)
    result_of(driver, driver.start(do.revert_snapshot(made, current(before).id)))
    after = read(driver, made.id)
    assert after.power is Power.OFF
    assert after.disks[0].chain[:-1] == before.disks[0].chain[:-1]
    assert files_of(after) <= rig.files()


def test_reverting_makes_the_snapshot_current(rig: Rig, driver: Driver) -> None:
    take_snapshot(driver, find(driver, rig.parent), "second")
    parent = find(driver, rig.parent)
    result_of(driver, driver.start(do.revert_snapshot(parent, parent.snapshots[0].id)))
    after = find(driver, rig.parent)
    assert current(after).name == "base"
    assert [s.name for s in after.snapshots] == ["base", "second"]
    assert {str(disk.chain[-2]) for disk in after.disks} == frozen(after, "base")
    assert files_of(after) <= rig.files()


def test_reverting_the_parent_keeps_clones_working(rig: Rig, driver: Driver) -> None:
    made = clone(driver, rig, "desk-001")
    parent = find(driver, rig.parent)
    result_of(driver, driver.start(do.revert_snapshot(parent, current(parent).id)))
    after = find(driver, rig.parent)
    assert files_of(read(driver, made.id)) <= rig.files()
    assert prove_linked(made.disks, current(after).disks or ()).linked is True


def test_a_clone_with_its_own_snapshots_still_depends_on_the_parent(
    rig: Rig, driver: Driver
) -> None:
    made = clone(driver, rig, "desk-001")
    take_snapshot(driver, made, "mine")
    base = current(find(driver, rig.parent)).disks or ()
    assert hangs_from(read(driver, made.id), base).linked is True


def test_reverting_to_a_snapshot_that_is_gone_fails(rig: Rig, driver: Driver) -> None:
    parent = find(driver, rig.parent)
    delete_snapshot(driver, parent, "base")
    error = error_of(
        driver, lambda: driver.start(do.revert_snapshot(parent, parent.snapshots[0].id))
    )
    assert isinstance(error, GoneError)


def test_branches_of_a_snapshot_tree_keep_apart(rig: Rig, driver: Driver) -> None:
    take_snapshot(driver, find(driver, rig.parent), "left")
    parent = find(driver, rig.parent)
    result_of(driver, driver.start(do.revert_snapshot(parent, parent.snapshots[0].id)))
    take_snapshot(driver, parent, "right")
    parent = find(driver, rig.parent)
    assert {s.path for s in parent.snapshots} == {"base", "base/left", "base/right"}
    assert frozen(parent, "left").isdisjoint(frozen(parent, "right"))
    made = make(driver, step_for(driver, parent, "desk-001"))
    delete_under_clones(rig, driver, "base")
    assert files_of(find(driver, rig.parent)) | files_of(made) <= rig.files()
