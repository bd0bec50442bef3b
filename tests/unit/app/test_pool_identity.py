"""Two pools of one name: neither touches the other's clones, whatever command is given."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.drivers.vsphere.registration import VspherePlace
from linkedclone.errors import BusyError, InputError, RefusedError
from linkedclone.model.pool import PoolSpec, Rollout
from linkedclone.model.report import Status
from linkedclone.model.request import DEFAULT_OWNER
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import PoolState, Vm
from linkedclone.planning.pool.membership import state_of
from tests import do
from tests.unit.app.pooling import DyingDriver, KilledError, Stage, forget_claimant, pool
from tests.unit.app.test_pool_drift import without_sizes

FIRST = pool(3, rollout=Rollout(max_unavailable=3))
OTHERS: dict[str, PoolSpec] = {
    "another parent": replace(FIRST, parent="silver"),
    "another pattern": replace(FIRST, name="seat-{n}"),
    "a wider number": replace(FIRST, name="desk-{n:03}"),
    "other numbers": replace(FIRST, first=101),
    "another parent and pattern": replace(FIRST, parent="silver", name="seat-{n}", size=1),
    "another folder": replace(
        FIRST, per_driver={"vsphere": VspherePlace(folder="Elsewhere", create_folder=True)}
    ),
}


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    silver = made.hypervisor.add_vm("silver")
    made.hypervisor.add_snapshot(silver, "old")
    made.hypervisor.add_snapshot(silver, "new")
    return made


def picture(vms: dict[str, Vm]) -> dict[VmId, Vm]:
    return {vm.id: without_sizes(vm) for vm in vms.values()}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_two_pools_of_one_name_leave_each_other_alone(stage: Stage, other: PoolSpec) -> None:
    stage.apply(FIRST)
    first = picture(stage.own_members(FIRST))
    for _ in range(2):
        report = stage.apply(other)
        assert {one.vm.id for one in report.refused} == set(first)
        assert picture(stage.own_members(FIRST)) == first
        stage.apply(FIRST)
        assert picture(stage.own_members(FIRST)) == first
    assert stage.is_settled(FIRST)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_deleting_a_pool_spares_the_clones_of_its_namesake(stage: Stage, other: PoolSpec) -> None:
    stage.apply(FIRST)
    stage.apply(other)
    first = picture(stage.own_members(FIRST))
    own = stage.own_members(other)
    if own:
        report = stage.pools().delete(other)
        assert report.exit_code == 0
        assert "left alone" in report.notes[0]
    else:  # its names are taken by the first
        with pytest.raises(RefusedError, match="no clone that bears the name"):
            stage.pools().delete(other)
    assert stage.own_members(other) == {}
    assert picture(stage.own_members(FIRST)) == first


def test_a_bare_name_that_several_pools_have_is_refused(stage: Stage) -> None:
    stage.apply(FIRST)
    stage.apply(OTHERS["another parent and pattern"])
    before = picture(stage.members(FIRST))
    acts: list[Callable[[], Any]] = [
        lambda: stage.pools().delete("desks"),
        lambda: stage.pools().hold("desks", [], "by hand"),
    ]
    for act in acts:
        with pytest.raises(RefusedError, match="several pools are called desks"):
            act()
    assert picture(stage.members(FIRST)) == before


def test_holds_and_refreshes_reach_only_the_pool_of_the_file(stage: Stage) -> None:
    stage.apply(FIRST)
    other = OTHERS["another pattern"]
    stage.apply(other)
    with pytest.raises(InputError, match="not in the pool desks: desk-1"):
        stage.pools().hold(other, ["desk-1"], "mine")
    with pytest.raises(InputError, match="not in the pool desks: desk-1"):
        stage.pools().survey(other, asked=["desk-1"])
    first = picture(stage.own_members(FIRST))
    stage.apply(other, everything=True)
    assert picture(stage.own_members(FIRST)) == first


def test_a_status_names_what_bears_the_name_and_does_not_fit(stage: Stage) -> None:
    stage.apply(FIRST)
    pools, scene = stage.survey(OTHERS["another pattern"])
    document = pools.status(scene).document()
    assert document["vms"] == []
    refused: Any = document["refused"]
    assert [one["name"] for one in refused] == ["desk-1", "desk-2", "desk-3"]
    assert "desk-{n} from 1" in refused[0]["because"]


@pytest.mark.parametrize("reason", ["for Anne", ""])
def test_holds_and_releases_work_on_the_clones_that_exist_and_report_the_others(
    stage: Stage, reason: str
) -> None:
    """Item 20."""
    stage.apply(FIRST)
    stage.pools().hold(FIRST, ["desk-1"], reason)
    report = stage.pools().hold(FIRST, ["desk-1", "desk-9"], reason)
    assert (report.exit_code, report.unchanged) == (4, ("desk-1",))
    (missing,) = report.results
    assert missing.error is not None
    assert (missing.name, missing.error.brief) == ("desk-9", "not in the pool desks")
    assert {vm.name: state_of(vm).hold for vm in stage.members(FIRST).values()} == {
        "desk-1": reason,
        "desk-2": "",
        "desk-3": "",
    }


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ("another parent", "``pool recompose`` FILE ``parent`` silver ``snapshot``"),
        ("another pattern", "``pool adopt`` FILE NAME"),
        ("another parent and pattern", "``pool adopt`` FILE NAME"),
    ],
)
def test_the_hint_for_refused_clones_is_what_the_documents_say(
    stage: Stage, changed: str, hint: str
) -> None:
    stage.apply(FIRST)
    refused = stage.apply(OTHERS[changed]).refused
    assert {hint in one.hint for one in refused} == {True}


# -- intended changes -------------------------------------------------------------------


def test_a_recompose_takes_the_clones_along_onto_another_parent(stage: Stage) -> None:
    stage.apply(FIRST)
    moved = OTHERS["another parent"]
    pools = stage.pools()
    scene = pools.survey(moved, before=FIRST)
    pools.keep(scene)
    report = pools.apply(scene)
    assert [result.status for result in report.results] == [Status.DONE] * 3
    assert stage.is_settled(moved)
    assert {vm.mark.parent_name for vm in stage.own_members(moved).values() if vm.mark} == {
        "silver"
    }
    # And back again: they know where they came from.
    parent, snapshot = pools.previous(moved)
    assert (parent, snapshot) == ("golden", "old")
    back = pools.survey(FIRST, before=moved)
    pools.keep(back)
    assert pools.apply(back).exit_code == 0
    assert stage.is_settled(FIRST)


@pytest.mark.parametrize("after", range(1, 16))
def test_a_recompose_that_is_killed_anywhere_can_be_repeated(
    stage: Stage, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.apply(FIRST)
    moved = OTHERS["another parent"]
    dying = DyingDriver(MemoryDriver(stage.hypervisor), after=after)
    pools = stage.pools(dying)
    kept = False
    try:
        scene = pools.survey(moved, before=FIRST)
        pools.keep(scene)
        kept = True
        pools.apply(scene)
    except KilledError:
        pass
    forget_claimant(monkeypatch)
    before = moved if kept else FIRST  # the file is written in between
    pools = stage.pools()
    scene = pools.survey(moved, before=before)
    pools.keep(scene)
    assert pools.apply(scene).exit_code == 0
    assert sorted(stage.members(moved)) == ["desk-1", "desk-2", "desk-3"]
    assert stage.is_settled(moved)


def test_a_parent_that_was_made_anew_under_its_name_needs_a_recompose(stage: Stage) -> None:
    stage.apply(FIRST)
    admin = MemoryDriver(stage.hypervisor)
    admin.wait([admin.start(do.rename_vm(stage.parent, "golden-before"))], 1.0)
    stage.hypervisor.add_snapshot(stage.hypervisor.add_vm("golden"), "old")
    before = picture(stage.members(FIRST))
    assert len(stage.apply(FIRST).refused) == 3
    assert picture(stage.members(FIRST)) == before
    pools = stage.pools()
    scene = pools.survey(FIRST, before=FIRST)
    pools.keep(scene)
    assert pools.apply(scene).exit_code == 0
    assert stage.is_settled(FIRST)


def test_clones_are_adopted_by_name_and_follow_the_changed_file(stage: Stage) -> None:
    stage.apply(FIRST)
    other = OTHERS["another pattern"]
    with pytest.raises(RefusedError, match="of the pool desks: desk-9"):
        stage.pools().adopt(other, ["desk-9"])
    stage.pools().adopt(other, ["desk-1"])
    report = stage.pools().adopt(other, ["desk-1", "desk-2", "desk-3", "desk-9"])
    assert (report.exit_code, report.unchanged) == (4, ("desk-1",))
    assert {r.name: r.status for r in report.results} == {
        "desk-2": Status.DONE,
        "desk-3": Status.DONE,
        "desk-9": Status.FAILED,
    }
    assert stage.apply(other).exit_code == 0
    assert sorted(stage.members(other)) == ["seat-1", "seat-2", "seat-3"]
    assert stage.is_settled(other)


def test_clones_of_another_run_are_not_adopted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.apply(FIRST)
    monkeypatch.setattr("linkedclone.app.pools.lock.is_valid", lambda *_: True)
    claim(stage, "0123 host 1 1")
    with pytest.raises(BusyError):
        stage.pools().adopt(OTHERS["another pattern"])


def claim(stage: Stage, text: str) -> None:
    for vm in stage.members(FIRST).values():
        assert vm.mark
        state = replace(state_of(vm), claim=text, claimed=int(stage.clock().timestamp()))
        stage.hypervisor.set_mark(vm.id, replace(vm.mark, pool=state))


# -- marks without an identity, of version 0.1.0 ------------------------------------------


def forget_identity(stage: Stage) -> None:
    for vm in stage.members(FIRST).values():
        assert vm.mark
        state = replace(state_of(vm), pattern="", place="", parent="")
        stage.hypervisor.set_mark(vm.id, replace(vm.mark, pool=state))


def test_clones_of_an_older_version_are_the_pools_if_slot_folder_and_parent_fit(
    stage: Stage,
) -> None:
    stage.apply(FIRST)
    forget_identity(stage)
    assert stage.is_settled(FIRST)
    shrunk = replace(FIRST, size=1)
    assert stage.apply(shrunk).exit_code == 0
    assert sorted(stage.members(FIRST)) == ["desk-1"]


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_clones_of_an_older_version_that_do_not_fit_are_refused(
    stage: Stage, other: PoolSpec
) -> None:
    stage.apply(FIRST)
    forget_identity(stage)
    before = picture(stage.members(FIRST))
    report = stage.apply(other)
    assert {one.vm.id for one in report.refused} == set(before)
    here = {vm.id: without_sizes(vm) for vm in stage.hypervisor.vms}
    assert {vm_id: here[vm_id] for vm_id in before} == before


def test_a_clone_of_a_member_inherits_no_membership(stage: Stage) -> None:
    stage.apply(FIRST)
    vm = stage.own_members(FIRST)["desk-1"]
    snapshot = stage.hypervisor.add_snapshot(vm.id, "by hand")
    child = stage.hypervisor.add_clone(vm.id, snapshot, "desk-9", owner=DEFAULT_OWNER)
    stage.hypervisor.set_mark(child, vm.mark)
    assert "desk-9" not in stage.own_members(FIRST)
    assert stage.apply(FIRST).results == ()
    assert any(one.id == VmId(child) for one in stage.hypervisor.vms)


def test_an_empty_state_falls_back_to_the_observed_clones(stage: Stage) -> None:
    stage.apply(FIRST)
    for vm in stage.members(FIRST).values():
        assert vm.mark
        stage.hypervisor.set_mark(vm.id, replace(vm.mark, pool=PoolState()))
    assert len(stage.own_members(FIRST)) == 3
    assert stage.own_members(OTHERS["another pattern"]) == {}
