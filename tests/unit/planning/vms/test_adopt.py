"""Which clones of other tools become ours, and what their marks say."""

from dataclasses import replace

import pytest

from linkedclone.errors import NotOursError, RefusedError
from linkedclone.model.plan import WriteMark
from linkedclone.model.vm import Mark, Vm
from linkedclone.planning.vms.adopt import plan_adopt
from tests.unit.building import disk, hide, vm
from tests.unit.planning.scene import GOLD, GRANDCHILD, MIDDLE, ONE, TWO, seen

FOREIGN = replace(ONE, mark=None)
INHERITED = replace(ONE, uuid="uuid-new")
POOLED = replace(TWO, mark=replace(TWO.mark, owner="desks") if TWO.mark else None)
OF_GOLD = Mark(
    owner="linkedclone",
    uuid="uuid-one",
    parent_uuid="uuid-gold",
    parent_name="gold",
    snapshot="snapshot-1",
    snapshot_name="base",
    version="1",
)
NO_PARENT = Mark(owner="linkedclone", uuid="uuid-one", version="1")
NO_SNAPSHOT = replace(OF_GOLD, snapshot="", snapshot_name="")

MARKS = {
    "a clone of another tool": (FOREIGN, [GOLD, FOREIGN], OF_GOLD),
    "a clone with a mark that names another VM": (
        INHERITED,
        [GOLD, INHERITED],
        replace(OF_GOLD, uuid="uuid-new"),
    ),
    "a clone whose parent is gone": (FOREIGN, [FOREIGN, TWO], NO_PARENT),
    "a clone whose snapshot is gone": (
        FOREIGN,
        [replace(GOLD, snapshots=()), FOREIGN],
        NO_SNAPSHOT,
    ),
    "a clone that hides its chain": (hide(FOREIGN), [GOLD, hide(FOREIGN)], NO_PARENT),
    "a clone of a clone": (
        replace(GRANDCHILD, mark=None),
        [GOLD, MIDDLE, replace(GRANDCHILD, mark=None)],
        Mark(
            owner="linkedclone",
            uuid="uuid-grandchild",
            parent_uuid="uuid-one",
            parent_name="one",
            snapshot=MIDDLE.snapshots[0].id,
            snapshot_name="mine",
            version="1",
        ),
    ),
}


@pytest.mark.parametrize(("one", "found", "mark"), MARKS.values(), ids=MARKS)
def test_a_clone_is_adopted(one: Vm, found: list[Vm], mark: Mark) -> None:
    plan = plan_adopt([one], seen(*found), owner="linkedclone", version="1")
    assert plan.steps == (WriteMark(vm=one.id, vm_name=one.name, mark=mark, seen=one.mark),)


def test_an_adopted_mark_is_valid_and_of_no_run() -> None:
    (step,) = plan_adopt([FOREIGN], seen(GOLD, FOREIGN), owner="desks", version="1").steps
    assert isinstance(step, WriteMark)
    assert replace(FOREIGN, mark=step.mark).owner == "desks"
    assert step.mark.run == ""
    assert step.mark.spec == ""


def test_an_already_owned_vm_is_left_alone() -> None:
    # The latest look counts: somebody marked it meanwhile.
    plan = plan_adopt([FOREIGN], seen(GOLD, ONE), owner="linkedclone", version="1")
    assert plan.steps == ()
    assert plan.existing == (ONE,)


def test_what_has_another_owner_needs_force() -> None:
    with pytest.raises(NotOursError, match="of desks"):
        plan_adopt([POOLED], seen(GOLD, POOLED), owner="linkedclone", version="1")
    plan = plan_adopt([POOLED], seen(GOLD, POOLED), owner="linkedclone", version="1", force=True)
    assert len(plan.steps) == 1


def test_a_golden_image_is_adopted_without_a_parent() -> None:
    """Item 21: as one that was imported by an earlier version, which gave it no mark."""
    (step,) = plan_adopt([GOLD], seen(GOLD, FOREIGN), owner="linkedclone", version="1").steps
    assert isinstance(step, WriteMark)
    assert (step.mark.uuid, step.mark.parent_uuid, step.mark.run) == (GOLD.uuid, "", "")


@pytest.mark.parametrize("one", [vm("full", disk("full/full.vmdk")), vm("diskless")])
def test_a_vm_without_a_parent_is_not_adopted(one: Vm) -> None:
    with pytest.raises(RefusedError, match=one.name):
        plan_adopt([one, FOREIGN], seen(GOLD, FOREIGN, one), owner="linkedclone", version="1")
