"""Who depends on whom, in tables: chains are written base first."""

from dataclasses import replace

import pytest

from linkedclone.lineage.family import Lineage
from linkedclone.lineage.proof import hangs_from, prove_linked
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.report import Mode
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Disk, Vm
from tests.unit.building import (
    clone_of,
    disk,
    gold,
    hide,
    layer,
    snapshot,
    stray,
    vm,
    with_snapshot,
)

BASE = disk("gold/gold.vmdk")
DATA = disk("gold/gold_1.vmdk")
LINKED = disk("gold/gold.vmdk", "desk/desk.vmdk")
LINKED_DATA = disk("gold/gold_1.vmdk", "desk/desk_1.vmdk")
FULL = disk("desk/desk.vmdk")
HIDDEN = disk("desk/desk.vmdk", hidden=True)
SCRATCH = disk("gold/scratch.vmdk", independent=True)
COPIED = disk("desk/scratch.vmdk", independent=True)
NO_FILE = Disk(label="Hard disk 9", chain=())

PROOFS = {
    "one disk over the snapshot's file": ([LINKED], [BASE], True, ""),
    "two disks, each over its own": ([LINKED, LINKED_DATA], [BASE, DATA], True, ""),
    "two disks, listed the other way round": ([LINKED_DATA, LINKED], [BASE, DATA], True, ""),
    "the snapshot's file is itself a delta": (
        [disk("gold/gold.vmdk", "gold/gold-000001.vmdk", "desk/desk.vmdk")],
        [disk("gold/gold.vmdk", "gold/gold-000001.vmdk")],
        True,
        "",
    ),
    "independent disks do not count": ([LINKED, COPIED], [BASE, SCRATCH], True, ""),
    "an independent disk may be missing": ([LINKED], [BASE, SCRATCH], True, ""),
    "a full copy": ([FULL], [BASE], False, "depends on nothing"),
    "one of two disks is a full copy": (
        [LINKED, disk("desk/desk_1.vmdk")],
        [BASE, DATA],
        False,
        "depends on nothing",
    ),
    "a delta over another snapshot's file": (
        [disk("gold/gold.vmdk", "gold/gold-000001.vmdk", "desk/desk.vmdk")],
        [BASE],
        False,
        "depends on [datastore-1] gold/gold-000001.vmdk",
    ),
    "a delta over a foreign base": (
        [disk("other/other.vmdk", "desk/desk.vmdk")],
        [BASE],
        False,
        "depends on [datastore-1] other/other.vmdk",
    ),
    "the same path in another store": (
        [replace(LINKED, chain=(layer("gold/gold.vmdk", "datastore-2"), LINKED.top))],
        [BASE],
        False,
        "depends on [datastore-2] gold/gold.vmdk",
    ),
    "a delta over a delta of its own": (
        [disk("gold/gold.vmdk", "desk/desk.vmdk", "desk/desk-000001.vmdk")],
        [BASE],
        False,
        "depends on [datastore-1] desk/desk.vmdk",
    ),
    "the parent's own present disk": ([BASE], [BASE], False, "depends on nothing"),
    "two disks over the same base": (
        [LINKED, disk("gold/gold.vmdk", "desk/desk_1.vmdk")],
        [BASE, DATA],
        False,
        "two disks depend on the same file",
    ),
    "a disk too few": ([LINKED], [BASE, DATA], False, "not every disk"),
    "a disk too many": (
        [LINKED, disk("gold/gold.vmdk", "desk/desk_1.vmdk")],
        [BASE],
        False,
        "not every disk",
    ),
    "no disks at all": ([], [BASE], False, "not every disk"),
    "a disk without a file": ([NO_FILE], [BASE], False, "depends on nothing"),
    "a snapshot without disks": ([LINKED], [], False, "no disk that a clone could depend on"),
    "a snapshot with independent disks only": ([COPIED], [SCRATCH], False, "no disk that a clone"),
    "a snapshot with a disk without a file": ([LINKED], [NO_FILE], False, "no disk that a clone"),
    "a hidden chain": ([HIDDEN], [BASE], None, "hides the chain"),
    "one of two chains is hidden": (
        [HIDDEN, LINKED_DATA],
        [BASE, DATA],
        None,
        "hides the chain",
    ),
    "a hidden chain beside a full copy": (
        [HIDDEN, disk("desk/desk_1.vmdk")],
        [BASE, DATA],
        False,
        "depends on nothing",
    ),
    "hidden chains, but a disk too few": ([HIDDEN], [BASE, DATA], False, "not every disk"),
    "a renamed store is the same store": (
        [LINKED],
        [Disk(label="Hard disk 1", chain=(replace(BASE.top, store_name="renamed"),))],
        True,
        "",
    ),
}


