"""Answers of guest agents and of QEMU, decoded with distrust.

The root user of a guest controls what its agent answers, and a guest may have
taken over its QEMU. So every answer is bounded in size and depth, every value
is checked where it is read, and every failure means that the other side does
not answer: nothing else about the VM, or about other VMs, depends on it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from linkedclone.errors import BusyError

_NESTING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""A string, or a bracket outside of strings; possessive, so the time is linear in any text."""
_MOST_CHARACTERS: Final = 1 << 20
_MOST_ITEMS: Final = 1 << 16
_NUMBERS: Final = range(-(1 << 63), 1 << 64)
"""QEMU's own integers (QAPI: int64, uint64)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who answers, and how much of an answer is read."""

    name: str  # who, as the subject of a sentence
    most_bytes: int  # the longest answer
    most_levels: int  # the deepest nesting of an answer


AGENT: Final = Source(name="the guest agent", most_bytes=1 << 20, most_levels=32)
QEMU: Final = Source(name="QEMU", most_bytes=10 << 20, most_levels=500)
"""QEMU nests one level for each layer of a chain (``query-block``)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A value of an answer; each way to read it checks what it is.

    Every method raises :class:`BusyError` if the value is of another kind.
    """

    value: object
    source: Source = QEMU

    def members(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self.refuse("an object is expected")
        return self.value

    def __getitem__(self, key: str) -> "Answer":
        found = self.get(key)
        if found is None:
            raise self.refuse(f"{key!r} is missing")
        return found

    def get(self, key: str) -> "Answer | None":
        """Return a member of an object; None if it is absent or null."""
        found = self.members().get(key)
        return None if found is None else Answer(found, self.source)

    def __iter__(self) -> Iterator["Answer"]:
        if not isinstance(self.value, list) or len(self.value) > _MOST_ITEMS:
            raise self.refuse("a list is expected")
        return (Answer(item, self.source) for item in self.value)

    def text(self) -> str:
        """Return a string that is Unicode text without NUL."""
        value = self.value
        if not isinstance(value, str) or len(value) > _MOST_CHARACTERS or "\0" in value:
            raise self.refuse("a string is expected")
        if not _is_unicode(value):
            raise self.refuse("a string is not Unicode")
        return value

    def number(self) -> int:
        if type(self.value) is not int or self.value not in _NUMBERS:
            raise self.refuse("an integer is expected")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.refuse("a boolean is expected")
        return self.value

    def refuse(self, reason: str) -> BusyError:
        return refuse_answer(self.source, reason)


def decode_answer(line: bytes, source: Source) -> Answer:
    """Decode one JSON text. Pure.

    Raises:
        BusyError: It is too long, too deep, not JSON in UTF-8, or has a key twice.
    """
    if len(line) > source.most_bytes:
        raise refuse_answer(source, f"it is longer than {source.most_bytes} bytes")
    if _is_deeper(line, source.most_levels):
        raise refuse_answer(source, f"it is nested deeper than {source.most_levels} levels")
    try:
        value: Any = json.loads(
            line.decode(), object_pairs_hook=_build_object, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise refuse_answer(source, _explain(error)) from error
    return Answer(value, source)


def refuse_answer(source: Source, reason: str) -> BusyError:
    details = f"this is not a valid answer: {reason}"
    return BusyError(f"{source.name} does not answer", details=details, hint="restart the VM")


def _is_deeper(line: bytes, most_levels: int) -> bool:
    """Say whether brackets outside of strings are nested deeper than so many levels."""
    level = 0
    for found in _NESTING.finditer(line):
        if found[0] in {b"[", b"{"}:
            level += 1
            if level > most_levels:
                return True
        elif found[0] in {b"]", b"}"}:
            level -= 1
    return False


def _build_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _refuse_constant(_: str) -> object:
    raise ValueError("a number is not finite")


def _explain(error: Exception) -> str:
    """Say what is wrong without a word of the answer."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON ({error.msg})"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
