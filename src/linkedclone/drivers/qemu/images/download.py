"""Fetch an image by http or https, and go on where an earlier try stopped.

What was fetched stays in ``downloads`` of the state folder until the image is
whole: Ctrl-C, a lost connection, a full disk or a killed command cost what was
under way at that moment, not what was there before. It is only gone on with
where the server still has the same file (``If-Range``, RFC 9110, section
13.1.5), or where a SHA-256 tells in the end; anything else is fetched anew.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit, urlunsplit

from linkedclone.drivers.qemu.qemu_img import free_bytes
from linkedclone.errors import EndpointError, InputError, NoSpaceError, UnreachableError
from linkedclone.model.images import TellBytes
from linkedclone.model.values.sizes import render_size
from linkedclone.system.atomic_files import TEMPORARY_SUFFIX, replace_file
from linkedclone.system.locks import hold
from linkedclone.system.os_errors import NO_SPACE, explain_no_space
from linkedclone.system.private_files import PRIVATE_FOLDER

PART_SUFFIX = ".part"
NOTE_SUFFIX = ".json"
CHUNK_BYTES = 1 << 20
TRIES = 5
"""How often in a row a connection may bring next to nothing before it is given up."""
RESTARTS = 3
"""How often a file may turn out to be another one in one command."""
DEADLINE_SECONDS = 24 * 3600.0
"""How long one command fetches at most; what came is kept."""
_PROGRESS_BYTES = 1 << 15
_SLOW_SECONDS, _SLOW_BYTES = 60.0, 1 << 16
"""A server that brings less than that in that time is given up like one that says nothing."""
_RESERVE_BYTES = 64 << 20
"""What a file whose length is not told leaves free."""
_PAUSE_SECONDS = 1.0
_LOCK_SECONDS = 1.0
NOT_SATISFIABLE = 416
_CHANGED = "the file on the server has changed"
_SLOW = "almost no data arrived for a minute"
_GO_ON = "the same command continues from there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    url: str  # a digest of where it comes from: the address may hold a secret
    validator: str = ""  # what the server tells its versions by, if that is exact
    total_bytes: int = 0  # its whole length; 0 if the server does not say
    # The SHA-256 that it has, once it was whole and not what was asked for.
    refused_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answers to the question for a file, or for the rest of one."""

    status: int  # 200, 206 or 416
    offset: int = 0  # where in the file its content begins
    total_bytes: int = 0  # the length of the file; 0 if that is not told
    # What tells this version of the file from others; empty if nothing does for sure.
    validator: str = ""
    bounded: bool = True  # whether the end of the content differs from a lost connection
    # Returns at most so many further bytes, as soon as there are any; none at the end.
    read: Callable[[int], bytes]


