"""A command that is killed just before one of its system calls."""

import os
import signal
import sys
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

from tests.local.scenes import ACTS, connect

# Events that stand right before a system call that changes or locks something.
COUNTED = frozenset(
    {
        "open",
        "os.chmod",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "fcntl.flock",
        "fcntl.ioctl",
        "subprocess.Popen",
    }
)

_forked = get_context("forkserver")
_forked.set_forkserver_preload(["tests.local.victim"])


def run_victim(folder: Path, act: str, kill_at: int) -> int:
    """Carry out an act in a process that is killed before its n-th event; return how many passed.

    With ``kill_at`` 0 it is not killed.
    """
    events = _forked.SimpleQueue()
    process = _forked.Process(target=_run, args=(folder, act, kill_at, events))
    process.start()
    process.join()
    if kill_at and process.exitcode == -signal.SIGKILL:
        return kill_at
    assert process.exitcode == 0, f"{act} ended with {process.exitcode}"
    passed: int = events.get()
    return passed


def _run(folder: Path, act: str, kill_at: int, events: "object") -> None:
    passed = 0

    def count(event: str, _arguments: object) -> None:
        nonlocal passed
        if event in COUNTED:
            passed += 1
            if passed == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    with closing(connect(folder / "state")) as driver:
        sys.addaudithook(count)
        ACTS[act](driver, folder)
        total = passed
    events.put(total)  # type: ignore[attr-defined]  # SimpleQueue has no public type
