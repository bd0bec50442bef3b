"""How many columns of a terminal a text takes. Standard library only: a pipe needs no rich."""

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
    """Fill a text up with blanks to so many columns, or cut it and mark that with ``cut``."""
    blanks = room - width_of(text)
    if blanks >= 0:
        return text + " " * blanks
    kept, left = [], room - width_of(cut)
    if left < 0:
        return cut[:room]
    for character in text:
        left -= _width_of_character(character)
        if left < 0:
            break
        kept.append(character)
    shown = "".join(kept) + cut
    return shown + " " * (room - width_of(shown))
