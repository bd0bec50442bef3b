"""Sizes as people write and read them. In binary units: 1 GiB = 1,073,741,824 bytes."""

import re
from fractions import Fraction

from linkedclone.errors import InputError

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*(?:([kmgt])i?)?b?", re.IGNORECASE)


def parse_size(text: str, *, what: str = "size") -> int:
    """Read ``4GiB``, ``4G``, ``512MiB`` or a plain number of bytes; return bytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a {what}", hint="write it as 4GiB or 512MiB")
    size = int(Fraction(match.group(1)) * _UNITS[(match.group(2) or "").lower()])
    if size <= 0:
        raise InputError(f"a {what} of {text!r} is nothing")
    return size


def render_size(size_bytes: int | None) -> str:
    """Write a size for people: ``12.3 KiB``, ``423 MiB``; unknown is a dash."""
    if size_bytes is None:
        return "-"
    value, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 999.5:
            break
        value, unit = value / 1024, larger
    digits = 0 if unit == "B" or value >= 99.95 else 1
    return f"{value:.{digits}f} {unit}"
