"""What nothing uses, what of it may go, and in which order."""

from dataclasses import replace

import pytest

from linkedclone.model.garbage import Waste, WasteKind
from linkedclone.model.images import Image
from linkedclone.model.inventory import Stray
from linkedclone.model.plan import DeleteSnapshot, DeleteVm, RemoveStray
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.clone.plan import SNAPSHOT_NOTE
from linkedclone.planning.vms.garbage import DEFAULT_KINDS, find_waste, plan_removal
from tests.unit.building import clone_of, sized, stray, unreadable, vm, with_snapshot
from tests.unit.planning.scene import GOLD, MIDDLE, ONE, TWO, seen

LEFT = stray("gold/gold.vmdk", "one/one-000009.vmdk", orphaned=True, used=7)
ON_LEFT = stray("gold/gold.vmdk", "one/one-000009.vmdk", "one/one-000010.vmdk", orphaned=True)
BY_HAND = stray("gold/gold.vmdk", "aside/overlay.vmdk", about="of the unregistered VM old")
BY_HAND_ON_LEFT = stray("gold/gold.vmdk", "one/one-000009.vmdk", "aside/overlay.vmdk")

FILES: dict[str, tuple[list[Vm | Stray], dict[str, str]]] = {
    "nothing": ([GOLD, ONE], {}),
    "a leftover": ([GOLD, ONE, LEFT], {"one-000009": ""}),
    "leftovers on each other": (
        [GOLD, ONE, LEFT, ON_LEFT],
        {"one-000009": "", "one-000010": ""},
    ),
    "a file of somebody else": ([GOLD, ONE, BY_HAND], {"overlay": "outside this endpoint"}),
    "a leftover that somebody else's depends on": (
        [GOLD, ONE, LEFT, BY_HAND_ON_LEFT],
        {"one-000009": "uses it", "overlay": "outside this endpoint"},
    ),
    "one of two leftovers that somebody else's depends on": (
        [GOLD, ONE, LEFT, ON_LEFT, BY_HAND_ON_LEFT],
        {"one-000009": "uses it", "one-000010": "", "overlay": "outside this endpoint"},
    ),
}


@pytest.mark.parametrize(("found", "why"), FILES.values(), ids=FILES)
def test_orphaned_files_are_waste_and_only_leftovers_may_go(
    found: list[Vm | Stray], why: dict[str, str]
) -> None:
    waste = find_waste(seen(*found))
    names = [one.name.rpartition("/")[2].removesuffix(".vmdk") for one in waste]
    assert sorted(names) == sorted(why)
    for name, one in zip(names, waste, strict=True):
        assert one.kind is WasteKind.FILE
        assert why[name] in one.why_not
        assert (one.step is None) == bool(why[name]) == bool(one.why_not)


def test_a_stray_file_is_listed_with_its_size_and_origin() -> None:
    by_hand, left = find_waste(seen(LEFT, BY_HAND))
    assert (left.used_bytes, left.reason) == (7, "no VM reads it")
    assert (by_hand.used_bytes, by_hand.reason) == (None, "of the unregistered VM old")


def half_made(name: str) -> Vm:
    return replace(clone_of(GOLD, name), disks=())


VMS = {
    "a clone without a disk": (half_made("half"), True),
    "one that runs": (replace(half_made("half"), power=Power.ON), False),
    "one without our mark": (replace(half_made("half"), mark=None), False),
    "one with another's mark": (replace(half_made("half"), uuid="other"), False),
    "a whole clone": (ONE, False),
    "one whose disks were taken out, and that has a snapshot": (
        replace(MIDDLE, disks=()),
        False,
    ),
}


@pytest.mark.parametrize(("one", "is_waste"), VMS.values(), ids=VMS)
def test_a_half_made_clone_is_waste(one: Vm, is_waste: bool) -> None:
    found = find_waste(seen(GOLD, one))
    assert [waste.step for waste in found] == (
        [DeleteVm(vm=one.id, vm_name=one.name, vm_uuid=one.uuid)] if is_waste else []
    )


def taken_for_clones(one: Vm, *at: int) -> Vm:
    return replace(
        one,
        snapshots=tuple(
            replace(s, description=SNAPSHOT_NOTE) if number in at else s
            for number, s in enumerate(one.snapshots)
        ),
    )


OLD = replace(GOLD, snapshots=(replace(GOLD.snapshots[0], current=False),))
THRICE = with_snapshot(with_snapshot(OLD, "second"), "third")
NEWER = clone_of(replace(THRICE, snapshots=THRICE.snapshots[1:]), "newer")

