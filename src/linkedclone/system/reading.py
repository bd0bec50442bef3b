"""Open files that others may have put there: a FIFO, a socket or a device is never waited for.

Whatever is not a plain file where one is expected is named, with what it is.
"""

import errno
import os
import shlex
import stat
from io import FileIO
from pathlib import Path

from linkedclone.errors import HypervisorError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a block device",
}
_IRREGULAR = "it is not a regular file but "
_ODD_FILE = {errno.EISDIR, errno.ENXIO, errno.ELOOP, errno.ENODEV, errno.ENOTDIR, errno.EEXIST}
"""What the system says when a file, or a folder on the way to it, is of another kind."""


def open_regular(path: Path) -> FileIO:
    """Open a regular file for reading, without a buffer."""
    return os.fdopen(open_descriptor(path, os.O_RDONLY), "rb", buffering=0)


def open_descriptor(path: Path, flags: int, *, hint: str = "") -> int:
    """Open a regular file and return its descriptor; nothing else is waited for, or made.

    Args:
        flags: As ``os.open`` takes them; with ``O_NOFOLLOW`` a link is not a regular file.
        hint: What helps if it is not one.
    """
    # Without O_NONBLOCK the open itself waits at a pipe that has no other end.
    flags |= os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        fault = explain_kind(path) if error.errno in _ODD_FILE | {errno.ENOENT} else ""
        if not fault:
            raise
        raise refuse_file(path, _IRREGULAR + fault, hint) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        fault = name_kind(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        raise refuse_file(path, _IRREGULAR + fault, hint)
    return descriptor


def refuse_file(path: Path, details: str, hint: str = "") -> HypervisorError:
    """Return the error for a file of ours that is not what such a file is."""
    return HypervisorError(
        f"{path} cannot be understood",
        details=details,
        hint=hint or "restore that file from a backup",
        kind=path.name,
    )


def name_kind(mode: int) -> str:
    """Return what a file is that is not a regular one, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def explain_kind(path: Path) -> str:
    """Say what has a name where a regular file is expected; empty for such a file, or nothing."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            target = path.readlink()
            return f"a link to {target}" + ("" if path.exists() else ", where nothing is")
    except OSError:
        return ""
    return "" if stat.S_ISREG(mode) else name_kind(mode)


def explain_odd_file(error: OSError) -> tuple[str, str] | None:
    """Say which name of a failed call means something of the wrong kind, and what helps.

    None if the system does not complain of a kind. So a folder, a pipe or a link that
    has the name of a file of ours, or a file in the place of a folder, is named,
    whichever call comes upon it.
    """
    names = (error.filename2, error.filename) if error.errno in _ODD_FILE else ()
    for path in (Path(os.fsdecode(name)) for name in names if isinstance(name, str | bytes)):
        for one in (path, *path.parents):
            fault = explain_kind(one) if one == path else ""
            if not fault and error.errno == errno.ENOTDIR and one.is_file():
                fault = "a file, where a folder is expected"
            if fault:
                aside = shlex.join(("mv", "-n", str(one), f"{one}.old"))
                return f"{one} is {fault}", f"move it out of the way: {aside}"
    return None
