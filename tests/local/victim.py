"""A command that is killed just before one of the steps that change anything.

The steps are what Python's audit events tell: system calls that make, change,
rename or remove a file, programs that are started, and commands that change a
running QEMU. Between two of them the state on the disk is the same, so a kill at
each of them is a kill at every step boundary.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from linkedclone.drivers.local.qmp.monitor import Monitor
from tests.command import FORKED
from tests.local.scenes import ALL_ACTS, connect

_CHANGES = frozenset(
    {
        "os.chmod",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "fcntl.ioctl",
        "subprocess.Popen",
    }
)
_WRITING = os.O_WRONLY | os.O_RDWR
QMP_EVENT = "tests.local.qmp"


def is_step(event: str, arguments: tuple[Any, ...]) -> bool:
    """Say whether an audit event stands right before a change; opening a lock is none.

    Neither is making a folder that is there: a kill before it and one after it are one.
    """
    if event == "open":
        path, _, flags = arguments
        lock = isinstance(path, str) and (path.endswith("lock") or path == os.devnull)
        return isinstance(flags, int) and bool(flags & _WRITING) and not lock
    if event == QMP_EVENT:
        command, line = arguments
        return not (command.startswith(("query-", "qmp_")) or line.startswith("info "))
    if event == "os.mkdir":
        return not Path(arguments[0]).exists()
    return event in _CHANGES


def run_victim(folder: Path, act: str, kill_at: int) -> int:
    """Carry out an act in a process that is killed before its n-th step; return how many passed.

    With ``kill_at`` 0 it is not killed.
    """
    return run_killed(carry_out, (folder, act), kill_at)


def carry_out(folder: Path, act: str) -> None:
    """Carry out an act in this process."""
    with closing(connect(folder / "state")) as driver:
        ALL_ACTS[act](driver, folder)


def run_killed(work: Callable[..., object], arguments: tuple[Any, ...], kill_at: int) -> int:
    """Do something in a process that is killed before its n-th step; return how many passed.

    Args:
        work: A function of a module's top level.
        arguments: What it is called with.
        kill_at: Before which step it is killed, counted from 1; 0 lets it come to its end.
    """
    events = FORKED.SimpleQueue()
    process = FORKED.Process(target=_run, args=(work, arguments, kill_at, events))
    process.start()
    process.join()
    if kill_at and process.exitcode == -signal.SIGKILL:
        return kill_at
    assert process.exitcode == 0, f"{work.__name__}{arguments} ended with {process.exitcode}"
    passed: int = events.get()
    return passed


def _run(
    work: Callable[..., object], arguments: tuple[Any, ...], kill_at: int, events: Any
) -> None:
    passed = 0

    def count(event: str, told: tuple[Any, ...]) -> None:
        nonlocal passed
        if is_step(event, told):
            passed += 1
            if os.environ.get("VICTIM_TRACE"):
                os.write(2, f"{passed} {event} {told}\n".encode())
            if passed == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    _announce_commands()
    sys.addaudithook(count)
    work(*arguments)
    total = passed
    events.put(total)


def _announce_commands() -> None:
    """Let QMP commands be audit events too."""
    execute = Monitor.execute

    async def announced(self: Monitor, command: str, /, **arguments: object) -> Any:
        sys.audit(QMP_EVENT, command, str(arguments.get("command-line", "")))
        return await execute(self, command, **arguments)

    Monitor.execute = announced  # type: ignore[method-assign]  # in this process alone
