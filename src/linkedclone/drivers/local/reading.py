"""Open files that others may have put there: a FIFO, a socket or a device is never waited for."""

import os
import stat
from io import FileIO
from pathlib import Path

from linkedclone.errors import HypervisorError


def open_regular(path: Path) -> FileIO:
    """Open a regular file for reading, without a buffer.

    Raises:
        HypervisorError: It is not a regular file.
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HypervisorError(
            f"{path} cannot be understood",
            details="it is not a regular file",
            hint="restore that file from a backup",
            kind=path.name,
        )
    return os.fdopen(descriptor, "rb", buffering=0)
