"""Run ``qemu-img``, which does what has to move data from one layer to another."""

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from linkedclone.errors import HypervisorError, NoSpaceError, UnsupportedError
from linkedclone.formats.chain import DiskFile, ImageFormat, name_chain
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import render_count
from linkedclone.system.os_errors import has_no_inodes, translate_os_error
from linkedclone.system.private_files import PRIVATE_UMASK

_FULL_BELOW_BYTES = 4 << 20
_SOUND = frozenset({0, 3})
"""qemu-img check: no errors, or leaked clusters, which do no harm [fact: qemu-img-check]."""
_CHECK_MEMORY_BYTES = 8 << 30
_CHECK_CPU_SECONDS = 1800
_TOLD_LINES = 5


def run_qemu_img(arguments: Sequence[str], *, folder: Path, lock: int) -> str:
    """Run qemu-img to its end; return what it said.

    It inherits a lock: if this process is killed, qemu-img goes on for a while,
    and no other process accesses the files before it ends.
    """
    done = _run(arguments, folder=folder, locks=(lock,))
    if done.returncode == 0:
        return done.stdout
    raise explain_failure(arguments[0], done.returncode, done.stderr, folder)


def explain_failure(verb: str, status: int, words: str, folder: Path) -> HypervisorError:
    """Return why qemu-img failed: its exit status is always 1, and its texts are not a contract."""
    what, details = f"qemu-img {verb}", words.strip()
    if status == -signal.SIGXFSZ:
        return translate_os_error(OSError(errno.EFBIG, os.strerror(errno.EFBIG)), what)
    for number in (errno.EDQUOT, errno.EFBIG, errno.ENOSPC):
        text = os.strerror(number)  # its locale is C
        if details.endswith(text) or (number == errno.ENOSPC and is_full(folder)):
            found = translate_os_error(OSError(number, details or text, str(folder)), what)
            found.kind = "qemu-img"
            return found
    return HypervisorError(
        f"{what} failed",
        details=details,
        hint="``doctor`` looks at programs, permissions, disk space and files",
        kind="qemu-img",
    )


def check_image(image: DiskFile, *, lock: int | None = None) -> str:
    """Let QEMU's own tool look whether an image is whole; return what is wrong, or nothing.

    The image is looked at alone, whatever it depends on. Memory and time are
    bounded: a header may claim any size.
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
    return "\n".join(
        lines[:_TOLD_LINES] + ([f"and {render_count(rest, 'more line')}"] if rest > 0 else [])
    ) or (f"qemu-img check ended with {done.returncode}")


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
            umask=PRIVATE_UMASK,
            env={**os.environ, "LC_ALL": "C"},
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


def refuse_full(
    folder: Path, needed: int, brief: str, *, hint: str = "free some space", kind: str = "ENOSPC"
) -> None:
    """Refuse what needs more bytes than the file system of a folder has left for a user."""
    free = free_bytes(folder)
    if needed > free:
        raise NoSpaceError(
            brief,
            details=f"{render_size(needed)} are needed, and {render_size(free)} are free",
            hint=hint,
            kind=kind,
        )


def is_full(folder: Path) -> bool:
    """Say whether nothing more can be written to a folder's file system."""
    return free_bytes(folder) < _FULL_BELOW_BYTES or has_no_inodes(folder)
