"""Image files from elsewhere: what they are, whether they may be taken in, and how."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from linkedclone.drivers.local import qcow2, vmdk
from linkedclone.drivers.local.chain import ImageFormat
from linkedclone.errors import InputError, NotFoundError

_HEAD_BYTES = 512
_PACKED = (b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh", b"PK\x03\x04")
"""How gzip, xz, zstd, bzip2 and zip files begin."""
_TAR, _TAR_OFFSET = b"ustar", 257
_OTHER_KINDS = (b"vhdxfile", b"conectix", b"<<< ")
"""How images of Hyper-V, Virtual PC and VirtualBox begin."""
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
_FICLONE = 0x40049409
"""linux/fs.h: share the blocks of another file, on btrfs, XFS and others."""
_COPY_BYTES = 64 << 20
_REFUSED_FEATURES = {
    qcow2.INCOMPATIBLE_CORRUPT: "is marked corrupt",
    qcow2.INCOMPATIBLE_DATA_FILE: "keeps its data in another file",
}


def detect_format(path: Path, what: str = "") -> ImageFormat:
    """Tell what an image file is, by its first bytes.

    Args:
        path: The file.
        what: What it is called in errors, if not by its path.

    Raises:
        NotFoundError: It does not exist, or is no file.
        InputError: It is a description of other files, or empty.
    """
    what = what or str(path)
    if not path.is_file():
        raise NotFoundError(f"{what} is not a file", hint="name a qcow2, raw or vmdk image")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise InputError(f"{what} is empty", hint="name a qcow2, raw or vmdk image")
    if head.startswith(qcow2.MAGIC):
        return ImageFormat.QCOW2
    if head.startswith(vmdk.MAGIC):
        return ImageFormat.VMDK
    if head.startswith(vmdk.DESCRIPTOR_FILE):
        raise InputError(
            f"{what} only describes other files",
            hint="make one file of them: qemu-img convert -O qcow2 IN OUT",
        )
    return ImageFormat.RAW


def refuse_no_disk(path: Path, what: str) -> None:
    """Refuse what would pass for a raw disk only because anything does.

    Raises:
        InputError: It is packed, an image of another kind, or a web page.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_PACKED) or head[_TAR_OFFSET:].startswith(_TAR):
        raise InputError(f"{what} is packed", hint="unpack it, and import what is in it")
    if head.startswith(_OTHER_KINDS):
        raise InputError(
            f"{what} is an image of another kind", hint="qemu-img convert -O qcow2 IN OUT"
        )
    if head.lstrip().lower().startswith(_PAGES):
        raise InputError(
            f"{what} is a web page and no image",
            hint="look at the address in a browser; --format raw takes it all the same",
        )


def check_importable(path: Path, image_format: ImageFormat) -> None:
    """Refuse an image that would read other files of this machine, or cannot be a base.

    Raises:
        InputError: It has a backing or data file, is encrypted or corrupt.
        HypervisorError: Its header is not sound.
    """
    match image_format:
        case ImageFormat.RAW:
            return
        case ImageFormat.VMDK:
            vmdk.check_stands_alone(path)
        case ImageFormat.QCOW2:
            _check_qcow2(path)


def _check_qcow2(path: Path) -> None:
    header = qcow2.read_header(path)
    if header.backing_path:
        raise InputError(
            f"{path} needs its backing file {header.backing_path}",
            hint="make one file of the two: qemu-img convert -O qcow2 IN OUT",
        )
    if header.encrypted:
        raise InputError(f"{path} is encrypted", hint="decrypt it with qemu-img convert")
    for bit, words in _REFUSED_FEATURES.items():
        if header.incompatible & bit:
            raise InputError(f"{path} {words}", hint="mend it with qemu-img check or convert")


def take_in(source: Path, target: Path, *, move: bool, durable: bool) -> None:
    """Put an image file into place: by a link, shared blocks, or a copy that keeps holes.

    A file that is to be moved keeps its old name for now, so that a failure
    afterwards does not lose it; the caller removes that name at the end.

    Raises:
        OSError: It cannot be read or written.
    """
    if move:
        with suppress(OSError):
            os.link(source, target)
            return
    with source.open("rb") as reader, target.open("xb") as writer:
        if not _clone_blocks(reader.fileno(), writer.fileno()):
            _copy_data(reader.fileno(), writer.fileno())
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
        position = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, position)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        # sendfile works between any two filesystems; both offsets move on.
        sent = os.sendfile(target, source, start, min(_COPY_BYTES, end - start))
        if sent == 0:
            return
        start += sent
