"""Runs over pools while somebody else changes the same clones, and while things go wrong."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from linkedclone.app.connection import Connection
from linkedclone.app.pools.pools import Pools
from linkedclone.app.proposal import Acting
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.drivers.services import GuestService, Services
from linkedclone.errors import BusyError, InputError
from linkedclone.execution.outage import Pace
from linkedclone.execution.pool_lock import Claimant
from linkedclone.model.pool import Act, PoolHardware, PoolSpec, Rollout
from linkedclone.model.pool_report import PoolReport
from linkedclone.model.report import Status
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationNews, CustomizationStatus, Power, Vm
from linkedclone.planning.pool.membership import state_of
from tests import do
from tests.unit.app.pooling import Stage, pool

GIB = 1 << 30
SURGE = Rollout(max_unavailable=0, max_surge=2, canary=1)


@pytest.fixture
def stage() -> Stage:
    return Stage()


class Meddling:
    """A driver around whose calls somebody else does something."""

    def __init__(self, driver: MemoryDriver) -> None:
        self._driver = driver
        self.before: dict[str, Callable[..., object]] = {}
        self.after: dict[str, Callable[..., object]] = {}

    def __getattr__(self, name: str) -> Any:
        return self._around(name, getattr(self._driver, name))

    @property
    def services(self) -> Services:
        guests: Any = self._driver.services.guests
        asked = SimpleNamespace(
            shut_down_guest=self._around("shut_down_guest", guests.shut_down_guest),
            run_in_guest=guests.run_in_guest,
            find_places=guests.find_places,
        )
        return replace(self._driver.services, guests=cast("GuestService", asked))

    def _around(self, name: str, found: Any) -> Any:
        """Return a call with what is done before and after it; a step is named by its class."""

        def call(*given: Any, **named: Any) -> Any:
            key = type(given[0]).__name__ if name == "start" else name
            self.before.get(key, _nothing)(*given)
            result = found(*given, **named)
            self.after.get(key, _nothing)(*given)
            return result

        return call if callable(found) else found


def _nothing(*_given: object) -> None:
    return


def run_with(stage: Stage, driver: Meddling, spec: PoolSpec) -> PoolReport:
    pools = stage.pools(driver)
    return pools.apply(pools.survey(spec))


def write_state(stage: Stage, vm: Vm, **state: Any) -> None:
    """Write into a mark at once, as somebody else's command does."""
    (now,) = (one for one in stage.hypervisor.vms if one.id == vm.id)
    assert now.mark
    mark = replace(now.mark, pool=replace(state_of(now), **state))
    stage.hypervisor.set_mark(vm.id, mark)


def names_of(report: PoolReport, status: Status) -> list[str]:
    return [result.slot for result in report.results if result.status is status]


# -- holds that come in between ---------------------------------------------------------


@pytest.mark.parametrize("power", [Power.ON, Power.OFF])
def test_a_clone_held_just_before_deletion_is_neither_stopped_nor_deleted(
    stage: Stage, power: Power
) -> None:
    spec = pool(3, power=power.value, rollout=Rollout(max_unavailable=3))
    stage.apply(spec)
    before = stage.members(spec)["desk-2"]
    driver = Meddling(MemoryDriver(stage.hypervisor))
    # The run has seen everything by the time that it writes its claim.
    driver.before["WriteMark"] = lambda *_: write_state(stage, before, hold="Anne")
    report = run_with(stage, driver, replace(spec, snapshot="new"))
    after = stage.members(spec)["desk-2"]
    assert (after.id, after.power, state_of(after).hold) == (before.id, power, "Anne")
    assert [skip.slot for skip in report.skipped] == ["desk-2"]
    assert report.exit_code == 0


NEWER: dict[str, Any] = {"snapshot": "new"}
LARGER: dict[str, Any] = {"hardware": PoolHardware(memory=4 * GIB)}