@pytest.mark.parametrize(("clone", "frozen", "linked", "reason"), PROOFS.values(), ids=PROOFS)
def test_a_clone_is_proven(
    clone: list[Disk], frozen: list[Disk], linked: bool | None, reason: str
) -> None:
    proof = prove_linked(clone, frozen)
    assert proof.linked is linked
    assert reason in proof.reason
    assert bool(proof.reason) is (linked is not True)


HANGING = {
    "a new clone": ([LINKED], [BASE], True),
    "a clone with snapshots of its own": (
        [disk("gold/gold.vmdk", "desk/desk.vmdk", "desk/desk-000001.vmdk")],
        [BASE],
        True,
    ),
    "a clone with a disk that was added": ([LINKED, disk("desk/more.vmdk")], [BASE], True),
    "a clone that lost one of its disks": ([LINKED], [BASE, DATA], False),
    "a full clone": ([FULL], [BASE], False),
    "a clone of something else": ([disk("other/o.vmdk", "desk/desk.vmdk")], [BASE], False),
    "a hidden chain": ([HIDDEN], [BASE], None),
    "hidden and visible chains that suffice": ([LINKED, HIDDEN], [BASE], True),
    "a snapshot without disks": ([LINKED], [], False),
    "a snapshot with a disk without a file": ([LINKED], [NO_FILE], False),
    "the parent itself, running on the base": ([BASE], [BASE], False),
}


@pytest.mark.parametrize(("disks", "frozen", "linked"), HANGING.values(), ids=HANGING)
def test_an_older_clone_still_depends_on_its_snapshot(
    disks: list[Disk], frozen: list[Disk], linked: bool | None
) -> None:
    assert hangs_from(vm("desk", *disks), frozen).linked is linked


def lineage(*vms: Vm) -> Lineage:
    return Lineage(Inventory(vms=vms))


GOLD = gold()
DESK = clone_of(GOLD, "desk")
DESK_2 = clone_of(GOLD, "desk-2")
DESK_WITH_SNAPSHOT = with_snapshot(DESK)
GRANDCHILD = clone_of(DESK_WITH_SNAPSHOT, "grandchild")


def test_a_clone_originates_in_the_parents_snapshot() -> None:
    origin = lineage(GOLD, DESK).origin(DESK)
    assert origin.mode is Mode.LINKED
    assert origin.parent == GOLD
    assert origin.snapshot == GOLD.snapshots[0]
    assert origin.base == layer("gold/gold.vmdk")


def test_a_clone_of_a_clone_originates_in_that_clone() -> None:
    origin = lineage(GOLD, DESK_WITH_SNAPSHOT, GRANDCHILD).origin(GRANDCHILD)
    assert origin.parent == DESK_WITH_SNAPSHOT
    assert origin.snapshot == DESK_WITH_SNAPSHOT.snapshots[0]


def test_own_snapshots_do_not_hide_the_parent_of_a_clone() -> None:
    twice = with_snapshot(DESK_WITH_SNAPSHOT, "again")
    origin = lineage(GOLD, twice).origin(twice)
    assert (origin.parent, origin.base) == (GOLD, layer("gold/gold.vmdk"))


def test_a_parent_with_snapshots_is_not_a_clone() -> None:
    assert lineage(GOLD, DESK).origin(GOLD).mode is Mode.FULL


def test_a_vm_with_disks_of_its_own_is_full() -> None:
    full = vm("desk", FULL)
    assert lineage(GOLD, full).origin(full).mode is Mode.FULL


def test_a_vm_without_disks_is_full() -> None:
    bare = vm("desk")
    assert lineage(bare).origin(bare).mode is Mode.FULL


def test_a_hidden_chain_leaves_the_mode_unknown() -> None:
    native = vm("desk", HIDDEN)
    assert lineage(GOLD, native).origin(native).mode is Mode.UNKNOWN


