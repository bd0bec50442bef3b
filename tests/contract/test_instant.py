"""Instant clones: linked, forked where their parent stands, with an identity of their own."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from linkedclone.app.clone.job import prepare
from linkedclone.app.connection import Connection
from linkedclone.drivers.contract import Driver
from linkedclone.errors import CustomizationError, DuplicateNameError, InUseError, LinkedCloneError
from linkedclone.model.plan import CreateClone
from linkedclone.model.report import CloneResult, Mode, Status
from linkedclone.model.request import CloneRequest, Deletion
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import LEFT_FAILED, PoolState, Power, Vm
from tests import do
from tests.contract.acts import (
    delete,
    error_of,
    files_of,
    find,
    make,
    read,
    result_of,
    running,
    set_power,
    step_for,
    take_snapshot,
)
from tests.contract.conftest import RIGS
from tests.contract.rigs import local, memory
from tests.contract.rigs.base import Kind, Rig

FORKING = {
    **RIGS,
    "local": local.open_warm_rig,
    "memory-snapshots": memory.open_snapshot_fork_rig,
}
"""Both ways of forking: a VM as it runs, and a snapshot with memory."""


@pytest.fixture(params=FORKING)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A fresh hypervisor that makes instant clones."""
    with FORKING[request.param]() as opened:
        driver = opened.connect()
        can = "instant" in driver.features.request_fields
        driver.close()
        if not can:
            pytest.skip("it makes no instant clones")
        yield opened


def ask(parent: str, name: str) -> CloneRequest:
    return CloneRequest(parent=parent, names=(name,), instant=True)


def fork(driver: Driver, parent: str, name: str) -> CloneResult:
    """Ask for one instant clone, as people do."""
    (result,) = Connection(driver, address="test").clone(ask(parent, name)).clones
    return result


def forked(driver: Driver, parent: str, name: str) -> Vm:
    """Make an instant clone; return it, read whole."""
    result = fork(driver, parent, name)
    assert result.status is Status.CREATED, result.error
    return read(driver, VmId(str(result.id)))


def plan_fork(driver: Driver, parent: str, name: str) -> CreateClone:
    (step,) = prepare(driver, ask(parent, name)).creates
    return step


def test_an_instant_clone_runs_is_linked_and_is_nobodys_twin(rig: Rig, driver: Driver) -> None:
    source = rig.forkable()
    before = find(driver, source)
    result = fork(driver, source, "ci-1")
    assert (result.status, result.mode, result.power) == (Status.CREATED, Mode.LINKED, Power.ON)
    made, parent = read(driver, VmId(str(result.id))), find(driver, source)
    assert made.power is Power.ON
    assert parent.disks[0].chain[0] in made.layers
    assert parent.disks[0].top not in made.layers
    assert made.uuid != parent.uuid
    cards = [*rig.macs(made.id), *rig.macs(parent.id)]
    assert len(set(cards)) == len(cards) == 2 * len(rig.macs(parent.id)) > 0
    mark = made.valid_mark
    assert mark is not None
    assert mark.instant
    assert mark.spec not in {"", LEFT_FAILED}
    assert mark.parent_uuid == parent.uuid
    # And its parent goes on as it was.
    assert (parent.power, parent.mark, parent.macs) == (before.power, before.mark, before.macs)
    assert [s.id for s in parent.snapshots] == [s.id for s in before.snapshots]
    assert before.layers <= parent.layers


def test_an_instant_clone_that_is_deleted_takes_nothing_of_its_parent(
    rig: Rig, driver: Driver
) -> None:
    source = rig.forkable()
    one, two = forked(driver, source, "ci-1"), forked(driver, source, "ci-2")
    assert one.uuid != two.uuid
    assert not set(rig.macs(one.id)) & set(rig.macs(two.id))
    before = read(driver, find(driver, source).id)
    set_power(driver, one, Power.OFF)
    delete(driver, one)
    assert read(driver, before.id) == replace(
        before, own_bytes=read(driver, before.id).own_bytes, shared_bytes=before.shared_bytes
    )
    assert files_of(before) | files_of(two) <= rig.files()
    assert not {str(disk.top) for disk in one.disks} & rig.files()


