"""Runs over pools on the hypervisor in memory: to the end, into trouble, and killed anywhere."""

from dataclasses import replace

import pytest

from linkedclone.app.pools.pools import Pools
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import BusyError
from linkedclone.model.pool import PoolHardware, PoolSpec, Probe, Rollout
from linkedclone.model.report import Status
from linkedclone.model.vm import PoolState, Power
from linkedclone.planning.pool.membership import state_of
from tests import do
from tests.unit.app.pooling import DyingDriver, KilledError, Stage, forget_claimant, pool

GIB = 1 << 30


@pytest.fixture
def stage() -> Stage:
    return Stage()


def done(stage: Stage, spec: PoolSpec) -> None:
    """The pool is exactly as its spec wants it."""
    members = stage.members(spec)
    assert sorted(members) == sorted(spec.slots)
    assert set(stage.snapshots(spec).values()) <= {spec.snapshot}
    assert all(vm.power is Power.ON for vm in members.values())
    assert stage.is_settled(spec)
    addresses = [address for vm in members.values() for address in vm.addresses]
    assert len(set(addresses)) == len(addresses) == spec.size
    assert not any(state_of(vm).claim for vm in members.values())


def test_a_pool_is_made(stage: Stage) -> None:
    report = stage.apply(pool())
    assert report.exit_code == 0
    assert [result.status for result in report.results] == [Status.DONE] * 5
    done(stage, pool())


def test_applied_again_nothing_is_done(stage: Stage) -> None:
    stage.apply(pool())
    before = stage.members(pool())
    assert stage.apply(pool()).results == ()
    assert stage.members(pool()) == before


@pytest.mark.parametrize(
    "rollout",
    [
        Rollout(max_unavailable=1),
        Rollout(max_unavailable=5),
        Rollout(max_unavailable=2, canary=1),
        Rollout(max_unavailable=0, max_surge=2),
        Rollout(max_unavailable=1, max_surge=1, canary=2),
    ],
)
def test_a_pool_is_recomposed(stage: Stage, rollout: Rollout) -> None:
    stage.apply(pool())
    after = pool(snapshot="new", rollout=rollout)
    report = stage.apply(after)
    assert report.exit_code == 0, report.document()
    done(stage, after)
    assert all(state_of(vm).previous_snapshot == stage.old for vm in stage.members(after).values())


def test_a_broken_image_stops_after_the_canary_and_rollback_restores_it(stage: Stage) -> None:
    before = pool(20, rollout=Rollout(max_unavailable=5, canary=1))
    stage.apply(before)
    stage.hypervisor.fail("customize", name="desk-1", times=-1)
    broken = replace(before, snapshot="new")
    report = stage.apply(broken)
    assert report.exit_code != 0
    assert "desk-1 was made but did not become healthy" in report.stopped
    on = stage.snapshots(broken)
    assert on.pop("desk-1") == "new"
    assert set(on.values()) == {"old"}
    stage.hypervisor.heal()
    pools, scene = stage.survey(broken)
    assert pools.previous(scene.spec) == ("", "old")
    assert stage.apply(before).exit_code == 0
    done(stage, before)


def test_a_sick_clone_is_replaced_until_it_is_quarantined(stage: Stage) -> None:
    wanted = pool(2, rollout=Rollout(max_unavailable=1))
    stage.hypervisor.fail("customize", name="desk-1", times=-1)
    for _ in range(6):
        stage.apply(wanted)
    pools, scene = stage.survey(wanted)
    plan = pools.plan(scene).plan
    assert plan.empty
    assert [skip.because for skip in plan.skipped] == [
        "quarantined: it failed 3 times on this image"
    ]
    stage.hypervisor.heal()
    pools.hold("desks", ["desk-1"], "")
    assert stage.apply(wanted).exit_code == 0
    done(stage, wanted)


def test_failures_are_forgiven_once_a_clone_is_healthy(stage: Stage) -> None:
    wanted = pool(2)
    stage.hypervisor.fail("customize", name="desk-1", times=1)
    stage.apply(wanted)
    stage.apply(wanted)
    assert state_of(stage.members(wanted)["desk-1"]).failures == 0
    done(stage, wanted)


def test_held_clones_are_left_alone(stage: Stage) -> None:
    stage.apply(pool())
    pools, _ = stage.survey(pool())
    pools.hold("desks", ["desk-2"], "for Anne")
    held = stage.members(pool())["desk-2"]
    report = stage.apply(pool(snapshot="new"))
    assert report.exit_code == 0
    assert [skip.because for skip in report.skipped] == ["held: for Anne"]
    assert stage.members(pool())["desk-2"] == held


def test_memory_is_changed_without_making_clones_anew(stage: Stage) -> None:
    stage.apply(pool())
    ids = {vm.id for vm in stage.members(pool()).values()}
    wanted = pool(hardware=PoolHardware(memory=4 * GIB))
    assert stage.apply(wanted).exit_code == 0
    done(stage, wanted)
    members = stage.members(wanted).values()
    assert {vm.id for vm in members} == ids
    assert {vm.memory_bytes for vm in members} == {4 * GIB}