@pytest.mark.parametrize(
    ("call", "power", "change"),
    [
        ("observe", Power.OFF, NEWER),
        ("WriteMark", Power.ON, NEWER),
        ("SetPower", Power.ON, NEWER),
        ("DeleteVm", Power.ON, NEWER),
        ("DeleteVm", Power.OFF, NEWER),
        ("CreateClone", Power.OFF, NEWER),
        ("shut_down_guest", Power.ON, LARGER),
        ("ReconfigureVm", Power.ON, LARGER),
        ("ReconfigureVm", Power.OFF, LARGER),
    ],
)
def test_a_hold_that_was_confirmed_is_never_lost(
    stage: Stage, call: str, power: Power, change: dict[str, Any]
) -> None:
    """Right before a call of a run: after the run has looked, and before the call arrives."""
    spec = pool(3, power=power.value, rollout=Rollout(max_unavailable=3))
    stage.apply(spec)
    before = stage.members(spec)["desk-2"]
    driver = Meddling(MemoryDriver(stage.hypervisor))
    codes: list[int] = []

    def hold(about: object = "", *_: object) -> None:
        aims = {about, getattr(about, "vm", ""), getattr(about, "name", "")}
        if codes or not (aims & {before.id, "desk-2"} or call in {"observe", "WriteMark"}):
            return
        try:
            codes.append(stage.pools().hold("desks", ["desk-2"], "Anne").exit_code)
        except InputError as error:  # there is no desk-2 at the moment
            codes.append(error.exit_code)

    driver.before[call] = hold
    assert run_with(stage, driver, replace(spec, **change)).exit_code == 0
    after = stage.members(spec)["desk-2"]
    if call == "CreateClone":
        assert (codes, state_of(after).hold) == ([2], "")
    else:
        assert (codes, state_of(after).hold, after.id) == ([0], "Anne", before.id)


@pytest.mark.parametrize("state", [{"claim": "run here 7 1", "claimed": 7}, {"failures": 2}])
def test_a_hold_loses_nothing_that_a_run_writes_at_the_same_time(
    stage: Stage, state: dict[str, Any]
) -> None:
    stage.apply(pool(1))
    vm = stage.members(pool(1))["desk-1"]
    driver = Meddling(MemoryDriver(stage.hypervisor))
    driver.before["WriteMark"] = lambda *_: write_state(stage, vm, **state)
    for reason in ("Anne", ""):
        write_state(stage, vm, claim="", claimed=0, failures=0)
        assert stage.pools(driver).hold("desks", ["desk-1"], reason).exit_code == 0
        seen = state_of(stage.members(pool(1))["desk-1"])
        assert (seen.hold, {key: getattr(seen, key) for key in state}) == (reason, state)


@pytest.mark.parametrize("gone", [True, False], ids=["clone", "mark"])
def test_a_hold_that_comes_too_late_is_reported_as_failed(stage: Stage, *, gone: bool) -> None:
    stage.apply(pool(1))
    vm = stage.members(pool(1))["desk-1"]
    driver = Meddling(MemoryDriver(stage.hypervisor))
    lose = stage.hypervisor.remove if gone else lambda vm: stage.hypervisor.set_mark(vm, None)
    driver.before["WriteMark"] = lambda *_: lose(vm.id)
    report = stage.pools(driver).hold("desks", ["desk-1"], "Anne")
    assert [result.status for result in report.results] == [Status.FAILED]
    assert report.exit_code == 1


def test_a_clone_held_during_the_confirmation_is_not_deleted_with_its_pool(stage: Stage) -> None:
    stage.apply(pool(2))
    vm = stage.members(pool(2))["desk-2"]
    proposal = stage.pools().propose_delete("desks")
    write_state(stage, vm, hold="Anne")
    report = proposal.apply()
    assert {result.name: result.status for result in report.results} == {
        "desk-1": Status.DONE,
        "desk-2": Status.FAILED,
    }
    assert state_of(stage.members(pool(2))["desk-2"]).hold == "Anne"


def test_a_clone_held_during_its_shutdown_is_not_reconfigured_but_restarted(
    stage: Stage,
) -> None:
    stage.apply(pool(1))
    before = stage.members(pool(1))["desk-1"]
    driver = Meddling(MemoryDriver(stage.hypervisor))
    driver.after["shut_down_guest"] = lambda *_: write_state(stage, before, hold="Anne")
    run_with(stage, driver, pool(1, hardware=PoolHardware(memory=4 * GIB)))
    after = stage.members(pool(1))["desk-1"]
    assert state_of(after).hold == "Anne"
    assert (after.power, after.memory_bytes) == (Power.ON, before.memory_bytes)


