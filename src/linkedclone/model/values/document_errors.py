"""Documents that people write: what is wrong in them is found in any order, told all at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


class Written:
    """Data that people write in a file; a key that it does not know is an error."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}


Place = tuple[str | int, ...]
"""Where in a document: keys, and numbers of items from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    place: Place  # where; empty for the whole document
    text: str  # what, without a value that might be a password
    # Further keys of the same mapping that it follows from. Where one of those is wrong in itself,
    # this problem may be none.
    beside: tuple[str, ...] = ()


def show_place(place: Place) -> str:
    """Return a place as people write it: ``addresses[1].range``; ``file`` for the whole."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return shown.removeprefix(".") or "file"