def test_a_second_run_keeps_an_instant_clone(rig: Rig, driver: Driver) -> None:
    source = rig.forkable()
    made = forked(driver, source, "ci-1")
    again = fork(driver, source, "ci-1")
    assert (again.status, again.id) == (Status.EXISTING, made.id)
    assert read(driver, made.id).mark == made.mark


def test_an_instant_clone_that_is_off_is_not_booted_by_a_second_run(
    rig: Rig, driver: Driver
) -> None:
    source = rig.forkable()
    made = forked(driver, source, "ci-1")
    set_power(driver, made, Power.OFF)
    again = fork(driver, source, "ci-1")
    assert again.status is Status.DIFFERS
    assert [one.field for one in again.differences] == ["power"]
    assert read(driver, made.id).power is Power.OFF


def warm(driver: Driver, vm: Vm) -> None:
    """Let a VM that runs be forked, by a snapshot with memory where that is needed."""
    if driver.features.forks_snapshots:
        result_of(driver, driver.start(do.create_snapshot(vm, "mine", memory=True)))


def test_a_fork_of_a_clone_can_be_forked(rig: Rig, driver: Driver) -> None:
    source = rig.forkable()
    if driver.features.forks_snapshots:
        desk = make(driver, running(step_for(driver, find(driver, source), "desk-1")))
        warm(driver, desk)
        source = desk.path
    child = forked(driver, source, "ci-1")
    warm(driver, child)
    grandchild = forked(driver, child.path, "ci-1-a")
    assert grandchild.power is Power.ON
    assert child.disks[0].top in grandchild.layers
    assert len(grandchild.disks[0].chain) > len(child.disks[0].chain)


