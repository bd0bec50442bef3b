"""Keeps a session from ending while nothing is sent, as while a person is asked.

A vCenter ends sessions that are idle for 30 minutes [fact: vs-session].
"""

import threading
import weakref
from typing import Final, Protocol

SILENCE_SECONDS: Final = 600.0
"""After so much silence a ping is sent, as govmomi does it."""


class Kept(Protocol):
    """What is kept alive."""

    @property
    def silent_seconds(self) -> float:
        """For how long nothing was sent."""

    def ping(self) -> None:
        """Send something that costs nothing; never raises."""


class KeepAlive:
    """A thread that sleeps nearly always.

    It neither outlives the process nor keeps a session that everybody has
    forgotten.

    Attributes:
        thread: The thread.
    """

    def __init__(self, session: Kept, silence_seconds: float) -> None:
        self._stopped = threading.Event()
        self.thread = threading.Thread(
            target=_keep,
            args=(weakref.ref(session), silence_seconds, self._stopped),
            name="keep-alive",
            daemon=True,
        )
        self.thread.start()

    def stop(self) -> None:
        """Let it end."""
        self._stopped.set()


def _keep(kept: weakref.ref[Kept], silence_seconds: float, stopped: threading.Event) -> None:
    pause = silence_seconds
    while not stopped.wait(pause):
        session = kept()
        if session is None:
            return
        silent = session.silent_seconds
        if silent >= silence_seconds:
            session.ping()
            silent = 0.0
        pause = silence_seconds - silent
        del session
