"""The sparse VMDK format, as far as an import needs it: its size, and whether it is self-contained.

Only ``monolithicSparse`` and ``streamOptimized`` files are accepted: one file,
its descriptor inside. A descriptor that is a file of its own names other files
of the machine, which an image from elsewhere must not.

QEMU opens files that the descriptor names, whatever else the file says
[fact: qemu-vmdk-descriptor]. So the allowed descriptor entries are listed here, and
all else is refused.

Format: "Virtual Disk Format 1.1" of VMware, hosted sparse extents.
"""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from linkedclone.errors import HypervisorError, InputError
from linkedclone.formats.qcow2 import MAX_VIRTUAL_BYTES, SECTOR_BYTES
from linkedclone.system.reading import open_regular

MAGIC = b"KDMV"
DESCRIPTOR_FILE = b"# Disk DescriptorFile"
_HEADER = struct.Struct("<4sIIQQQQIQQ")
_MARKER = struct.Struct("<QII")
_FOOTER = 3
"""The kind of marker before a footer."""
_FOOTER_BYTES = 3 * SECTOR_BYTES
_AT_END = (1 << 64) - 1
"""Where the grain directory is if the real header is at the end of the file."""
_VERSIONS = frozenset({1, 2, 3})
_DESCRIPTOR_SECTOR = 1
_QEMU_READS_BYTES = 20 * SECTOR_BYTES
_MAX_DESCRIPTOR_BYTES = 1 << 20
_PARENT = re.compile(rb"parentFileNameHint", re.IGNORECASE)
_SETTING = re.compile(r'([a-z]+)\s*=\s*"?([^"]*?)"?\s*', re.IGNORECASE)
_EXTENT = re.compile(r'(?:RW|RDONLY)\s+[0-9]+\s+SPARSE\s+"[^"/\\:]*"\s*', re.IGNORECASE)
_PART = "it is one part of a disk in several files"
_ALLOWED = {
    "version": re.compile(r"[0-9]+"),
    "encoding": re.compile(r"[a-z0-9_-]+"),
    "cid": re.compile(r"[0-9a-f]+"),
    "parentcid": re.compile(r"ffffffff"),
    "isnativesnapshot": re.compile(r"no"),
    "createtype": re.compile(r"monolithicsparse|streamoptimized"),
}
"""What may be set in the descriptor of a self-contained disk, and to what; in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    capacity: int
    descriptor: int
    descriptor_sectors: int
    directory: int


def read_capacity(path: Path) -> int:
    """Return the virtual size in bytes of a self-contained VMDK."""
    try:
        return check_stands_alone(path, str(path))
    except InputError as error:
        raise HypervisorError(
            error.brief, details=error.details, hint=error.hint, kind="vmdk"
        ) from error


def read_size(path: Path) -> int:
    """Return the virtual size in bytes in the header, whatever else it holds."""
    with open_regular(path) as file:
        return _parse_header(file.read(_HEADER.size), str(path)).capacity * SECTOR_BYTES


def check_stands_alone(path: Path, what: str) -> int:
    """Refuse a VMDK that needs other files, or that QEMU would open other files with.

    Returns:
        Its virtual size in bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        header = _parse_header(file.read(_HEADER.size), what)
        footer = _read_footer(file.fileno(), size, header, what)
        _check_place(header, size, what)
        seen = os.pread(file.fileno(), _QEMU_READS_BYTES, SECTOR_BYTES)
        length = header.descriptor_sectors * SECTOR_BYTES
        text = os.pread(file.fileno(), length, SECTOR_BYTES)
    if footer.capacity != header.capacity:
        raise _unsound(what, "its header and its footer differ")
    if _PARENT.search(seen) or _PARENT.search(text):
        raise _refusal(what, "it names a parent disk")
    _check_descriptor(text.partition(b"\0")[0].decode(errors="replace"), what)
    return header.capacity * SECTOR_BYTES