SNAPSHOTS: dict[str, tuple[Vm, list[Vm | Stray], list[str]]] = {
    "taken by people": (THRICE, [], []),
    "taken for clones that are gone": (taken_for_clones(THRICE, 0), [], ["base"]),
    "all but the current one": (taken_for_clones(THRICE, 0, 1, 2), [], ["base", "second"]),
    "one that clones depend on": (taken_for_clones(THRICE, 0), [ONE], []),
    "one below that which clones depend on": (taken_for_clones(THRICE, 0, 1), [NEWER], []),
    "one that a file of somebody else depends on": (taken_for_clones(THRICE, 0), [BY_HAND], []),
    "one that a leftover depends on": (taken_for_clones(THRICE, 0), [LEFT], ["base"]),
}


@pytest.mark.parametrize(("one", "others", "names"), SNAPSHOTS.values(), ids=SNAPSHOTS)
def test_snapshots_taken_for_clones_may_become_waste(
    one: Vm, others: list[Vm | Stray], names: list[str]
) -> None:
    found = [w for w in find_waste(sized(seen(one, *others))) if w.kind is WasteKind.SNAPSHOT]
    assert [w.name for w in found] == [f"gold@{name}" for name in names]
    assert all(isinstance(w.step, DeleteSnapshot) and w.used_bytes == 1 for w in found)


def test_a_snapshot_whose_disks_cannot_be_read_is_not_called_waste() -> None:
    unread = tuple(replace(s, disks=None) for s in taken_for_clones(THRICE, 0, 1).snapshots)
    assert find_waste(seen(replace(THRICE, snapshots=unread))) == ()


def image(name: str, *dependants: str) -> Image:
    return Image(
        vm=VmId(name),
        name=name,
        source="",
        format="qcow2",
        capacity_bytes=2,
        file_bytes=1,
        imported=None,
        dependants=dependants,
    )


def test_an_image_without_dependents_is_waste() -> None:
    (found,) = find_waste(seen(GOLD), [image("used", "one"), image("unused")])
    assert (found.kind, found.name, found.used_bytes) == (WasteKind.IMAGE, "unused", 1)


ALL = taken_for_clones(THRICE, 0, 1)
EVERYTHING = find_waste(
    sized(seen(ALL, half_made("half"), replace(MIDDLE, name="one"), TWO, LEFT, ON_LEFT)),
    [image("unused")],
)


def test_upper_layers_are_removed_before_lower_ones() -> None:
    first, second, *_ = plan_removal(EVERYTHING, {WasteKind.FILE}).stages
    assert first == (RemoveStray(stray=ON_LEFT),)
    assert second == (RemoveStray(stray=LEFT),)


def test_only_the_kinds_that_are_named_are_removed() -> None:
    for kind in WasteKind:
        wanted = [one.step for one in EVERYTHING if one.kind is kind and one.step]
        steps = plan_removal(EVERYTHING, {kind}).steps
        assert sorted(map(repr, steps)) == sorted(map(repr, wanted))
    assert plan_removal(EVERYTHING, ()).empty
    assert {WasteKind.FILE, WasteKind.VM} == DEFAULT_KINDS


def test_snapshots_of_one_vm_go_one_after_the_other() -> None:
    found = find_waste(seen(taken_for_clones(THRICE, 0, 1)))
    stages = plan_removal(found, {WasteKind.SNAPSHOT}).stages
    assert [len(stage) for stage in stages] == [1, 1]


def test_what_clones_in_the_making_may_need_stays() -> None:
    found = find_waste(seen(taken_for_clones(THRICE, 0, 1), half_made("half"), LEFT))
    steps = plan_removal(found, list(WasteKind), {GOLD.id}).steps
    assert steps == (RemoveStray(stray=LEFT),)
    # One of the snapshots is what the clone without a disk was to depend on: it goes after that.
    assert len(plan_removal(found, list(WasteKind), {ONE.id}).steps) == 3


def test_items_that_are_only_reported_are_not_removed() -> None:
    told = Waste(kind=WasteKind.FILE, name="x", used_bytes=1, reason="")
    assert plan_removal([told], list(WasteKind)).empty


def test_files_that_an_unreadable_vm_may_need_are_not_waste() -> None:
    lost = unreadable(vm("lost"))
    elsewhere = replace(lost, stores=frozenset({StoreId("datastore-9")}))
    there = (taken_for_clones(THRICE, 0, 1), half_made("half"), LEFT)
    for one, kept in ((lost, {"file", "snapshot"}), (elsewhere, set())):
        found = find_waste(seen(*there, one))
        told = {waste.kind.value for waste in found if "lost may depend on" in waste.why_not}
        assert told == kept
        assert not [waste for waste in found if waste.why_not and waste.step]
    assert all(w.step for w in find_waste(seen(*there, lost), despite_unreadable=True))


def test_a_clone_that_cannot_be_read_is_not_one_that_was_not_finished() -> None:
    assert find_waste(seen(unreadable(half_made("half")))) == ()
