"""Pools of instant clones in memory: forked, never booted, and stopped where nothing can fork."""

from dataclasses import replace
from typing import Any

import pytest

from linkedclone.app.pools.pools import Pools
from linkedclone.app.pools.survey import PoolScene
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import InputError, RefusedError
from linkedclone.model.pool import Act, Fitness, PoolSpec, Probe, Rollout, Why
from linkedclone.model.pool_report import PoolReport
from linkedclone.model.report import Status
from linkedclone.model.values.ids import SnapshotId
from linkedclone.model.vm import LEFT_FAILED, CustomizationStatus, Power, SnapshotMemory, Vm
from linkedclone.planning.pool.member_health import Probed, judge_fitness
from linkedclone.planning.pool.membership import state_of
from tests.unit.app.pooling import Stage, pool


class ForkStage(Stage):
    """A golden image that runs, and pools of its forks.

    Attributes:
        forks_snapshots: Whether forks are made of snapshots with memory; else of VMs as they run.
    """

    def __init__(self, *, forks_snapshots: bool) -> None:
        super().__init__()
        self.forks_snapshots = forks_snapshots
        self.set_power("golden", Power.ON)
        self.warm = self.hypervisor.add_snapshot(self.parent, "warm", memory=True)

    def pools(self, driver: Any = None) -> Pools:
        made = MemoryDriver(self.hypervisor)
        made.features = replace(made.features, forks_snapshots=self.forks_snapshots)
        return super().pools(driver or made)

    def set_power(self, name: str, power: Power) -> None:
        (vm,) = [vm for vm in self.hypervisor.vms if vm.name == name]
        with self.hypervisor.access("test") as estate:
            estate.set_power(vm.id, power)

    def make_stale(self, snapshot: SnapshotId, why: str) -> None:
        with self.hypervisor.access("test") as estate:
            _, point = estate.point(self.parent, snapshot)
            point.memory = SnapshotMemory(size_bytes=1, stale=why)

    def instant(self, size: int = 3, **given: Any) -> PoolSpec:
        wanted = {"clone": "instant", "snapshot": "warm" if self.forks_snapshots else ""}
        return pool(size, **{**wanted, **given})

    def scene(self, spec: PoolSpec) -> tuple[Pools, PoolScene]:
        pools = self.pools()
        return pools, pools.survey(spec)


@pytest.fixture(params=[False, True], ids=["running", "snapshots"])
def stage(request: pytest.FixtureRequest) -> ForkStage:
    return ForkStage(forks_snapshots=request.param)


@pytest.fixture
def frozen() -> ForkStage:
    """A stage whose forks are made of snapshots with memory."""
    return ForkStage(forks_snapshots=True)


def are_forks(stage: ForkStage, spec: PoolSpec) -> None:
    """The pool is as its spec wants it, all of instant clones."""
    members = stage.members(spec)
    assert sorted(members) == sorted(spec.slots)
    assert all(vm.mark and vm.mark.instant for vm in members.values())
    assert all(vm.mark and vm.mark.spec != LEFT_FAILED for vm in members.values())
    assert all(vm.power is Power.ON for vm in members.values())
    assert stage.is_settled(spec)


def generations(stage: ForkStage, spec: PoolSpec) -> dict[str, int]:
    return {name: state_of(vm).generation for name, vm in stage.members(spec).items()}


def acts(report: PoolReport) -> list[tuple[str, Act, Status]]:
    return [(result.slot, result.act, result.status) for result in report.results]


def test_a_pool_of_instant_clones_is_forked(stage: ForkStage) -> None:
    spec = stage.instant()
    assert stage.apply(spec).exit_code == 0
    are_forks(stage, spec)
    assert stage.apply(spec).results == ()


def test_all_clones_of_a_pool_are_forked_from_one_snapshot(frozen: ForkStage) -> None:
    spec = frozen.instant(snapshot="")
    frozen.apply(spec)
    assert set(frozen.snapshots(spec).values()) == {"warm"}
    (golden,) = [vm for vm in frozen.hypervisor.vms if vm.name == "golden"]
    assert [snapshot.name for snapshot in golden.snapshots] == ["old", "new", "warm"]


def test_refresh_forks_anew(stage: ForkStage) -> None:
    spec = stage.instant()
    stage.apply(spec)
    report = stage.apply(spec, asked=["desk-2"])
    assert acts(report) == [("desk-2", Act.REPLACE, Status.DONE)]
    are_forks(stage, spec)
    assert generations(stage, spec) == {"desk-1": 0, "desk-2": 1, "desk-3": 0}


