"""Tables for people: plain columns in a pipe, drawn by rich on a terminal."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from linkedclone.cli.streams import printable

GOOD_BAD = {
    "created": "green",
    "existing": "green",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column.

    Attributes:
        title: Its heading.
        right: True if numbers stand in it.
        from_width: How wide a terminal has to be for the column to be shown.
        styles: Colours of the words in it.
    """

    title: str
    right: bool = False
    from_width: int = 0
    styles: Mapping[str, str] = field(default_factory=dict)


Rows = Sequence[Sequence[str]]


def render_table(columns: Sequence[Column], rows: Rows) -> str:
    """Draw a table; without rows it is empty."""
    if not rows:
        return ""
    clean = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        return _render_rich(columns, clean)
    return _render_plain(columns, clean)


def _render_plain(columns: Sequence[Column], rows: Rows) -> str:
    """Columns at least two blanks apart, nothing left out: for pipes and logs."""
    lines = [[column.title for column in columns], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _least_width(column: Column, cells: Sequence[str]) -> int:
    """Return how far a column may shrink: numbers not at all."""
    widest = max(len(cell) for cell in cells)
    return widest if column.right else min(6, widest)


def _render_rich(columns: Sequence[Column], rows: Rows) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    shown = [i for i, column in enumerate(columns) if console.width >= column.from_width]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for i in shown:
        table.add_column(
            columns[i].title,
            justify="right" if columns[i].right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=_least_width(columns[i], [row[i] for row in rows]),
        )
    for row in rows:
        table.add_row(*(Text(row[i], columns[i].styles.get(row[i], "")) for i in shown))
    with console.capture() as capture:
        console.print(table)
    return capture.get()
