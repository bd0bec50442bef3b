"""Disk images that parents are made from, where a driver can import them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linkedclone.model.ids import VmId


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageImport:
    """An image file that is to become a parent VM with the snapshot ``base``.

    Attributes:
        file: The image.
        name: The parent's name.
        format: ``qcow2``, ``raw`` or ``vmdk``; empty to tell it by content.
        cpus: The parent's processors; clones inherit them.
        memory_bytes: Its memory.
        kernel: A kernel to boot directly.
        initrd: Its initial RAM disk.
        append: Its command line.
        user: Who logs in to the clones by SSH: ``root``, a user that is to be
            made, or empty for the image's own default user.
        move: Whether the file is moved into place instead of copied.
    """

    file: Path
    name: str
    format: str = ""
    cpus: int = 1
    memory_bytes: int = 1 << 30
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    user: str = ""
    move: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An imported image, as it was seen.

    Attributes:
        vm: The parent VM's id.
        name: Its name.
        source: The path that it was imported from.
        format: The format of the base layer.
        capacity_bytes: The size that a guest sees.
        file_bytes: What the base layer takes on disk.
        imported: When.
        dependants: Names of the VMs that hang from it.
    """

    vm: VmId
    name: str
    source: str
    format: str
    capacity_bytes: int
    file_bytes: int
    imported: datetime | None
    dependants: tuple[str, ...] = ()
