"""The system's errors in our words: translated by their number, never by their text."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linkedclone.errors import HypervisorError, NoSpaceError, PermissionDeniedError
from linkedclone.model.values.sizes import render_size
from linkedclone.system.reading import explain_odd_file

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FEW_INODES = 8
_OTHER = "another folder: ``endpoint`` local:/path"
_FREE = f"free some space, or use {_OTHER}"
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_READ_ONLY_HINT = "its file system is mounted read-only: see mount and dmesg for why"


def translate_os_error(error: OSError, what: str) -> HypervisorError:
    """Return our error for one of the system's.

    Args:
        what: What failed, as the beginning of a sentence (``cannot clone web-1``).
    """
    details = str(error)
    kind = errno.errorcode.get(error.errno or 0, type(error).__name__)
    if error.errno in NO_SPACE:
        words, hint = explain_no_space(error)
        return NoSpaceError(f"{what}: {words}", details=details, hint=hint, kind=kind)
    if error.errno in _NOT_ALLOWED:
        owner = f"the files must belong to the user who runs this (now user id {os.getuid()})"
        return PermissionDeniedError(
            f"{what}: not permitted",
            details=details,
            hint=_READ_ONLY_HINT if error.errno == errno.EROFS else owner,
            kind=kind,
        )
    odd = explain_odd_file(error)
    if odd is not None:
        return HypervisorError(what, details=odd[0], hint=odd[1], kind=kind)
    hint = "``doctor`` looks at programs, permissions, disk space and files"
    return HypervisorError(what, details=details, hint=hint, kind=kind)


def explain_no_space(error: OSError) -> tuple[str, str]:
    """Say what has run out when the system takes no more, and what helps."""
    if error.errno == errno.EDQUOT:
        return "the disk quota is used up", f"see: quota -u {os.getuid()}; then {_FREE}"
    if error.errno == errno.EFBIG:
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit != resource.RLIM_INFINITY:
            return (
                f"no file may have more than {render_size(limit)} here",
                "the limit is one of this shell or service: ulimit -f unlimited",
            )
        return "the file system does not take so large a file", f"use {_OTHER}"
    folder = _find_folder(error)
    if folder is not None and has_no_inodes(folder):
        return (
            "the file system has no inodes left",
            f"there is room, but not for more files: remove some, or use {_OTHER}",
        )
    return "the disk is full", _FREE


def _find_folder(error: OSError) -> Path | None:
    """Return the nearest folder that there is to the file of an error; None if it names none."""
    if not isinstance(error.filename, str | bytes):
        return None
    path = Path(os.fsdecode(error.filename))
    return next((folder for folder in (path, *path.parents) if folder.is_dir()), None)


def has_no_inodes(folder: Path) -> bool:
    """Say whether a file system takes no more files, though it may have room."""
    seen = os.statvfs(folder)
    return bool(seen.f_files) and seen.f_favail < _FEW_INODES


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Let no error of the system out of the block untranslated."""
    try:
        yield
    except OSError as error:
        raise translate_os_error(error, what) from error
