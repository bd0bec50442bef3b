"""Disk images that parents are made from, where a driver can import them."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from linkedclone.model.values.document import Document, told_as
from linkedclone.model.values.ids import SnapshotId, VmId


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageImport:
    """An image file that is to become a parent VM with the snapshot ``base``.

    Attributes:
        file: The image; None if it is at ``url``.
        url: Where it is to be fetched from, by http or https; empty for a file.
        sha256: The SHA-256 that it has to have, in hexadecimal; empty to take it as it is.
        name: The parent's name; an image that has it already becomes an older version.
        format: ``qcow2``, ``raw`` or ``vmdk``; empty to tell it by content.
        cpus: The parent's processors; clones inherit them.
        memory_bytes: Its memory.
        kernel: A kernel to boot directly.
        initrd: Its initial RAM disk.
        append: Its command line.
        user: Who logs in to the clones by SSH: ``root``, a user that is to be
            made, or empty for the image's own default user.
        firmware: What it boots with, ``bios`` or ``uefi``; nothing with a kernel.
        move: Whether the file is moved into place instead of copied.
        source: Shown as its origin; empty for the file or the URL.
    """

    file: Path | None = None
    url: str = ""
    sha256: str = ""
    name: str
    format: str = ""
    cpus: int = 1
    memory_bytes: int = 1 << 30
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    user: str = ""
    firmware: Literal["bios", "uefi"] = "bios"
    move: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBuild:
    """An image that is to be made of a distribution's packages.

    Attributes:
        name: The parent's name; an image that has it already becomes an older version.
        release: The distribution's release, by its code name.
        packages: Packages besides those that every guest gets.
        capacity_bytes: The size of its disk.
        cpus: The parent's processors.
        memory_bytes: Its memory.
    """

    name: str
    release: str
    packages: tuple[str, ...] = ()
    capacity_bytes: int = 8 << 30
    cpus: int = 1
    memory_bytes: int = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskExport:
    """A disk that is to be written to one file, with all that it shares.

    Attributes:
        vm: The VM.
        file: Where to; nothing is there yet.
        format: What it is to be.
        snapshot: The snapshot whose state is wanted; None for what the VM has now.
        disk: The disk, by its label; empty for the first.
    """

    vm: VmId
    file: Path
    format: Literal["qcow2", "raw", "vmdk"]
    snapshot: SnapshotId | None = None
    disk: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebased:
    """What depends on a layer again that was missed.

    Attributes:
        file: Where the layer is.
        layers: How many layers were changed for that, or made.
        vms: The names of the VMs that read it.
    """

    file: str
    layers: int
    vms: tuple[str, ...]


class TellBytes(Protocol):
    """Receives the progress of a long transfer."""

    def __call__(self, what: str, done_bytes: int = 0, total_bytes: int = 0, /) -> None:
        """Hear what is being done, and how far it is; a total of 0 is not known."""


def tell_nobody(what: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
    """Hear it, and do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(Document):
    """An imported image, as it was seen.

    Attributes:
        name: Its name.
        version: Which import of its name it is, from 1; the newest bears the
            plain name, the others ``NAME@VERSION``.
        vm: The parent VM's id.
        source: Where it was imported from.
        format: The format of the base layer.
        capacity_bytes: The size that a guest sees.
        file_bytes: What the base layer takes on disk.
        imported: When.
        dependants: Names of the VMs that depend on it.
    """

    name: str
    version: int = 1
    vm: VmId = field(metadata=told_as("id"))
    source: str
    format: str
    capacity_bytes: int
    file_bytes: int
    imported: datetime | None
    dependants: tuple[str, ...] = ()
