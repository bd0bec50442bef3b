"""Disk files that others made: by hand with ``qemu-img create -b``, or with another tool.

A copy of ours counts as one: in the folder of an unlinked VM (see ``unlinked``), in a
folder that we did not name, or in a folder below a VM's.

Nothing says of them what they are, so they are recognized by their first bytes and by
the names that disk files usually have, and their headers are read with more
patience than our own. What they depend on is kept like what a VM depends on.
"""

import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from linkedclone.drivers.local.inventory.unlinked_vms import is_unlinked
from linkedclone.drivers.local.state.file_names import is_own_name
from linkedclone.drivers.local.state.folder import StateFolder, is_disk_name, is_vm_id
from linkedclone.errors import HypervisorError
from linkedclone.formats import qcow2, vmdk
from linkedclone.formats.chain import (
    DiskFile,
    ImageFormat,
    format_by_suffix,
    read_chain,
    read_disk_file,
)
from linkedclone.system.single_flight import SharedLook

_MAGIC = {qcow2.MAGIC: ImageFormat.QCOW2, vmdk.MAGIC: ImageFormat.VMDK}
_SUFFIXES = frozenset({".qcow2", ".raw", ".vmdk", ".img"})
_SETTLED_NS = 1_000_000_000
"""How old a change has to be so that a second one cannot hide behind the same time stamp."""
_LONGEST_NAME = 4096
"""Of a path (PATH_MAX, linux/limits.h)."""
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignDisk:
    # What it reads, base first, itself last; files in the state folder have the paths that they
    # have there.
    chain: tuple[DiskFile, ...]
    # Why not all that it reads is known: a header that is not sound, a file that is missing;
    # empty if it is.
    doubt: str = ""

    @property
    def path(self) -> Path:
        return self.chain[-1].path

    def hangs_from(self, layers: Iterable[Path]) -> bool:
        return not {file.path for file in self.chain[:-1]}.isdisjoint(layers)

    def may_hang_from(self, layers: Iterable[Path]) -> bool:
        """Say whether it could read one of these: if its chain is in doubt, it could read any."""
        return bool(self.doubt) or self.hangs_from(layers)


def find_foreign(state: StateFolder) -> tuple[ForeignDisk, ...]:
    found = (read_foreign(state, path) for path in sorted(_list_unknown(state)))
    return tuple(disk for disk in found if disk is not None)


def find_foreign_together(state: StateFolder) -> tuple[ForeignDisk, ...]:
    """Do the same at once for all threads of this process that ask meanwhile."""
    return _shared_look(state).take()


@lru_cache(maxsize=16)
def _shared_look(state: StateFolder) -> SharedLook[tuple[ForeignDisk, ...]]:
    return SharedLook(partial(find_foreign, state))


def _list_unknown(state: StateFolder) -> Iterator[Path]:
    """List all files in the VMs' folders, and below, but those of ours; no link is followed."""
    copies: dict[Path, bool] = {}
    for path in _walk(str(state.vms)):
        folder = path.parent
        if is_own_name(path.name) and folder not in copies:
            ours = folder.parent == state.vms and is_vm_id(folder.name)
            copies[folder] = not ours or is_unlinked(state, folder)
        if not is_own_name(path.name) or copies[folder]:
            yield path


def _walk(top: str) -> Iterator[Path]:
    left = [top]
    while left:
        folder = left.pop()
        try:
            files, folders = _look_into(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue  # a VM that is just being deleted
        except OSError:
            yield Path(folder)  # what is in it could depend on anything
            continue
        left.extend(folders)
        yield from map(Path, files)


_Content = tuple[tuple[str, ...], tuple[str, ...]]
"""The files of a folder that may be disks, and the folders in it."""


def _look_into(folder: str) -> _Content:
    """Look into a folder, or remember what was in it while it has not changed.

    500 deletions look a hundred times and more, each at all that is left.
    """
    seen = os.stat(folder, follow_symlinks=False)  # noqa: PTH116 - several times faster
    if time.time_ns() - seen.st_ctime_ns < _SETTLED_NS:
        return _list_folder(folder)
    return _remember_folder(folder, seen.st_ino, seen.st_ctime_ns)


@lru_cache(maxsize=1 << 15)
def _remember_folder(folder: str, _inode: int, _ctime_ns: int) -> _Content:
    """Look once per state of the folder: whatever comes or goes moves its time.

    That of the last change, which cannot be set back as ``cp -a`` does with the other.
    """
    return _list_folder(folder)


def _list_folder(folder: str) -> _Content:
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False) and _may_be_disk(entry.name):
                files.append(entry.path)
    return tuple(files), tuple(folders)


def _may_be_disk(name: str) -> bool:
    return is_disk_name(name) or not is_own_name(name)


