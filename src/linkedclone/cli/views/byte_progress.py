"""Progress of a long transfer: a live line on a terminal, a line each with -v."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from linkedclone.cli.global_options import Choices
from linkedclone.cli.terminal import printable, say, tells_a_person
from linkedclone.model.images import TellBytes, tell_nobody
from linkedclone.model.values.sizes import render_size

_PAUSE_SECONDS = 0.2


@contextmanager
def watch_bytes(choices: Choices) -> Iterator[TellBytes]:
    """Give a long transfer its progress listener."""
    if tells_a_person() and os.environ.get("TERM") != "dumb":
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status("beginning") as status:
            yield _Line(lambda line: status.update(Text(line)))  # no markup: names come from files
    else:
        yield _Stages(say) if choices.verbose else tell_nobody


class _Line:
    """Shows the latest, a few times a second."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._shown = ("", 0.0)

    def __call__(self, what: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        now = time.monotonic()
        before, when = self._shown
        if what != before or now - when >= _PAUSE_SECONDS:
            self._shown = (what, now)
            self._show(printable(describe_progress(what, done_bytes, total_bytes)))


class _Stages:
    """Writes a line at the beginning of each stage."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._stage = ""

    def __call__(self, what: str, done_bytes: int = 0, total_bytes: int = 0) -> None:  # noqa: ARG002
        if what != self._stage:
            self._stage = what
            self._show(printable(what))


def describe_progress(what: str, done_bytes: int, total_bytes: int) -> str:
    """Say how far it is, as a person reads it."""
    if not done_bytes:
        return what
    if not total_bytes:
        return f"{what}: {render_size(done_bytes)}"
    part = 100 * done_bytes // total_bytes
    return f"{what}: {render_size(done_bytes)} of {render_size(total_bytes)} ({part} %)"
