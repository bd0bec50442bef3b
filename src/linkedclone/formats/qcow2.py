"""The qcow2 format, as far as overlays need it: write an empty one, read any header.

An overlay needs a version-3 header, one refcount table, one refcount block and
an empty L1 table [fact: qemu-qcow2]. Written here instead of by ``qemu-img create``,
it takes little time and space, and always has **extended L2 entries**, which keep
scattered writes small [fact: qemu-overlay-cost]. ``qemu-img check``, ``info`` and
``compare`` are the oracle in the tests.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linkedclone.errors import HypervisorError, InputError
from linkedclone.system.atomic_files import SparseFile
from linkedclone.system.reading import open_regular

SECTOR_BYTES = 512
CLUSTER_BYTES = 1 << 16
MAX_VIRTUAL_BYTES = 64 << 40
_LARGEST_BYTES = (1 << 63) - SECTOR_BYTES
_MOST_L1_ENTRIES = (32 << 20) // 8
"""The largest size and the longest L1 table that QEMU opens [fact: qemu-qcow2]."""
MAX_BACKING_PATH_BYTES = 1023
"""Longest backing file name that QEMU reads [fact: qemu-qcow2]."""

MAGIC = b"QFI\xfb"
_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3_MORE = struct.Struct(">QQQII")
_HEADER_BYTES = _V2.size + _V3_MORE.size
_EXTENSION = struct.Struct(">II")
_EXTENSION_BYTES = 1024
"""How much of an extension is kept: the one that is read is a short word."""
_BACKING_FORMAT = 0xE2792ACA

_CLUSTER_BITS = 16
_REFCOUNT_ORDER = 4
_L2_ENTRY_BYTES = 16
_L2_COVERS_BYTES = CLUSTER_BYTES // _L2_ENTRY_BYTES * CLUSTER_BYTES
_REFCOUNT_TABLE_CLUSTER = 1
_REFCOUNT_BLOCK_CLUSTER = 2
_L1_CLUSTER = 3

INCOMPATIBLE_DIRTY = 1 << 0
INCOMPATIBLE_CORRUPT = 1 << 1
INCOMPATIBLE_DATA_FILE = 1 << 2
INCOMPATIBLE_COMPRESSION = 1 << 3
INCOMPATIBLE_EXTENDED_L2 = 1 << 4
_KNOWN_INCOMPATIBLE = INCOMPATIBLE_DIRTY | INCOMPATIBLE_COMPRESSION | INCOMPATIBLE_EXTENDED_L2
_AUTOCLEAR_BITMAPS = 1 << 0
_ENCRYPTION = 0x0537BE77
_DATA_FILE = 0x44415441
_KNOWN_EXTENSIONS = frozenset({_BACKING_FORMAT, 0x6803F857, 0x23852875})
"""Backing format, feature names and bitmaps: those that name nothing that is opened."""
_CLUSTER_BITS_RANGE = range(9, 22)
_MAX_HEAD_BYTES = 1 << 21
"""The first cluster of the largest size; it holds the whole header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qcow2Header:
    """What a qcow2 header says."""

    version: int
    virtual_bytes: int  # the size that a guest sees
    # The backing file as it is written, relative to the image's own folder unless it is absolute;
    # empty for none.
    backing_path: str = ""
    backing_format: str = ""  # its recorded format; empty where none is recorded
    incompatible: int = 0  # the incompatible feature bits; 0 in version 2
    autoclear: int = 0  # the bits of features that other programs may take away
    extensions: tuple[int, ...] = ()  # the kinds of header extensions, as far as they were read
    cluster_bits: int = _CLUSTER_BITS  # the size of a cluster, as a power of 2
    encrypted: bool = False  # whether the image is encrypted
    internal_snapshots: int = 0  # how many internal snapshots it holds


