"""SIGTERM and SIGHUP end a command as Ctrl-C does: with a report, and the session closed."""

import os
import signal
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
