"""What QEMU and the guest's console say, kept in files that cannot fill the disk.

QEMU sets no bound to its logs [fact: qemu-logs], and what a guest does can make it
warn without end. So it writes into a pipe, and a small process at the other end fills one
file and then another, and ends with QEMU. It is a shell with ``dd``, which
writes down at once what it reads. It has a lock for as long as it lives, so that
logs are removed, or begun anew, only after it.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linkedclone.errors import BusyError, HypervisorError
from linkedclone.system.locks import hold
from linkedclone.system.private_files import PRIVATE_UMASK
from linkedclone.system.reading import open_regular

CONSOLE_LOG: Final = "console.log"
QEMU_LOG: Final = "qemu.log"
LOCK: Final = "logs.lock"
EARLIER: Final = ".1"
"""What the name of the file before the present one ends with."""
TAIL_BYTES: Final = 4096
_END_SECONDS: Final = 5.0
_LAST_SECONDS: Final = 1.0
_KEEP: Final = """
while dd bs="$2" count="$3" of="$1" && [ -s "$1" ]; do mv -f "$1" "$1.1"; done
[ -s "$1" ] || mv -f "$1.1" "$1"
"""
"""Fill a file, put it aside and fill the next; at the end of all that comes the last stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How much of a log is kept: at most two files of so many pieces."""

    piece_bytes: int  # the longest piece; a shorter one, as a line, counts as one
    pieces: int  # how many fill a file


BOUNDS: Final = {
    QEMU_LOG: Bound(piece_bytes=4096, pieces=128),
    CONSOLE_LOG: Bound(piece_bytes=128, pieces=32768),
}
"""1 MiB of warnings and 8 MiB of console, which comes in pieces of a few bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    write_end: int  # where to write to
    keeper: "subprocess.Popen[bytes]"  # the process that keeps it, until no writer is left

    def wait(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.keeper.wait(_END_SECONDS)


@contextmanager
def keep_logs(folder: Path, names: Sequence[str]) -> Iterator[tuple[Log, ...]]:
    """Begin logs anew, for writers that are started in the block."""
    with ExitStack() as stack:
        lock = stack.enter_context(hold(folder / LOCK, deadline_s=_END_SECONDS))
        yield tuple(_keep_log(folder, name, lock, stack) for name in names)


def _keep_log(folder: Path, name: str, lock: int, stack: ExitStack) -> Log:
    _unlink_log(folder, name)
    bound = BOUNDS[name]
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    stack.callback(os.close, write_end)
    try:
        # QEMU must not block on its log.
        os.set_blocking(write_end, False)
        keeper = subprocess.Popen(  # noqa: S603 - a fixed script; no word of it is built
            ("/bin/sh", "-c", _KEEP, "sh", name, str(bound.piece_bytes), str(bound.pieces)),
            cwd=folder,
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            start_new_session=True,
            umask=PRIVATE_UMASK,
        )
    finally:
        os.close(read_end)
    return Log(write_end=write_end, keeper=keeper)


def remove_log(folder: Path, name: str) -> None:
    """Remove a log, once all that was said is written; one that is being kept goes on."""
    if not folder.is_dir():
        return
    with suppress(BusyError), hold(folder / LOCK, deadline_s=_END_SECONDS):
        _unlink_log(folder, name)


def _unlink_log(folder: Path, name: str) -> None:
    for path in list_log(folder, name):
        path.unlink(missing_ok=True)


def read_last_words(folder: Path, name: str) -> str:
    """Read the last that was written to the log of a QEMU that has ended; see :func:`read_tail`."""
    if (folder / name).exists():
        with suppress(BusyError), hold(folder / LOCK, deadline_s=_LAST_SECONDS):
            pass  # all is written now
    return read_tail(folder, name)


def list_log(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the files of a log, which need not be there, the earlier first."""
    return folder / f"{name}{EARLIER}", folder / name


def read_tail(folder: Path, name: str) -> str:
    """Read the last that was written to a log; empty if there is none."""
    tail = b"".join(map(_read_end, list_log(folder, name)))
    return tail[-TAIL_BYTES:].decode(errors="replace").strip()


def _read_end(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read(TAIL_BYTES)
    except (OSError, HypervisorError):
        return b""


def measure_logs(folder: Path) -> int:
    used = 0
    for name in BOUNDS:
        for path in list_log(folder, name):
            with suppress(OSError):
                used += path.lstat().st_blocks * 512
    return used
