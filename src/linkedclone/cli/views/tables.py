"""Tables for people: all that there is in a pipe, what fits and in colours on a terminal."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from shutil import get_terminal_size

import click

from linkedclone.cli.references import render_references
from linkedclone.cli.terminal import printable, shows_on_terminal, speaks_utf8
from linkedclone.cli.widths import fit, fit_name, width_of

GOOD_BAD = {
    "created": "green",
    "existing": "green",
    "differs": "yellow",
    "done": "green",
    "planned": "cyan",
    "failed": "bold red",
    "skipped": "yellow",
    "warning": "yellow",
    "ok": "green",
    "on": "green",
    "no": "bold red",
}
"""Colours of words that say how something went."""

_HEAD = "bold"
_GAP = 2
_LEAST_WORD = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column."""

    title: str  # its heading
    right: bool = False  # True for a column of numbers
    from_width: int = 0  # how wide a terminal has to be for the column to be shown
    styles: Mapping[str, str] = field(default_factory=dict)  # colours of the words in it
    # True for the column that tells the rows apart, where that is not the first one: it is cut
    # last.
    names: bool = False
    prose: bool = False  # True for our own sentences, which may name fields and commands


Rows = Sequence[Sequence[str]]


def render_table(columns: Sequence[Column], rows: Rows) -> str:
    """Draw a table; without rows it is empty.

    On a terminal no line is wider than it. Words are cut first, then columns
    are left out, those first that need the widest terminal; no number is cut.
    The names of the rows are cut last of all. In a pipe or log all is there.
    """
    if not rows:
        return ""
    clean = [
        [
            printable(render_references(cell) if column.prose else cell)
            for column, cell in zip(columns, row, strict=True)
        ]
        for row in rows
    ]
    table = [[column.title for column in columns], *clean]
    natural = [max(width_of(line[i]) for line in table) for i in range(len(columns))]
    if not shows_on_terminal():
        return "\n".join(_draw(table, columns, dict(enumerate(natural))))
    widths = _choose_widths(columns, natural, get_terminal_size().columns)
    return "\n".join(_draw(table, columns, widths, colours=_has_colours()))


def _choose_widths(columns: Sequence[Column], natural: Sequence[int], room: int) -> dict[int, int]:
    """Return which columns are shown, and how wide each is."""
    name = _name_of(columns)
    least = [_least_width(column, natural[i]) for i, column in enumerate(columns)]
    least[name] = natural[name]
    shown = [i for i, column in enumerate(columns) if i == name or column.from_width <= room]
    while len(shown) > 1 and sum(least[i] + _GAP for i in shown) - _GAP > room:
        others = (i for i in shown if i != name)
        shown.remove(max(others, key=lambda i: (columns[i].from_width, i)))
    widths = {i: natural[i] for i in shown}
    for _ in range(sum(widths.values()) + _GAP * (len(shown) - 1) - room):
        widest = max(shown, key=lambda i: widths[i] - least[i])
        widths[widest] = max(widths[widest] - 1, 1)
    return widths


def _name_of(columns: Sequence[Column]) -> int:
    """Return the number of the column that tells the rows apart."""
    return next((i for i, column in enumerate(columns) if column.names), 0)


def _least_width(column: Column, natural: int) -> int:
    """Return how far a column may shrink: numbers not at all."""
    return natural if column.right else min(natural, max(_LEAST_WORD, len(column.title)))


def _draw(
    table: Rows, columns: Sequence[Column], widths: Mapping[int, int], *, colours: bool = False
) -> Iterator[str]:
    cut = "…" if speaks_utf8() else "..."
    name = _name_of(columns)
    for number, line in enumerate(table):
        cells = []
        for i, width in widths.items():
            blanks = width - width_of(line[i])
            right = columns[i].right and blanks >= 0
            shorten = fit_name if i == name else fit
            cell = " " * blanks + line[i] if right else shorten(line[i], width, cut)
            if colours:
                style = _HEAD if number == 0 else columns[i].styles.get(line[i], "")
                cell = _colour(cell, style)
            cells.append(cell)
        yield (" " * _GAP).join(cells).rstrip()


def _has_colours() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _colour(text: str, style: str) -> str:
    """Colour a text, but not the blanks after it: those may be cut off."""
    if not style:
        return text
    bold, _, colour = style.rpartition(" ") if style != _HEAD else (_HEAD, "", "")
    words = text.rstrip()
    return click.style(words, fg=colour or None, bold=bool(bold)) + text[len(words) :]
