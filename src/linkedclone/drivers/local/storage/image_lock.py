"""QEMU's own lock on disk files: whether another program has one open for writing.

A writer, be it a machine, ``qemu-nbd`` or ``qemu-img``, holds a lock on byte 101
[fact: qemu-locks]. Before a layer is sealed, read or removed, byte 201 is locked,
which keeps new writers out, and then byte 101 is looked at.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from linkedclone.errors import InUseError

_FLOCK = struct.Struct("@hhqqi4x")
_WRITES = (101, 103)
_LETS_NOBODY_WRITE = (201, 203)
_NO_SUCH_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_PROCESSES = Path("/proc")


@contextmanager
def kept_from_writers(paths: Iterable[Path]) -> Iterator[None]:
    """Keep other programs from opening disk files for writing while the block runs."""
    with ExitStack() as stack:
        for path in dict.fromkeys(paths):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:  # the code that needs a missing or unreadable file reports it
                continue
            stack.callback(os.close, descriptor)
            for byte in _LETS_NOBODY_WRITE:
                _share(descriptor, byte)
            _refuse_written(path, descriptor)
        yield


def refuse_writers(paths: Iterable[Path]) -> None:
    """Refuse disk files that another program has open for writing."""
    with kept_from_writers(paths):
        pass


def _refuse_written(path: Path, descriptor: int) -> None:
    if any(_is_held(descriptor, byte) for byte in _WRITES):
        raise InUseError(
            f"another program has {path} open for writing",
            dependants=tuple(_find_programs(path)) or ("a program of another user",),
            hint="end that program first, such as qemu-nbd --disconnect or a QEMU started by hand",
        )


def _share(descriptor: int, byte: int) -> None:
    lock = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except OSError as error:
        if error.errno not in {*_NO_SUCH_LOCKS, errno.EACCES, errno.EAGAIN}:
            raise


def _is_held(descriptor: int, byte: int) -> bool:
    lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, lock)
    except OSError as error:
        if error.errno in _NO_SUCH_LOCKS:
            return False
        raise
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _find_programs(path: Path) -> Iterator[str]:
    """Find the processes that have a file open for writing, as far as this user may see them."""
    wanted = path.stat()
    for process in _PROCESSES.iterdir():
        if not process.name.isdigit():
            continue
        try:
            files = [file for file in (process / "fd").iterdir() if _is_open(file, wanted)]
            if any(_writes(process / "fdinfo" / file.name) for file in files):
                yield f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:  # another user's, or ended meanwhile
            continue


def _is_open(file: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(file.stat(), wanted)
    except OSError:
        return False


def _writes(info: Path) -> bool:
    flags = next(line for line in info.read_text().splitlines() if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
