"""Families as trees of lines, with columns of figures beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from shutil import get_terminal_size

from linkedclone.cli.references import render_references
from linkedclone.cli.terminal import printable, shows_on_terminal, speaks_utf8
from linkedclone.cli.views.ages import render_age
from linkedclone.cli.widths import fit, fit_name, width_of
from linkedclone.lineage.tree import TreeNode
from linkedclone.model.report import Mode
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Vm


@dataclass(frozen=True, slots=True, kw_only=True)
class Strokes:
    """What trees are drawn with."""

    tee: str  # before a child that others follow
    corner: str  # before the last child
    pipe: str  # below a tee
    gap: str  # below a corner
    cut: str  # where a line was cut


_UTF8 = Strokes(tee="├── ", corner="└── ", pipe="│   ", gap="    ", cut="…")
_ASCII = Strokes(tee="|-- ", corner="`-- ", pipe="|   ", gap="    ", cut="...")
_UTF8_NARROW = Strokes(tee="├ ", corner="└ ", pipe="│ ", gap="  ", cut="…")
_ASCII_NARROW = Strokes(tee="|-", corner="`-", pipe="| ", gap="  ", cut="...")

_TITLES = ("POWER", "OWN", "SHARED", "DEPTH", "AGE", "OWNER")
_RIGHT = frozenset({"OWN", "SHARED", "DEPTH", "AGE"})
_DROPPED_FIRST = ("DEPTH", "AGE", "OWNER", "SHARED", "POWER", "OWN")
"""Which columns go, in this order, where there is no room; names are cut last of all."""

_LEAST_PATH = 24
"""How many columns of a terminal the path of a file gets before figures are shown beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A line."""

    name: str  # its name, with the strokes before it
    figures: Sequence[str]  # its figures in the order of the titles
    rest: str = ""  # what is said after the name, and cut before it
    path: bool = False  # whether it is named by the path of a file, which may be long

    @property
    def width(self) -> int:
        """The columns that the whole line needs, without its figures."""
        return width_of(self.name) + width_of(self.rest)

    def fit(self, room: int, cut: str) -> str:
        """Return name and rest in so many columns."""
        if width_of(self.name) > room:
            return fit_name(self.name, room, cut)
        return fit(self.name + self.rest, room, cut)


def render_tree(families: Sequence[TreeNode], *, now: datetime) -> str:
    """Draw families; in ASCII where the locale has no line drawing.

    On a terminal no line is wider than it: figures are left out, then names are
    cut. In a pipe nothing is.

    Args:
        families: What heads the trees.
        now: What ages are counted to.
    """
    if not families:
        return ""
    width = get_terminal_size().columns if shows_on_terminal() else None
    wide, narrow = (_UTF8, _UTF8_NARROW) if speaks_utf8() else (_ASCII, _ASCII_NARROW)
    rows = _rows(families, wide, now)
    if width is not None and max(row.width for row in rows) > max(_LEAST_PATH, width // 2):
        rows = _rows(families, narrow, now)
    return "\n".join(_lay_out(rows, width, wide.cut))


def find_unreadable(families: Sequence[TreeNode]) -> tuple[Vm, ...]:
    """Return the VMs of families that cannot be read, by name."""
    found: list[Vm] = []
    left = list(families)
    while left:
        node = left.pop()
        left.extend(node.children)
        if node.vm is not None and node.vm.unreadable:
            found.append(node.vm)
    return tuple(sorted(found, key=lambda vm: vm.name))


def _rows(families: Sequence[TreeNode], strokes: Strokes, now: datetime) -> list[_Row]:
    rows = [_Row(name="NAME", figures=_TITLES)]
    for family in families:
        rows.extend(_draw(family, strokes, now))
    return rows


def _draw(root: TreeNode, strokes: Strokes, now: datetime) -> Iterator[_Row]:
    """Go through a tree from above; with a stack, since chains may be deeper than Python's."""
    stack: list[tuple[TreeNode, str, str]] = [(root, "", "")]
    while stack:
        node, head, below = stack.pop()
        name, rest = _name(node, top=node is root)
        yield _Row(
            name=head + printable(name),
            rest=printable(rest),
            figures=_figures(node, now),
            path=node.vm is None and node.snapshot is None,
        )
        last = len(node.children) - 1
        for number in range(last, -1, -1):
            first, rest = (
                (strokes.corner, strokes.gap) if number == last else (strokes.tee, strokes.pipe)
            )
            stack.append((node.children[number], below + first, below + rest))


def _name(node: TreeNode, *, top: bool) -> tuple[str, str]:
    """Return what a line is called, and what is said after that."""
    if node.vm is not None:
        if node.vm.unreadable:
            return node.vm.name, "  (cannot be read)"
        lost = node.mode is Mode.UNKNOWN and not node.vm.disks
        return node.vm.name, "  (no disk is seen)" if lost else "  (instant)" * node.instant
    if node.stray is not None:
        return f"? {render_references(node.stray.name)}", ""
    count = sum(child.vm is not None for child in node.children)
    clones = f"  {render_count(count, 'clone')}" if count else ""
    if node.snapshot is not None:
        current = " (current)" if node.snapshot.current else ""
        return f"@{node.snapshot.name}", f"{current}{_tell_memory(node)}{clones}"
    # The top is the common base whose VM no longer exists.
    return f"{'base ' if top else ''}{node.layer}", clones


def _tell_memory(node: TreeNode) -> str:
    if node.memory is None:
        return ""
    stale = ", stale" if node.memory.stale else ""
    return f"  {render_size(node.memory.size_bytes)} of memory{stale}"


def _figures(node: TreeNode, now: datetime) -> Sequence[str]:
    own, age = render_size(node.own_bytes), render_age(node.created, now)
    vm = node.vm
    if vm is None:
        return "", own if node.own_bytes is not None else "", "", "", age if age != "-" else "", ""
    return (
        "template" if vm.template else vm.power.value,
        own,
        render_size(node.shared_bytes),
        str(node.depth or "-"),
        age,
        printable(vm.owner or "-"),
    )


def _lay_out(rows: Sequence[_Row], width: int | None, cut: str) -> Iterator[str]:
    """Put figures beside names, as far as the width allows; None is as wide as it has to be."""
    longest = max(row.width for row in rows)
    widths = [max(width_of(row.figures[i]) for row in rows) for i in range(len(_TITLES))]
    shown = _choose(widths, rows, width)
    beside = sum(widths[i] + 2 for i in shown)
    room = longest if width is None else min(longest, width - beside)
    for row in rows:
        cells = [row.fit(room, cut)]
        for i in shown:
            pad = " " * (widths[i] - width_of(row.figures[i]))
            right = _TITLES[i] in _RIGHT
            cells.append(pad + row.figures[i] if right else row.figures[i] + pad)
        yield "  ".join(cells).rstrip()


def _choose(widths: Sequence[int], rows: Sequence[_Row], width: int | None) -> Sequence[int]:
    """Return which columns are shown: whole names come first, but paths may be cut."""
    shown = list(range(len(widths)))
    if width is None:
        return shown
    names = max(width_of(row.name) for row in rows if not row.path)
    paths = max((width_of(row.name) for row in rows if row.path), default=0)
    needed = max(names, min(paths, max(_LEAST_PATH, width // 2)))
    for title in _DROPPED_FIRST:
        if needed + sum(widths[i] + 2 for i in shown) <= width:
            break
        shown.remove(_TITLES.index(title))
    return shown
