"""Sealed layers: read-only, guarded by the immutable flag where permitted, and fingerprinted.

The immutable flag stops root, whom mode 0444 does not [fact: fs-immutable]; the fingerprint
finds what neither stopped. A layer is sealed *after* a ``vm.json`` names it as frozen, so a
killed command can leave a frozen layer without a seal but never a seal on a disk that is
written to; such a layer is sealed when it is next used.
"""

import array
import fcntl
import os
import shlex
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from linkedclone.drivers.local.state.file_names import SEAL_SUFFIX
from linkedclone.drivers.local.state.folder import StateFolder, read_note
from linkedclone.drivers.local.storage.fingerprint import (
    Fingerprint,
    explain_difference,
    has_sealed_content,
    parse_fingerprint,
    refuse_seal,
    render_fingerprint,
    take_fingerprint,
    take_whole_fingerprint,
)
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.errors import HypervisorError, InUseError, RefusedError
from linkedclone.system.atomic_files import replace_file
from linkedclone.system.private_files import PRIVATE_FILE

_LONGEST_SEAL_BYTES = 64 << 10
SEALED_MODE = 0o400

# linux/fs.h; the numbers are those of 64-bit machines.
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_IMMUTABLE_FL = 0x10


def seal_path(layer: Path) -> Path:
    return layer.with_name(layer.name + SEAL_SUFFIX)


def read_seal(layer: Path) -> Fingerprint:
    path = seal_path(layer)
    try:
        content = read_note(path, longest=_LONGEST_SEAL_BYTES)
    except HypervisorError as error:
        raise refuse_seal(path, error.details) from error
    return parse_fingerprint(content, path)


def is_sealed(layer: Path) -> bool:
    return os.path.lexists(seal_path(layer))


def seal(state: StateFolder, layer: Path) -> None:
    """Seal a layer; done already counts as done."""
    if is_sealed(layer):
        return
    refuse_writers([layer])
    layer.chmod(SEALED_MODE)
    _write_seal(state, layer, take_whole_fingerprint(layer))


def _write_seal(state: StateFolder, layer: Path, found: Fingerprint) -> None:
    replace_file(seal_path(layer), render_fingerprint(found), durable=state.durable)
    if state.immutable:
        set_immutable(layer, on=True)


def seal_anew(state: StateFolder, layer: Path, *, whole: bool = False) -> None:
    """Seal a layer as it is now, in the place of its seal; ``whole`` hashes any size."""
    set_immutable(layer, on=False)
    layer.chmod(SEALED_MODE)
    _write_seal(state, layer, take_whole_fingerprint(layer, unlimited=whole))


def seal_if_possible(state: StateFolder, layer: Path) -> None:
    """Seal a layer that a record names by now: a full disk does not undo that.

    What cannot be sealed now is sealed when it is next used.
    """
    with suppress(OSError, InUseError):
        seal(state, layer)


def unseal(layer: Path) -> None:
    """Take the seal off, before a layer is written to or removed; absent counts as done."""
    with suppress(FileNotFoundError):
        set_immutable(layer, on=False)
        seal_path(layer).unlink(missing_ok=True)
        layer.chmod(PRIVATE_FILE)


def check_seal(state: StateFolder, layer: Path, *, mend: bool = True) -> None:
    """Make sure that a layer below others is there and unchanged.

    Args:
        mend: Whether one whose time alone differs is sealed anew, and one without a seal sealed.
    """
    shown = state.relative(layer)
    try:
        sealed = read_seal(layer)
    except FileNotFoundError:
        if mend:
            _seal_late(state, layer)
        return
    try:
        difference = explain_difference(sealed, take_fingerprint(layer))
        if difference and has_sealed_content(layer, sealed):
            if mend:
                with suppress(OSError):  # where nothing can be written, it is compared again
                    seal_anew(state, layer)
            return
    except FileNotFoundError as error:
        raise _missing(layer) from error
    if difference:
        raise refuse_changed(shown, layer, sealed, difference)


def refuse_changed(shown: str, layer: Path, sealed: Fingerprint, difference: str) -> RefusedError:
    """Return the error for a layer that is not what was sealed, with the ways out."""
    when = datetime.fromtimestamp(sealed.mtime_ns / 1e9, tz=UTC)
    now = take_fingerprint(layer)
    like = (now.size, now.sampled_sha256) == (sealed.size, sealed.sampled_sha256)
    accept = (
        "if only its time was changed, by a copy, look at all of it and accept it: "
        f"``doctor`` ``accept`` {shlex.quote(str(layer))}; "
    )
    return RefusedError(
        f"the base layer {shown} was changed",
        details=difference,
        hint=f"put the file back as it was on {when:%Y-%m-%d %H:%M:%S} UTC; "
        + (accept if like and not sealed.full_sha256 else "")
        + "what depends on it would read a mixture of old and new data, "
        "which ``export`` NAME FILE takes out as it is",
    )


def accept_layer(state: StateFolder, layer: Path) -> None:
    """Seal a layer anew whose time alone is not what was sealed, once all of it was read.

    To be called under the exclusive family lock.
    """
    try:
        sealed = read_seal(layer)
    except (FileNotFoundError, HypervisorError):
        seal_anew(state, layer, whole=True)
        return
    now = take_fingerprint(layer)
    changed = sealed.full_sha256 and not has_sealed_content(layer, sealed)
    if changed or (now.size, now.sampled_sha256) != (sealed.size, sealed.sampled_sha256):
        difference = explain_difference(sealed, now)
        raise refuse_changed(state.relative(layer), layer, sealed, difference)
    seal_anew(state, layer, whole=True)


def _seal_late(state: StateFolder, layer: Path) -> None:
    try:
        seal(state, layer)
    except FileNotFoundError as error:
        raise _missing(layer) from error


def _missing(layer: Path) -> RefusedError:
    return RefusedError(
        f"the base layer {layer} is missing",
        details=f"{layer}: no such file",
        hint="put the file back in its place",
    )


def set_immutable(path: Path, *, on: bool) -> bool:
    """Set or clear the immutable flag; return whether it is now as asked.

    It is not where the filesystem has no such flag, or the user may not set it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        flags = array.array("L", [0])
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags, True)  # noqa: FBT003 - positional only
        wanted = flags[0] | _FS_IMMUTABLE_FL if on else flags[0] & ~_FS_IMMUTABLE_FL
        if wanted != flags[0]:
            fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, array.array("L", [wanted]))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