def test_forgiving_failures_does_not_lose_a_hold(stage: Stage) -> None:
    stage.apply(pool(2))
    vm = stage.members(pool(2))["desk-1"]
    write_state(stage, vm, failures=2)
    driver = Meddling(MemoryDriver(stage.hypervisor))
    driver.after["observe"] = lambda *_: write_state(stage, vm, hold="Anne")
    run_with(stage, driver, pool(2))
    assert state_of(stage.members(pool(2))["desk-1"]).hold == "Anne"


def test_a_clone_released_in_between_stays(stage: Stage) -> None:
    stage.apply(pool(2))
    vm = stage.members(pool(2))["desk-2"]
    driver = Meddling(MemoryDriver(stage.hypervisor))
    driver.before["WriteMark"] = lambda *_: stage.hypervisor.set_mark(vm.id, None)
    run_with(stage, driver, pool(1))
    assert vm.id in {one.id for one in stage.hypervisor.vms}


# -- runs that would never end ----------------------------------------------------------


def test_clones_that_are_too_old_at_once_are_made_anew_once_a_run(stage: Stage) -> None:
    spec = pool(2, max_age=0.0, rollout=Rollout(max_unavailable=2))
    stage.apply(spec)
    stage.seconds += 60
    report = stage.apply(spec)
    assert names_of(report, Status.DONE) == ["desk-1", "desk-2"]
    assert "too old" in report.stopped


def test_a_guest_that_goes_off_again_is_not_started_for_ever(stage: Stage) -> None:
    stage.apply(pool(2))
    vm = stage.members(pool(2))["desk-1"]
    admin = MemoryDriver(stage.hypervisor)
    admin.wait([admin.start(do.set_power(vm, Power.OFF))], 1.0)
    driver = Meddling(MemoryDriver(stage.hypervisor))
    driver.after["wait"] = lambda *_: admin.start(do.set_power(vm, Power.OFF))
    report = run_with(stage, driver, pool(2))
    assert report.exit_code != 0
    assert "desk-1" in report.stopped


# -- images -----------------------------------------------------------------------------


def test_rollback_leads_to_the_image_that_most_are_on_still(stage: Stage) -> None:
    third = stage.hypervisor.add_snapshot(stage.parent, "third")
    spec = pool(5, rollout=Rollout(max_unavailable=5, canary=1))
    stage.apply(spec)
    stage.apply(replace(spec, snapshot="new"))
    stage.hypervisor.fail("customize", name="desk-1", times=-1)
    broken = replace(spec, snapshot="third")
    assert stage.apply(broken).exit_code != 0
    pools, scene = stage.survey(broken)
    assert scene.snapshot is not None
    assert scene.snapshot.id == third
    assert pools.previous(scene.spec) == ("", "new")


def test_rollback_knows_the_image_where_the_canary_could_not_even_be_made(stage: Stage) -> None:
    spec = pool(5, rollout=Rollout(max_unavailable=5, canary=1))
    stage.apply(spec)
    stage.hypervisor.fail("clone", name="desk-1", times=-1)
    broken = replace(spec, snapshot="new")
    assert stage.apply(broken).exit_code != 0
    pools, scene = stage.survey(broken)
    assert pools.previous(scene.spec) == ("", "old")


def test_with_surge_the_others_wait_for_the_canary_to_be_healthy(stage: Stage) -> None:
    spec = pool(5, rollout=SURGE)
    stage.apply(spec)
    stage.hypervisor.delays["customize"] = 5.0
    most: list[int] = []

    def look() -> None:
        vms = stage.members(spec).values()
        new = [vm for vm in vms if vm.mark and vm.mark.snapshot_name == "new"]
        if not any(vm.customization is CustomizationStatus.SUCCEEDED for vm in new):
            most.append(len(new))

    stage.looks.append(look)
    assert stage.apply(replace(spec, snapshot="new")).exit_code == 0
    assert max(most) == 1


