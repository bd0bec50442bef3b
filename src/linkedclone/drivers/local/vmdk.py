"""The sparse VMDK format, as far as an import needs it: how large, and whether it stands alone.

Only ``monolithicSparse`` and ``streamOptimized`` files are accepted: one file,
its descriptor inside. A descriptor that is a file of its own names other files
of the machine, which an image from elsewhere must not.

Format: "Virtual Disk Format 1.1" of VMware, hosted sparse extents.
"""

import re
import struct
from pathlib import Path

from linkedclone.drivers.local.qcow2 import SECTOR_BYTES
from linkedclone.errors import HypervisorError, InputError

MAGIC = b"KDMV"
DESCRIPTOR_FILE = b"# Disk DescriptorFile"
_HEADER = struct.Struct("<4sIIQQQQ")
_NO_PARENT = "ffffffff"
_MAX_DESCRIPTOR_BYTES = 1 << 20


def read_capacity(path: Path) -> int:
    """Return the virtual size in bytes.

    Raises:
        HypervisorError: The file is not a sparse VMDK.
    """
    capacity, _, _ = _read_header(path)
    return capacity * SECTOR_BYTES


def check_stands_alone(path: Path) -> None:
    """Refuse a VMDK that needs other files.

    Raises:
        InputError: It has a parent, or is only a description of other files.
        HypervisorError: The file is not a sparse VMDK.
    """
    capacity, _, _ = _read_header(path)
    text = _read_descriptor(path)
    parent = re.search(r"^\s*parentCID\s*=\s*(\w+)", text, re.MULTILINE)
    if capacity == 0 or (parent is not None and parent.group(1).lower() != _NO_PARENT):
        raise InputError(
            f"{path} needs other files",
            hint="make one file of it: qemu-img convert -O qcow2 IN OUT",
        )


def read_parent(path: Path) -> str:
    """Return the file that a VMDK hangs from, as it is written there; empty for none.

    Raises:
        HypervisorError: The file is not a sparse VMDK.
        OSError: It cannot be read.
    """
    found = re.search(r'^\s*parentFileNameHint\s*=\s*"(.+)"', _read_descriptor(path), re.MULTILINE)
    return found.group(1) if found else ""


def _read_descriptor(path: Path) -> str:
    _, offset, length = _read_header(path)
    with path.open("rb") as file:
        file.seek(offset * SECTOR_BYTES)
        text = file.read(min(length * SECTOR_BYTES, _MAX_DESCRIPTOR_BYTES))
    return text.decode(errors="surrogateescape")


def _read_header(path: Path) -> tuple[int, int, int]:
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(MAGIC):
        raise HypervisorError(
            f"{path} is not a sparse VMDK",
            kind="vmdk",
            hint="make a qcow2 of it: qemu-img convert -O qcow2 IN OUT",
        )
    _, _, _, capacity, _, offset, length = _HEADER.unpack(head)
    return capacity, offset, length
