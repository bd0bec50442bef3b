"""What the descriptor of a virtual disk says: the file that it depends on, and its extents. Pure.

A descriptor is text of a few hundred bytes; the data are in extents beside it.
A monolithic sparse file (of Workstation, or an upload) has the text within.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 16 << 10
"""As much of a file as is read: the text of a monolithic file ends before that."""

_MAGIC: Final = b"KDMV"
_EMBEDDED: Final = struct.Struct("<28xQQ")
"""In the header of a sparse file: where the text begins and how long it is, in sectors."""

_SECTOR: Final = 512
_TITLE: Final = "# disk descriptorfile"
_HINT: Final = re.compile(r'^\s*parentFileNameHint\s*=\s*"([^"]*)"', re.MULTILINE)
_TRACK: Final = re.compile(r'^\s*changeTrackPath\s*=\s*"([^"]*)"', re.MULTILINE)
_EXTENT: Final = re.compile(r'^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+\w+\s+"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What is of interest in a descriptor."""

    parent: str = ""  # what it calls the file that it depends on; empty for a base
    # The files with its data and their change tracking, as it calls them.
    extents: tuple[str, ...] = ()


def parse_descriptor(head: bytes) -> Descriptor | None:
    """Return what a file's first bytes say; None if they are not a descriptor."""
    if head.startswith(_MAGIC) and len(head) >= _EMBEDDED.size:
        start, sectors = _EMBEDDED.unpack_from(head)
        head = head[start * _SECTOR : (start + sectors) * _SECTOR]
    text = head.decode("utf-8", "replace").lstrip("\ufeff").rstrip("\0")
    if not text.lstrip().lower().startswith(_TITLE):
        return None
    hint = _HINT.search(text)
    return Descriptor(
        parent=hint.group(1) if hint else "",
        extents=(*_EXTENT.findall(text), *_TRACK.findall(text)),
    )
