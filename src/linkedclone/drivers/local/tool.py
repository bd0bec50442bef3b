"""Run ``qemu-img``, which does what has to move data from one layer to another."""

import os
import resource
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from linkedclone.drivers.local.chain import DiskFile, ImageFormat, name_chain
from linkedclone.errors import HypervisorError, NoSpaceError, UnsupportedError

_FULL_BELOW_BYTES = 4 << 20
_FEW_INODES = 8
_SOUND = frozenset({0, 3})
"""qemu-img check: no errors, or clusters that nothing uses, which does no harm."""
_CHECK_MEMORY_BYTES = 8 << 30
_CHECK_CPU_SECONDS = 1800
_TOLD_LINES = 5


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
    done = _run(arguments, folder=folder, locks=(lock,))
    if done.returncode == 0:
        return done.stdout
    details = done.stderr.strip()
    # Its exit status is 1 whatever happened, and its words are not for programs.
    full = explain_full(folder)
    if full:
        raise NoSpaceError(
            f"qemu-img {arguments[0]}: {full}",
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


def check_image(image: DiskFile, *, lock: int | None = None) -> str:
    """Let QEMU's own tool look whether an image is whole; return what is wrong, or nothing.

    The image is looked at alone, whatever it hangs from. Memory and time are
    bounded: a header may claim any size.

    Raises:
        UnsupportedError: qemu-img is not installed.
    """
    if image.format is ImageFormat.RAW:
        return ""
    done = _run(
        ("check", "-U", name_chain((image,))),
        folder=image.path.parent,
        locks=() if lock is None else (lock,),
        bounded=True,
    )
    if done.returncode in _SOUND:
        return ""
    lines = [*done.stderr.strip().splitlines(), *done.stdout.strip().splitlines()]
    rest = len(lines) - _TOLD_LINES
    return "\n".join(lines[:_TOLD_LINES] + ([f"and {rest} more lines"] if rest > 0 else [])) or (
        f"qemu-img check ended with {done.returncode}"
    )


def _run(
    arguments: Sequence[str], *, folder: Path, locks: tuple[int, ...], bounded: bool = False
) -> subprocess.CompletedProcess[str]:
    try:
        with subprocess.Popen(  # noqa: S603 - no shell, and the paths are our own
            ["qemu-img", *arguments],  # noqa: S607 - the user's own, by PATH
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=locks,
            cwd=folder,
        ) as process:
            if bounded:
                _bound(process.pid)
            try:
                told, words = process.communicate()
            except BaseException:
                process.kill()
                raise
            return subprocess.CompletedProcess(process.args, process.returncode, told, words)
    except FileNotFoundError as error:
        raise UnsupportedError(
            "qemu-img is not installed",
            details=str(error),
            hint="apt-get install qemu-utils",
            kind="ENOENT",
        ) from error


def _bound(process: int) -> None:
    with suppress(OSError, ValueError):  # it has ended, or has a narrower bound
        resource.prlimit(process, resource.RLIMIT_AS, (_CHECK_MEMORY_BYTES,) * 2)
        resource.prlimit(process, resource.RLIMIT_CPU, (_CHECK_CPU_SECONDS,) * 2)


def free_bytes(folder: Path) -> int:
    """Return what a user may still write to the file system of a folder."""
    seen = os.statvfs(folder)
    return seen.f_bavail * seen.f_frsize


def explain_full(folder: Path) -> str:
    """Say what a file system has run out of; empty if of nothing."""
    seen = os.statvfs(folder)
    if seen.f_bavail * seen.f_frsize < _FULL_BELOW_BYTES:
        return "the disk is full"
    if seen.f_files and seen.f_favail < _FEW_INODES:
        return "the file system has no inodes left"
    return ""
