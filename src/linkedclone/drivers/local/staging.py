"""Commands at work: where they build, and how the next command tells that one died."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.locks import hold, is_held

_LOCK = "lock"


@contextmanager
def at_work(state: StateFolder, action: str, key: str) -> Iterator[Path]:
    """Stand in ``staging`` while the block runs; yields a folder to build in.

    As :func:`at_work_with_lock`.
    """
    with at_work_with_lock(state, action, key) as (entry, _):
        yield entry


@contextmanager
def at_work_with_lock(state: StateFolder, action: str, key: str) -> Iterator[tuple[Path, int]]:
    """Stand in ``staging`` while the block runs; yields a folder to build in, and its lock.

    Whatever is left in the folder at the end is removed. A program that inherits
    the lock keeps its files when this process is killed, until it ends too.

    Args:
        state: The state folder.
        action: What is done, in one word.
        key: Key of the VM that it is about.

    Raises:
        OSError: It cannot be written.
    """
    entry = state.staging / f"{secrets.token_hex(4)}.{action}.{key}"
    with ExitStack() as stack:
        # The cleaner holds the family lock exclusively, so it cannot see the
        # entry before its own lock is taken.
        with hold(state.family_lock, shared=True):
            entry.mkdir()
            stack.callback(shutil.rmtree, entry, ignore_errors=True)
            lock = stack.enter_context(hold(entry / _LOCK))
        yield entry, lock
        shutil.rmtree(entry, ignore_errors=True)


def is_at_work(state: StateFolder, action: str, key: str) -> bool:
    """Say whether some command that lives is doing this to a VM of this key."""
    ending = f".{action}.{key}"
    entries = state.staging.iterdir()
    return any(e.name.endswith(ending) and is_held(e / _LOCK) for e in entries)


def list_living(state: StateFolder) -> tuple[Path, ...]:
    """Return the entries of commands that are at work now."""
    return tuple(entry for entry in state.staging.iterdir() if is_held(entry / _LOCK))


def list_dead(state: StateFolder) -> tuple[Path, ...]:
    """Return the entries of commands that died.

    Only the holder of the family lock may remove them: without it an entry
    that is just being made may be among them.
    """
    return tuple(entry for entry in state.staging.iterdir() if not is_held(entry / _LOCK))
