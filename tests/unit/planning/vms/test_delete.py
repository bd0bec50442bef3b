"""What is deleted, in which order, and what never is."""

from dataclasses import replace

import pytest

from linkedclone.errors import InUseError, NotOursError, RefusedError
from linkedclone.model.inventory import Stray
from linkedclone.model.plan import DeleteVm, UnregisterVm
from linkedclone.model.request import Deletion
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.vms.delete import plan_delete
from tests.unit.building import clone_of, disk, hide, stray, vm, with_snapshot
from tests.unit.planning.scene import GOLD, GRANDCHILD, MIDDLE, ONE, TWO, seen, waves

FORCE = Deletion(force=True)
CASCADE = Deletion(cascade=True)
KEEP = Deletion(keep_base=True)
LEAF = with_snapshot(GRANDCHILD)
GREAT = clone_of(LEAF, "great")
FOREIGN = replace(ONE, mark=None)
OVERLAY = stray("gold/gold.vmdk", "aside/overlay.vmdk", about="made by hand")
OTHER_BASE = disk("lost/lost.vmdk", "both/both_1.vmdk")
BOTH = replace(clone_of(GOLD, "both"), disks=(*clone_of(GOLD, "both").disks, OTHER_BASE))

PLANS: dict[str, tuple[list[Vm], list[Vm | Stray], Deletion | None, list[set[str]]]] = {
    "a clone that nothing depends on": ([ONE], [GOLD, ONE, TWO], None, [{"one"}]),
    "one of two siblings": ([TWO], [GOLD, MIDDLE, TWO, GRANDCHILD], None, [{"two"}]),
    "a whole family, clones first": (
        [GOLD, MIDDLE, GRANDCHILD],
        [GOLD, MIDDLE, GRANDCHILD],
        FORCE,
        [{"grandchild"}, {"one"}, {"gold"}],
    ),
    "what is not ours, forced": ([GOLD], [GOLD], FORCE, [{"gold"}]),
    "one of two users of an abandoned base": ([ONE], [ONE, TWO], None, [{"one"}]),
    "both users of an abandoned base, forced": ([ONE, TWO], [ONE, TWO], FORCE, [{"one", "two"}]),
    "a clone with a disk outside its folder": (
        [replace(ONE, disks=(*ONE.disks, disk("elsewhere/data.vmdk")))],
        [GOLD, replace(ONE, disks=(*ONE.disks, disk("elsewhere/data.vmdk")))],
        None,
        [{"one"}],
    ),
    "a clone without disks": ([replace(ONE, disks=())], [replace(ONE, disks=())], None, [{"one"}]),
    "a clone with all that depends on it": (
        [MIDDLE],
        [GOLD, MIDDLE, LEAF, GREAT, TWO],
        CASCADE,
        [{"great"}, {"grandchild"}, {"one"}],
    ),
    "a cascade with nothing to come along": ([TWO], [GOLD, TWO], CASCADE, [{"two"}]),
    "a cascade that names what comes along anyway": (
        [GRANDCHILD, MIDDLE],
        [GOLD, MIDDLE, GRANDCHILD],
        CASCADE,
        [{"grandchild"}, {"one"}],
    ),
    "a cascade over a clone that hides its chain": (
        [GOLD],
        [GOLD, hide(ONE)],
        Deletion(cascade=True, force=True),
        [{"one"}, {"gold"}],
    ),
    "the last user of an abandoned base, which is kept": ([ONE], [ONE], KEEP, [{"forget one"}]),
    "the last user of an abandoned base with a leftover on it, forced": (
        [ONE],
        [ONE, stray("gold/gold.vmdk", "one/one-000009.vmdk", orphaned=True)],
        FORCE,
        [{"one"}],
    ),
    "both last users: one is enough to keep the base": (
        [ONE, TWO],
        [ONE, TWO],
        KEEP,
        [{"two"}, {"forget one"}],
    ),
    "the last user but one, though the base is to be kept": ([ONE], [ONE, TWO], KEEP, [{"one"}]),
    "of parent and clone on an abandoned base the parent keeps it": (
        [GRANDCHILD, MIDDLE],
        [GRANDCHILD, MIDDLE],
        KEEP,
        [{"grandchild"}, {"forget one"}],
    ),
    "all clones of an abandoned base, named by one, which is kept": (
        [MIDDLE],
        [GRANDCHILD, MIDDLE, TWO],
        Deletion(cascade=True, keep_base=True),
        [{"grandchild"}, {"one"}],
    ),
    "two abandoned bases, one of which only one reads": (
        [ONE, BOTH],
        [ONE, BOTH],
        KEEP,
        [{"one"}, {"forget both"}],
    ),
}