def test_one_disk_that_shows_its_chain_tells_the_origin() -> None:
    mixed = vm("desk", HIDDEN, disk("gold/gold.vmdk", "desk/desk_1.vmdk"))
    assert lineage(GOLD, mixed).origin(mixed).parent == GOLD


def test_an_independent_disk_does_not_make_a_clone() -> None:
    mixed = vm("desk", disk("desk/scratch.vmdk", independent=True), LINKED)
    assert lineage(GOLD, mixed).origin(mixed).parent == GOLD


def test_a_clone_whose_parent_is_gone_is_still_linked() -> None:
    origin = lineage(DESK, DESK_2).origin(DESK)
    assert (origin.mode, origin.parent, origin.snapshot) == (Mode.LINKED, None, None)
    assert origin.base == layer("gold/gold.vmdk")


def test_the_last_clone_of_a_parent_that_is_gone_is_still_linked() -> None:
    assert lineage(DESK).origin(DESK).mode is Mode.LINKED


def test_a_clone_whose_snapshot_is_gone_still_has_its_parent() -> None:
    without = replace(GOLD, snapshots=())
    origin = lineage(without, DESK).origin(DESK)
    assert (origin.parent, origin.snapshot) == (without, None)


def test_a_clone_knows_which_of_two_snapshots_it_depends_on() -> None:
    parent = with_snapshot(GOLD, "second")
    newer = vm("newer", replace(LINKED, chain=(*GOLD.disks[0].chain, layer("newer/newer.vmdk"))))
    found = lineage(parent, DESK, newer)
    assert [found.origin(one).snapshot for one in (DESK, newer)] == list(parent.snapshots)


def test_disks_outside_the_home_belong_to_the_vm_that_writes_to_them() -> None:
    moved = vm("moved", disk("elsewhere/moved.vmdk"))
    found = lineage(moved)
    assert found.owner(layer("elsewhere/moved.vmdk")) == moved
    assert found.origin(moved).mode is Mode.FULL


def test_frozen_disks_outside_the_home_belong_to_the_vm_that_froze_them() -> None:
    frozen = disk("elsewhere/gold.vmdk")
    parent = vm(
        "gold",
        disk("elsewhere/gold.vmdk", "gold/gold-000001.vmdk"),
        snapshots=(snapshot("base", frozen),),
    )
    child = vm("desk", disk("elsewhere/gold.vmdk", "desk/desk.vmdk"))
    found = lineage(parent, child)
    assert found.owner(frozen.top) == parent
    assert found.origin(child).parent == parent
    assert found.dependants(parent) == (child,)


def test_the_same_folder_name_in_another_store_is_another_folder() -> None:
    twin = replace(vm("twin", disk("twin/twin.vmdk")), home=(StoreId("datastore-2"), "gold"))
    assert lineage(twin, GOLD).owner(layer("gold/gold.vmdk")) == GOLD


DEPENDANTS = {
    "nobody": (GOLD, [GOLD], []),
    "clones, by name": (GOLD, [DESK_2, GOLD, DESK], ["desk", "desk-2"]),
    "clones of clones too": (
        GOLD,
        [GOLD, DESK_WITH_SNAPSHOT, GRANDCHILD],
        ["desk", "grandchild"],
    ),
    "of a clone, only its own clones": (
        DESK_WITH_SNAPSHOT,
        [GOLD, DESK_WITH_SNAPSHOT, DESK_2, GRANDCHILD],
        ["grandchild"],
    ),
    "of a leaf, nobody": (GRANDCHILD, [GOLD, DESK_WITH_SNAPSHOT, GRANDCHILD], []),
    "of a sibling, nobody": (DESK, [GOLD, DESK, DESK_2], []),
    "a clone that reads the base through a snapshot alone": (
        GOLD,
        [GOLD, vm("desk", FULL, snapshots=(snapshot("old", LINKED),))],
        ["desk"],
    ),
    "a clone of a snapshot that is deleted, kept in the parent's folder": (
        GOLD,
        [GOLD, vm("desk", disk("gold/gold.vmdk", "gold/gold-000007.vmdk", "desk/d.vmdk"))],
        ["desk"],
    ),
    "a clone of a snapshot whose files the parent has left altogether": (
        replace(GOLD, disks=(disk("gold/gold_9.vmdk"),), snapshots=()),
        [replace(GOLD, disks=(disk("gold/gold_9.vmdk"),), snapshots=()), DESK],
        ["desk"],
    ),
    "a parent that was read at another time": (
        replace(GOLD, power=DESK.power, host_name="changed"),
        [GOLD, DESK],
        ["desk"],
    ),
}