def _check_place(header: _Header, size: int, what: str) -> None:
    length = header.descriptor_sectors * SECTOR_BYTES
    if header.capacity == 0:
        raise _refusal(what, "its data are in other files")
    if header.descriptor_sectors == 0:
        raise _refusal(what, _PART)
    if header.capacity * SECTOR_BYTES > MAX_VIRTUAL_BYTES:
        raise _unsound(what, f"it claims {header.capacity} sectors")
    if header.descriptor != _DESCRIPTOR_SECTOR or length > _MAX_DESCRIPTOR_BYTES:
        raise _unsound(what, "its descriptor is not where it belongs")
    if SECTOR_BYTES + length > size:
        raise _unsound(what, "the file is cut short")


def _check_descriptor(text: str, what: str) -> None:
    """Refuse what is not on the list of what a self-contained disk has."""
    if not text.strip():
        raise _refusal(what, _PART)
    extents, settings = 0, dict[str, str]()
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#") or line.lower().startswith("ddb."):
            continue
        if _EXTENT.fullmatch(line):
            extents += 1
            continue
        found = _SETTING.fullmatch(line)
        name, value = map(str.lower, found.groups()) if found else ("", "")
        if name not in _ALLOWED or name in settings or not _ALLOWED[name].fullmatch(value):
            raise _refusal(what, f"its descriptor says: {line[:200]!r}")
        settings[name] = value
    if extents != 1 or "createtype" not in settings:
        raise _refusal(what, f"its descriptor names {extents} extents of its own")


def read_parent(path: Path) -> str:
    """Return the file that a VMDK depends on, as it is written there; empty for none.

    Read where QEMU reads it, and wherever else the header says.
    """
    with open_regular(path) as file:
        header = _parse_header(file.read(_HEADER.size), str(path))
        seen = os.pread(file.fileno(), _QEMU_READS_BYTES, SECTOR_BYTES)
        length = min(header.descriptor_sectors * SECTOR_BYTES, _MAX_DESCRIPTOR_BYTES)
        offset = min(header.descriptor * SECTOR_BYTES, MAX_VIRTUAL_BYTES)
        named = os.pread(file.fileno(), length, offset)
    pattern = rb'parentFileNameHint\s*=\s*"([^"\0]+)"'
    found = re.search(pattern, seen) or re.search(pattern, named)
    return found.group(1).decode(errors="surrogateescape") if found else ""


def _parse_header(head: bytes, what: str) -> _Header:
    if len(head) < _HEADER.size or not head.startswith(MAGIC):
        raise HypervisorError(
            f"{what} is not a sparse VMDK",
            kind="vmdk",
            hint="make a qcow2 of it: qemu-img convert -O qcow2 IN OUT",
        )
    _, version, _, capacity, _, descriptor, sectors, _, _, directory = _HEADER.unpack(head)
    if version not in _VERSIONS:
        raise _unsound(what, f"its version is {version}")
    if capacity * SECTOR_BYTES >= 1 << 63:
        raise _unsound(what, f"it claims {capacity} sectors")
    return _Header(
        capacity=capacity,
        descriptor=descriptor,
        descriptor_sectors=sectors,
        directory=directory,
    )


def _read_footer(descriptor: int, size: int, header: _Header, what: str) -> _Header:
    """Return the header that counts: that of a stream is at its end."""
    if header.directory != _AT_END:
        return header
    tail = os.pread(descriptor, _FOOTER_BYTES, max(size - _FOOTER_BYTES, 0))
    if size < _HEADER.size + _FOOTER_BYTES or len(tail) < _FOOTER_BYTES:
        raise _unsound(what, "the file is cut short")
    _, length, kind = _MARKER.unpack_from(tail)
    if (length, kind) != (0, _FOOTER):
        raise _unsound(what, "the end of the stream is missing: the file is cut short")
    return _parse_header(tail[SECTOR_BYTES : SECTOR_BYTES + _HEADER.size], what)


def _refusal(what: str, why: str) -> InputError:
    return InputError(
        f"{what} needs other files",
        details=why,
        hint="where those are yours, make one file of them: "
        "qemu-img convert -f vmdk -O qcow2 DISK.vmdk DISK.qcow2",
    )


def _unsound(what: str, why: str) -> HypervisorError:
    return HypervisorError(
        f"{what} is not a sound VMDK", details=why, kind="vmdk", hint="fetch or copy it again"
    )