Ask = Callable[[str, int, str], AbstractContextManager[Answer]]
"""Asks for a file from an offset on, if a validator is still its; see ``fetch.ask_server``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    file: Path
    # Whether it is known to be all that there is: by its SHA-256, or because the server told
    # where it ends.
    whole: bool


@contextmanager
def downloaded(
    folder: Path, url: str, *, sha256: str, ask: Ask, tell: TellBytes
) -> Iterator[Download]:
    """Fetch a file; yields where it is, and forgets it when the block ends well.

    Args:
        folder: Where it is put; made if need be.
        sha256: What it has to be; empty to take it as it is.
    """
    folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
    part = folder / (hashlib.sha256(url.encode()).hexdigest()[:16] + PART_SUFFIX)
    with hold(part, deadline_s=_LOCK_SECONDS):
        fetch = _Fetch(url=url, part=part, ask=ask, tell=tell)
        if not fetch.is_wanted_after_all(sha256):
            fetch.run(trusting=bool(sha256))
            fetch.check(sha256)
        yield Download(file=part, whole=bool(sha256) or fetch.bounded)
        forget(part)


def forget(part: Path) -> None:
    """Remove what was fetched, what is noted of it, and what a killed command wrote of that."""
    note = note_path(part)
    for path in (*part.parent.glob(f".{note.name}.*{TEMPORARY_SUFFIX}"), note, part):
        path.unlink(missing_ok=True)


def note_path(part: Path) -> Path:
    return part.with_suffix(NOTE_SUFFIX)


def show_url(url: str) -> str:
    """Return a URL as it may be shown: without user, password and query."""
    found = urlsplit(url)
    host = found.netloc.rpartition("@")[2]
    return urlunsplit((found.scheme, host, found.path, "", ""))


def hash_file(path: Path, tell: TellBytes) -> str:
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            tell("checking", done, total)
    return digest.hexdigest()


def refuse_other(what: str, wanted: str, found: str) -> None:
    if found != wanted.lower():
        raise InputError(
            f"{what} is not the expected file",
            details=f"its SHA-256 is {found}, not {wanted.lower()}",
            hint="compare the sum with the one that is published beside the image",
        )


def _read_note(part: Path, url: str) -> Note:
    with suppress(OSError, ValueError, TypeError):
        found = Note(**cast("dict[str, Any]", json.loads(note_path(part).read_text())))
        if found.url == _digest_of(url):
            return found
    return Note(url=_digest_of(url))


def _digest_of(url: str) -> str:
    """Note a URL without what may be secret in it."""
    return hashlib.sha256(url.encode()).hexdigest()


def _flush(file: BinaryIO) -> None:
    file.flush()


class _Fetch:
    def __init__(self, *, url: str, part: Path, ask: Ask, tell: TellBytes) -> None:
        self._url = url
        self._part = part
        self._ask = ask
        self._tell = tell
        self._note = _read_note(part, url)
        self._restarts = 0
        self.bounded = True

    def is_wanted_after_all(self, sha256: str) -> bool:
        """Say whether what was refused the last time is what is wanted now."""
        return bool(sha256) and self._note.refused_sha256 == sha256.lower()

    def run(self, *, trusting: bool) -> None:
        """Fetch what is missing; ``trusting`` goes on also where it may be another file by now."""
        if self._note.refused_sha256 or not (self._note.validator or trusting):
            self._begin_anew(Note(url=self._note.url))
        failures, last, since = 0, "", time.monotonic()
        while failures < TRIES and time.monotonic() - since < DEADLINE_SECONDS:
            before = self._size
            try:
                self._fetch_rest()
            except UnreachableError as error:
                grown = self._size - before
                failures, last = (0 if grown >= _PROGRESS_BYTES else failures + 1), str(error)
                time.sleep(_PAUSE_SECONDS * max(failures, 1))
            else:
                return
        raise UnreachableError(
            f"{show_url(self._url)} cannot be fetched",
            details=last,
            hint=f"{render_size(self._size)} are kept: {_GO_ON}",
        )

    def check(self, sha256: str) -> None:
        """Make sure that it is the wanted file; one that is not is kept for once."""
        if not sha256:
            return
        found = hash_file(self._part, self._tell)
        if found != sha256.lower():
            self._write_note(replace(self._note, refused_sha256=found))
        refuse_other(show_url(self._url), sha256, found)

    @property
    def _size(self) -> int:
        return self._part.stat().st_size

    def _fetch_rest(self) -> None:
        size = self._size
        if size and size == self._note.total_bytes:
            return
        with self._ask(self._url, size, self._note.validator) as answer:
            if answer.status == NOT_SATISFIABLE:  # it ends at our offset, or is another file
                if not size or size != answer.total_bytes:
                    self._restart()
                    raise UnreachableError(_CHANGED, hint=_GO_ON)
                return
            if answer.offset != size or self._is_another(answer):
                self._restart(counted=bool(answer.offset))
                if answer.offset:
                    raise UnreachableError(_CHANGED, hint=_GO_ON)
            self._note = replace(
                self._note, validator=answer.validator, total_bytes=answer.total_bytes
            )
            self._write_note(self._note)
            self._refuse_too_large(answer.total_bytes - self._size)
            self._write(answer)

    def _restart(self, *, counted: bool = True) -> None:
        self._begin_anew(Note(url=self._note.url))
        self._restarts += counted
        if self._restarts >= RESTARTS:
            raise EndpointError(
                f"{show_url(self._url)} changes with each request",
                details=_CHANGED,
                hint="its mirrors may differ: name the address of one of them",
            )

    def _is_another(self, answer: Answer) -> bool:
        """Say whether a server that goes on goes on with another file: some ignore If-Range."""
        if not answer.offset:
            return False
        before, note = self._note.validator, self._note
        lengths = {note.total_bytes, answer.total_bytes} - {0}
        return (bool(before) and before != answer.validator) or len(lengths) > 1

    def _write(self, answer: Answer) -> None:
        total, since, least = answer.total_bytes, time.monotonic(), 0
        with self._part.open("r+b") as file:
            done = file.seek(0, os.SEEK_END)
            while chunk := answer.read(CHUNK_BYTES):
                self._refuse_endless(done + len(chunk), total)
                self._append(file, chunk)
                done += len(chunk)
                least += len(chunk)
                self._tell("fetching", done, total)
                if time.monotonic() - since >= _SLOW_SECONDS:
                    if least < _SLOW_BYTES and done != total:
                        raise UnreachableError(_SLOW, hint=_GO_ON)
                    since, least = time.monotonic(), 0
        if done < total:
            told = f"it stopped after {done} of {total} bytes"
            raise UnreachableError(told, hint=_GO_ON)
        self.bounded = answer.bounded

    def _append(self, file: BinaryIO, chunk: bytes) -> None:
        try:
            file.write(chunk)
            _flush(file)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            raise self._no_space(explain_no_space(error)[0]) from error

    def _refuse_endless(self, done: int, total: int) -> None:
        """Refuse what sends more than the announced length, or would fill the file system."""
        if total and done > total:
            self._begin_anew(Note(url=self._note.url))
            raise EndpointError(
                f"{show_url(self._url)} sends more than the announced length",
                details=f"it was to have {total} bytes",
                hint="fetch it yourself, then import the file",
            )
        if not total and free_bytes(self._part.parent) < _RESERVE_BYTES:
            self._begin_anew(Note(url=self._note.url))  # nothing says that it ever ends
            raise self._no_space(f"{render_size(done)} arrived, and the server gave no size")

    def _refuse_too_large(self, missing_bytes: int) -> None:
        if missing_bytes > free_bytes(self._part.parent):
            raise self._no_space(f"{render_size(missing_bytes)} are still to come")

    def _no_space(self, details: str = "") -> NoSpaceError:
        return NoSpaceError(
            f"there is no room for {show_url(self._url)}",
            details=details,
            hint=f"free some space; {render_size(self._size)} are kept: {_GO_ON}",
            kind="ENOSPC",
        )

    def _begin_anew(self, note: Note) -> None:
        os.truncate(self._part, 0)
        self._write_note(note)

    def _write_note(self, note: Note) -> None:
        self._note = note
        replace_file(note_path(self._part), json.dumps(asdict(note)).encode(), durable=False)