@pytest.mark.parametrize(("parent", "vms", "names"), DEPENDANTS.values(), ids=DEPENDANTS)
def test_these_depend_on_a_vm(parent: Vm, vms: list[Vm], names: list[str]) -> None:
    assert [one.name for one in lineage(*vms).dependants(parent)] == names


def test_a_snapshot_is_needed_by_the_clones_above_it() -> None:
    parent = with_snapshot(GOLD, "second")
    newer = vm("newer", replace(LINKED, chain=(*GOLD.disks[0].chain, layer("newer/newer.vmdk"))))
    found = lineage(parent, DESK, newer)
    base, second = parent.snapshots
    assert found.dependants_of_snapshot(parent, base) == (DESK, newer)
    assert found.dependants_of_snapshot(parent, second) == (newer,)


def test_a_snapshot_whose_disks_were_not_read_tells_no_dependants() -> None:
    unread = replace(GOLD.snapshots[0], disks=None)
    assert lineage(GOLD, DESK).dependants_of_snapshot(GOLD, unread) == ()


def test_the_users_of_a_layer_are_all_that_read_it() -> None:
    found = lineage(GOLD, DESK, vm("stranger", disk("stranger/s.vmdk")))
    assert found.readers(layer("gold/gold.vmdk")) == (GOLD, DESK)
    assert found.readers(layer("nobody/n.vmdk")) == ()


LOST = {
    "a clone beside its parent: nothing": ([GOLD, DESK], [DESK], []),
    "a clone beside a sibling: nothing": ([DESK, DESK_2], [DESK], []),
    "the last clone of a parent that is gone: the base": ([DESK], [DESK], ["gold/gold.vmdk"]),
    "both last clones at once: the base": ([DESK, DESK_2], [DESK, DESK_2], ["gold/gold.vmdk"]),
    "a parent that nobody needs: nothing that is not its own": ([GOLD], [GOLD], []),
    "a parent with its clones: nothing that is not theirs": ([GOLD, DESK], [GOLD, DESK], []),
    "a grandchild whose ancestors are gone: both bases": (
        [GRANDCHILD],
        [GRANDCHILD],
        ["desk/desk.vmdk", "gold/gold.vmdk"],
    ),
    "the only reader of a layer in a living parent's folder": (
        [GOLD, vm("desk", disk("gold/gold.vmdk", "gold/gold-000007.vmdk", "desk/d.vmdk"))],
        [vm("desk", disk("gold/gold.vmdk", "gold/gold-000007.vmdk", "desk/d.vmdk"))],
        ["gold/gold-000007.vmdk"],
    ),
    "nothing": ([GOLD, DESK], [], []),
}


@pytest.mark.parametrize(("vms", "going", "paths"), LOST.values(), ids=LOST)
def test_these_layers_go_with_the_last_that_reads_them(
    vms: list[Vm], going: list[Vm], paths: list[str]
) -> None:
    assert [lost.path for lost in lineage(*vms).lost_with(going)] == paths


def test_a_vm_that_is_not_there_any_more_takes_nothing_along() -> None:
    assert lineage(GOLD).lost_with([DESK]) == ()
    assert Lineage(Inventory(vms=(GOLD,), strays=(LEFT,))).lost_with([DESK]) == ()


LEFT = stray("gold/gold.vmdk", "desk/desk.vmdk", "desk/desk-000009.vmdk", orphaned=True)
OVERLAY = stray("gold/gold.vmdk", "desk/desk.vmdk", "aside/overlay.vmdk")
UPON = stray("gold/gold.vmdk", "desk/desk.vmdk", "aside/overlay.vmdk", "aside/upon.vmdk")
ALONE = stray("desk/alone.vmdk")


def with_strays(*found: Vm | Stray) -> Lineage:
    vms = tuple(one for one in found if isinstance(one, Vm))
    return Lineage(Inventory(vms=vms, strays=tuple(s for s in found if isinstance(s, Stray))))