def test_with_surge_a_broken_image_is_quarantined_and_the_old_ones_go_on(stage: Stage) -> None:
    spec = pool(3, rollout=SURGE)
    stage.apply(spec)
    before = {name: vm.id for name, vm in stage.members(spec).items()}
    for slot in spec.slots:
        for generation in range(1, 9):
            stage.hypervisor.fail("customize", name=f"{slot}.{generation}", times=-1)
    broken = replace(spec, snapshot="new")
    for _ in range(6):
        stage.apply(broken)
    members = stage.members(broken)
    assert {name: members[name].id for name in before} == before
    report = stage.apply(broken)
    assert report.results == ()
    assert report.stopped == "1 on the new image have to be healthy first"
    assert any("quarantined" in skip.because for skip in report.skipped)
    assert stage.members(broken) == members
    assert len(members) == 4
    stage.hypervisor.heal()
    assert stage.apply(spec).exit_code == 0
    assert {name: vm.id for name, vm in stage.members(spec).items()} == before


def test_the_last_clone_on_a_base_of_no_vm_is_left_alone_and_said_so(stage: Stage) -> None:
    other = stage.hypervisor.add_vm("other")
    stage.hypervisor.add_snapshot(other, "first")
    spec = pool(3, rollout=Rollout(max_unavailable=3))
    stage.apply(spec)
    stage.hypervisor.forget(stage.parent)
    moved = replace(spec, parent="other", snapshot="first")
    stage.pools().adopt(moved)
    for _ in range(3):
        stage.apply(moved)
    report = stage.apply(moved)
    assert report.exit_code == 0, report.stopped
    assert ["base" in skip.because for skip in report.skipped] == [True]
    assert stage.is_settled(moved)
    assert sorted(stage.members(moved)) == sorted(moved.slots)


def count_customized(stage: Stage, spec: PoolSpec) -> int:
    statuses = [vm.customization for vm in stage.members(spec).values()]
    return statuses.count(CustomizationStatus.SUCCEEDED)


# -- names and numbers ------------------------------------------------------------------


def test_other_names_are_given_without_an_outage(stage: Stage) -> None:
    spec = pool(5, rollout=Rollout(max_unavailable=2))
    stage.apply(spec)
    stage.hypervisor.delays["customize"] = 5.0
    fewest: list[int] = []
    stage.looks.append(lambda: fewest.append(count_customized(stage, spec)))
    other = replace(spec, name="vdi-{n}")
    stage.pools().adopt(other)
    assert stage.apply(other).exit_code == 0
    assert sorted(stage.members(other)) == sorted(other.slots)
    assert min(fewest) >= 3


def test_fewer_are_wanted_and_the_rest_goes_at_once(stage: Stage) -> None:
    stage.apply(pool(5))
    assert stage.apply(pool(2)).exit_code == 0
    assert sorted(stage.members(pool(2))) == ["desk-1", "desk-2"]


def test_a_renamed_and_started_clone_is_reported_twice(stage: Stage) -> None:
    stage.apply(pool(1))
    vm = stage.members(pool(1))["desk-1"]
    admin = MemoryDriver(stage.hypervisor)
    admin.wait(
        [
            admin.start(do.rename_vm(vm, "annes")),
            admin.start(do.set_power(vm, Power.OFF)),
        ],
        1.0,
    )
    stage.hypervisor.fail("rename", times=1)
    report = stage.apply(pool(1, rollout=Rollout(stop_after_failures=3)))
    assert names_of(report, Status.FAILED) == ["desk-1"]
    told = [(result.act, result.status) for result in report.results]
    assert (Act.RENAME, Status.FAILED) in told
    assert (Act.START, Status.DONE) in told
    assert stage.is_settled(pool(1))


def test_notes_are_changed_without_a_stop(stage: Stage) -> None:
    stage.apply(pool(2))
    driver = Meddling(MemoryDriver(stage.hypervisor))
    driver.before["shut_down_guest"] = lambda *_: pytest.fail("a guest is shut down")
    driver.before["SetPower"] = lambda *_: pytest.fail("a guest is stopped")
    noted = pool(2, annotation="for the audit")
    assert run_with(stage, driver, noted).exit_code == 0
    assert stage.is_settled(noted)