def test_the_name_of_an_instant_clone_is_taken_while_it_is_made(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    step = plan_fork(driver, rig.forkable(), "ci-1")
    rig.delay("clone", 1.0)
    first = driver.start(step)
    error = error_of(other_driver, lambda: other_driver.start(step))
    assert isinstance(error, DuplicateNameError)
    assert result_of(driver, first)
    (made,) = driver.observe_names(step.target, ["ci-1"])
    assert made.valid_mark is not None
    assert made.valid_mark.spec == step.mark.spec


def test_a_fork_without_an_identity_counts_as_good_for_nobody(rig: Rig, driver: Driver) -> None:
    step = plan_fork(driver, rig.forkable(), "ci-1")
    rig.fail("identity", "ci-1", kind=Kind.CUSTOMIZATION)
    assert isinstance(error_of(driver, lambda: driver.start(step)), CustomizationError)
    left = driver.observe_names(step.target, ["ci-1"])
    assert all(vm.mark is not None and vm.mark.spec == LEFT_FAILED for vm in left)


def test_a_run_undoes_a_fork_without_an_identity(rig: Rig, driver: Driver) -> None:
    source = rig.forkable()
    before = rig.files()
    rig.fail("identity", "ci-1", kind=Kind.CUSTOMIZATION)
    result = fork(driver, source, "ci-1")
    assert result.status is Status.FAILED
    assert result.error is not None
    assert "ci-1" not in {vm.name for vm in driver.observe().vms}
    assert before <= rig.files()
    assert forked(driver, source, "ci-1").power is Power.ON


def test_a_later_run_takes_up_no_fork_without_an_identity(rig: Rig, driver: Driver) -> None:
    source = rig.forkable()
    rig.fail("identity", "ci-1", kind=Kind.CUSTOMIZATION)
    request = replace(ask(source, "ci-1"), keep_failed=True)
    (kept,) = Connection(driver, address="test").clone(request).clones
    assert kept.status is Status.FAILED
    again = fork(driver, source, "ci-1")
    assert again.status is Status.FAILED
    assert again.error is not None
    assert again.id in {None, kept.id}


def test_what_has_no_memory_is_not_forked(rig: Rig, driver: Driver) -> None:
    step = plan_fork(driver, rig.forkable(), "ci-1")
    bare = find(driver, rig.bare)
    cold = take_snapshot(driver, bare, "cold") if driver.features.forks_snapshots else None
    wrong = replace(step, source=read(driver, bare.id), snapshot=cold)
    assert isinstance(error_of(driver, lambda: driver.start(wrong)), LinkedCloneError)
    assert driver.observe_names(step.target, ["ci-1"]) == ()
    with pytest.raises(LinkedCloneError):
        prepare(driver, ask(rig.bare, "ci-1"))


def test_what_a_fork_depends_on_is_not_deleted(rig: Rig, driver: Driver) -> None:
    source = rig.forkable()
    made = forked(driver, source, "ci-1")
    here = Connection(driver, address="test")
    with pytest.raises(InUseError, match=find(driver, source).name):
        here.vms.propose_delete([source], Deletion(force=True))
    for snapshot in find(driver, source).snapshots:
        if any(disk.top in made.layers for disk in snapshot.disks or ()):
            with pytest.raises(InUseError):
                here.snapshots.propose_delete(source, snapshot.id, force=True)


def make_spare(driver: Driver, source: str, name: str) -> Vm:
    """Make a fork that stands still until a clone takes it over."""
    if not driver.features.keeps_spares:
        pytest.skip("it keeps no spares")
    step = plan_fork(driver, source, name)
    waiting = replace(step.mark, pool=PoolState(slot=name, spare=True))
    return make(driver, replace(step, mark=waiting))


def test_a_spare_stands_still_until_one_clone_takes_it_over(rig: Rig, driver: Driver) -> None:
    source = rig.forkable()
    spare = make_spare(driver, source, "spare-1")
    macs = rig.macs(spare.id)
    assert spare.power is Power.PAUSED
    assert spare.valid_mark is not None
    assert spare.valid_mark.unconfirmed
    made = make(driver, replace(plan_fork(driver, source, "ci-1"), spare=spare.id))
    assert (made.id, made.uuid, made.name) == (spare.id, spare.uuid, "ci-1")
    assert (made.power, rig.macs(made.id)) == (Power.ON, macs)
    assert made.valid_mark is not None
    assert not made.valid_mark.unconfirmed
    other = make(driver, replace(plan_fork(driver, source, "ci-2"), spare=spare.id))
    assert other.power is Power.ON
    assert other.id != made.id
    assert read(driver, made.id).name == "ci-1"


def test_a_spare_without_an_identity_counts_as_good_for_nobody(rig: Rig, driver: Driver) -> None:
    source = rig.forkable()
    spare = make_spare(driver, source, "spare-1")
    rig.fail("identity", "ci-1", kind=Kind.CUSTOMIZATION)
    step = replace(plan_fork(driver, source, "ci-1"), spare=spare.id)
    assert isinstance(error_of(driver, lambda: driver.start(step)), CustomizationError)
    (left,) = driver.observe_names(step.target, ["ci-1", "spare-1"])
    assert (left.id, left.name) == (spare.id, "ci-1")
    assert left.mark is not None
    assert (left.mark.spec, left.mark.spare) == (LEFT_FAILED, False)


def test_the_memory_of_a_snapshot_is_deleted_alone(rig: Rig, driver: Driver) -> None:
    if not driver.features.forks_snapshots:
        pytest.skip("its forks are made of no snapshot")
    source = rig.forkable()
    made, before = forked(driver, source, "ci-1"), find(driver, source)
    (held,) = [snapshot for snapshot in before.snapshots if snapshot.memory]
    here = Connection(driver, address="test")
    for _ in range(2):  # absent counts as done
        result_of(driver, driver.start(do.delete_memory(before, held.id)))
    after = find(driver, source)
    assert [(s.id, s.disks) for s in after.snapshots] == [(s.id, s.disks) for s in before.snapshots]
    assert not any(snapshot.memory for snapshot in after.snapshots)
    assert files_of(before) <= rig.files()
    assert read(driver, made.id).power is Power.ON
    with pytest.raises(LinkedCloneError):
        prepare(driver, ask(source, "ci-2"))
    with pytest.raises(LinkedCloneError, match="holds no memory"):
        here.snapshots.propose_delete_memory(source, held.id, force=True)
    assert make(driver, step_for(driver, after, "desk-1")).disks[0].chain[0] in made.layers
