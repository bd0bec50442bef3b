"""The guards: nothing that others need is deleted, nothing foreign is touched unasked."""

from dataclasses import replace

import pytest

from linkedclone.errors import InUseError, NotOursError, RefusedError
from linkedclone.model.inventory import Inventory
from linkedclone.model.observed import Power, Vm
from linkedclone.model.plan import DeleteVm, Plan, SetPower
from linkedclone.model.spec import Deletion
from linkedclone.planning.changes import plan_create_snapshot, plan_delete_snapshot, plan_revert
from linkedclone.planning.deletion import plan_delete
from linkedclone.planning.power import plan_power, plan_restart
from tests.unit.building import clone_of, disk, gold, snapshot, vm

GOLD = gold()
ONE, TWO = clone_of(GOLD, "one"), clone_of(GOLD, "two")


def clone_with_snapshot() -> Vm:
    """The clone ``one`` with a snapshot of its own, from which clones can hang."""
    base = snapshot("own", disk("gold/gold.vmdk", "one/one.vmdk"), current=True, number=9)
    return replace(
        ONE,
        disks=(disk("gold/gold.vmdk", "one/one.vmdk", "one/one-000001.vmdk"),),
        snapshots=(base,),
    )


MIDDLE = clone_with_snapshot()
GRANDCHILD = clone_of(MIDDLE, "grandchild")


def seen(*vms: Vm) -> Inventory:
    return Inventory(vms=vms)


def waves(plan: Plan) -> list[set[str]]:
    return [
        {("off " if isinstance(step, SetPower) else "") + step.vm_name for step in stage}  # type: ignore[union-attr]  # only those two
        for stage in plan.stages
    ]


def test_a_clone_that_nothing_hangs_from_is_deleted() -> None:
    assert waves(plan_delete([ONE], seen(GOLD, ONE, TWO))) == [{"one"}]


def test_a_running_clone_is_stopped_first() -> None:
    running = replace(ONE, power=Power.ON)
    assert waves(plan_delete([running], seen(GOLD, running))) == [{"off one"}, {"one"}]


def test_the_latest_look_counts_not_the_first() -> None:
    running = replace(ONE, power=Power.ON)
    assert waves(plan_delete([ONE], seen(GOLD, running))) == [{"off one"}, {"one"}]


@pytest.mark.parametrize("force", [False, True])
def test_a_parent_is_never_deleted_while_clones_hang_from_it(force: bool) -> None:
    parent = clone_of(vm("x", snapshots=GOLD.snapshots), "gold")
    ours = replace(GOLD, mark=replace(parent.mark, uuid=GOLD.uuid) if parent.mark else None)
    with pytest.raises(InUseError) as caught:
        plan_delete([ours], seen(ours, ONE, TWO), Deletion(force=force))
    assert caught.value.dependants == ("one", "two")


def test_a_clone_with_clones_of_its_own_is_not_deleted() -> None:
    with pytest.raises(InUseError) as caught:
        plan_delete([MIDDLE], seen(GOLD, MIDDLE, GRANDCHILD))
    assert caught.value.dependants == ("grandchild",)


def test_siblings_do_not_depend_on_each_other() -> None:
    assert waves(plan_delete([TWO], seen(GOLD, MIDDLE, TWO, GRANDCHILD))) == [{"two"}]


def test_a_whole_family_goes_clones_first() -> None:
    family = [GOLD, MIDDLE, GRANDCHILD]
    plan = plan_delete(family, seen(*family), Deletion(force=True))
    assert waves(plan) == [{"grandchild"}, {"one"}, {"gold"}]


def test_what_is_not_ours_needs_force() -> None:
    with pytest.raises(NotOursError, match="gold"):
        plan_delete([GOLD], seen(GOLD))
    assert waves(plan_delete([GOLD], seen(GOLD), Deletion(force=True))) == [{"gold"}]