def test_addresses_and_macs_are_handed_on(stage: Stage) -> None:
    wanted = pool(keep=("address", "mac"))
    stage.apply(wanted)
    # Lower addresses are free by then: a new clone would get one of those.
    stage.apply(replace(wanted, first=3))
    wanted = replace(wanted, first=3)
    before = {name: (vm.addresses, vm.macs) for name, vm in stage.members(wanted).items()}
    stage.apply(replace(wanted, snapshot="new"))
    after = {name: (vm.addresses, vm.macs) for name, vm in stage.members(wanted).items()}
    assert after == before


def test_a_clone_that_was_renamed_or_stopped_is_mended(stage: Stage) -> None:
    stage.apply(pool())
    driver = MemoryDriver(stage.hypervisor)
    members = stage.members(pool())
    driver.wait([driver.start(do.rename_vm(members["desk-1"], "annes"))], 1.0)
    driver.wait([driver.start(do.set_power(members["desk-2"], Power.OFF))], 1.0)
    assert stage.apply(pool()).exit_code == 0
    done(stage, pool())
    assert stage.members(pool())["desk-1"].id == members["desk-1"].id


def test_refresh_makes_named_clones_anew(stage: Stage) -> None:
    stage.apply(pool())
    before = {name: vm.id for name, vm in stage.members(pool()).items()}
    report = stage.apply(pool(), asked=["desk-2", "desk-4"])
    assert report.exit_code == 0
    after = {name: vm.id for name, vm in stage.members(pool()).items()}
    assert [name for name in before if before[name] != after[name]] == ["desk-2", "desk-4"]
    done(stage, pool())


def test_another_run_is_reported(stage: Stage) -> None:
    stage.apply(pool())
    stage.hypervisor.delays["customize"] = 1.0
    told: list[str] = []

    def second() -> None:
        if told:
            return
        told.append("")
        try:
            stage.apply(pool(snapshot="new"))
        except BusyError as error:
            told.append(error.brief)

    stage.looks.append(second)
    assert stage.apply(pool(snapshot="new")).exit_code == 0
    assert told == ["", "another run works on the pool desks"]


def test_a_stopped_clone_is_not_asked(stage: Stage) -> None:
    wanted = pool(power="off")
    assert stage.apply(wanted).exit_code == 0
    assert {vm.power for vm in stage.members(wanted).values()} == {Power.OFF}
    assert stage.is_settled(wanted)


def killed_run(stage: Stage, spec: PoolSpec, *, after: int) -> bool:
    """Run over a pool, and die at the n-th change; return whether it came to that."""
    driver = DyingDriver(MemoryDriver(stage.hypervisor), after=after)
    pools: Pools = stage.pools(driver)
    try:
        pools.apply(pools.survey(spec))
    except KilledError:
        return True
    return False


@pytest.mark.parametrize(
    "rollout", [Rollout(max_unavailable=2, canary=1), Rollout(max_unavailable=0, max_surge=2)]
)
def test_killed_at_any_step_the_next_run_ends_at_the_spec(
    monkeypatch: pytest.MonkeyPatch, rollout: Rollout
) -> None:
    forget_claimant(monkeypatch)
    boundaries = 0
    for after in range(1, 100):
        stage = Stage()
        first = pool(4, rollout=rollout)
        stage.apply(first)
        stage.hypervisor.add_clone(stage.parent, stage.old, "bystander")
        bystanders = {vm.name: vm.id for vm in MemoryDriver(stage.hypervisor).observe().vms}
        wanted = replace(first, snapshot="new", size=5)
        if not killed_run(stage, wanted, after=after):
            break
        boundaries += 1
        assert stage.apply(wanted).exit_code == 0
        done(stage, wanted)
        there = {vm.name: vm.id for vm in MemoryDriver(stage.hypervisor).observe().vms}
        assert set(there) == {"golden", "bystander", *wanted.slots}
        assert there["bystander"] == bystanders["bystander"]
    assert boundaries > 12


def test_a_hold_that_comes_in_the_middle_is_kept(stage: Stage) -> None:
    stage.apply(pool())
    stage.hypervisor.delays["customize"] = 1.0

    def hold() -> None:
        stage.looks.clear()
        pools, _ = stage.survey(pool())
        pools.hold("desks", ["desk-5"], "now")

    stage.looks.append(hold)
    report = stage.apply(pool(snapshot="new", rollout=Rollout(max_unavailable=1)))
    assert [skip.slot for skip in report.skipped] == ["desk-5"]
    assert stage.snapshots(pool())["desk-5"] == "old"


def test_a_default_state_has_no_slot() -> None:
    assert PoolState().slot == ""
    assert Probe().within == 600.0