def test_an_instant_clone_that_is_off_is_forked_anew_and_not_booted(stage: ForkStage) -> None:
    spec = stage.instant()
    stage.apply(spec)
    stage.set_power("desk-1", Power.OFF)
    pools, scene = stage.scene(spec)
    (change,) = pools.plan(scene).plan.changes
    assert (change.slot, change.act) == ("desk-1", Act.REPLACE)
    assert [reason.why for reason in change.reasons] == [Why.POWER]
    assert pools.apply(scene).exit_code == 0
    are_forks(stage, spec)
    assert generations(stage, spec)["desk-1"] == 1


def test_an_instant_clone_that_is_suspended_goes_on(stage: ForkStage) -> None:
    spec = stage.instant()
    stage.apply(spec)
    stage.set_power("desk-1", Power.SUSPENDED)
    assert acts(stage.apply(spec)) == [("desk-1", Act.START, Status.DONE)]
    assert generations(stage, spec)["desk-1"] == 0


@pytest.mark.parametrize("power", [Power.ON, Power.PAUSED])
def test_a_fork_without_an_identity_is_forked_anew(stage: ForkStage, power: Power) -> None:
    spec = stage.instant()
    stage.apply(spec)
    left = stage.members(spec)["desk-3"]
    assert left.mark is not None
    stage.hypervisor.set_mark(left.id, replace(left.mark, spec=LEFT_FAILED))
    stage.set_power("desk-3", power)
    pools, scene = stage.scene(spec)
    (change,) = pools.plan(scene).plan.changes
    assert (change.slot, change.act) == ("desk-3", Act.REPLACE)
    assert "no identity of its own" in str(change.reasons[0])
    pools.apply(scene)
    are_forks(stage, spec)


def test_a_fork_that_gets_no_identity_stops_the_run_and_leaves_nothing(stage: ForkStage) -> None:
    spec = stage.instant()
    stage.hypervisor.fail("identity", "desk-2")
    report = stage.apply(spec)
    assert report.exit_code == 4
    assert sorted(stage.members(spec)) == ["desk-1", "desk-3"]
    assert stage.apply(spec).exit_code == 0
    are_forks(stage, spec)


@pytest.mark.parametrize("rollout", [Rollout(), Rollout(max_unavailable=0, max_surge=1)])
def test_a_pool_that_becomes_one_of_instant_clones_is_replaced_by_its_rollout(
    stage: ForkStage, rollout: Rollout
) -> None:
    linked = pool(3, snapshot="old", rollout=rollout)
    stage.apply(linked)
    counts: list[int] = []
    spec = stage.instant(rollout=rollout)
    stage.looks.append(lambda: counts.append(serving(stage, spec)))
    report = stage.apply(spec)
    assert {(result.act, result.status) for result in report.results} - {
        (Act.RENAME, Status.DONE),
        (Act.DELETE, Status.DONE),
    } == {(Act.REPLACE, Status.DONE)}
    assert min(counts, default=3) >= 3 - rollout.max_unavailable
    are_forks(stage, spec)


def serving(stage: ForkStage, spec: PoolSpec) -> int:
    return len({state_of(vm).slot for vm in stage.members(spec).values() if vm.power is Power.ON})


def test_a_pool_whose_clones_were_forked_can_become_one_of_linked_clones(stage: ForkStage) -> None:
    stage.apply(stage.instant())
    linked = pool(3, snapshot="old")
    assert stage.apply(linked).exit_code == 0
    members = stage.members(linked)
    assert not any(vm.mark and vm.mark.instant for vm in members.values())
    assert set(stage.snapshots(linked).values()) == {"old"}


def test_a_newer_snapshot_with_memory_replaces_the_clones_of_the_older(frozen: ForkStage) -> None:
    frozen.apply(frozen.instant())
    frozen.hypervisor.add_snapshot(frozen.parent, "warmer", memory=True)
    spec = frozen.instant(snapshot="warmer")
    assert {act for _, act, _ in acts(frozen.apply(spec))} == {Act.REPLACE}
    assert set(frozen.snapshots(spec).values()) == {"warmer"}
    are_forks(frozen, spec)
    assert frozen.pools().previous(spec) == ("", "warm")