def read_foreign(state: StateFolder, path: Path) -> ForeignDisk | None:
    """Read a file that may be a disk; None if it is none, or gone."""
    try:
        found = sniff(path)
        if found is None:
            return None
        chain = _read_chain(state, path, found)
    except FileNotFoundError:
        return None
    except (HypervisorError, OSError) as error:
        alone = DiskFile(path=path, format=ImageFormat.RAW)
        return ForeignDisk(chain=(alone,), doubt=str(error))
    doubt = f"{chain[0].path} is missing: {path} depends on it" if chain[0].missing else ""
    return ForeignDisk(chain=chain, doubt=doubt)


def sniff(path: Path) -> ImageFormat | None:
    """Return the kind of a file by its first bytes, else by its name; None if it is not a disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        head = os.read(descriptor, len(qcow2.MAGIC))
    finally:
        os.close(descriptor)
    found = _MAGIC.get(head)
    return ImageFormat.RAW if found is None and path.suffix in _SUFFIXES else found


def _read_chain(state: StateFolder, path: Path, found: ImageFormat) -> tuple[DiskFile, ...]:
    def read(file: Path, image_format: ImageFormat) -> DiskFile:
        if is_in_state(state, file) and is_disk_name(file.name):
            return read_disk_file(file, format_by_suffix(file))
        return _read_file(state, file, image_format)

    return read_chain(path, read, found)


def _read_file(state: StateFolder, path: Path, image_format: ImageFormat) -> DiskFile:
    try:
        recorded, below = _read_backing(path, image_format)
        if image_format is ImageFormat.RAW or (image_format is ImageFormat.QCOW2 and not below):
            return read_disk_file(path, image_format)
        backing = _locate(state, path, below) if below else None
        return DiskFile(
            path=path,
            format=image_format,
            virtual_bytes=_read_size(path, image_format),
            backing=backing,
            backing_format=_choose_format(backing, recorded),
        )
    except FileNotFoundError:
        return DiskFile(path=path, format=image_format, missing=True)


def _read_backing(path: Path, image_format: ImageFormat) -> tuple[str, str]:
    """Return the recorded format of the file below, and its name; both empty for none."""
    match image_format:
        case ImageFormat.QCOW2:
            header = qcow2.read_header(path)
            return header.backing_format, header.backing_path
        case ImageFormat.VMDK:
            return ImageFormat.VMDK, vmdk.read_parent(path)
        case ImageFormat.RAW:
            return "", ""


def _read_size(path: Path, image_format: ImageFormat) -> int:
    if image_format is ImageFormat.VMDK:
        return vmdk.read_size(path)
    return qcow2.round_to_sectors(qcow2.read_header(path).virtual_bytes)


def _choose_format(backing: Path | None, recorded: str) -> ImageFormat:
    """Return the format of a backing file: older tools did not have to record it."""
    if recorded in {image_format.value for image_format in ImageFormat}:
        return ImageFormat(recorded)
    try:
        return (backing and sniff(backing)) or ImageFormat.RAW
    except OSError:
        return ImageFormat.RAW


def _locate(state: StateFolder, path: Path, name: str) -> Path | None:
    """Find the file that a backing name means; None if it means no file of this machine.

    The same file may be named through links: in the state folder it gets the
    path that it has for us.
    """
    name = _plain_name(name).removeprefix("file:")
    if "\0" in name or len(name) > _LONGEST_NAME:
        raise HypervisorError(
            "the name of its backing file is not valid", hint="move that file away", kind="qcow2"
        )
    if _PROTOCOL.match(name.partition("/")[0]):  # as QEMU tells ``nbd:…`` from a path
        return None
    plain = Path(os.path.normpath(path.parent / name))
    real = Path(os.path.realpath(path.parent / name))
    if is_in_state(state, plain) and os.path.realpath(plain) == str(real):
        return plain
    root = Path(os.path.realpath(state.root))
    return state.root / real.relative_to(root) if real.is_relative_to(root) else real


def _plain_name(name: str) -> str:
    """Return the file name of a backing name that QEMU wrote as ``json:{…}``."""
    if not name.startswith("json:"):
        return name
    try:
        node: object = json.loads(name.removeprefix("json:"))
    except (ValueError, RecursionError):
        node = None
    while isinstance(node, dict):
        found = node.get("filename", node.get("file.filename"))
        if isinstance(found, str):
            return found
        node = node.get("file")
    raise HypervisorError(
        f"the backing file {name!r} cannot be understood",
        hint="write it in as a path: qemu-img rebase -u -b BACKING -F FORMAT",
        kind="qcow2",
    )


def is_in_state(state: StateFolder, path: Path) -> bool:
    return path.is_relative_to(state.root)
