"""Pools that keep spares: forks that stand still until a clone takes them over."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from linkedclone.app.connection import Connection
from linkedclone.app.pools.pools import Pools
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import InputError, UnsupportedError
from linkedclone.model.pool import Act, PoolChange, PoolSpec, Rollout, Why
from linkedclone.model.pool_report import PoolReport
from linkedclone.model.report import Status
from linkedclone.model.vm import LEFT_FAILED, Power, Vm
from linkedclone.planning.pool.membership import state_of
from linkedclone.planning.pool.spec_rules import check_pool
from tests.unit.app.pooling import DyingDriver, KilledError, forget_claimant, pool
from tests.unit.app.test_pool_instant import ForkStage


@pytest.fixture
def stage() -> ForkStage:
    return ForkStage(forks_snapshots=True)


def spared(stage: ForkStage, size: int = 2, spares: int = 2, **given: Any) -> PoolSpec:
    return stage.instant(size, spares=spares, **given)


def spares(stage: ForkStage, spec: PoolSpec) -> dict[str, Vm]:
    return {name: vm for name, vm in stage.members(spec).items() if state_of(vm).spare}


def clones(stage: ForkStage, spec: PoolSpec) -> dict[str, Vm]:
    return {name: vm for name, vm in stage.members(spec).items() if not state_of(vm).spare}


def is_whole(stage: ForkStage, spec: PoolSpec) -> bool:
    """Say whether the pool has its clones, which run, and its spares, which stand still."""
    made, waiting = clones(stage, spec), spares(stage, spec)
    return (
        sorted(made) == sorted(spec.slots)
        and all(vm.power is Power.ON for vm in made.values())
        and all(vm.mark and not vm.mark.unconfirmed for vm in made.values())
        and len(waiting) == spec.spares
        and all(vm.power is Power.PAUSED for vm in waiting.values())
        and stage.is_settled(spec)
    )


def uuids(vms: dict[str, Vm]) -> set[str]:
    return {vm.uuid for vm in vms.values()}


def plan(stage: ForkStage, spec: PoolSpec) -> Sequence[PoolChange]:
    pools, scene = stage.scene(spec)
    return pools.plan(scene).plan.changes


def done(report: PoolReport) -> set[tuple[str, Act]]:
    assert report.exit_code == 0, report
    return {(result.slot, result.act) for result in report.results}


def test_a_pool_keeps_spares_beside_its_clones(stage: ForkStage) -> None:
    spec = spared(stage)
    assert stage.apply(spec).exit_code == 0
    assert is_whole(stage, spec)
    pools, scene = stage.scene(spec)
    status = pools.status(scene)
    assert [row.slot for row in status.rows] == ["desk-1", "desk-2"]
    assert (status.healthy, status.spares, status.spares_ready) == (2, 2, 2)
    assert stage.apply(spec).results == ()


def test_a_clone_that_is_made_takes_a_spare_over_and_another_is_made(stage: ForkStage) -> None:
    stage.apply(spared(stage))
    before, larger = spares(stage, spared(stage)), spared(stage, 3)
    addresses = {vm.mark.addresses for vm in before.values() if vm.mark}
    assert done(stage.apply(larger)) == {("desk-3", Act.CREATE), ("desks-spare-3", Act.CREATE)}
    assert is_whole(stage, larger)
    taken = clones(stage, larger)["desk-3"]
    assert taken.uuid in uuids(before)
    assert taken.mark is not None
    assert taken.mark.addresses in addresses
    assert len({vm.mark.addresses for vm in stage.members(larger).values() if vm.mark}) == 5
    assert len(uuids(stage.members(larger))) == 5


def test_a_clone_that_is_refreshed_or_failed_takes_a_spare_over(stage: ForkStage) -> None:
    spec = spared(stage)
    stage.apply(spec)
    before = spares(stage, spec)
    stage.apply(spec, asked=["desk-2"])
    assert clones(stage, spec)["desk-2"].uuid in uuids(before)
    stage.set_power("desk-1", Power.OFF)
    stage.apply(spec)
    assert clones(stage, spec)["desk-1"].uuid in uuids(before)
    assert is_whole(stage, spec)


def test_more_clones_than_spares_are_forked_anew(stage: ForkStage) -> None:
    stage.apply(spared(stage))
    before, larger = spares(stage, spared(stage)), spared(stage, 6)
    stage.apply(larger)
    assert len(uuids(clones(stage, larger)) & uuids(before)) == 2
    assert is_whole(stage, larger)


@pytest.mark.parametrize("keep", [("address",), ("mac",)])
def test_a_clone_that_keeps_what_its_forerunner_had_takes_no_spare(
    stage: ForkStage, keep: tuple[Any, ...]
) -> None:
    spec = spared(stage, keep=keep)
    stage.apply(spec)
    before, old = spares(stage, spec), clones(stage, spec)["desk-1"]
    stage.apply(spec, asked=["desk-1"])
    new = clones(stage, spec)["desk-1"]
    assert uuids(spares(stage, spec)) == uuids(before)
    assert new.uuid not in uuids(before)
    assert (new.macs == old.macs) == (keep == ("mac",))


@pytest.mark.parametrize(
    ("changed", "why"),
    [({"annotation": "new"}, Why.SPEC), ({"snapshot": "warmer"}, Why.IMAGE)],
)
def test_spares_of_another_shape_or_image_are_made_anew(
    stage: ForkStage, changed: dict[str, Any], why: Why
) -> None:
    stage.apply(spared(stage))
    before = spares(stage, spared(stage))
    stage.hypervisor.add_snapshot(stage.parent, "warmer", memory=True)
    spec = spared(stage, **changed)
    gone = {
        change.slot: [reason.why for reason in change.reasons]
        for change in plan(stage, spec)
        if change.act is Act.DELETE
    }
    assert gone == {name: [why] for name in before}
    assert stage.apply(spec).exit_code == 0
    assert not uuids(spares(stage, spec)) & uuids(before)
    assert is_whole(stage, spec)


@pytest.mark.parametrize("power", [Power.OFF, Power.ON])
def test_a_spare_that_does_not_stand_ready_is_made_anew_and_never_taken_over(
    stage: ForkStage, power: Power
) -> None:
    stage.apply(spared(stage, spares=1))
    (before,) = spares(stage, spared(stage)).values()
    stage.set_power(before.name, power)
    spec = spared(stage, 3, spares=1)
    pools, scene = stage.scene(spec)
    assert pools.status(scene).spares_ready == 0
    stage.apply(spec)
    assert before.uuid not in uuids(clones(stage, spec))
    assert is_whole(stage, spec)


def test_a_spare_that_a_killed_command_left_unfinished_is_made_anew(stage: ForkStage) -> None:
    spec = spared(stage, spares=1)
    stage.apply(spec)
    (left,) = spares(stage, spec).values()
    assert left.mark is not None
    stage.hypervisor.set_mark(left.id, replace(left.mark, spec=LEFT_FAILED))
    larger = spared(stage, 3, spares=1)
    stage.apply(larger)
    assert left.uuid not in uuids(stage.members(larger))
    assert is_whole(stage, larger)


def test_spares_of_a_stale_snapshot_go_and_none_is_made(stage: ForkStage) -> None:
    spec = spared(stage)
    stage.apply(spec)
    stage.make_stale(stage.warm, "it was saved by another QEMU")
    assert done(stage.apply(spec)) == {
        ("desks-spare-1", Act.DELETE),
        ("desks-spare-2", Act.DELETE),
    }
    assert spares(stage, spec) == {}
    assert sorted(clones(stage, spec)) == ["desk-1", "desk-2"]


def test_fewer_spares_are_wanted_or_none_of_linked_clones(stage: ForkStage) -> None:
    stage.apply(spared(stage))
    fewer = spared(stage, spares=1)
    assert done(stage.apply(fewer)) == {("desks-spare-2", Act.DELETE)}
    stage.apply(pool(2, snapshot="old"))
    assert spares(stage, fewer) == {}


def test_a_pool_without_clones_can_keep_spares(stage: ForkStage) -> None:
    empty = spared(stage, 0)
    assert stage.apply(empty).exit_code == 0
    assert is_whole(stage, empty)
    before = spares(stage, empty)
    spec = spared(stage, 2)
    stage.apply(spec)
    assert uuids(clones(stage, spec)) == uuids(before)
    assert is_whole(stage, spec)
    assert all(not state_of(vm).claim for vm in stage.members(spec).values())


def test_deleting_a_pool_sweeps_its_spares(stage: ForkStage) -> None:
    for named in (False, True):
        spec = spared(stage)
        stage.apply(spec)
        stage.pools().delete(spec.pool if named else spec)
        assert stage.members(spec) == {}
        assert {vm.name for vm in stage.hypervisor.vms} == {"golden"}


def test_a_spare_is_no_clone_to_hold_or_to_refresh(stage: ForkStage) -> None:
    spec = spared(stage)
    stage.apply(spec)
    with pytest.raises(InputError):
        stage.pools().survey(spec, asked=["desks-spare-1"])
    with pytest.raises(InputError):
        stage.pools().hold(spec, ["desks-spare-1"], "for Anne")
    stage.pools().hold(spec, [], "all of them")
    assert not any(state_of(vm).hold for vm in spares(stage, spec).values())


def test_a_spare_is_no_host_of_an_inventory(stage: ForkStage) -> None:
    spec = spared(stage)
    stage.apply(spec)
    hosts = Connection(MemoryDriver(stage.hypervisor), address="test").lineage.hosts(every=True)
    assert sorted(host.vm.name for host in hosts) == ["desk-1", "desk-2", "golden"]


def test_a_spare_that_another_run_took_first_is_not_taken_twice(stage: ForkStage) -> None:
    spec = spared(stage)
    stage.apply(spec)
    before = spares(stage, spec)
    taken = min(before)

    class Racing:
        """A driver beside which another run takes a spare over just before a clone is made."""

        def __init__(self, driver: MemoryDriver) -> None:
            self._driver = driver

        def __getattr__(self, name: str) -> Any:
            if name == "start":
                self._take()
            return getattr(self._driver, name)

        def _take(self) -> None:
            found = stage.members(spec).get(taken)
            if found and found.mark and found.mark.pool:
                theirs = replace(found.mark.pool, spare=False, slot="desk-9")
                stage.hypervisor.set_mark(found.id, replace(found.mark, pool=theirs))

    larger = spared(stage, 3)
    driver = MemoryDriver(stage.hypervisor)
    driver.features = replace(driver.features, forks_snapshots=True)
    pools = stage.pools(Racing(driver))
    pools.apply(pools.survey(larger))
    found = clones(stage, larger)
    assert found["desk-3"].uuid != before[taken].uuid
    assert len(uuids(stage.members(larger))) == len(stage.members(larger))


def test_a_run_that_is_killed_is_finished_by_the_next(
    stage: ForkStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_claimant(monkeypatch)
    for after in range(1, 40):
        spec = spared(stage, 1 + after % 3)
        made = MemoryDriver(stage.hypervisor)
        made.features = replace(made.features, forks_snapshots=True)
        driver = DyingDriver(made, after=after)
        pools = stage.pools(driver)
        with suppress(KilledError):
            pools.apply(pools.survey(spec, everything=after % 2 == 0))
        stage.apply(spec)
        assert is_whole(stage, spec), after
        if not driver.dead:
            return
    pytest.fail("it is never done")


def test_a_claim_that_fails_is_told_and_leaves_nothing(stage: ForkStage) -> None:
    stage.apply(spared(stage))
    stage.hypervisor.fail("identity", "desk-3")
    larger = spared(stage, 3)
    report = stage.apply(larger)
    failed = [result.slot for result in report.results if result.status is Status.FAILED]
    assert failed == ["desk-3"]
    assert "desk-3" not in stage.members(larger)
    assert stage.apply(larger).exit_code == 0
    assert is_whole(stage, larger)


def test_spares_do_not_count_for_a_rollout(stage: ForkStage) -> None:
    rollout = Rollout(max_unavailable=0, max_surge=1)
    spec = spared(stage, rollout=rollout)
    stage.apply(spec)
    stage.hypervisor.add_snapshot(stage.parent, "warmer", memory=True)
    most: list[int] = []
    stage.looks.append(lambda: most.append(len(clones(stage, spec))))
    newer = spared(stage, rollout=rollout, snapshot="warmer")
    assert stage.apply(newer).exit_code == 0
    assert max(most, default=0) <= 3
    assert is_whole(stage, newer)


def test_spares_are_refused_where_no_fork_can_stand_still(stage: ForkStage) -> None:
    driver = MemoryDriver(stage.hypervisor)
    driver.features = replace(driver.features, forks_snapshots=True, keeps_spares=False)
    pools: Pools = stage.pools(driver)
    with pytest.raises(UnsupportedError, match="spares of a pool"):
        pools.survey(spared(stage))


@pytest.mark.parametrize(
    ("given", "told"),
    [({"spares": -1}, "from 0"), ({"clone": "linked", "spares": 1}, "clone: instant")],
)
def test_spares_of_what_cannot_be_are_refused_by_name(
    stage: ForkStage, given: dict[str, Any], told: str
) -> None:
    (problem,) = [p for p in check_pool(stage.instant(**given)) if p.place == ("spares",)]
    assert told in problem.text
