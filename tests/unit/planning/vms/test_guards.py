"""The last look, right before something is taken away."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from linkedclone.errors import BusyError, GoneError, InUseError, RefusedError
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.plan import (
    DeleteSnapshot,
    DeleteVm,
    GrowDisk,
    Plan,
    PromoteVm,
    RelocateVm,
    RemoveStray,
    RevertSnapshot,
    SetPower,
    Step,
    TakeSnapshot,
    UnregisterVm,
)
from linkedclone.model.request import Deletion, Target
from linkedclone.model.values.ids import FolderId, SnapshotId, StoreId
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.vms.delete import plan_delete
from linkedclone.planning.vms.guards import refuse_busy, what_to_know
from linkedclone.planning.vms.last_look import check_steps, find_missing, needs_check
from linkedclone.planning.vms.promote import plan_promote
from linkedclone.planning.vms.snapshots_and_disks import plan_delete_snapshot, plan_revert
from tests.unit.building import REASON, STORE, clone_of, disk, hide, stray, unreadable, vm
from tests.unit.planning.scene import GOLD, GRANDCHILD, MIDDLE, ONE, TWO, seen

TWO_FULL = vm("two", disk("two/two.vmdk"))


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
    "no clone uses it": ([deleting(ONE)], [GOLD, ONE, TWO], []),
    "a linked clone grows over the base of others": (
        [GrowDisk(vm=ONE.id, vm_name="one", disk=ONE.disks[0].label, capacity_bytes=9)],
        [GOLD, ONE, TWO],
        [],
    ),
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
    "it is gone": ([deleting(ONE), UNSNAP, promoting(TWO)], [], [[], [], []]),
    "a snapshot with a new clone": ([UNSNAP], [GOLD, ONE], [["one"]]),
    "a snapshot with a new clone that hides its chain": ([UNSNAP], [GOLD, hide(ONE)], [["one"]]),
    "a snapshot that is gone": (
        [replace(UNSNAP, snapshot=SnapshotId("snapshot-99"))],
        [GOLD, ONE],
        [[]],
    ),
    "a promotion under a new clone": (
        [promoting(MIDDLE)],
        [GOLD, MIDDLE, GRANDCHILD],
        [["grandchild"]],
    ),
    "a promotion beside a clone": ([promoting(TWO)], [GOLD, ONE, TWO], []),
    "a revert under clones of the snapshot": ([REVERT], [GOLD, ONE], []),
    "a revert of a present state that something depends on": (
        [REVERT],
        [GOLD, BY_HAND],
        [["byhand"]],
    ),
    "growing a file that something depends on": ([GROW], [GOLD, BY_HAND], [["byhand"]]),
    "growing a delta over a base with clones": ([GROW], [GOLD, ONE], []),
    "a leftover": ([RemoveStray(stray=LEFT)], [GOLD, ONE, LEFT], []),
    "a leftover that a file depends on": (
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
def test_the_last_look_names_the_dependents(
    steps: list[Step], found: list[Vm | Stray], names: list[list[str]]
) -> None:
    refused = check_steps(steps, seen(*found))
    assert [list(getattr(error, "dependants", ())) for _, error in refused] == names
    assert all(step in steps for step, _ in refused)


def test_a_vm_absent_from_both_looks_is_gone_and_needs_no_step() -> None:
    steps = (deleting(ONE), UNSNAP, promoting(TWO), GROW)
    refused = check_steps(steps, seen())
    assert [(step, type(error)) for step, error in refused] == [(s, GoneError) for s in steps]


def test_a_vm_that_was_given_the_id_of_the_one_that_was_meant_is_not_touched() -> None:
    """As after a restore of the vCenter: the id is there, the UUID is another."""
    other = replace(ONE, name="payroll", uuid="00000000-1111-2222-3333-444444444444")
    for steps in (
        plan_delete([ONE], seen(GOLD, ONE)).steps,
        plan_promote([ONE], seen(GOLD, ONE)).steps,
    ):
        ((_, error),) = check_steps(steps, seen(GOLD, other))
        assert "another VM" in error.brief
        assert "payroll" in error.details
        assert check_steps(steps, seen(GOLD, ONE)) == []
    with pytest.raises(RefusedError, match="another VM than the one"):
        plan_delete([ONE], seen(GOLD, other), Deletion(force=True))


FOREIGN = replace(hide(ONE), mark=None)
"""A native clone that another tool made: only its own file shows."""
UNTRACEABLE: dict[str, tuple[Vm, type[Exception] | None]] = {
    "without a mark": (FOREIGN, RefusedError),
    "with a mark of a parent that is gone": (
        replace(hide(ONE), mark=ONE.mark and replace(ONE.mark, parent_uuid="gone")),
        RefusedError,
    ),
    "with a mark that names another": (
        replace(hide(ONE), mark=ONE.mark and replace(ONE.mark, parent_uuid=TWO.uuid)),
        None,
    ),
    "with our mark": (hide(ONE), InUseError),
    "on another datastore": (
        replace(
            FOREIGN,
            disks=tuple(
                replace(d, chain=tuple(replace(x, store=StoreId("nfs")) for x in d.chain))
                for d in FOREIGN.disks
            ),
        ),
        None,
    ),
}


@pytest.mark.parametrize(("user", "refusal"), UNTRACEABLE.values(), ids=UNTRACEABLE)
def test_a3_an_unmarked_vm_with_a_hidden_chain_may_depend_on_its_whole_datastore(
    user: Vm, refusal: type[Exception] | None
) -> None:
    inventory = seen(GOLD, TWO_FULL, user)

    def plans(*, despite: bool) -> list[Callable[[], Plan]]:
        how = Deletion(force=True, despite_unreadable=despite)
        return [
            lambda: plan_delete([GOLD], inventory, how),
            lambda: plan_delete_snapshot(
                GOLD, SNAPSHOT, inventory, force=True, despite_unreadable=despite
            ),
        ]

    for plan in plans(despite=False):
        if refusal is None:
            assert plan().steps
        else:
            with pytest.raises(refusal):
                plan()
    errors = [type(error) for _, error in check_steps([UNSNAP], inventory)]
    assert errors == ([] if refusal is None else [refusal])
    for plan in plans(despite=True):
        if refusal is InUseError:
            with pytest.raises(InUseError):
                plan()
        else:
            assert plan().steps
    if refusal is RefusedError:
        with pytest.raises(RefusedError, match="cannot be read") as caught:
            plans(despite=False)[0]()
        assert "shows what its disks depend on" in caught.value.details
        assert "``despite_unreadable``" in caught.value.hint


def test_a_move_is_refused_when_a_clone_came_in_between() -> None:
    target = Target(
        folder=FolderId("f"),
        folder_path="/",
        datastore="d",
        datastore_name="d",
        pool="",
        pool_name="",
    )
    step = RelocateVm(vm=MIDDLE.id, vm_name="middle", target=target)
    ((_, error),) = check_steps([step], seen(GOLD, MIDDLE, GRANDCHILD))
    assert isinstance(error, InUseError)
    assert check_steps([replace(step, moves_disks=False)], seen(GOLD, MIDDLE, GRANDCHILD)) == []


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


def test_only_destructive_steps_need_the_last_look() -> None:
    harmless = [SetPower(vm=ONE.id, vm_name="one", power=Power.OFF)]
    assert not needs_check(harmless)
    for step in (deleting(ONE), UNSNAP, REVERT, GROW, promoting(ONE), RemoveStray(stray=LEFT)):
        assert needs_check([*harmless, step])


def test_a_vm_that_clones_are_being_made_from_is_busy() -> None:
    with pytest.raises(BusyError, match="gold"):
        refuse_busy([GOLD, ONE], {GOLD.id}, action="delete")
    refuse_busy([ONE], {GOLD.id}, action="delete")


def test_an_unreadable_vm_is_deleted_only_if_the_plan_said_so() -> None:
    bare = unreadable(replace(clone_of(GOLD, "bare"), disks=()))
    plans: tuple[Callable[[], Plan], ...] = (
        lambda: plan_delete([bare], seen(bare)),
        lambda: plan_delete([bare], seen(bare), Deletion(force=True)),
        lambda: plan_promote([bare], seen(bare), force=True),
    )
    for plan in plans:
        with pytest.raises(RefusedError, match="cannot be read") as caught:
            plan()
        assert REASON in caught.value.details
        assert "``despite_unreadable``" in caught.value.hint
    assert plan_delete([bare], seen(bare), Deletion(despite_unreadable=True)).steps


def test_unsearched_places_are_named_where_they_matter() -> None:
    parent, clone = GOLD, ONE
    inventory = Inventory(vms=(parent, clone), blind=("not seen",))
    assert what_to_know([clone], inventory) == ()
    assert what_to_know([parent], inventory) == ("not seen",)
    lost = unreadable(vm("lost"))
    unread = replace(inventory, vms=(parent, clone, lost))
    assert what_to_know([clone], unread) == ("not seen", f"lost cannot be read: {REASON}")


LOST = unreadable(vm("lost"))
ELSEWHERE = replace(LOST, stores=frozenset({StoreId("datastore-9")}))
NEARBY = replace(LOST, stores=frozenset({StoreId("datastore-9"), STORE}))
FOREIGN = vm("foreign", disk("foreign/foreign.vmdk"))
ADOPTED = replace(ONE, mark=replace(ONE.mark, run="")) if ONE.mark else ONE

AT_STAKE: dict[str, tuple[list[Step], list[Vm | Stray], bool]] = {
    "a parent": ([deleting(GOLD)], [GOLD, LOST], True),
    "a parent of other tools without a snapshot": ([deleting(FOREIGN)], [FOREIGN, LOST], True),
    "a parent on another datastore": ([deleting(GOLD)], [GOLD, ELSEWHERE], False),
    "a parent on one of its datastores": ([deleting(GOLD)], [GOLD, NEARBY], True),
    "a clone that nothing was taken of": ([deleting(ONE)], [GOLD, ONE, TWO, LOST], False),
    "a clone that was adopted": ([deleting(ADOPTED)], [GOLD, ADOPTED, LOST], True),
    "a clone with a snapshot": ([deleting(MIDDLE)], [GOLD, MIDDLE, LOST], True),
    "the last clone on a base that may be its own": ([deleting(ONE)], [ONE, LOST], True),
    "itself": ([deleting(LOST)], [GOLD, LOST], True),
    "a snapshot": ([UNSNAP], [GOLD, LOST], True),
    "a present state": ([REVERT], [GOLD, LOST], True),
    "a file that grows": ([GROW], [GOLD, LOST], True),
    "a promotion of a clone": ([promoting(ONE)], [GOLD, ONE, TWO, LOST], False),
    "a promotion of a clone with a snapshot": ([promoting(MIDDLE)], [GOLD, MIDDLE, LOST], True),
    "a leftover": ([RemoveStray(stray=LEFT)], [GOLD, ONE, LEFT, LOST], True),
    "a leftover on another datastore": (
        [RemoveStray(stray=LEFT)],
        [GOLD, ONE, LEFT, ELSEWHERE],
        False,
    ),
    "what takes nothing away": (
        [TakeSnapshot(vm=GOLD.id, vm_name="gold", name="next")],
        [GOLD, LOST],
        False,
    ),
}


@pytest.mark.parametrize(("steps", "found", "refused"), AT_STAKE.values(), ids=AT_STAKE)
def test_the_last_look_stops_at_files_that_an_unreadable_vm_may_need(
    steps: list[Step], found: list[Vm | Stray], refused: bool
) -> None:
    said = {layer for one in found if isinstance(one, Vm) for layer in one.layers}
    steps = [
        replace(step, takes_base=tuple(said)) if isinstance(step, DeleteVm) else step
        for step in steps
    ]
    errors = [error for _, error in check_steps(steps, seen(*found))]
    assert [type(error) for error in errors] == [RefusedError] * refused
    assert all("lost" in error.brief and REASON in error.details for error in errors)
    assert check_steps(steps, seen(*found), despite=True) == []


def test_the_way_past_is_named_only_where_there_is_one() -> None:
    for despite, named in ((None, False), (False, True)):
        ((_, error),) = check_steps([UNSNAP], seen(GOLD, LOST), despite=despite)
        assert ("``despite_unreadable``" in error.hint) is named


MISSING: dict[str, tuple[Step, list[Vm], list[Vm]]] = {
    "a vm": (deleting(ONE), [GOLD, TWO], [ONE]),
    "the vm of a snapshot": (UNSNAP, [ONE], [GOLD]),
    "a snapshot": (UNSNAP, [replace(GOLD, snapshots=())], [GOLD]),
    "the vm of a promotion": (promoting(ONE), [GOLD], [ONE]),
}


@pytest.mark.parametrize(("step", "found", "direct"), MISSING.values(), ids=MISSING)
def test_an_existing_vm_missing_from_the_last_look_stops_the_run(
    step: Step, found: list[Vm], direct: list[Vm]
) -> None:
    assert find_missing([step], seen(*found)) == (direct[0].id,)
    ((refused, error),) = check_steps([step], seen(*found), direct)
    assert (refused, type(error)) == (step, RefusedError)
    assert "missing" in error.brief
    ((gone, error),) = check_steps([step], seen(*found), [])
    assert (gone, type(error)) == (step, GoneError)
    assert find_missing([step], seen(*direct)) == ()


def test_nothing_is_planned_for_a_vm_missing_from_the_inventory() -> None:
    """The look that a plan rests on does not show it: so it does not show what depends on it."""
    inventory = seen(ONE)
    plans: tuple[Callable[[], Plan], ...] = (
        lambda: plan_delete([GOLD], inventory, Deletion(force=True)),
        lambda: plan_promote([GOLD], inventory, force=True),
        lambda: plan_delete_snapshot(GOLD, SNAPSHOT, inventory, force=True),
        lambda: plan_delete_snapshot(GOLD, SNAPSHOT, seen(replace(GOLD, snapshots=())), force=True),
        lambda: plan_revert(GOLD, SNAPSHOT, inventory, force=True),
    )
    for plan in plans:
        with pytest.raises(RefusedError, match=r"missing|any more"):
            plan()
