"""Runs the command on a terminal of its own, types at it, and reads what it shows."""

import fcntl
import os
import re
import select
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tests.command import fork

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_PATIENCE_SECONDS = 240.0


@dataclass(frozen=True)
class Screen:
    """What came of a command on a terminal."""

    code: int
    raw: str

    @property
    def text(self) -> str:
        """All that was shown, also what was overwritten, without colours and cursor moves."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")


def run_on_terminal(
    *args: str,
    env: Mapping[str, str],
    typed: Sequence[tuple[str | Callable[[], bool], str]] = (),
    columns: int = 80,
    pause_seconds: float = 0.3,
) -> Screen:
    """Run a command; each time a text of ``typed`` has been shown, or it is so, type its answer.

    As a person does, only once nothing new has been shown for ``pause_seconds``.
    """
    terminal, theirs = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    out, err = Connection(theirs), Connection(os.dup(theirs))
    process = fork(*args, env={**os.environ, **env}, out=out, err=err)
    answers = list(typed)
    shown = b""
    while select.select([terminal], [], [], _PATIENCE_SECONDS)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux tells the end of a terminal so.
            break
        if not piece:
            break
        shown += piece
        asked = bool(answers) and _is_so(answers[0][0], shown)
        if asked and not select.select([terminal], [], [], pause_seconds)[0]:
            os.write(terminal, answers.pop(0)[1].encode(errors="surrogateescape"))
    os.close(terminal)
    process.join()
    assert process.exitcode is not None
    return Screen(code=process.exitcode, raw=shown.decode(errors="replace"))


def _is_so(what: str | Callable[[], bool], shown: bytes) -> bool:
    return what.encode() in shown if isinstance(what, str) else what()