@pytest.mark.parametrize(("vms", "found", "how", "stages"), PLANS.values(), ids=PLANS)
def test_this_is_deleted(
    vms: list[Vm], found: list[Vm | Stray], how: Deletion | None, stages: list[set[str]]
) -> None:
    assert waves(plan_delete(vms, seen(*found), how)) == stages


REFUSALS: dict[str, tuple[list[Vm], list[Vm | Stray], Deletion, list[str]]] = {
    "a clone with clones of its own": ([MIDDLE], [GOLD, MIDDLE, GRANDCHILD], FORCE, ["grandchild"]),
    "a parent, forced": ([GOLD], [GOLD, ONE, TWO], FORCE, ["one", "two"]),
    "a parent with only one of its clones": ([GOLD, ONE], [GOLD, ONE, TWO], FORCE, ["two"]),
    "a parent whose base is to be kept": (
        [GOLD],
        [GOLD, ONE],
        Deletion(keep_base=True, force=True),
        ["one"],
    ),
    "the parent of a clone that hides its chain": ([GOLD], [GOLD, hide(ONE)], FORCE, ["one"]),
    "a parent with a stray file on it, whatever is asked": (
        [GOLD],
        [GOLD, ONE, OVERLAY],
        Deletion(force=True, cascade=True),
        [OVERLAY.name],
    ),
    "the last user of an abandoned base with a stray file on it": (
        [ONE],
        [ONE, OVERLAY],
        FORCE,
        [OVERLAY.name],
    ),
    "a clone with a stray file in its own folder that depends on it": (
        [ONE],
        [GOLD, ONE, stray("gold/gold.vmdk", "one/one.vmdk", "one/one-000001.vmdk")],
        FORCE,
        ["[datastore-1] one/one-000001.vmdk"],
    ),
}


@pytest.mark.parametrize(("vms", "found", "how", "names"), REFUSALS.values(), ids=REFUSALS)
def test_a_vm_with_dependents_is_not_deleted(
    vms: list[Vm], found: list[Vm | Stray], how: Deletion, names: list[str]
) -> None:
    with pytest.raises(InUseError) as caught:
        plan_delete(vms, seen(*found), how)
    assert list(caught.value.dependants) == names


def test_an_unrelated_stray_file_does_not_block_deletion() -> None:
    beside = stray("one/one_1.vmdk", orphaned=True)
    assert waves(plan_delete([ONE], seen(GOLD, ONE, beside))) == [{"one"}]


def test_a_stray_file_on_an_abandoned_base_is_not_in_the_way_of_all_users_but_one() -> None:
    assert waves(plan_delete([ONE], seen(ONE, TWO, OVERLAY))) == [{"one"}]
    assert waves(plan_delete([ONE], seen(ONE, OVERLAY), KEEP)) == [{"forget one"}]


def test_a_permanent_obstacle_is_not_suggested_for_deletion() -> None:
    for found, how, word in (
        ((GOLD, ONE), FORCE, "``cascade``"),
        ((GOLD, OVERLAY), FORCE, "gc"),
        ((GOLD, ONE, OVERLAY), Deletion(force=True, cascade=True), "gc"),
    ):
        with pytest.raises(InUseError) as caught:
            plan_delete([GOLD], seen(*found), how)
        assert word in caught.value.hint


def test_deleting_a_foreign_vm_needs_force() -> None:
    with pytest.raises(NotOursError, match="gold"):
        plan_delete([GOLD], seen(GOLD))


