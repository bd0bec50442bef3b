"""Chains of disk files, read from the files: qcow2 over qcow2, raw or vmdk."""

import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from linkedclone.errors import HypervisorError
from linkedclone.formats import vmdk
from linkedclone.formats.qcow2 import INCOMPATIBLE_DATA_FILE, read_header, round_to_sectors
from linkedclone.system.reading import name_kind, refuse_file

MAX_LAYERS = 200
"""More than any sane chain; a file that backs itself would otherwise never end."""


class ImageFormat(StrEnum):
    """The formats of disk files; the values are QEMU's names and our file suffixes."""

    QCOW2 = "qcow2"
    RAW = "raw"
    VMDK = "vmdk"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFile:
    """One disk file of a chain."""

    path: Path
    format: ImageFormat  # its format, as recorded above it or, for a top, by its suffix
    virtual_bytes: int = 0  # the size that a guest sees; 0 if the file is missing
    backing: Path | None = None  # the file below; None for a base
    backing_format: ImageFormat = ImageFormat.RAW  # the recorded format of the file below
    missing: bool = False  # true if the file is not there


ReadDiskFile = Callable[[Path, ImageFormat], DiskFile]


def format_by_suffix(path: Path) -> ImageFormat:
    """Tell the format of one of our own files, which are named after it.

    Never by content: a guest that owns a raw disk can write any header to it.
    """
    try:
        return ImageFormat(path.suffix.removeprefix("."))
    except ValueError as error:
        raise HypervisorError(
            f"{path} has no suffix that names its format", hint="give it back the name that it had"
        ) from error


def read_disk_file(path: Path, image_format: ImageFormat) -> DiskFile:
    """Read what one file says about itself; a missing file is reported, not raised."""
    try:
        match image_format:
            case ImageFormat.RAW:
                size = round_to_sectors(_measure_raw(path))
                return DiskFile(path=path, format=image_format, virtual_bytes=size)
            case ImageFormat.VMDK:
                size = vmdk.read_capacity(path)
                return DiskFile(path=path, format=image_format, virtual_bytes=size)
            case ImageFormat.QCOW2:
                return _read_qcow2(path)
    except FileNotFoundError:
        return DiskFile(path=path, format=image_format, missing=True)


def _measure_raw(path: Path) -> int:
    """Return the size of a raw disk: a file, or a device of this machine that files depend on."""
    seen = path.stat()
    if not (stat.S_ISREG(seen.st_mode) or stat.S_ISBLK(seen.st_mode)):
        raise refuse_file(path, f"it is not a regular file but {name_kind(seen.st_mode)}")
    return seen.st_size


def _read_qcow2(path: Path) -> DiskFile:
    header = read_header(path)
    size = round_to_sectors(header.virtual_bytes)
    if header.incompatible & INCOMPATIBLE_DATA_FILE:
        raise HypervisorError(
            f"{path} keeps its data in another file",
            kind="qcow2",
            hint="restore that file from a backup",
        )
    if ":" in header.backing_path.partition("/")[0]:  # as QEMU tells ``nbd:…`` from a path
        raise HypervisorError(
            f"{path} has a backing file that is not a file of this machine",
            details=repr(header.backing_path),
            kind="qcow2",
            hint="write it in as a path: qemu-img rebase -u -b BACKING -F FORMAT",
        )
    if not header.backing_path:
        return DiskFile(path=path, format=ImageFormat.QCOW2, virtual_bytes=size)
    try:
        backing_format = ImageFormat(header.backing_format)
    except ValueError as error:
        brief = f"{path} does not say which format its backing file has"
        raise HypervisorError(
            brief,
            details=repr(header.backing_format),
            hint="write it in: qemu-img rebase -u -b BACKING -F FORMAT",
        ) from error
    return DiskFile(
        path=path,
        format=ImageFormat.QCOW2,
        virtual_bytes=size,
        backing=Path(os.path.normpath(path.parent / header.backing_path)),
        backing_format=backing_format,
    )


def read_chain(
    top: Path, read: ReadDiskFile = read_disk_file, top_format: ImageFormat | None = None
) -> tuple[DiskFile, ...]:
    """Read a chain from its top down and return it base first.

    A missing file ends the chain: it comes first then, with ``missing`` set.

    Args:
        read: Reads one file; a cache may replace :func:`read_disk_file`.
        top_format: Its format; None if its suffix names it, as with all files of ours.
    """
    files = [read(top, top_format or format_by_suffix(top))]
    while files[-1].backing is not None:
        if len(files) == MAX_LAYERS:
            raise HypervisorError(
                f"the chain below {top} has no end", hint="restore its files from a backup"
            )
        files.append(read(files[-1].backing, files[-1].backing_format))
    return tuple(reversed(files))


def name_chain(chain: Sequence[DiskFile]) -> str:
    """Return a chain as QEMU's programs take it for a file: each layer with its format. Pure.

    They open these files and nothing else: no format is guessed, and no reference
    in a header is followed (QEMU: ``json:`` in qemu-block-drivers(7)).

    Args:
        chain: The layers, base first.
    """
    node: dict[str, object] | None = None
    for layer in chain:
        below = node
        node = {
            "driver": layer.format.value,
            "file": {"driver": "file", "filename": str(layer.path)},
        }
        if layer.format is not ImageFormat.RAW:
            node["backing"] = below
    return f"json:{json.dumps(node)}"


def name_disk(top: Path) -> str:
    """Return the whole chain of a disk as QEMU's programs take it for a file."""
    chain = read_chain(top)
    if chain[0].missing:
        raise HypervisorError(f"{chain[0].path} is missing", hint="``doctor`` says what to do")
    return name_chain(chain)
