"""Lengths of time as people write them: ``90s``, ``5m``, ``12h``, ``30d``."""

import re

from linkedclone.errors import InputError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhd]?)", re.IGNORECASE)


def parse_duration(text: str) -> float:
    """Read ``90``, ``90s``, ``5m``, ``12h`` or ``30d``; return seconds."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    if seconds <= 0:
        raise InputError(f"{text!r} is not a duration", hint="write it as 90s, 5m, 12h or 30d")
    return seconds
