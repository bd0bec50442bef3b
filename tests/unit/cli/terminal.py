"""Runs the command on a terminal of its own, types at it, and reads what it shows."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_PATIENCE_SECONDS = 30.0


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
    typed: Sequence[tuple[str, str]] = (),
    columns: int = 80,
    pause_seconds: float = 0.3,
) -> Screen:
    """Run a command; each time a text of ``typed`` has been shown, type its answer.

    As a person does, only once nothing new has been shown for ``pause_seconds``.
    """
    command = [sys.executable, "-m", "linkedclone", *args]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, {**os.environ, **env})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
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
        asked = bool(answers) and answers[0][0].encode() in shown
        if asked and not select.select([terminal], [], [], pause_seconds)[0]:
            os.write(terminal, answers.pop(0)[1].encode())
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return Screen(code=os.waitstatus_to_exitcode(status), raw=shown.decode(errors="replace"))