def test_a_clone_that_must_stay_on_is_replaced_to_change_its_memory(stage: Stage) -> None:
    stage.apply(pool(2))
    wanted = pool(
        2, hardware=PoolHardware(memory=4 * GIB), rollout=Rollout(max_unavailable=0, max_surge=1)
    )
    assert stage.apply(wanted).exit_code == 0
    assert {vm.memory_bytes for vm in stage.members(wanted).values()} == {4 * GIB}
    assert stage.is_settled(wanted)


def test_a_pool_is_switched_off_even_with_max_unavailable_zero(stage: Stage) -> None:
    wanted = pool(2, rollout=Rollout(max_unavailable=0, max_surge=1))
    stage.apply(wanted)
    assert stage.apply(replace(wanted, power="off")).exit_code == 0
    assert {vm.power for vm in stage.members(wanted).values()} == {Power.OFF}


def test_a_suspended_clone_is_resumed_before_its_memory_changes(stage: Stage) -> None:
    stage.apply(pool(1))
    vm = stage.members(pool(1))["desk-1"]
    admin = MemoryDriver(stage.hypervisor)
    admin.wait([admin.start(do.set_power(vm, Power.SUSPENDED))], 1.0)
    wanted = pool(1, hardware=PoolHardware(memory=4 * GIB))
    assert stage.apply(wanted).exit_code == 0
    assert stage.members(wanted)["desk-1"].memory_bytes == 4 * GIB
    assert stage.is_settled(wanted)


# -- claims -----------------------------------------------------------------------------


def try_another(stage: Stage, spec: PoolSpec, told: list[str]) -> Callable[[], None]:
    def second() -> None:
        if told:
            return
        told.append("")
        try:
            stage.apply(spec)
        except BusyError as error:
            told.append(error.brief)

    return second


@pytest.mark.parametrize("size", [1, 3])
def test_a_claim_outlives_the_clone_that_it_stood_on(stage: Stage, size: int) -> None:
    spec = pool(size, rollout=Rollout(max_unavailable=size))
    stage.apply(spec)
    stage.hypervisor.delays["customize"] = 1.0
    told: list[str] = []
    wanted = replace(spec, snapshot="new")
    stage.looks.append(try_another(stage, spec, told))
    assert stage.apply(wanted).exit_code == 0
    assert told == ["", "another run works on the pool desks"]
    assert not any(state_of(vm).claim for vm in stage.members(spec).values())


def test_a_pool_that_is_being_made_is_claimed_too(stage: Stage) -> None:
    stage.hypervisor.delays["customize"] = 1.0
    told: list[str] = []
    stage.looks.append(try_another(stage, pool(4), told))
    assert stage.apply(pool(3)).exit_code == 0
    assert told == ["", "another run works on the pool desks"]
    assert not any(state_of(vm).claim for vm in stage.members(pool(3)).values())


def test_of_two_simultaneous_claims_only_the_first_takes_effect(
    stage: Stage,
) -> None:
    stage.apply(pool(3))
    before = stage.members(pool(3))
    anchor = min(before.values(), key=lambda vm: vm.uuid)
    other = str(Claimant(run="0" * 32, host="elsewhere", pid=7, started="1"))
    now = int(stage.clock().timestamp())
    driver = Meddling(MemoryDriver(stage.hypervisor))
    hook = lambda *_: write_state(stage, anchor, claim=other, claimed=now)  # noqa: E731
    driver.before["WriteMark"] = hook
    with pytest.raises(BusyError, match="another run"):
        run_with(stage, driver, pool(3, snapshot="new"))
    assert {name: vm.id for name, vm in stage.members(pool(3)).items()} == {
        name: vm.id for name, vm in before.items()
    }


def test_a_claim_is_renewed_while_guests_are_waited_for(stage: Stage) -> None:
    stage.apply(pool(3))
    stage.hypervisor.delays["customize"] = 500.0
    stage.seconds += 3600
    ages: list[float] = []

    def look() -> None:
        claimed = [state_of(vm).claimed for vm in stage.members(pool(3)).values()]
        ages.append(stage.clock().timestamp() - max(claimed))

    stage.looks.append(look)
    assert stage.apply(pool(3, snapshot="new", rollout=Rollout(max_unavailable=3))).exit_code == 0
    assert max(ages[1:]) < 60


