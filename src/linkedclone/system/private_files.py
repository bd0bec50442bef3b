"""Private files: written whole or not at all, readable by their owner."""

import os
from pathlib import Path
from typing import BinaryIO, Final

from linkedclone.errors import InputError, LinkedCloneError
from linkedclone.system.text_file import read_text_file

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
PRIVATE_UMASK: Final = 0o077
"""For programs that make files for us; our own calls say the mode, whatever the umask is."""


def open_new(path: Path) -> BinaryIO:
    """Open a new file for writing, which only its owner may read from its first byte on.

    Raises:
        FileExistsError: The path is taken.
        OSError: It cannot be made.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, PRIVATE_FILE), "wb")


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600, atomically. A symbolic link keeps pointing to it."""
    from linkedclone.system.atomic_files import replace_file

    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        replace_file(path, text.encode(), durable=True)
    except OSError as error:
        raise LinkedCloneError(f"{path} cannot be written", details=str(error)) from error


def complain_if_shared(path: Path) -> str:
    """Say in a few words why a file is not private enough; empty if it is."""
    status = path.stat()
    if status.st_uid not in {0, os.geteuid()}:
        return "belongs to another user"
    if status.st_mode & 0o077:
        return f"can be read by others (mode {status.st_mode & 0o777:04o})"
    return ""


def read_private(path: Path, *, what: str) -> str:
    """Read a file that only its owner may read."""
    try:
        complaint = complain_if_shared(path)
        if complaint:
            brief = f"the {what} {path} {complaint}"
            raise InputError(brief, hint=f"chmod 600 {path}, and chown it to yourself")
        return read_text_file(path)
    except (OSError, ValueError) as error:  # also where the path holds a null character
        raise InputError(f"the {what} {path} cannot be read", details=str(error)) from error
