"""One user at a time: QMP serves one client, and a second one hangs."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linkedclone.errors import BusyError

POLL_SECONDS = 0.01


@contextmanager
def hold_lock(path: Path, *, deadline_seconds: float) -> Iterator[None]:
    """Hold an advisory lock, against other threads and other processes alike.

    The kernel drops it when its holder dies.

    Raises:
        BusyError: Somebody else held it all the time.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(handle, path, time.monotonic() + deadline_seconds)
        yield
    finally:
        os.close(handle)


def _wait_for(handle: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                brief = f"another command is working on {path.parent.name}"
                raise BusyError(brief, details=str(error), hint="try again in a moment") from error
            time.sleep(POLL_SECONDS)
        else:
            return