def test_e_a_pool_replaces_possible_bases_of_an_unreadable_vm_if_allowed(
    stage: Stage,
) -> None:
    spec = pool(1)
    assert stage.apply(spec).exit_code == 0
    (member,) = stage.members(spec).values()
    stage.hypervisor.add_snapshot(member.id, "mine")
    stage.hypervisor.make_unreadable(stage.hypervisor.add_vm("lost"), "no host knows it")
    later = replace(spec, snapshot="new")
    pools, scene = stage.survey(later)
    assert "lost cannot be read" in str(pools.apply(scene).skipped)
    assert stage.members(later)[member.name].id == member.id
    pools.apply(replace(scene, despite_unreadable=True))
    assert stage.snapshots(later) == {member.name: "new"}


# -- clocks ---------------------------------------------------------------------------


class Dated(MemoryDriver):
    """A driver whose endpoint has a clock of its own, as a vCenter."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.hypervisor)
        self.read_clock = stage.clock
        self.services = replace(self.services, events=self)

    def observe_customization(self, *_: object) -> dict[VmId, CustomizationNews]:
        return {}


@pytest.mark.parametrize("days", [-4000, 4000])
def test_e_the_age_of_clones_goes_by_the_clock_of_the_endpoint(stage: Stage, days: int) -> None:
    spec = pool(2, max_age=86_400.0)
    stage.apply(spec)
    driver = Dated(stage)
    acting = Acting(driver, address="memory:", log_folder=None)
    pools = Pools(acting, clock=lambda: stage.clock() + timedelta(days=days))
    assert pools.plan(pools.survey(spec)).plan.empty
    stage.seconds += 86_400 * 2
    old = {change.slot for change in pools.plan(pools.survey(spec)).plan.changes}
    assert old == {"desk-1", "desk-2"}


@pytest.mark.parametrize("days", [-4000, 4000])
def test_e_ages_are_shown_by_the_clock_of_the_endpoint(stage: Stage, days: int) -> None:
    stage.apply(pool(1))
    driver = Dated(stage)
    acting = Acting(driver, address="memory:", log_folder=None)
    pools = Pools(acting, clock=lambda: stage.clock() + timedelta(days=days))
    assert pools.status(pools.survey(pool(1))).seen == stage.clock()
    off = Connection(driver, address="memory:").read_clock() - stage.clock()
    assert timedelta() <= off < timedelta(hours=1)


def test_e_a_run_ends_where_a_clock_was_set_back(stage: Stage) -> None:
    spec = pool(1)
    stage.hypervisor.delays["customize"] = 1e9
    stage.apply(spec)
    driver = MemoryDriver(stage.hypervisor)
    begun = stage.seconds
    stage.looks.append(lambda: _refuse_endless(stage.seconds - begun))
    pace = Pace(now=lambda: stage.seconds, sleep=stage.sleep, chance=lambda: 0.5)
    acting = Acting(driver, address="memory:", log_folder=None)
    pools = Pools(acting, pace=pace, clock=lambda: stage.clock() - timedelta(days=4000))
    report = pools.apply(pools.survey(spec))
    assert [result.act for result in report.results] == [Act.REPLACE]


def _refuse_endless(seconds: float) -> None:
    assert seconds < 86_400


def test_e_a_claim_is_renewed_where_a_clock_was_set_back(stage: Stage) -> None:
    stage.apply(pool(3))
    wanted = pool(3, snapshot="new", rollout=Rollout(max_unavailable=3))
    stage.hypervisor.delays["customize"] = 500.0
    back = timedelta()
    ages: list[float] = []

    def clock() -> datetime:
        return stage.clock() - back

    def look() -> None:
        nonlocal back
        claimed = [state_of(vm).claimed for vm in stage.members(pool(3)).values()]
        if set(stage.snapshots(wanted).values()) == {"new"} and max(claimed):
            ages.append(abs(clock().timestamp() - max(claimed)))
            back = timedelta(days=1)

    stage.looks.append(look)
    pace = Pace(now=lambda: stage.seconds, sleep=stage.sleep, chance=lambda: 0.5)
    driver = MemoryDriver(stage.hypervisor)
    acting = Acting(driver, address="memory:", log_folder=None)
    pools = Pools(acting, pace=pace, clock=clock)
    assert pools.apply(pools.survey(wanted)).exit_code == 0
    assert ages[-1] < 60
