"""Image files from elsewhere: what they are, and whether they may be a base.

Whatever is not a qcow2 or a VMDK would pass for a raw disk, because anything does.
So what is known to be something else is refused with the way to make a disk of it.
"""

import json
import os
import shlex
import struct
from collections.abc import Callable
from pathlib import Path

from linkedclone.drivers.qemu.qemu_img import check_image, run_qemu_img
from linkedclone.errors import HypervisorError, InputError
from linkedclone.formats import qcow2, vmdk
from linkedclone.formats.chain import DiskFile, ImageFormat, name_chain
from linkedclone.formats.qcow2 import SECTOR_BYTES

_HEAD_BYTES = 1 << 16
_TEXT_BYTES = 4096
_PACKED = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\xfd7zXZ\0", "xz", "xz -d"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -d"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"PK\x03\x04", "zip", "unzip"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -d"),
    (b"LZIP", "lzip", "lzip -d"),
    (b"\x5d\0\0", "lzma", "unlzma"),
    (b"7z\xbc\xaf\x27\x1c", "7z", "7z x"),
    (b"Rar!", "rar", "unrar x"),
)
"""How packed files begin, what they are, and what unpacks them."""
_TAR, _TAR_OFFSET = b"ustar", 257
_ISO, _ISO_OFFSET = b"CD001", 0x8001
_LUKS = b"LUKS\xba\xbe"
_OTHER_KINDS = (
    (b"QFI\xfb\0\0\0\1", 0, "qcow of version 1", "qcow"),
    (b"vhdxfile", 0, "VHDX", "vhdx"),
    (b"conectix", 0, "VHD", "vpc"),
    (b"\x7f\x10\xda\xbe", 0x40, "VDI", "vdi"),
    (b"<<< ", 0, "VDI", "vdi"),
    (b"QED\0", 0, "QED", "qed"),
    (b"COWD", 0, "VMDK of ESX", "vmdk"),
    (b"WithoutFreeSpace", 0, "Parallels", "parallels"),
    (b"WithouFreSpacExt", 0, "Parallels", "parallels"),
    (b"Bochs Virtual HD Image", 0, "Bochs", "bochs"),
)
"""Images of other kinds: signatures, their offsets, and QEMU's names for the formats."""
_ENDINGS = ((b"conectix", "VHD of fixed size", "vpc"), (b"koly", "DMG", "dmg"))
"""Those that only their last sector tells from a disk."""
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<error")
_TEXT = frozenset(b"\t\n\f\r\x1b") | frozenset(range(0x20, 0x7F)) | frozenset(range(0x80, 0x100))
_GPT, _GPT_OFFSET = b"EFI PART", SECTOR_BYTES
_PARTITIONS = struct.Struct("<8xII")
_BOOT_SIGNATURE = b"\x55\xaa"
_PROTECTIVE = 0xEE
_RAW_ANYWAY = "``image_format.raw`` accepts it anyway"
_RESTORE = "fetch or copy it again: it may have come in part"


