"""Fingerprints of sealed layers: how a layer that was changed is told from one that was not.

Any program that writes to a file moves its modification time, so size and time
find every change but a deliberate one. The hash answers the other question:
whether a file with another inode is the same one, moved or restored. It covers
the first and last 64 KiB and up to 62 blocks spread evenly between them, so a
file up to 4 MiB whole and a large one in a few milliseconds whatever its size: a
whole 40 GiB base would take a minute before each start.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from linkedclone.drivers.local.reading import open_regular
from linkedclone.errors import HypervisorError

_BLOCK_BYTES = 1 << 16
_BLOCKS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What a sealed layer looked like.

    Attributes:
        size: Its length in bytes.
        mtime_ns: Its modification time in nanoseconds.
        inode: Its inode number.
        sampled_sha256: SHA-256 over the sampled blocks.
    """

    size: int
    mtime_ns: int
    inode: int
    sampled_sha256: str


def take_fingerprint(path: Path) -> Fingerprint:
    """Look at a file as it is now.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
    """
    seen = path.stat()
    digest = _hash(str(path), seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
    return Fingerprint(
        size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, sampled_sha256=digest
    )


@lru_cache(maxsize=4096)
def _hash(path: str, size: int, _mtime_ns: int, _ctime_ns: int, _inode: int) -> str:
    """Hash the samples, once per state of the file: what cannot be set back is in the key."""
    digest = hashlib.sha256()
    with open_regular(Path(path)) as file:
        for offset in sample_offsets(size):
            digest.update(os.pread(file.fileno(), _BLOCK_BYTES, offset))
    return digest.hexdigest()


def sample_offsets(size: int) -> tuple[int, ...]:
    """Return where the sampled blocks of a file of this size begin. Pure."""
    if size <= _BLOCK_BYTES * _BLOCKS:
        return tuple(range(0, size, _BLOCK_BYTES))
    last = size - _BLOCK_BYTES
    return tuple(last * i // (_BLOCKS - 1) for i in range(_BLOCKS))


def explain_difference(sealed: Fingerprint, now: Fingerprint) -> str:
    """Say how a file differs from what was sealed; empty if it is the same. Pure.

    Another inode with the same content is the same layer, moved or restored.
    """
    if now.size != sealed.size:
        return f"it has {now.size} bytes, and had {sealed.size} when it was sealed"
    if now.mtime_ns != sealed.mtime_ns:
        return "it was written to after it was sealed"
    if now.sampled_sha256 != sealed.sampled_sha256:
        return "its content is not what was sealed, though its size and time are"
    return ""


def render_fingerprint(fingerprint: Fingerprint) -> bytes:
    """Write it as JSON."""
    return json.dumps(asdict(fingerprint)).encode() + b"\n"


def parse_fingerprint(content: bytes, what: str) -> Fingerprint:
    """Read it.

    Raises:
        HypervisorError: It is not one.
    """
    try:
        document = cast("dict[str, object]", json.loads(content))
        return Fingerprint(**document)  # type: ignore[arg-type]  # checked by the constructor's names
    except (ValueError, TypeError) as error:
        brief = f"{what} cannot be understood"
        raise HypervisorError(
            brief, details=repr(error), kind="seal", hint="restore that file from a backup"
        ) from error
