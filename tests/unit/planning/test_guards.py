"""The last look, right before something is taken away."""

from dataclasses import replace

import pytest

from linkedclone.errors import BusyError, RefusedError
from linkedclone.model.ids import SnapshotId
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.observed import Power, Vm
from linkedclone.model.plan import (
    DeleteSnapshot,
    DeleteVm,
    GrowDisk,
    PromoteVm,
    RemoveStray,
    RevertSnapshot,
    SetPower,
    Step,
    TakeSnapshot,
    UnregisterVm,
)
from linkedclone.model.spec import Deletion
from linkedclone.planning.deletion import plan_delete
from linkedclone.planning.guards import check_steps, needs_check, refuse_busy, what_to_know
from linkedclone.planning.promotion import plan_promote
from tests.unit.building import clone_of, disk, hide, stray, vm
from tests.unit.planning.scene import GOLD, GRANDCHILD, MIDDLE, ONE, TWO, seen


def deleting(one: Vm) -> DeleteVm:
    return DeleteVm(vm=one.id, vm_name=one.name)


def promoting(one: Vm) -> PromoteVm:
    return PromoteVm(vm=one.id, vm_name=one.name)


SNAPSHOT = GOLD.snapshots[0]
UNSNAP = DeleteSnapshot(vm=GOLD.id, vm_name="gold", snapshot=SNAPSHOT.id, name="base")
REVERT = RevertSnapshot(vm=GOLD.id, vm_name="gold", snapshot=SNAPSHOT.id, name="base")
GROW = GrowDisk(vm=GOLD.id, vm_name="gold", disk="Hard disk 1", capacity_bytes=9)
LEFT = stray("gold/gold.vmdk", "one/one-000009.vmdk", orphaned=True)
ON_LEFT = stray("gold/gold.vmdk", "one/one-000009.vmdk", "aside/overlay.vmdk")
BY_HAND = vm("byhand", disk("gold/gold.vmdk", "gold/gold-000001.vmdk", "byhand/byhand.vmdk"))

CHECKS: dict[str, tuple[list[Step], list[Vm | Stray], list[list[str]]]] = {
    "nothing hangs from it": ([deleting(ONE)], [GOLD, ONE, TWO], []),
    "a clone came": ([deleting(MIDDLE)], [GOLD, MIDDLE, GRANDCHILD], [["grandchild"]]),
    "its clone goes at the same time": (
        [deleting(MIDDLE), deleting(GRANDCHILD)],
        [GOLD, MIDDLE, GRANDCHILD],
        [],
    ),
    "one of two may go": (
        [deleting(MIDDLE), deleting(TWO)],
        [GOLD, MIDDLE, TWO, GRANDCHILD],
        [["grandchild"]],
    ),
    "it is gone": ([deleting(ONE), UNSNAP, promoting(TWO)], [], []),
    "a snapshot with a new clone": ([UNSNAP], [GOLD, ONE], [["one"]]),
    "a snapshot with a new clone that hides its chain": ([UNSNAP], [GOLD, hide(ONE)], [["one"]]),
    "a snapshot that is gone": (
        [replace(UNSNAP, snapshot=SnapshotId("snapshot-99"))],
        [GOLD, ONE],
        [],
    ),
    "a promotion under a new clone": (
        [promoting(MIDDLE)],
        [GOLD, MIDDLE, GRANDCHILD],
        [["grandchild"]],
    ),
    "a promotion beside a clone": ([promoting(TWO)], [GOLD, ONE, TWO], []),
    "a revert under clones of the snapshot": ([REVERT], [GOLD, ONE], []),
    "a revert of a present state that something hangs from": (
        [REVERT],
        [GOLD, BY_HAND],
        [["byhand"]],
    ),
    "growing a file that something hangs from": ([GROW], [GOLD, BY_HAND], [["byhand"]]),
    "growing a delta over a base with clones": ([GROW], [GOLD, ONE], []),
    "a leftover": ([RemoveStray(stray=LEFT)], [GOLD, ONE, LEFT], []),
    "a leftover that a file hangs from": (
        [RemoveStray(stray=LEFT)],
        [GOLD, ONE, LEFT, ON_LEFT],
        [[ON_LEFT.name]],
    ),
    "a leftover that became a VM's": (
        [RemoveStray(stray=LEFT)],
        [GOLD, ONE, clone_of(GOLD, "x"), vm("taken", disk("gold/gold.vmdk", LEFT.layer.path))],
        [["taken"]],
    ),
    "what takes nothing away": (
        [
            SetPower(vm=GOLD.id, vm_name="gold", power=Power.OFF),
            UnregisterVm(vm=GOLD.id, vm_name="gold"),
            TakeSnapshot(vm=GOLD.id, vm_name="gold", name="next"),
        ],
        [GOLD, ONE],
        [],
    ),
}


