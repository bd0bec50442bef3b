"""QEMU as a process: how it is started, and how one knows that it has ended."""

import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.local.machine.logs import CONSOLE_LOG, QEMU_LOG, Log, keep_logs
from linkedclone.errors import PowerOnError
from linkedclone.system.private_files import PRIVATE_UMASK

_PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    process: subprocess.Popen[bytes]
    logs: tuple[Log, ...]  # what it writes to

    def await_logs(self) -> None:
        """Wait until all that it said is in its logs, once it has ended."""
        for log in self.logs:
            log.wait()


def launch(arguments: Sequence[str], folder: Path, *, console: bool = False) -> Launched:
    """Start QEMU in the folder so that it outlives this process, its terminal and its session.

    It gets a session of its own and no parent-death signal, which a worker thread
    that ends would send [fact: linux-parent-death]. What it
    says goes to its log for as long as it lives, and with ``console`` its standard
    output to the log of the guest's console. A thread waits for it, so that it
    leaves no zombie behind in a long-lived caller.
    """
    names = (QEMU_LOG, CONSOLE_LOG) if console else (QEMU_LOG,)
    with keep_logs(folder, names) as logs:
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell; build_arguments quotes
                arguments,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=logs[-1].write_end,
                stderr=logs[0].write_end,
                start_new_session=True,
                umask=PRIVATE_UMASK,
            )
        except OSError as error:
            brief = f"{arguments[0]} cannot be started"
            hint = "apt-get install qemu-system-x86"
            raise PowerOnError(brief, details=str(error), hint=hint) from error
    launched = Launched(process=process, logs=logs)
    threading.Thread(target=_reap, args=(launched,), name="linkedclone-reaper", daemon=True).start()
    return launched


def _reap(launched: Launched) -> None:
    launched.process.wait()
    for log in launched.logs:
        log.keeper.wait()


def drop_warnings(said: str) -> str:
    """Leave out what QEMU only warned of: it says that at the start, and goes on. Pure."""
    return "\n".join(line for line in said.splitlines() if ": warning: " not in line)


def runs_in(folder: Path) -> bool:
    """Say whether a QEMU of this user has its working directory there."""
    return next(find_processes(folder), None) is not None


def find_processes(folder: Path, among: Iterable[int] | None = None) -> Iterator[int]:
    """Find the QEMUs of this user that have their working directory there, among all or these."""
    try:
        wanted = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    numbers = among if among is not None else _list_processes()
    yield from (pid for pid in numbers if _is_qemu_in(_PROCESSES / str(pid), wanted))


def _list_processes() -> Iterator[int]:
    return (int(entry.name) for entry in _PROCESSES.iterdir() if entry.name.isdigit())


def _is_qemu_in(process: Path, wanted: os.stat_result) -> bool:
    try:
        seen = (process / "cwd").stat()
        if not os.path.samestat(seen, wanted):
            return False
        return (process / "comm").read_text().startswith("qemu-system")
    except OSError:  # another user's, or ended meanwhile
        return False


def hold_own(folder: Path, uuid: str) -> Iterator["ProcessHandle"]:
    """Hold the QEMUs of this user that were started in the folder, for the machine with this UUID.

    What a process listens on or answers does not count, nor its number alone: it
    is looked at once it is held, so that its number cannot be another's by then.
    """
    for pid in tuple(find_processes(folder)):
        try:
            handle = ProcessHandle(pid)
        except ProcessLookupError:
            continue
        try:
            # The process that has the number now keeps it for as long as the handle is held.
            if pid in find_processes(folder, [pid]) and _is_told(pid, uuid):
                yield handle
        finally:
            handle.close()


def _is_told(pid: int, word: str) -> bool:
    return word in read_arguments(pid)


def read_arguments(pid: int) -> tuple[str, ...]:
    """Return what a process was started with; empty if it has ended, or cannot be looked at."""
    try:
        told = (_PROCESSES / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(told).split("\0"))


class ProcessHandle:
    """A process that is held by a descriptor, so that its number cannot be reused meanwhile."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def wait(self, seconds: float) -> bool:
        """Wait until the process has ended, or for so long; True if it has ended."""
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return bool(poller.poll(max(0.0, seconds) * 1000))

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        os.close(self._descriptor)