def test_the_last_users_of_an_abandoned_base_need_force() -> None:
    with pytest.raises(RefusedError, match="base") as caught:
        plan_delete([ONE, TWO], seen(ONE, TWO))
    assert "gold/gold.vmdk" in caught.value.details
    plan = plan_delete([ONE, TWO], seen(ONE, TWO), Deletion(force=True))
    steps = [step for step in plan.steps if isinstance(step, DeleteVm)]
    assert all(str(layer).endswith("gold/gold.vmdk") for s in steps for layer in s.takes_base)


def test_one_of_two_users_of_an_abandoned_base_may_go() -> None:
    assert waves(plan_delete([ONE], seen(ONE, TWO))) == [{"one"}]


def test_disks_outside_the_home_folder_are_the_vms_own() -> None:
    spread = replace(ONE, disks=(*ONE.disks, disk("elsewhere/data.vmdk")))
    assert waves(plan_delete([spread], seen(GOLD, spread))) == [{"one"}]


def test_a_snapshot_with_clones_is_not_deleted() -> None:
    with pytest.raises(InUseError) as caught:
        plan_delete_snapshot(GOLD, GOLD.snapshots[0], seen(GOLD, ONE), force=True)
    assert caught.value.dependants == ("one",)


def test_a_snapshot_without_clones_is_deleted() -> None:
    later = snapshot("later", disk("gold/gold.vmdk", "gold/gold-000001.vmdk"), number=2)
    source = replace(GOLD, snapshots=(*GOLD.snapshots, later))
    plan = plan_delete_snapshot(source, later, seen(source, ONE), force=True)
    assert len(plan.steps) == 1


def test_a_foreign_vms_snapshot_needs_force() -> None:
    with pytest.raises(NotOursError):
        plan_delete_snapshot(GOLD, GOLD.snapshots[0], seen(GOLD))
    with pytest.raises(NotOursError):
        plan_revert(GOLD, GOLD.snapshots[0], seen(GOLD))


def test_taking_a_snapshot_of_what_is_not_ours_is_allowed_but_not_of_a_template() -> None:
    assert len(plan_create_snapshot(GOLD, "next", "").steps) == 1
    with pytest.raises(RefusedError, match="template"):
        plan_create_snapshot(replace(GOLD, template=True), "next", "")


def test_power_leaves_alone_what_is_there_already() -> None:
    running = replace(TWO, power=Power.ON)
    plan = plan_power([ONE, running], Power.ON)
    assert [step.vm_name for step in plan.steps if isinstance(step, SetPower)] == ["one"]
    assert plan.existing == (running,)


def test_a_template_is_not_started() -> None:
    with pytest.raises(RefusedError, match="template"):
        plan_power([replace(ONE, template=True)], Power.ON)


def test_restart_stops_what_runs_and_starts_all() -> None:
    plan = plan_restart([ONE, replace(TWO, power=Power.ON)])
    assert [len(stage) for stage in plan.stages] == [1, 2]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_two_vms_in_one_folder_are_told_apart_by_what_they_read(order: tuple[int, ...]) -> None:
    first = replace(vm("first", disk("gold/a.vmdk", "gold/a-1.vmdk")), home=GOLD.home)
    other = replace(vm("other", disk("gold/b.vmdk")), home=GOLD.home)
    clone = vm("clone", disk("gold/a.vmdk", "clone/clone.vmdk"))
    inventory = seen(*((first, other, clone)[at] for at in order))
    with pytest.raises(InUseError) as caught:
        plan_delete([first], inventory, Deletion(force=True))
    assert caught.value.dependants == ("clone",)
    assert waves(plan_delete([other], inventory, Deletion(force=True))) == [{"other"}]


def test_a_snapshot_that_cannot_be_read_is_not_deleted() -> None:
    unread = replace(GOLD.snapshots[0], disks=None)
    with pytest.raises(RefusedError, match="cannot be read"):
        plan_delete_snapshot(GOLD, unread, seen(GOLD), force=True)
