"""The system's errors in our words: translated by their number, never by their text."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from linkedclone.errors import HypervisorError, NoSpaceError, PermissionDeniedError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_READ_ONLY_HINT = "its file system is mounted read-only: see mount and dmesg for why"


def translate_os_error(error: OSError, what: str) -> HypervisorError:
    """Return our error for one of the system's.

    Args:
        error: The system's.
        what: What failed, as the beginning of a sentence (``cannot clone web-1``).
    """
    details = str(error)
    kind = errno.errorcode.get(error.errno or 0, type(error).__name__)
    if error.errno in NO_SPACE:
        return NoSpaceError(
            f"{what}: the disk is full",
            details=details,
            hint="free some space, or use another folder: --endpoint local:/path",
            kind=kind,
        )
    if error.errno in _NOT_ALLOWED:
        owner = f"the files must belong to the user who runs this (now user id {os.getuid()})"
        return PermissionDeniedError(
            f"{what}: not permitted",
            details=details,
            hint=_READ_ONLY_HINT if error.errno == errno.EROFS else owner,
            kind=kind,
        )
    hint = "linkedclone doctor looks at programs, permissions, disk space and files"
    return HypervisorError(what, details=details, hint=hint, kind=kind)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Let no error of the system out of the block untranslated."""
    try:
        yield
    except OSError as error:
        raise translate_os_error(error, what) from error