def test_deleting_a_foreign_clone_with_its_parent_needs_force_too() -> None:
    ours = replace(GOLD, mark=replace(ONE.mark, uuid=GOLD.uuid) if ONE.mark else None)
    with pytest.raises(NotOursError, match="one"):
        plan_delete([ours], seen(ours, FOREIGN), CASCADE)


def test_an_inherited_mark_does_not_make_a_vm_ours() -> None:
    inherited = replace(ONE, uuid="another")
    with pytest.raises(NotOursError):
        plan_delete([inherited], seen(GOLD, inherited))


def test_the_last_users_of_an_abandoned_base_need_force() -> None:
    with pytest.raises(RefusedError, match="base") as caught:
        plan_delete([ONE, TWO], seen(ONE, TWO))
    assert "gold/gold.vmdk" in caught.value.details
    plan = plan_delete([ONE, TWO], seen(ONE, TWO), FORCE)
    steps = [step for step in plan.steps if isinstance(step, DeleteVm)]
    assert [[layer.path for layer in step.takes_base] for step in steps] == [["gold/gold.vmdk"]] * 2


def test_the_step_says_for_the_sake_of_which_base_a_vm_is_not_deleted() -> None:
    plan = plan_delete([ONE, TWO], seen(ONE, TWO), KEEP)
    (kept,) = [step for step in plan.steps if isinstance(step, UnregisterVm)]
    assert [layer.path for layer in kept.keeps] == ["gold/gold.vmdk"]
    assert all(not step.takes_base for step in plan.steps if isinstance(step, DeleteVm))


def test_what_runs_is_stopped_first_be_it_deleted_or_unregistered() -> None:
    one, two = replace(ONE, power=Power.ON), replace(TWO, power=Power.SUSPENDED)
    assert waves(plan_delete([one], seen(GOLD, one))) == [{"off one"}, {"one"}]
    plan = plan_delete([one, two], seen(one, two), KEEP)
    assert waves(plan) == [{"off two"}, {"two"}, {"off one"}, {"forget one"}]


def test_the_latest_look_counts_not_the_first() -> None:
    running = replace(ONE, power=Power.ON)
    assert waves(plan_delete([ONE], seen(GOLD, running))) == [{"off one"}, {"one"}]


def test_the_base_of_a_kept_vm_is_kept_as_well() -> None:
    # ``both`` alone reads the abandoned base, and depends on ``gold``, which is named too.
    how = Deletion(keep_base=True, force=True)
    plan = plan_delete([GOLD, BOTH, TWO], seen(GOLD, BOTH, TWO), how)
    assert waves(plan) == [{"two"}, {"forget both", "forget gold"}]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_two_vms_in_one_folder_are_distinguished_by_their_disk_files(
    order: tuple[int, ...],
) -> None:
    first = replace(vm("first", disk("gold/a.vmdk", "gold/a-1.vmdk")), home=GOLD.home)
    other = replace(vm("other", disk("gold/b.vmdk")), home=GOLD.home)
    clone = vm("clone", disk("gold/a.vmdk", "clone/clone.vmdk"))
    inventory = seen(*((first, other, clone)[at] for at in order))
    with pytest.raises(InUseError) as caught:
        plan_delete([first], inventory, FORCE)
    assert caught.value.dependants == ("clone",)
    assert waves(plan_delete([other], inventory, FORCE)) == [{"other"}]


def test_the_plan_counts_dependent_vms_and_names_unsearched_places() -> None:
    inventory = seen(GOLD, MIDDLE, GRANDCHILD, blind=("another vCenter",))
    plan = plan_delete([MIDDLE], inventory, CASCADE)
    assert plan.notes == (
        "1 clone of the VMs that you named will be deleted as well",
        "another vCenter",
    )
    plan = plan_delete([GOLD], inventory, Deletion(cascade=True, force=True))
    assert plan.notes[0].startswith("2 clones of the VMs")


def test_unsearched_places_matter_only_for_possible_parents() -> None:
    inventory = seen(GOLD, ONE, blind=("another vCenter",))
    assert plan_delete([ONE], inventory).notes == ()