HANGING_FROM_DESK = {
    "a file that was made by hand": ([GOLD, DESK, OVERLAY], [OVERLAY]),
    "such a file and what depends on it": ([GOLD, DESK, OVERLAY, UPON], [OVERLAY, UPON]),
    "a leftover, which nobody needs": ([GOLD, DESK, LEFT], []),
    "a file in its folder that depends on nothing": ([GOLD, DESK, ALONE], []),
    "a VM and a file": ([GOLD, DESK_WITH_SNAPSHOT, GRANDCHILD, OVERLAY], [OVERLAY, GRANDCHILD]),
}


@pytest.mark.parametrize(
    ("found", "hanging"), HANGING_FROM_DESK.values(), ids=list(HANGING_FROM_DESK)
)
def test_orphaned_files_depend_on_a_vm(found: list[Vm | Stray], hanging: list[Vm | Stray]) -> None:
    (desk,) = [one for one in found if isinstance(one, Vm) and one.name == "desk"]
    assert list(with_strays(*found).dependants(desk)) == hanging


def test_an_orphaned_file_depends_on_the_nearest_layer() -> None:
    found = with_strays(GOLD, DESK_WITH_SNAPSHOT, OVERLAY, UPON)
    origin = found.origin_of_stray(OVERLAY)
    assert (origin.mode, origin.parent) == (Mode.LINKED, DESK_WITH_SNAPSHOT)
    assert origin.snapshot == DESK_WITH_SNAPSHOT.snapshots[0]
    origin = found.origin_of_stray(UPON)
    assert (origin.parent, origin.base) == (None, OVERLAY.layer)
    assert found.origin_of_stray(ALONE).mode is Mode.FULL


def test_a_layer_read_only_by_an_orphaned_file_is_lost_unless_held() -> None:
    on_base = stray("gold/gold.vmdk", "aside/overlay.vmdk")
    assert [lost.path for lost in with_strays(DESK, on_base).lost_with([DESK])] == [
        "gold/gold.vmdk"
    ]
    held = replace(on_base, holds=True)
    assert with_strays(DESK, held).lost_with([DESK]) == ()


DEPTHS = {
    "no disk": (vm("desk"), 0),
    "a disk of its own": (vm("desk", FULL), 1),
    "a clone": (DESK, 2),
    "a clone with a snapshot": (DESK_WITH_SNAPSHOT, 3),
    "a clone of that": (GRANDCHILD, 3),
    "the longest of several": (vm("desk", FULL, LINKED), 2),
    "one that is long in a snapshot alone": (
        vm("desk", FULL, snapshots=(snapshot("old", LINKED),)),
        2,
    ),
    "a hidden chain, as far as it can be seen": (hide(DESK), 1),
}


@pytest.mark.parametrize(("one", "depth"), DEPTHS.values(), ids=DEPTHS)
def test_a_chain_is_as_deep_as_it_has_files(one: Vm, depth: int) -> None:
    assert lineage(GOLD, one).depth(one) == depth


INHERITED: dict[str, tuple[Vm, list[Vm], list[str]]] = {
    "of a parent, nothing": (GOLD, [GOLD, DESK], []),
    "of a clone, the base": (DESK, [GOLD, DESK], ["gold/gold.vmdk"]),
    "of a clone with a snapshot, the base alone": (
        DESK_WITH_SNAPSHOT,
        [GOLD, DESK_WITH_SNAPSHOT],
        ["gold/gold.vmdk"],
    ),
    "of a clone of it, all that is above": (
        GRANDCHILD,
        [GOLD, DESK_WITH_SNAPSHOT, GRANDCHILD],
        ["desk/desk.vmdk", "gold/gold.vmdk"],
    ),
    "of a clone whose parent is gone, the base all the same": (DESK, [DESK], ["gold/gold.vmdk"]),
}


@pytest.mark.parametrize(("one", "vms", "paths"), INHERITED.values(), ids=INHERITED)
def test_this_is_inherited(one: Vm, vms: list[Vm], paths: list[str]) -> None:
    assert sorted(found.path for found in lineage(*vms).inherited(one)) == paths


