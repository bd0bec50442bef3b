"""How a run goes, on standard error: live on a terminal, a line each with -v, else nothing."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkedclone.cli.global_options import Choices
from linkedclone.cli.references import render_references
from linkedclone.cli.terminal import foreign, printable, say, tells_a_person
from linkedclone.cli.widths import fit, width_of
from linkedclone.execution.progress import Event, Progress, Silent
from linkedclone.model.jobs import JobStatus
from linkedclone.model.values.vm_names import render_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_MOST_LINES = 12
_WIDE = 64
_BESIDE = 16
"""The columns of a line beside its name, its action and how far it is: gaps and a time."""
_LEAST_TEXT = 4
_ENDED = {JobStatus.DONE, JobStatus.FAILED}


@contextmanager
def watch(choices: Choices) -> Iterator[Progress]:
    """Give a run its progress listener."""
    if tells_a_person() and os.environ.get("TERM") != "dumb":
        board = Board()
        try:
            yield board
        finally:
            board.close()
    else:
        yield Lines() if choices.verbose else Silent()


class Lines:
    """Writes a line for each VM whose step has ended."""

    def begin(self, names: tuple[str, ...], action: str) -> None:
        """Tell what is about to be done."""
        say(f"{action}: {render_count(len(names), 'VM')}")

    def update(self, event: Event) -> None:
        """Tell of an end; what is under way is worth a line only with words, as a retry."""
        if event.status in _ENDED or event.text:
            text = f": {foreign(event.text)}" if event.text else ""
            say(printable(f"{event.name}: {event.action} {event.status.value}{text}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    event: Event
    since: float


class Board:
    """A few live lines: how many are done, and those under way."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._names: tuple[str, ...] = ()
        self._action = ""
        self._lines: dict[str, _Line] = {}
        self._failed: set[str] = set()
        self._live: Live | None = None

    def begin(self, names: tuple[str, ...], action: str) -> None:
        """Learn what the run is about, and show the board from now on.

        Not earlier: before, a person may be asked. What begins within a run, as
        the clones of a pool's wave, is shown on the same board.
        """
        if self._live is not None:
            return
        from rich.console import Console
        from rich.live import Live

        self._names, self._action = names, action
        console = Console(stderr=True)
        self._live = Live(
            console=console,
            get_renderable=lambda: self.draw(console.width, console.height),
            transient=True,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def close(self) -> None:
        """Take the board away; it leaves nothing behind."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, event: Event) -> None:
        """Learn what happened."""
        before = self._lines.get(event.name)
        since = before.since if before else time.monotonic()
        if event.status is JobStatus.FAILED:
            self._failed.add(event.name)
        else:
            self._failed.discard(event.name)  # tried again
        self._lines[event.name] = _Line(event=event, since=since)

    def draw(self, width: int, height: int) -> "RenderableType":
        """Draw it, never larger than the terminal."""
        from rich.table import Table
        from rich.text import Text

        lines = dict(self._lines)
        active = [line for line in lines.values() if line.event.status not in _ENDED]
        active.sort(key=lambda line: line.event.status is JobStatus.QUEUED)
        room = max(1, min(_MOST_LINES, height - 4))
        board = Table.grid(padding=(0, 2))
        for column in ("left", "left", "right", "right"):
            board.add_column(justify=column, no_wrap=True, overflow="ellipsis")
        now = time.monotonic()
        shown = active[:room]
        names = max((width_of(printable(line.event.name)) for line in shown), default=0)
        actions = max((len(line.event.action) for line in shown), default=0)
        # The name is the last thing to be cut: the note on a retry may be long.
        left = max(width - names - actions - _BESIDE, _LEAST_TEXT)
        for line in shown:
            board.add_row(
                Text(f"  {printable(line.event.name)}"),
                Text(printable(line.event.action), "dim"),
                Text(fit(_how_far(line.event), left, "…").rstrip(), "cyan"),
                Text(f"{now - line.since:.0f} s", "dim"),
            )
        if len(active) > room:
            board.add_row(Text(f"  and {len(active) - room} more", "dim"))
        whole = Table.grid()
        whole.add_row(self._headline(lines, now, bar=width >= _WIDE))
        whole.add_row(board)
        return whole

    def _headline(self, lines: dict[str, _Line], now: float, *, bar: bool) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        total = len(self._names)
        wanted = set(self._names)
        ended = sum(n in wanted and ln.event.status in _ENDED for n, ln in lines.items())
        words = Text.assemble(
            (self._action or "looking", "bold"),
            f"  {ended} of {total}" if total else "",
            (f"  {len(self._failed)} failed" if self._failed else "", "bold red"),
            (f"  {now - self._begun:.0f} s", "dim"),
        )
        if not bar:
            return words
        head = Table.grid(padding=(0, 2))
        head.add_row(words, ProgressBar(total=max(total, 1), completed=ended, width=24))
        return head


def _how_far(event: Event) -> str:
    if event.text and event.status not in _ENDED:
        return foreign(render_references(event.text))
    return f"{event.percent} %" if event.percent else event.status.value
