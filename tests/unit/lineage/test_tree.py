"""Families as trees, as nested names: a snapshot is ``@name``, a layer ``[…]``, a stray ``*…``."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from linkedclone.cli.views.tree import render_tree
from linkedclone.cli.views.vms import render_vms
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.tree import TreeNode, build_tree
from linkedclone.lineage.vm_rows import describe_vms, restrict
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.vm import LEFT_FAILED, Power, SnapshotMemory, Vm
from tests.unit.building import (
    clone_of,
    disk,
    gold,
    hide,
    sized,
    snapshot,
    stray,
    vm,
    with_snapshot,
)

GOLD = gold()
ONE, TWO = clone_of(GOLD, "one"), clone_of(GOLD, "two")
MIDDLE = with_snapshot(ONE)
GRANDCHILD = clone_of(MIDDLE, "grandchild")
TWICE = with_snapshot(GOLD, "later")
NEWER = clone_of(replace(TWICE, snapshots=TWICE.snapshots[1:]), "newer")
OVERLAY = stray("gold/gold.vmdk", "aside/overlay.vmdk")
UPON = stray("gold/gold.vmdk", "aside/overlay.vmdk", "aside/upon.vmdk")
LEFT = vm("left", disk("right/a.vmdk", "left/a.vmdk"), disk("left/b.vmdk"))
RIGHT = vm("right", disk("left/b.vmdk", "right/b.vmdk"), disk("right/a.vmdk"))


def with_frozen_disk(made: Vm) -> Vm:
    frozen = snapshot("own", made.disks[0], current=True)
    return replace(made, snapshots=(frozen,))


def seen(*found: Vm | Stray) -> Inventory:
    return Inventory(
        vms=tuple(one for one in found if isinstance(one, Vm)),
        strays=tuple(one for one in found if isinstance(one, Stray)),
    )


def test_a_tree_tells_forks_and_the_memory_of_snapshots() -> None:
    memory = SnapshotMemory(size_bytes=1 << 20, stale="another QEMU")
    warm = replace(GOLD, snapshots=(replace(GOLD.snapshots[0], memory=memory),))
    assert ONE.mark
    fork = replace(ONE, mark=replace(ONE.mark, instant=True))
    (family,) = build_tree(seen(warm, fork, TWO))
    told = json.loads(json.dumps(family.document()))
    (base,) = told["children"]
    assert base["memory"] == {"size_bytes": 1 << 20, "stale": "another QEMU"}
    assert {one["vm"]: one["instant"] for one in base["children"]} == {"one": True, "two": False}
    shown = render_tree([family], now=datetime(2026, 1, 1, tzinfo=UTC)).splitlines()
    assert "@base (current)  1.0 MiB of memory, stale  2 clones" in shown[2]
    assert ["one  (instant)" in line for line in shown[3:]] == [True, False]


def test_a_fork_is_called_instant_where_people_read_its_mode() -> None:
    assert ONE.mark
    fork = replace(ONE, mark=replace(ONE.mark, instant=True))
    copied = replace(fork, disks=(disk("one/one.vmdk"),))
    inherited = replace(fork, uuid="uuid-other")
    kinds = [
        {row.vm.name: row.kind for row in describe_vms(seen(GOLD, one))}["one"]
        for one in (ONE, fork, copied, inherited)
    ]
    assert kinds == ["linked", "instant", "full", "linked"]
    rows = {row.vm.name: row.document() for row in describe_vms(seen(GOLD, fork))}
    assert (rows["one"]["mode"], rows["one"]["instant"]) == ("linked", True)
    assert "instant" in render_vms(describe_vms(seen(GOLD, fork)))


def test_a_fork_without_an_identity_of_its_own_is_named() -> None:
    assert ONE.mark
    left = replace(ONE, power=Power.ON, mark=replace(ONE.mark, instant=True, spec=LEFT_FAILED))
    late = replace(left, uuid="uuid-given")
    twin = replace(TWO, power=Power.ON, mark=left.mark)
    good = replace(left, mark=ONE.mark)
    off = replace(left, power=Power.OFF)

    def troubles(*found: Vm) -> list[str]:
        return [row.vm.name for row in describe_vms(seen(GOLD, *found)) if row.trouble]

    assert troubles(left, twin) == ["one"]
    assert troubles(late) == ["one"]
    assert troubles(good) == troubles(off) == []
    halted = replace(left, power=Power.PAUSED, trouble="paused: continue it with: ``start`` one")
    rows = {row.vm.name: row.trouble for row in describe_vms(seen(GOLD, halted))}
    assert "``start``" not in rows["one"]


def draw(nodes: tuple[TreeNode, ...]) -> list[object]:
    return [[name(node), *draw(node.children)] if node.children else name(node) for node in nodes]


def name(node: TreeNode) -> str:
    if node.vm is not None:
        return node.vm.name
    if node.stray is not None:
        return f"*{node.stray.layer.path}"
    if node.snapshot is not None:
        return f"@{node.snapshot.name}"
    return f"[{node.layer.path if node.layer else ''}]"


TREES: dict[str, tuple[list[Vm | Stray], list[object]]] = {
    "nothing": ([], []),
    "a VM without snapshots is no family": ([vm("bare", disk("bare/bare.vmdk"))], []),
    "a parent without clones": ([GOLD], [["gold", "@base"]]),
    "a parent with clones, by name": ([TWO, GOLD, ONE], [["gold", ["@base", "one", "two"]]]),
    "clones of clones": (
        [GRANDCHILD, GOLD, MIDDLE, TWO],
        [["gold", ["@base", ["one", ["@mine", "grandchild"]], "two"]]],
    ),
    "clones of two snapshots": (
        [TWICE, NEWER, ONE],
        [["gold", ["@base", "one"], ["@later", "newer"]]],
    ),
    "clones of a snapshot that is gone": (
        [replace(GOLD, snapshots=()), ONE],
        [["gold", ["[gold/gold.vmdk]", "one"]]],
    ),
    "clones of a parent that is gone": (
        [ONE, TWO],
        [["[gold/gold.vmdk]", "one", "two"]],
    ),
    "a clone that hides its chain": ([GOLD, hide(ONE)], [["gold", ["@base", "one"]]]),
    "a clone that hides its chain, of a snapshot that is gone": (
        [replace(GOLD, snapshots=()), hide(ONE)],
        [["gold", "one"]],
    ),
    "a file of nobody": ([GOLD, ONE, OVERLAY], [["gold", ["@base", "one", "*aside/overlay.vmdk"]]]),
    "files of nobody on each other": (
        [GOLD, UPON, OVERLAY],
        [["gold", ["@base", ["*aside/overlay.vmdk", "*aside/upon.vmdk"]]]],
    ),
    "files of nobody on a base whose VM is gone": (
        [ONE, OVERLAY, UPON],
        [["[gold/gold.vmdk]", "one", ["*aside/overlay.vmdk", "*aside/upon.vmdk"]]],
    ),
    "a file of nobody on the present state": (
        [GOLD, stray("gold/gold.vmdk", "gold/gold-000001.vmdk", "aside/overlay.vmdk")],
        [["gold", "@base", ["[gold/gold-000001.vmdk]", "*aside/overlay.vmdk"]]],
    ),
    "a file of nobody on one that depends on a layer of its own": (
        [stray("x/base.vmdk", "x/top.vmdk")],
        [["[x/base.vmdk]", "*x/top.vmdk"]],
    ),
    "a clone of a file of nobody": (
        [GOLD, OVERLAY, vm("byhand", disk("gold/gold.vmdk", "aside/base.vmdk", "byhand/b.vmdk"))],
        [["gold", ["@base", "*aside/overlay.vmdk"]], ["[aside/base.vmdk]", "byhand"]],
    ),
    "two VMs that depend on each other": (
        [LEFT, RIGHT],
        [["left", ["[left/b.vmdk]", ["right", ["[right/a.vmdk]", "left"]]]]],
    ),
    "a clone of one of them": (
        [clone_of(with_frozen_disk(RIGHT), "a-clone"), LEFT, with_frozen_disk(RIGHT)],
        [
            [
                "right",
                ["@own", "a-clone"],
                ["[right/a.vmdk]", ["left", ["[left/b.vmdk]", "right"]]],
            ]
        ],
    ),
}


@pytest.mark.parametrize(("found", "tree"), TREES.values(), ids=TREES)
def test_families_are_drawn(found: list[Vm | Stray], tree: list[object]) -> None:
    nodes = build_tree(seen(*found))
    assert draw(nodes) == tree
    json.dumps([node.document() for node in nodes])


BELOW: dict[str, tuple[Vm, list[Vm | Stray], list[object]]] = {
    "a clone": (MIDDLE, [GOLD, MIDDLE, GRANDCHILD], [["one", ["@mine", "grandchild"]]]),
    "a leaf": (GRANDCHILD, [GOLD, MIDDLE, GRANDCHILD], ["grandchild"]),
    "a VM that is no family": (vm("bare"), [vm("bare"), GOLD], ["bare"]),
    "a VM that went meanwhile": (ONE, [GOLD], ["one"]),
    "the latest look counts": (ONE, [GOLD, MIDDLE, GRANDCHILD], [["one", ["@mine", "grandchild"]]]),
    "one of two that depend on each other": (
        RIGHT,
        [LEFT, RIGHT],
        [["right", ["[right/a.vmdk]", ["left", ["[left/b.vmdk]", "right"]]]]],
    ),
}


@pytest.mark.parametrize(("one", "found", "tree"), BELOW.values(), ids=BELOW)
def test_one_family_is_drawn(one: Vm, found: list[Vm | Stray], tree: list[object]) -> None:
    assert draw(build_tree(seen(*found), one)) == tree


def test_every_vm_of_a_family_is_in_the_tree_once() -> None:
    chain = [GOLD]
    for number in range(150):
        chain.append(with_snapshot(clone_of(chain[-1], f"vm-{number:03}")))
    (root,) = build_tree(seen(*reversed(chain)))
    found: list[str] = []
    left = [root]
    while left:
        node = left.pop()
        found += [node.vm.name] if node.vm else []
        left.extend(node.children)
    assert sorted(found) == sorted(one.name for one in chain)
    json.dumps(root.document())


def test_a_node_says_what_it_takes_and_how_deep_it_is() -> None:
    created = datetime(2026, 1, 2, tzinfo=UTC)
    clone = replace(ONE, own_bytes=30, shared_bytes=1000, created=created)
    (root,) = build_tree(sized(seen(GOLD, clone, replace(OVERLAY, used_bytes=5)), gold=1000))
    (base,) = root.children
    assert (base.own_bytes, root.depth) == (1000, 2)
    one, overlay = (child.document() for child in base.children)
    assert one == {
        "vm": "one",
        "id": "vm-one",
        "uuid": "uuid-one",
        "mode": "linked",
        "instant": False,
        "power": "off",
        "template": False,
        "owner": "linkedclone",
        "unreadable": None,
        "own_bytes": 30,
        "shared_bytes": 1000,
        "depth": 2,
        "created": "2026-01-02T00:00:00+00:00",
        "children": [],
    }
    assert overlay == {
        "stray": "[datastore-1] aside/overlay.vmdk",
        "about": "",
        "own_bytes": 5,
        "children": [],
    }


def test_a_snapshot_of_unknown_size_has_none() -> None:
    (root,) = build_tree(seen(GOLD))
    assert root.children[0].document() == {
        "layer": "[datastore-1] gold/gold.vmdk",
        "snapshot": "base",
        "snapshot_id": "snapshot-1",
        "current": True,
        "memory": None,
        "bytes": None,
        "created": None,
        "children": [],
    }


def test_item_15_the_tree_shows_a_parent_in_another_datacenter() -> None:
    outside = frozenset({GOLD.id, TWO.id})
    shown = restrict(replace(seen(GOLD, ONE, TWO), outside=outside))
    assert {vm.name for vm in shown.vms} == {GOLD.name, "one"}
    assert "two" not in str(draw(build_tree(shown)))
    assert "one" in str(draw(build_tree(shown)))


def test_item_15_a_row_names_a_parent_of_another_datacenter_that_has_no_row_itself() -> None:
    rows = describe_vms(replace(seen(GOLD, ONE, TWO), outside=frozenset({GOLD.id, TWO.id})))
    assert [(row.vm.name, row.parent) for row in rows] == [("one", GOLD.name)]


def test_item_15_guards_see_the_clones_of_another_datacenter() -> None:
    inventory = replace(seen(GOLD, ONE), outside=frozenset({ONE.id}))
    assert Lineage(inventory).dependants(GOLD) == (ONE,)
