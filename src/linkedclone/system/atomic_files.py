"""Write files so that they are either there whole or not at all, whatever kills the writer.

A new file is written without a name and then given one: a kill in between leaves nothing
[fact: fs-unnamed-files]. Where the file system has no such files, it is written under a
name ending in ``.tmp`` that the sweeper knows. An existing file is replaced by rename.
Only its owner may read what is written.
"""

import errno
import os
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from linkedclone.system.private_files import PRIVATE_FILE, open_new
from linkedclone.system.single_flight import SharedLook


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseFile:
    """The content of a file that is mostly holes."""

    length: int
    extents: tuple[tuple[int, bytes], ...]  # what is not zero, as (offset, bytes), in order

    def to_bytes(self) -> bytes:
        """Return the whole content, holes as zeros."""
        content = bytearray(self.length)
        for offset, data in self.extents:
            content[offset : offset + len(data)] = data
        return bytes(content)


TEMPORARY_SUFFIX = ".tmp"
_ATTEMPTS = 20
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
_NO_SUCH_RENAME = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_AT_FDCWD = -100
_NO_REPLACE = 1
"""linux/fs.h: RENAME_NOREPLACE."""
_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS}


def publish_file(path: Path, content: SparseFile, *, durable: bool) -> None:
    """Make a new file appear whole; a durable one outlives a power failure from then on."""
    try:
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        if error.errno not in _NO_UNNAMED_FILES:
            raise
        _publish_by_name(path, content, durable=durable)
        return
    try:
        _fill(descriptor, content, durable=durable)
        name_file(descriptor, path)
    finally:
        os.close(descriptor)
    if durable:
        sync_folder(path.parent)


def name_file(descriptor: int, path: Path) -> None:
    """Give an open file a name, whatever names it has."""
    # Without a directory descriptor Python calls link(), which links the
    # symbolic link in /proc itself; with one, linkat() with AT_SYMLINK_FOLLOW.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(
            f"/proc/self/fd/{descriptor}",
            path.name,
            src_dir_fd=folder,
            dst_dir_fd=folder,
            follow_symlinks=True,
        )
    finally:
        os.close(folder)


def _publish_by_name(path: Path, content: SparseFile, *, durable: bool) -> None:
    temporary = _temporary(path)
    try:
        write_new(temporary, content, durable=durable)
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


def rename_new(path: Path, target: Path) -> None:
    """Give a file another name that nothing has, at one moment; both are in one folder.

    Where the file system has no hard links (FAT, exFAT, some network shares), the
    kernel is asked to rename without replacing; where it cannot do that either, the
    name is taken by an empty file, which is replaced.
    """
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        path.unlink()
        return
    number = _rename_without_replacing(path, target)
    if number in _NO_SUCH_RENAME:
        open_new(target).close()
        path.replace(target)
    elif number:
        raise OSError(number, os.strerror(number), str(target))


def _rename_without_replacing(path: Path, target: Path) -> int:
    """Call renameat2(2), which Python does not offer; return its error number, 0 for none."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # an old C library
        return errno.ENOSYS
    old, new = os.fsencode(path), os.fsencode(target)
    return ctypes.get_errno() if rename(_AT_FDCWD, old, _AT_FDCWD, new, _NO_REPLACE) else 0


def write_new(path: Path, content: SparseFile, *, durable: bool) -> None:
    """Write a new file in plain steps, for folders that no reader uses yet; durable as above."""
    with open_new(path) as file:
        _fill(file.fileno(), content, durable=durable)


def replace_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Put new content in the place of a file, or make it; readers see old or new, whole."""
    for left in reversed(range(_ATTEMPTS)):
        temporary = _temporary(path)
        try:
            write_new(temporary, whole_file(content), durable=durable)
            temporary.replace(path)
            break
        except FileNotFoundError:
            # A sweeper took it for the rest of a killed command: not everybody who
            # writes here holds the family lock.
            if not left or not path.parent.is_dir():
                raise
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    if durable:
        sync_folder(path.parent)


def whole_file(content: bytes) -> SparseFile:
    """Take bytes as the content of a file without holes."""
    return SparseFile(length=len(content), extents=((0, content),))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power failure."""
    _sync(folder, os.O_DIRECTORY)


def sync_file(file: Path) -> None:
    """Make the content of a file outlive a power failure."""
    _sync(file, 0)


def _sync(path: Path, kind: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | kind | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_syncs: dict[Path, SharedLook[None]] = {}


def sync_folder_together(folder: Path) -> None:
    """Do what :func:`sync_folder` does, once for all threads that want it at one time."""
    _syncs.setdefault(folder, SharedLook(partial(sync_folder, folder))).take()


def _fill(descriptor: int, content: SparseFile, *, durable: bool) -> None:
    os.ftruncate(descriptor, content.length)
    for offset, data in content.extents:
        _write_at(descriptor, data, offset)
    if durable:
        os.fdatasync(descriptor)


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