def test_a_parent_that_goes_on_makes_no_clone_of_it_old() -> None:
    stage = ForkStage(forks_snapshots=False)
    spec = stage.instant()
    stage.apply(spec)
    stage.hypervisor.add_snapshot(stage.parent, "later")
    assert stage.apply(spec).results == ()
    stage.apply(spec, everything=True)
    assert set(generations(stage, spec).values()) == {1}


def test_a_stale_snapshot_stops_a_pool_and_leaves_its_clones_alone(frozen: ForkStage) -> None:
    spec = frozen.instant()
    frozen.apply(spec)
    before = frozen.members(spec)
    frozen.make_stale(frozen.warm, "it was saved by another QEMU")
    pools, scene = frozen.scene(spec)
    assert pools.plan(scene).plan.empty
    assert "it was saved by another QEMU" in pools.plan(scene).plan.notes[0]
    assert pools.apply(scene).exit_code == 0
    larger = replace(spec, size=4)
    pools, scene = frozen.scene(larger)
    for stop in (pools.plan, pools.apply, pools.propose_apply):
        with pytest.raises(RefusedError, match="it was saved by another QEMU") as caught:
            stop(scene)
        assert "pool recompose" in caught.value.hint
    assert pools.status(scene).healthy == 3
    assert frozen.members(spec) == before


def test_a_snapshot_without_memory_stops_a_pool_of_instant_clones(frozen: ForkStage) -> None:
    pools, scene = frozen.scene(frozen.instant(snapshot="old"))
    with pytest.raises(RefusedError, match="has no memory to fork"):
        pools.apply(scene)
    assert frozen.members(scene.spec) == {}


def test_a_parent_that_does_not_run_stops_a_pool_that_forks_it() -> None:
    stage = ForkStage(forks_snapshots=False)
    spec = stage.instant()
    stage.apply(spec)
    stage.set_power("golden", Power.OFF)
    assert stage.apply(spec).exit_code == 0
    stage.set_power("desk-1", Power.OFF)
    with pytest.raises(RefusedError, match="golden is off") as caught:
        stage.apply(spec)
    assert "start" in caught.value.hint
    assert stage.members(spec)["desk-2"].power is Power.ON


def test_a_parent_without_snapshots_has_nothing_to_fork_until_one_is_taken() -> None:
    stage = ForkStage(forks_snapshots=True)
    bare = stage.hypervisor.add_vm("bare", power=Power.ON)
    spec = stage.instant(parent="bare", snapshot="")
    pools, scene = stage.scene(spec)
    with pytest.raises(RefusedError) as caught:
        pools.apply(scene)
    assert "pool recompose" in caught.value.hint
    name = pools.take_image(scene)
    (seen,) = [vm for vm in stage.hypervisor.vms if vm.id == bare]
    assert [(s.name, s.memory is not None) for s in seen.snapshots] == [(name, True)]
    assert stage.apply(spec).exit_code == 0
    are_forks(stage, spec)


def test_no_snapshot_is_named_where_parents_are_forked_as_they_run() -> None:
    stage = ForkStage(forks_snapshots=False)
    with pytest.raises(InputError, match="as it runs"):
        stage.scene(stage.instant(snapshot="warm"))


def test_the_mark_of_an_instant_clone_says_that_its_identity_is_confirmed() -> None:
    stage = ForkStage(forks_snapshots=False)
    stage.apply(stage.instant(1))
    (made,) = stage.members(stage.instant(1)).values()
    assert made.mark is not None
    pending = replace(made, customization=CustomizationStatus.PENDING)
    cold = replace(pending, mark=replace(made.mark, instant=False))
    left = replace(pending, mark=replace(made.mark, spec=LEFT_FAILED))
    found = [
        judge_fitness(vm, Probe(), Probed(), now=stage.clock(), customized=True).fitness
        for vm in (pending, cold, left)
    ]
    assert found[0] is Fitness.HEALTHY
    assert Fitness.HEALTHY not in found[1:]
    assert found[2] is Fitness.UNHEALTHY


def test_the_last_fork_of_a_pool_leaves_its_parent_whole(stage: ForkStage) -> None:
    spec = stage.instant()
    stage.apply(spec)
    (before,) = find_golden(stage)
    assert stage.apply(replace(spec, size=0)).exit_code == 0
    (after,) = find_golden(stage)
    assert stage.members(spec) == {}
    assert after.layers == before.layers <= stage.hypervisor.files


def find_golden(stage: ForkStage) -> list[Vm]:
    return [vm for vm in stage.hypervisor.vms if vm.name == "golden"]
