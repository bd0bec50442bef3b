"""How many columns of a terminal a text takes. Standard library only: a pipe needs no rich."""

from collections.abc import Iterable
from functools import cache
from unicodedata import category, east_asian_width


def width_of(text: str) -> int:
    """Return the columns that a text takes: two for a wide character, none for a combining one."""
    return len(text) if text.isascii() else sum(map(_width_of_character, text))


@cache
def _width_of_character(character: str) -> int:
    if east_asian_width(character) in {"W", "F"}:
        return 2
    return 0 if category(character) in {"Mn", "Me"} else 1


def fit(text: str, room: int, cut: str) -> str:
    """Fill a text up with blanks to so many columns, or cut its end and mark that with ``cut``."""
    return _fit(text, room, cut, tail=0)


def fit_name(text: str, room: int, cut: str) -> str:
    """Do what :func:`fit` does, but cut in the middle: names often differ in their ends alone."""
    return _fit(text, room, cut, tail=(room - width_of(cut)) // 2)


def _fit(text: str, room: int, cut: str, *, tail: int) -> str:
    blanks = room - width_of(text)
    if blanks >= 0:
        return text + " " * blanks
    left = room - width_of(cut)
    if left < 0:
        return cut[:room]
    end = _take(reversed(text), tail)[::-1]
    shown = _take(text, left - width_of(end)) + cut + end
    return shown + " " * (room - width_of(shown))


def _take(characters: Iterable[str], room: int) -> str:
    """Return as many characters from the start as have room."""
    kept: list[str] = []
    for character in characters:
        room -= _width_of_character(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept)
