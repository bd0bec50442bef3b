"""SIGTERM and SIGHUP end a command as Ctrl-C does: with a report, and the session closed."""

import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ONE_HANGUP_SECONDS: Final = 1.0
"""A terminal that goes away may send SIGHUP twice: the shell does, and then the kernel."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first signal into ``KeyboardInterrupt``; a second one ends the process at once.

    A signal that is ignored when the command starts stays ignored, as ``nohup``
    wants it.
    """
    first: list[float] = []

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's
        now = time.monotonic()
        if not first:
            first.append(now)
            raise KeyboardInterrupt
        if number == signal.SIGHUP and now - first[0] < _ONE_HANGUP_SECONDS:
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    # Only the main thread can handle signals.
    here = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if here else ()
    before = {number: signal.getsignal(number) for number in numbers}
    taken = [n for n, how in before.items() if how in {signal.SIG_DFL, signal.default_int_handler}]
    for number in taken:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def read_line(prompt: str) -> str:
    """Ask on the terminal; a signal ends it, however close to the read it comes.

    Python notes a signal and handles it at the next chance, which there is none of
    once ``input`` has begun, and a read that begins after the signal is not ended by
    it. So what is waited for first is either a line or the note of a signal.

    Raises:
        EOFError: The input has ended.
    """
    signalled, note = os.pipe()
    os.set_blocking(note, False)
    before = signal.set_wakeup_fd(note)
    try:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        while sys.stdin not in select.select([sys.stdin, signalled], [], [])[0]:
            os.read(signalled, 1)
        line = sys.stdin.buffer.readline()
    finally:
        signal.set_wakeup_fd(before)
        os.close(signalled)
        os.close(note)
    if not line:
        raise EOFError
    # As ``input`` does; bytes that are not text are neither an answer nor a password.
    return line.decode(sys.stdin.encoding, "surrogateescape").rstrip("\n")


def read_hidden_line(prompt: str) -> str:
    """Ask for a secret without echo; as :func:`read_line`."""
    shown = termios.tcgetattr(sys.stdin)
    hidden = [*shown]
    hidden[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, hidden)
    try:
        line = read_line(prompt)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, shown)
    sys.stderr.write("\n")
    return line