DESCENDANTS = {
    "nothing below a leaf": ([GRANDCHILD], []),
    "what hangs directly and through others": ([GOLD], ["desk", "desk-2", "grandchild"]),
    "not those that were named": ([GOLD, DESK_WITH_SNAPSHOT], ["desk-2", "grandchild"]),
    "of nothing, nothing": ([], []),
}


@pytest.mark.parametrize(("vms", "names"), DESCENDANTS.values(), ids=DESCENDANTS)
def test_these_descend(vms: list[Vm], names: list[str]) -> None:
    found = lineage(GOLD, DESK_WITH_SNAPSHOT, DESK_2, GRANDCHILD)
    assert [one.name for one in found.descendants(vms)] == names


def test_vms_that_depend_on_each_other_descend_from_each_other() -> None:
    left, right = crossed()
    assert lineage(left, right).descendants([left]) == (right,)


def crossed() -> tuple[Vm, Vm]:
    """Two VMs, each with a disk that depends on one of the other's, as other tools may make."""
    left = vm("left", disk("right/a.vmdk", "left/a.vmdk"), disk("left/b.vmdk"))
    right = vm("right", disk("left/b.vmdk", "right/b.vmdk"), disk("right/a.vmdk"))
    return left, right


HIDDEN_DESK = hide(DESK)


def test_the_mark_names_the_parent_of_a_clone_that_hides_its_chain() -> None:
    found = lineage(GOLD, HIDDEN_DESK)
    origin = found.origin(HIDDEN_DESK)
    assert (origin.mode, origin.parent) == (Mode.UNKNOWN, GOLD)
    assert origin.snapshot == GOLD.snapshots[0]
    assert found.dependants(GOLD) == (HIDDEN_DESK,)
    assert found.descendants([GOLD]) == (HIDDEN_DESK,)


def test_a_clone_that_hides_its_chain_needs_the_snapshot_that_its_mark_names() -> None:
    parent = with_snapshot(GOLD, "second")
    base, second = parent.snapshots
    found = lineage(parent, HIDDEN_DESK)
    assert found.dependants_of_snapshot(parent, base) == (HIDDEN_DESK,)
    assert found.dependants_of_snapshot(parent, second) == ()


def test_a_clone_that_hides_its_chain_needs_any_snapshot_where_its_mark_names_none() -> None:
    assert HIDDEN_DESK.mark
    clone = replace(HIDDEN_DESK, mark=replace(HIDDEN_DESK.mark, snapshot=""))
    parent = with_snapshot(GOLD, "second")
    found = lineage(parent, clone)
    assert all(found.dependants_of_snapshot(parent, one) == (clone,) for one in parent.snapshots)


def test_an_inherited_mark_says_nothing_of_a_hidden_chain() -> None:
    copied = replace(HIDDEN_DESK, uuid="another")
    found = lineage(GOLD, copied)
    assert found.origin(copied).parent is None
    assert found.dependants(GOLD) == ()


def test_a_mark_that_names_no_parent_makes_nothing_depend_on_a_vm_without_uuid() -> None:
    nameless = replace(GOLD, uuid="")
    assert HIDDEN_DESK.mark
    adopted = replace(HIDDEN_DESK, mark=replace(HIDDEN_DESK.mark, parent_uuid=""))
    assert lineage(nameless, adopted).dependants(nameless) == ()


def test_a_disk_that_two_vms_write_to_is_needed_by_each() -> None:
    shared = disk("one/shared.vmdk")
    one, two = vm("one", shared), vm("two", disk("two/two.vmdk"), shared)
    for order in ((one, two), (two, one)):
        found = lineage(*order)
        assert found.dependants(one) == (two,)
        assert found.dependants(two) == (one,)


def test_a_snapshot_of_a_disk_in_another_vms_folder_belongs_to_its_own_vm() -> None:
    base = snapshot("base", disk("other/data.vmdk"), current=True)
    parent = vm("p", disk("other/data.vmdk", "p/data-000001.vmdk"), snapshots=(base,))
    other, clone = vm("other", disk("other/other.vmdk")), clone_of(parent, "clone")
    found = lineage(other, parent, clone)
    assert found.origin(parent).mode is Mode.FULL
    assert found.origin(clone).parent == parent
    assert found.dependants(parent) == (clone,)
    assert found.dependants(other) == ()
