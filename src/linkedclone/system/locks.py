"""Locks between processes and threads: ``flock`` on a file, with a deadline.

Two threads of one process exclude each other like two processes do, and the kernel
drops a lock when its holder dies [fact: fs-flock].
"""

import errno
import fcntl
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linkedclone.errors import BusyError, HypervisorError
from linkedclone.system.reading import open_descriptor

DEFAULT_DEADLINE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.05
"""One that waits looks at least so often. Who takes a lock in turns leaves it free for longer."""


@contextmanager
def hold(
    path: Path,
    *,
    shared: bool = False,
    create: bool = True,
    deadline_s: float = DEFAULT_DEADLINE_SECONDS,
) -> Iterator[int]:
    """Hold the lock while the block runs; yields its descriptor.

    A child process that inherits the descriptor keeps the lock for as long as
    it lives, also when this process is killed.

    Args:
        shared: Whether other shared holders are let in.
        create: Whether the file is made if it is missing.
    """
    descriptor = _open(path, os.O_CREAT if create else 0)
    try:
        _wait(descriptor, path, shared=shared, deadline_s=deadline_s)
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Say whether a process holds the lock; a lock without a file is free."""
    try:
        descriptor = _open(path)
    except (FileNotFoundError, NotADirectoryError, HypervisorError):
        return False
    try:
        return not _take(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int = 0) -> int:
    """Open a lock's file. A link is not followed: its file could be made anywhere."""
    aside = shlex.join(("mv", "-n", str(path), f"{path}.old"))
    hint = f"move it out of the way, for an empty file takes its place: {aside}"
    try:
        return open_descriptor(path, os.O_RDWR | os.O_NOFOLLOW | flags, hint=hint)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        # What is there can still be read and exported: flock needs no right to write.
        return open_descriptor(path, os.O_RDONLY | os.O_NOFOLLOW, hint=hint)


def _take(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, path: Path, *, shared: bool, deadline_s: float) -> None:
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + deadline_s
    pause = _FIRST_PAUSE_SECONDS
    while not _take(descriptor, mode):
        if time.monotonic() >= deadline:
            raise BusyError(
                f"another command works on {path.parent.name}",
                details=f"{path} stayed locked for {deadline_s:.0f} s",
                hint="wait for it to end, then try again",
                kind="flock",
            )
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