def detect_format(path: Path, what: str) -> ImageFormat:
    with path.open("rb", buffering=0) as file:
        head = file.read(_HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        tail = os.pread(file.fileno(), SECTOR_BYTES, max(size - SECTOR_BYTES, 0))
    if not head:
        raise InputError(f"{what} is empty", hint="name a qcow2, raw or vmdk image")
    _refuse_other_kinds(head, tail, what)
    if head.startswith(qcow2.MAGIC):
        return ImageFormat.QCOW2
    if head.startswith(vmdk.MAGIC):
        return ImageFormat.VMDK
    _refuse_no_disk(head, what)
    _refuse_cut(head, size, what)
    return ImageFormat.RAW


def _refuse_other_kinds(head: bytes, tail: bytes, what: str) -> None:
    if head.startswith(vmdk.DESCRIPTOR_FILE):
        raise InputError(
            f"{what} only describes other files",
            hint="make one file of them, from the folder where they are: "
            + _suggest_convert(what, "vmdk"),
        )
    for magic, offset, kind, driver in _OTHER_KINDS:
        if head.startswith(magic, offset):
            raise _other_kind(what, kind, driver)
    for magic, kind, driver in _ENDINGS:
        if tail.startswith(magic):
            raise _other_kind(what, kind, driver)


def _refuse_no_disk(head: bytes, what: str) -> None:
    for magic, kind, program in _PACKED:
        if head.startswith(magic):
            raise InputError(
                f"{what} is packed ({kind})",
                hint=f"unpack it, and import what is in it: {program} {_shown(what)}",
            )
    if head.startswith(_TAR, _TAR_OFFSET):
        raise InputError(
            f"{what} is packed (tar, or an OVA)",
            hint=f"unpack it, and import the disk in it: tar -xf {_shown(what)}",
        )
    if head.startswith(_ISO, _ISO_OFFSET):
        raise InputError(
            f"{what} is an image of a CD (ISO 9660) and no installed disk",
            hint=f"install a disk from it, or fetch a cloud image; {_RAW_ANYWAY}",
        )
    if head.startswith(_LUKS):
        raise InputError(f"{what} is encrypted (LUKS)", hint="decrypt it with qemu-img convert")
    if head.lstrip().lower().startswith(_PAGES):
        raise InputError(
            f"{what} is a web page and no image",
            hint=f"look at the address in a browser; {_RAW_ANYWAY}",
        )
    if _TEXT.issuperset(head[:_TEXT_BYTES].rstrip(b"\0")) and head.strip(b"\0"):
        raise InputError(
            f"{what} is a text file, not a disk image", hint=f"look at its content; {_RAW_ANYWAY}"
        )


def _refuse_cut(head: bytes, size: int, what: str) -> None:
    """Refuse a raw disk whose partitions go on beyond its end."""
    end = _find_end(head)
    if end > size:
        raise InputError(
            f"{what} is cut short",
            details=f"its partition table is of a disk of at least {end} bytes, and it has {size}",
            hint=f"{_RESTORE}; {_RAW_ANYWAY}",
        )


def _find_end(head: bytes) -> int:
    """Return where the last partition ends, or the second copy of the table; 0 for no table."""
    if head[510:512] != _BOOT_SIGNATURE:
        return 0
    if head.startswith(_GPT, _GPT_OFFSET):
        (second,) = struct.unpack_from("<Q", head, _GPT_OFFSET + 32)
        return int(second + 1) * SECTOR_BYTES
    ends = [0]
    for entry in (head[offset : offset + 16] for offset in range(446, 510, 16)):
        first, count = _PARTITIONS.unpack(entry)
        if entry[0] not in {0, 0x80}:  # not a partition table, but a file system's boot code
            return 0
        if entry[4] not in {0, _PROTECTIVE}:
            ends.append((first + count) * SECTOR_BYTES)
    return max(ends)


def _other_kind(what: str, kind: str, driver: str) -> InputError:
    return InputError(
        f"{what} is an unsupported kind of image ({kind})",
        hint=f"make a qcow2 of it: {_suggest_convert(what, driver)}",
    )


def _suggest_convert(what: str, driver: str) -> str:
    made = Path(what).with_suffix(".qcow2").name
    return f"qemu-img convert -f {driver} -O qcow2 {_shown(what)} {shlex.quote(made)}"


def _shown(what: str) -> str:
    """Return a file as it is typed; of an address the last part, which is what a browser saves."""
    return shlex.quote(Path(what).name if "://" in what else what)


def check_importable(image: DiskFile, what: str, *, lock: int, tell: Callable[[str], None]) -> None:
    """Refuse an image that would read other files of this machine, or that QEMU cannot read.

    First its header has to hold nothing but what is known to be harmless; only
    then QEMU's own tools look at it, told what it is and that it depends on nothing.

    Args:
        image: The image, in a folder where no other process writes.
        lock: A lock that the tools keep while they look.
        tell: Is told that it is looked at, for that may take long.
    """
    match image.format:
        case ImageFormat.RAW:
            return
        case ImageFormat.VMDK:
            vmdk.check_stands_alone(image.path, what)
        case ImageFormat.QCOW2:
            qcow2.check_stands_alone(image.path, what)
    tell("examining")
    _check_told(image, what, lock)
    fault = check_image(image, lock=lock)
    if fault:
        repair = " or repair it: qemu-img check -r all FILE"
        raise InputError(
            f"{what} is broken",
            details=fault,
            hint=_RESTORE + (repair if image.format is ImageFormat.QCOW2 else ""),
        )


def _check_told(image: DiskFile, what: str, lock: int) -> None:
    """Compare what QEMU reads in the header with what was read here."""
    arguments = ("info", "--output=json", name_chain((image,)))
    try:
        told = json.loads(run_qemu_img(arguments, folder=image.path.parent, lock=lock))
    except HypervisorError as error:
        raise InputError(
            f"QEMU cannot open {what}", details=error.details, hint=_RESTORE
        ) from error
    parts = told.get("format-specific", {}).get("data", {}).get("extents", [])
    foreign = [part for part in parts if part.get("filename") != str(image.path)]
    if (
        foreign
        or len(parts) > 1
        or "backing-filename" in told
        or "full-backing-filename" in told
        or told.get("encrypted")
        or qcow2.round_to_sectors(int(told["virtual-size"])) != image.virtual_bytes
    ):
        raise InputError(
            f"QEMU reads {what} in another way than its header says",
            details=json.dumps(told),
            hint="make a plain image of it where you trust it: qemu-img convert -O qcow2 IN OUT",
        )