def round_to_sectors(size_bytes: int) -> int:
    """Round up to whole sectors, as QEMU does when it opens a raw file of an odd length."""
    return -(-size_bytes // SECTOR_BYTES) * SECTOR_BYTES


def build_overlay(virtual_bytes: int, backing_path: str, backing_format: str) -> SparseFile:
    """Build an empty overlay. Pure.

    The format of the backing file is always recorded: QEMU would otherwise
    guess it from the content, and a guest can write any content.

    Args:
        virtual_bytes: Size that the guest sees: whole sectors, at most 64 TiB.
        backing_path: Path of the backing file, relative to the overlay's folder
            or absolute.
        backing_format: ``qcow2``, ``raw`` or ``vmdk``.
    """
    name = backing_path.encode()
    if not 0 < len(name) <= MAX_BACKING_PATH_BYTES:
        raise ValueError(f"a backing path has 1 to {MAX_BACKING_PATH_BYTES} bytes: {backing_path}")
    return _build(virtual_bytes, _build_extensions(backing_format.encode()), name)


def build_empty(virtual_bytes: int) -> SparseFile:
    """Build an empty disk that depends on nothing and reads as zeros."""
    return _build(virtual_bytes, _EXTENSION.pack(0, 0), b"")


def _build(virtual_bytes: int, extensions: bytes, name: bytes) -> SparseFile:
    if virtual_bytes % SECTOR_BYTES or not 0 < virtual_bytes <= MAX_VIRTUAL_BYTES:
        raise ValueError(f"no virtual size: {virtual_bytes}")
    l1_entries = -(-virtual_bytes // _L2_COVERS_BYTES)
    l1_clusters = -(-l1_entries * 8 // CLUSTER_BYTES)
    clusters = _L1_CLUSTER + l1_clusters
    header = _V2.pack(
        MAGIC,
        3,
        _HEADER_BYTES + len(extensions) if name else 0,
        len(name),
        _CLUSTER_BITS,
        virtual_bytes,
        0,
        l1_entries,
        _L1_CLUSTER * CLUSTER_BYTES,
        _REFCOUNT_TABLE_CLUSTER * CLUSTER_BYTES,
        1,
        0,
        0,
    ) + _V3_MORE.pack(INCOMPATIBLE_EXTENDED_L2, 0, 0, _REFCOUNT_ORDER, _HEADER_BYTES)
    return SparseFile(
        length=clusters * CLUSTER_BYTES,
        extents=(
            (0, header + extensions + name),
            (
                _REFCOUNT_TABLE_CLUSTER * CLUSTER_BYTES,
                struct.pack(">Q", _REFCOUNT_BLOCK_CLUSTER * CLUSTER_BYTES),
            ),
            # One block of 32,768 counts covers 2 GiB of file: always enough here.
            (_REFCOUNT_BLOCK_CLUSTER * CLUSTER_BYTES, b"\0\1" * clusters),
        ),
    )


def _build_extensions(backing_format: bytes) -> bytes:
    padded = backing_format + b"\0" * (-len(backing_format) % 8)
    return _EXTENSION.pack(_BACKING_FORMAT, len(backing_format)) + padded + _EXTENSION.pack(0, 0)


def read_header(path: Path) -> Qcow2Header:
    """Read the header of a qcow2 file of version 2 or 3."""
    with open_regular(path) as file:
        head = file.read(4096)
        header = parse_header(head, str(path))
        if header is None:
            file.seek(0)
            header = parse_header(file.read(_MAX_HEAD_BYTES), str(path))
    if header is None:
        raise HypervisorError(
            f"{path} is cut short", kind="qcow2", hint="restore that file from a backup"
        )
    return header


def check_stands_alone(path: Path, what: str) -> None:
    """Refuse an image whose header holds anything but what a self-contained disk needs."""
    with open_regular(path) as file:
        header = parse_header(file.read(_MAX_HEAD_BYTES), what)
    if header is None:
        raise _no_sense(what, "the file is cut short")
    if header.cluster_bits not in _CLUSTER_BITS_RANGE:
        raise _no_sense(what, f"its clusters have 2^{header.cluster_bits} bytes")
    if header.virtual_bytes > MAX_VIRTUAL_BYTES:
        raise _no_sense(what, f"it claims {header.virtual_bytes} bytes")
    if header.backing_path:
        raise InputError(
            f"{what} needs its backing file {header.backing_path!r}",
            hint="where that file is yours, make one file of the two: "
            "qemu-img convert -f qcow2 -O qcow2 IN OUT",
        )
    _check_features(header, what)


def _check_features(header: Qcow2Header, what: str) -> None:
    convert = "qemu-img convert -f qcow2 -O qcow2 IN OUT"
    if header.encrypted or _ENCRYPTION in header.extensions:
        raise InputError(f"{what} is encrypted", hint=f"decrypt it with {convert}")
    if header.incompatible & INCOMPATIBLE_DATA_FILE or _DATA_FILE in header.extensions:
        raise InputError(
            f"{what} keeps its data in another file",
            hint=f"where that file is yours, make one file of the two: {convert}",
        )
    if header.incompatible & INCOMPATIBLE_CORRUPT:
        raise InputError(f"{what} is marked corrupt", hint="repair it: qemu-img check -r all FILE")
    unknown = header.incompatible & ~_KNOWN_INCOMPATIBLE
    further = sorted(set(header.extensions) - _KNOWN_EXTENSIONS)
    if unknown or further or header.autoclear & ~_AUTOCLEAR_BITMAPS:
        raise InputError(
            f"{what} has features that are not known here",
            details=f"incompatible features {unknown:#x}, autoclear features "
            f"{header.autoclear:#x}, extensions {', '.join(map(hex, further)) or 'none'}",
            hint=f"where a newer QEMU reads it: {convert}",
        )


def _no_sense(what: str, details: str = "") -> HypervisorError:
    return HypervisorError(
        f"{what} has a header that makes no sense",
        details=details,
        kind="qcow2",
        hint="restore that file from a backup, or fetch it again",
    )


def parse_header(head: bytes, what: str = "the image") -> Qcow2Header | None:
    """Read a header from the first bytes of an image; None if it goes on beyond them."""
    if not head.startswith(MAGIC):
        raise HypervisorError(
            f"{what} is not a qcow2 image", kind="qcow2", hint="qemu-img info says what it is"
        )
    if len(head) < _V2.size:
        return None
    fields = _V2.unpack_from(head)
    _, version, offset, length, bits, size, crypt, l1_entries, *_, snapshots, _ = fields
    if version not in {2, 3} or length > MAX_BACKING_PATH_BYTES:
        raise _no_sense(what, f"its version is {version}")
    if size > _LARGEST_BYTES or l1_entries > _MOST_L1_ENTRIES:
        raise _no_sense(what, f"it claims {size} bytes in {l1_entries} entries")
    incompatible, autoclear, header_bytes = 0, 0, _V2.size
    if version == 3:
        if len(head) < _HEADER_BYTES:
            return None
        incompatible, _, autoclear, _, header_bytes = _V3_MORE.unpack_from(head, _V2.size)
    if offset + length > len(head):
        return None
    if offset and b"\0" in head[offset : offset + length]:
        raise _no_sense(what, "the name of its backing file is not valid")
    end = offset or (1 << min(bits, max(_CLUSTER_BITS_RANGE)))
    extensions = _read_extensions(head[:end], header_bytes)
    return Qcow2Header(
        version=version,
        virtual_bytes=size,
        backing_path=head[offset : offset + length].decode(errors="surrogateescape")
        if offset
        else "",
        backing_format=_find_backing_format(extensions) if offset else "",
        incompatible=incompatible,
        autoclear=autoclear,
        extensions=tuple(kind for kind, _ in extensions),
        cluster_bits=bits,
        encrypted=crypt != 0,
        internal_snapshots=snapshots,
    )


def _find_backing_format(extensions: Sequence[tuple[int, bytes]]) -> str:
    found = (content for kind, content in extensions if kind == _BACKING_FORMAT)
    return next(found, b"").decode("ascii", errors="replace")


def _read_extensions(head: bytes, position: int) -> tuple[tuple[int, bytes], ...]:
    """Walk the header extensions, which version 2 has as well; cut short where the head ends."""
    found = list[tuple[int, bytes]]()
    while position + _EXTENSION.size <= len(head):
        kind, length = _EXTENSION.unpack_from(head, position)
        position += _EXTENSION.size
        if kind == 0:
            break
        found.append((kind, head[position : position + min(length, _EXTENSION_BYTES)]))
        position += length + (-length % 8)
    return tuple(found)
