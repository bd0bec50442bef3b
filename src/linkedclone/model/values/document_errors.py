"""What is wrong in a document that a person wrote: found in any order, told all at once."""

from dataclasses import dataclass

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