@pytest.mark.parametrize(("steps", "found", "names"), CHECKS.values(), ids=CHECKS)
def test_the_last_look_names_what_hangs_from_it(
    steps: list[Step], found: list[Vm | Stray], names: list[list[str]]
) -> None:
    refused = check_steps(steps, seen(*found))
    assert [list(getattr(error, "dependants", ())) for _, error in refused] == names
    assert all(step in steps for step, _ in refused)


def test_the_last_user_of_a_base_is_refused_unless_its_plan_said_so() -> None:
    """The other one was deleted, as by another command, since the plan was made."""
    steps = plan_delete([ONE], seen(ONE, TWO)).steps
    assert check_steps(steps, seen(ONE, TWO)) == []
    ((step, error),) = check_steps(steps, seen(ONE))
    assert (step, type(error)) == (steps[0], RefusedError)
    assert "gold/gold.vmdk" in error.details
    said = plan_delete([ONE], seen(ONE), Deletion(force=True)).steps
    assert check_steps(said, seen(ONE)) == []
    both = plan_delete([ONE, TWO], seen(ONE, TWO), Deletion(keep_base=True)).steps
    assert check_steps(both, seen(ONE, TWO)) == []


def test_only_what_takes_something_away_needs_the_last_look() -> None:
    harmless = [SetPower(vm=ONE.id, vm_name="one", power=Power.OFF)]
    assert not needs_check(harmless)
    for step in (deleting(ONE), UNSNAP, REVERT, GROW, promoting(ONE), RemoveStray(stray=LEFT)):
        assert needs_check([*harmless, step])


def test_a_vm_that_clones_are_being_made_from_is_busy() -> None:
    with pytest.raises(BusyError, match="gold"):
        refuse_busy([GOLD, ONE], {GOLD.id}, action="delete")
    refuse_busy([ONE], {GOLD.id}, action="delete")


@pytest.mark.parametrize("force", [False, True])
def test_a_vm_whose_disks_could_not_be_read_is_deleted_only_by_force(force: bool) -> None:
    bare = replace(clone_of(GOLD, "bare"), disks=())
    inventory = Inventory(vms=(bare,), unread=frozenset({bare.id}))
    if not force:
        with pytest.raises(RefusedError, match="cannot be read"):
            plan_delete([bare], inventory)
        with pytest.raises(RefusedError, match="cannot be read"):
            plan_promote([bare], inventory)
        return
    assert plan_delete([bare], inventory, Deletion(force=True)).steps


def test_what_could_not_be_looked_at_is_said_where_it_matters() -> None:
    parent, clone = GOLD, ONE
    inventory = Inventory(vms=(parent, clone), blind=("not seen",))
    assert what_to_know([clone], inventory) == ()
    assert what_to_know([parent], inventory) == ("not seen",)
    unread = replace(inventory, unread=frozenset({parent.id}))
    assert what_to_know([clone], unread) == ("not seen",)
