"""Fingerprints of sealed layers: they distinguish changed layers from unchanged ones.

A program that writes to a file moves its time [fact: fs-times], so size and time
find every change but a deliberate one. The hash answers the other question:
whether a file with another inode is the same one, moved or restored. It covers
the first and last 64 KiB and up to 62 blocks spread evenly between them, so a
file up to 4 MiB whole and a large one in a few milliseconds whatever its size: a
whole 40 GiB base would take a minute before each start.

Copies lose the time, or its fraction (``cp -r``, ``tar``, coarser file systems). So
the seal of a layer up to 1 GiB has a hash of all of it, too: if nothing but the time
differs, the layer is compared in full once, and sealed anew. The seals of larger
layers and of older versions have none. There a time that is the sealed one but for
its fraction is accepted, for a program that writes would have moved it further.
"""

import errno
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import cast

from linkedclone.errors import HypervisorError
from linkedclone.system.reading import open_regular

_BLOCK_BYTES = 1 << 16
_BLOCKS = 64
_CHUNK_BYTES = 4 << 20
_WHOLE_BYTES = 1 << 30
"""Up to how much data a layer is hashed in full when it is sealed: a second or two."""
_GRAINS_NS = (100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000)
"""How coarse times are in archives and file systems."""
_BYTES_PER_BLOCK = 512
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    size: int
    mtime_ns: int  # its modification time in nanoseconds
    inode: int
    sampled_sha256: str  # SHA-256 over the sampled blocks
    full_sha256: str = ""  # SHA-256 over the SHA-256 of each 4 MiB; empty if not taken


def take_fingerprint(path: Path) -> Fingerprint:
    seen = path.stat()
    digest = _hash(str(path), seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
    return Fingerprint(
        size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, sampled_sha256=digest
    )


def take_whole_fingerprint(path: Path, *, unlimited: bool = False) -> Fingerprint:
    """Look at a file as it is now, with a hash of all of it unless it is too large for that."""
    found, seen = take_fingerprint(path), path.stat()
    if seen.st_blocks * _BYTES_PER_BLOCK > _WHOLE_BYTES and not unlimited:
        return found
    return replace(found, full_sha256=_hash_all(path, found, seen.st_ctime_ns))


def has_sealed_content(path: Path, sealed: Fingerprint) -> bool:
    """Say whether a file holds all that was sealed, though its time may be another."""
    now = take_fingerprint(path)
    if (now.size, now.sampled_sha256) != (sealed.size, sealed.sampled_sha256):
        return False
    if now.mtime_ns == sealed.mtime_ns or len(sample_offsets(now.size)) * _BLOCK_BYTES >= now.size:
        return True
    if sealed.full_sha256:
        return _hash_all(path, now, path.stat().st_ctime_ns) == sealed.full_sha256
    return is_coarser(now.mtime_ns, sealed.mtime_ns)


def is_coarser(now_ns: int, sealed_ns: int) -> bool:
    """Say whether a time is another one but for its fraction. Pure."""
    return any(now_ns % g == 0 and abs(now_ns - sealed_ns) < g for g in _GRAINS_NS)


@lru_cache(maxsize=64)
def _hash_all(path: Path, now: Fingerprint, _ctime_ns: int) -> str:
    """Hash a file chunk by chunk; holes are not read."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        descriptor = file.fileno()
        chunks = tuple(_list_chunks(descriptor, now.size))
        hash_one = partial(_hash_chunk, descriptor)
        try:
            hashed = pool.map(hash_one, chunks)
        except RuntimeError:  # an interrupted command only ends its work, and no pool works then
            hashed = map(hash_one, chunks)
        for one in hashed:
            digest.update(one)
    return digest.hexdigest()


def _list_chunks(descriptor: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """List where each chunk begins, how long it is, and whether it is a hole."""
    data = -1
    for offset in range(0, size, _CHUNK_BYTES):
        length = min(_CHUNK_BYTES, size - offset)
        if data < offset:
            data = _find_data(descriptor, offset, size)
        yield offset, length, data >= offset + length


def _find_data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else offset


def _hash_chunk(descriptor: int, chunk: tuple[int, int, bool]) -> bytes:
    offset, length, hole = chunk
    if hole:
        return _hash_zeros(length)
    return hashlib.sha256(os.pread(descriptor, length, offset)).digest()


@lru_cache(maxsize=8)
def _hash_zeros(length: int) -> bytes:
    return hashlib.sha256(bytes(length)).digest()


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
    return json.dumps(asdict(fingerprint)).encode() + b"\n"


def parse_fingerprint(content: bytes, path: Path) -> Fingerprint:
    """Read it; ``path`` is where it was."""
    try:
        document = cast("dict[str, object]", json.loads(content))
        known = {field.name for field in fields(Fingerprint)}
        unknown = sorted(set(document) - known)
        found = None if unknown else Fingerprint(**document)  # type: ignore[arg-type]  # as fields
    except (ValueError, TypeError, RecursionError) as error:
        raise refuse_seal(path, repr(error)) from error
    if found is None:
        words = "it was written by another version of linkedclone, and has "
        raise refuse_seal(path, f"{words}{', '.join(map(repr, unknown))[:_SHOWN]}")
    wrong = [f.name for f in fields(found) if type(getattr(found, f.name)) is not f.type]
    if wrong:
        raise refuse_seal(path, f"it does not hold a proper {wrong[0]}")
    return found


def refuse_seal(path: Path, why: str) -> HypervisorError:
    """Return the error for a seal that tells nothing of its layer, with the ways out."""
    layer = shlex.quote(str(path).removesuffix(".seal"))
    return HypervisorError(
        f"the seal {path} cannot be understood",
        details=why,
        kind="seal",
        hint="restore that file from a backup, or compare the layer in full and accept it: "
        f"``doctor`` ``accept`` {layer}",
    )
