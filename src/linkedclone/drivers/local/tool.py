"""Run ``qemu-img``, which does what has to move data from one layer to another."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from linkedclone.errors import HypervisorError, NoSpaceError, UnsupportedError

_FULL_BELOW_BYTES = 4 << 20


def run_qemu_img(arguments: Sequence[str], *, folder: Path, lock: int) -> str:
    """Run qemu-img to its end; return what it said.

    It inherits a lock: if this process is killed, qemu-img goes on for a while,
    and nobody else gets at the files before it ends.

    Args:
        arguments: Its command line.
        folder: Where it works.
        lock: The lock's descriptor.

    Raises:
        UnsupportedError: It is not installed.
        NoSpaceError: Nothing is left for it to write to.
        HypervisorError: It failed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the paths are our own
            ["qemu-img", *arguments],  # noqa: S607 - the user's own, by PATH
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=(lock,),
            cwd=folder,
        )
    except FileNotFoundError as error:
        raise UnsupportedError(
            "qemu-img is not installed",
            details=str(error),
            hint="apt-get install qemu-utils",
            kind="ENOENT",
        ) from error
    if done.returncode == 0:
        return done.stdout
    details = done.stderr.strip()
    # Its exit status is 1 whatever happened, and its words are not for programs.
    if free_bytes(folder) < _FULL_BELOW_BYTES:
        raise NoSpaceError(
            f"qemu-img {arguments[0]}: the disk is full",
            details=details,
            hint="free some space",
            kind="qemu-img",
        )
    raise HypervisorError(
        f"qemu-img {arguments[0]} failed",
        details=details,
        hint="linkedclone doctor looks at programs, permissions, disk space and files",
        kind="qemu-img",
    )


def free_bytes(folder: Path) -> int:
    """Return what a user may still write to the file system of a folder."""
    seen = os.statvfs(folder)
    return seen.f_bavail * seen.f_frsize
