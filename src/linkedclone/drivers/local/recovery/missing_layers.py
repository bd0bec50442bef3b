"""Layers that are not where the chains name them: whether the same file lies elsewhere."""

import filecmp
from collections.abc import Iterable, Iterator
from contextlib import suppress
from os.path import normpath
from pathlib import Path

from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.storage.fingerprint import (
    Fingerprint,
    explain_difference,
    has_sealed_content,
    is_coarser,
    take_fingerprint,
)
from linkedclone.drivers.local.storage.seals import read_seal
from linkedclone.errors import HypervisorError
from linkedclone.formats.chain import ImageFormat
from linkedclone.formats.qcow2 import read_header


def find_seal(layer: Path, found: Path) -> Fingerprint | None:
    """Return what a missing layer looked like; None if nothing tells.

    Its seal may have been moved along: no two layers have one name, so a seal
    beside a file of that name is the layer's own.
    """
    places = (layer, found) if found.name == layer.name else (layer,)
    for place in places:
        with suppress(OSError, HypervisorError):
            return read_seal(place)
    return None


def is_same(layer: Path, found: Path) -> bool:
    """Say whether a file looks as a missing layer did when it was sealed."""
    with suppress(OSError):
        sealed = find_seal(layer, found)
        if sealed is not None and found.stat().st_size == sealed.size:
            now = take_fingerprint(found)
            like = is_coarser(now.mtime_ns, sealed.mtime_ns) and has_sealed_content(found, sealed)
            return like or not explain_difference(sealed, now)
    return False


def hangs_as_before(layer: Path, found: Path, image_format: ImageFormat) -> bool:
    """Say whether a layer finds what is below it from where it lies now."""
    if image_format is not ImageFormat.QCOW2:
        return True
    below = read_header(found).backing_path
    return not below or normpath(layer.parent / below) == normpath(found.parent / below)


def find_lost(state: StateFolder, layer: Path) -> tuple[Path, ...]:
    """Find files that look as a missing layer did, each content once.

    Looked for in the state folder and in the folder that holds it. More than one
    are returned only where their contents differ: the fingerprint of a large
    file is of samples.
    """
    folders = dict.fromkeys((layer.parent, *_list_folders(state)))
    return leave_out_copies(p for f in folders for p in _list_files(f) if is_same(layer, p))


def leave_out_copies(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the first file of each content."""
    filecmp.clear_cache()  # it goes by times, which are the same here
    found: list[Path] = []
    for path in paths:
        if not any(filecmp.cmp(path, other, shallow=False) for other in found):
            found.append(path)
    return tuple(found)


def _list_folders(state: StateFolder) -> Iterator[Path]:
    yield from sorted(path for path in state.vms.iterdir() if path.is_dir())
    yield from (state.root, state.root.parent)


def _list_files(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(p for p in folder.iterdir() if p.is_file() and not p.is_symlink())
