"""Tables and trees keep to the terminal, whatever the names are."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkedclone.cli.views.tables import Column, render_table
from linkedclone.cli.views.tree import render_tree
from linkedclone.cli.widths import fit, width_of
from linkedclone.lineage.tree import TreeNode
from linkedclone.model.vm import Snapshot
from tests.unit.building import layer, snapshot, stray, vm
from tests.unit.cli.conftest import Run

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMES = st.text("ab-日本e\N{COMBINING ACUTE ACCENT}ü", min_size=1, max_size=40)


@contextmanager
def a_terminal(columns: int) -> Iterator[None]:
    """Results go to a terminal of so many columns; hypothesis wants no fixtures of a function."""
    size = os.terminal_size((columns, 24))
    with (
        patch.dict(os.environ, {"NO_COLOR": "1", "LC_ALL": "C.UTF-8"}),
        patch("linkedclone.cli.views.tree.shows_on_terminal", return_value=True),
        patch("linkedclone.cli.views.tree.get_terminal_size", return_value=size),
        patch("linkedclone.cli.views.tables.shows_on_terminal", return_value=True),
        patch("linkedclone.cli.views.tables.get_terminal_size", return_value=size),
    ):
        yield


def _snapshot_node(name: str, children: tuple[TreeNode, ...]) -> TreeNode:
    taken: Snapshot = snapshot(name)
    return TreeNode(snapshot=taken, layer=layer("a/a.vmdk"), own_bytes=1 << 40, children=children)


def _vm_node(name: str, children: tuple[TreeNode, ...]) -> TreeNode:
    return TreeNode(
        vm=vm(name), own_bytes=999 << 30, shared_bytes=1, depth=31, created=NOW, children=children
    )


def _stray_node(name: str) -> TreeNode:
    return TreeNode(stray=stray("base.vmdk", f"{name}.vmdk", about=name), own_bytes=None)


def _nodes(children: st.SearchStrategy[TreeNode]) -> st.SearchStrategy[TreeNode]:
    lists = st.lists(children, max_size=3).map(tuple)
    return st.builds(_snapshot_node, NAMES, lists) | st.builds(_vm_node, NAMES, lists)


TREES = st.recursive(st.builds(_stray_node, NAMES), _nodes, max_leaves=12)


@settings(deadline=None)
@given(TREES, st.integers(min_value=30, max_value=160))
def test_no_line_of_a_tree_is_wider_than_the_terminal(tree: TreeNode, columns: int) -> None:
    with a_terminal(columns):
        lines = render_tree([tree], now=NOW).splitlines()
    assert max(map(width_of, lines)) <= columns


@settings(deadline=None)
@given(
    st.lists(st.tuples(NAMES, NAMES, st.sampled_from(["1.0 GiB", "-", "100"])), min_size=1),
    st.integers(min_value=10, max_value=120),
)
def test_no_line_of_a_table_is_wider_than_the_terminal(
    rows: list[tuple[str, str, str]], columns: int
) -> None:
    table = [
        Column(title="NAME"),
        Column(title="REASON", from_width=40),
        Column(title="OWN", right=True),
    ]
    with a_terminal(columns):
        lines = render_table(table, rows).splitlines()
    assert len(lines) == len(rows) + 1
    assert max(map(width_of, lines)) <= columns


@settings(deadline=None)
@given(NAMES, st.integers(min_value=1, max_value=50))
def test_a_fitted_table_is_as_wide_as_needed(name: str, room: int) -> None:
    shown = fit(name, room, "…")
    assert width_of(shown) == room
    if width_of(name) <= room:
        assert shown.rstrip() == name


def test_numbers_are_never_cut(terminal: Callable[[int], None]) -> None:
    columns = [
        Column(title="NAME"),
        Column(title="CAPACITY", right=True),
        Column(title="USED", right=True),
    ]
    row = ["a-very-long-name-indeed", "1.0 TiB", "12.5 GiB"]
    for width, shown in (
        (60, "a-very-long-name-indeed   1.0 TiB  12.5 GiB"),
        (38, "a-very-long-name-indeed   1.0 TiB"),
        (30, "a-very-long-name-indeed"),
        (10, "a-ver…deed"),
    ):
        terminal(width)
        assert render_table(columns, [row]).splitlines()[1] == shown


def _family(clones: int) -> TreeNode:
    nodes = tuple(_vm_node(f"desk-{number:05}", ()) for number in range(clones))
    return _vm_node("golden", (_snapshot_node("base", nodes),))


def test_in_a_pipe_nothing_is_cut() -> None:
    name = "a-name-" * 20
    text = render_tree([_vm_node("golden", (_vm_node(name, ()),))], now=NOW)
    assert name in text
    assert text.splitlines()[0].split() == [
        *("NAME", "POWER", "OWN", "SHARED", "DEPTH", "AGE", "OWNER")
    ]


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (70, ["NAME", "POWER", "OWN", "SHARED", "DEPTH", "AGE", "OWNER"]),
        (58, ["NAME", "POWER", "OWN", "SHARED", "AGE", "OWNER"]),
        (50, ["NAME", "POWER", "OWN", "SHARED", "OWNER"]),
        (44, ["NAME", "POWER", "OWN", "SHARED"]),
        (38, ["NAME", "POWER", "OWN"]),
        (30, ["NAME", "OWN"]),
    ],
)
def test_the_least_important_columns_are_dropped_first(
    terminal: Callable[[int], None], columns: int, titles: list[str]
) -> None:
    terminal(columns)
    assert render_tree([_family(1)], now=NOW).splitlines()[0].split() == titles


def test_thousands_of_clones_are_all_drawn() -> None:
    lines = render_tree([_family(10_000)], now=NOW).splitlines()
    assert len(lines) == 10_003
    assert "desk-09999" in lines[-1]


def test_a_chain_deeper_than_python_may_recurse_is_drawn() -> None:
    node = _vm_node("last", ())
    for number in range(2_000):
        node = _vm_node(f"vm-{number}", (node,))
    assert len(render_tree([node], now=NOW).splitlines()) == 2_002


def test_each_kind_of_node_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    template = TreeNode(vm=vm("gold"), children=())
    lost = TreeNode(
        layer=layer("old/old.vmdk"),
        own_bytes=1 << 30,
        children=(_vm_node("attic", (_stray_node("left"),)),),
    )
    lines = render_tree([template, lost], now=NOW).splitlines()
    assert [line.strip().split("  ")[0] for line in lines[1:]] == [
        "gold",
        "base [datastore-1] old/old.vmdk",
        "`-- attic",
        "`-- ? [datastore-1] left.vmdk (left)",
    ]
    assert lines[2].split()[3:] == ["1", "clone", "1.0", "GiB"]


def test_the_name_is_the_last_thing_to_be_cut(terminal: Callable[[int], None]) -> None:
    """Item 23: words shrink, then columns go, and only then names are cut: in their middle."""
    columns = [
        Column(title="KIND"),
        Column(title="NAME", names=True),
        Column(title="OWN", right=True),
        Column(title="REASON"),
    ]
    names = ["desktops-of-accounting-001", "desktops-of-accounting-002"]
    rows = [["file", name, "1.0 GiB", "no VM reads it any more"] for name in names]
    for width, titles in (
        (80, ["KIND", "NAME", "OWN", "REASON"]),
        (60, ["KIND", "NAME", "OWN", "REASON"]),
        (45, ["KIND", "NAME", "OWN"]),
        (40, ["KIND", "NAME"]),
        (26, ["NAME"]),
        (20, ["NAME"]),
    ):
        terminal(width)
        head, *lines = render_table(columns, rows).splitlines()
        assert head.split() == titles
        assert len(set(lines)) == 2, "rows look alike"
        if width >= 26:
            assert all(name in line for name, line in zip(names, lines, strict=True))


@settings(deadline=None)
@given(
    st.lists(NAMES, min_size=1, max_size=4, unique=True),
    st.lists(NAMES, min_size=4, max_size=4),
    st.integers(min_value=20, max_value=100),
)
def test_a_name_that_fits_the_terminal_is_whole_in_every_table(
    names: list[str], words: list[str], columns: int
) -> None:
    table = [
        Column(title="NAME"),
        Column(title="PARENT"),
        Column(title="STATUS"),
        Column(title="OWN", right=True, from_width=50),
        Column(title="WHY", from_width=70),
    ]
    with a_terminal(columns):
        lines = render_table(table, [[name, *words] for name in names]).splitlines()
    if max(map(width_of, names)) <= columns:
        assert all(line.startswith(name) for name, line in zip(names, lines[1:], strict=True))


@pytest.mark.parametrize("columns", [40, 60, 80])
@pytest.mark.parametrize(
    "words",
    [["list"], ["tree"], ["usage", "--vms"], ["clone", "golden"], ["start", "--force"]],
    ids=lambda words: words[0],
)
def test_clones_with_long_names_stay_distinguishable_at_any_width(
    run: Run,
    family: object,
    terminal: Callable[[int], None],
    columns: int,
    words: list[str],
) -> None:
    names = [f"desk-accounting-{n:03}" for n in (1, 2)]
    run("clone", "golden", *names, "--power", "off")
    terminal(columns)
    of_names = words[0] in {"clone", "start"}
    out = run(*words, *(names if of_names else [])).out
    assert max(map(width_of, out.splitlines())) <= columns
    assert all(name in out for name in names)


def test_in_a_tree_the_name_is_the_last_thing_to_be_cut(terminal: Callable[[int], None]) -> None:
    clones = tuple(_vm_node(f"desktops-of-accounting-{n:03}", ()) for n in (1, 2))
    family = _vm_node("golden", (_snapshot_node("base-of-november", clones),))
    for columns, titles in ((60, ["NAME", "POWER", "OWN"]), (40, ["NAME", "OWN"]), (32, ["NAME"])):
        terminal(columns)
        head, *lines = render_tree([family], now=NOW).splitlines()
        assert [title for title in head.split() if title in titles] == titles
        assert "accounting-001" in lines[-2]
        assert "accounting-002" in lines[-1]
