"""Take files from elsewhere in: copied by one open descriptor, before anything is said of them.

A name can mean another file a moment later, and a file that others can write to
can hold something else after it was looked at. So what is examined and used is a
copy in our own folder, or the file itself where no other user can write to it.
"""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from linkedclone.drivers.qemu.qemu_img import refuse_full
from linkedclone.errors import InputError, NotFoundError
from linkedclone.formats.qcow2 import MAX_VIRTUAL_BYTES
from linkedclone.model.values.sizes import render_size
from linkedclone.system.atomic_files import name_file
from linkedclone.system.private_files import open_new
from linkedclone.system.reading import name_kind

_FICLONE = 0x40049409
"""linux/fs.h: share the blocks of another file, on btrfs, XFS and others."""
_COPY_BYTES = 64 << 20
_OTHERS_WRITE = 0o022


def take_in(source: Path, target: Path, *, move: bool, durable: bool) -> os.stat_result:
    """Put a file into place: by a link, shared blocks, or a copy that keeps holes.

    A file that is to be moved keeps its old name for now, so that a failure
    afterwards does not lose it; :func:`let_go` removes that name at the end.

    Returns:
        The file that was taken in, as it was.
    """
    with _opened(source, follow=not move) as reader:
        seen = os.fstat(reader)
        if seen.st_size > MAX_VIRTUAL_BYTES:
            raise InputError(
                f"{source} claims {seen.st_size} bytes",
                hint=f"no disk is larger than {render_size(MAX_VIRTUAL_BYTES)}",
            )
        if move and _is_ours_alone(reader, seen):
            with suppress(OSError):
                name_file(reader, target)
                return seen
        _copy(reader, target, source, durable=durable)
        if _state_of(os.fstat(reader)) != _state_of(seen):
            raise InputError(
                f"{source} changed while it was copied", hint="wait until it is complete"
            )
    return seen


def let_go(source: Path, taken: os.stat_result) -> None:
    """Remove the old name of a file that was moved, unless it means another file by now."""
    with suppress(FileNotFoundError):
        if os.path.samestat(source.lstat(), taken):
            source.unlink()


@contextmanager
def _opened(source: Path, *, follow: bool) -> Iterator[int]:
    # Without O_NONBLOCK the open itself waits for a writer at a pipe.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(source, flags if follow else flags | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise NotFoundError(f"{source} is not there", hint="name an image file") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(
                f"{source} is a symbolic link", hint="name the file itself to have it moved"
            ) from error
        if error.errno == errno.ENXIO:
            raise _refuse_kind(source, stat.S_IFSOCK) from error
        raise
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            raise _refuse_kind(source, kind)
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_kind(source: Path, kind: int) -> InputError:
    return InputError(
        f"{source} is not a regular file but {name_kind(kind)}",
        hint="name a qcow2, raw or vmdk image"
        + ("; of a disk: qemu-img convert -O qcow2 DEVICE FILE" if kind == stat.S_IFBLK else ""),
    )


def _is_ours_alone(descriptor: int, seen: os.stat_result) -> bool:
    """Say whether only we can write to a file: it is ours, and no program has it open so."""
    if seen.st_uid != os.geteuid() or seen.st_mode & _OTHERS_WRITE or seen.st_nlink != 1:
        return False
    try:
        # A process that opens it meanwhile breaks the lease, which sends a signal: one
        # that is ignored, and not SIGIO, which ends a program.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        # A file system without leases tells nothing.
        return error.errno not in {errno.EAGAIN, errno.EACCES}
    return True


def _state_of(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_size, seen.st_mtime_ns


def _copy(reader: int, target: Path, source: Path, *, durable: bool) -> None:
    with open_new(target) as writer:
        if not _clone_blocks(reader, writer.fileno()):
            needed = os.fstat(reader).st_blocks * 512
            brief = f"there is no room for a copy of {source}"
            hint = "free some space, or move it: ``image.move``"
            refuse_full(target.parent, needed, brief, hint=hint)
            _copy_data(reader, writer.fileno())
        if durable:
            os.fdatasync(writer.fileno())


def _clone_blocks(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _copy_data(source: int, target: int) -> None:
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        position = min(os.lseek(source, start, os.SEEK_HOLE), size)
        _copy_range(source, target, start, position)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        # sendfile works between any two filesystems; both offsets move on.
        sent = os.sendfile(target, source, start, min(_COPY_BYTES, end - start))
        if sent == 0:
            return
        start += sent
