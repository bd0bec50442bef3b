"""Text files that a person has named: whatever is behind the name, reading it comes to an end."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from linkedclone.errors import InputError

MOST_BYTES: Final = 1 << 20
"""No file of settings, passwords or certificates that a person keeps is larger."""


def expand_home(text: str) -> Path:
    """Return a path that a person wrote; ``~`` and ``~USER`` are home folders."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"there is no home folder for {text}", details=str(error)) from error


def read_text_file(path: Path, *, encoding: str = "utf-8") -> str:
    """Read a regular file of at most a MiB."""
    try:
        # Opening a pipe without a writer would block.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError:
        raise OSError(errno.EINVAL, "a path cannot be so written") from None
    with os.fdopen(handle, "rb") as file:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES >> 20} MiB")
    return content.decode(encoding)
