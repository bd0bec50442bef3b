"""How long ago something was, for people."""

from datetime import UTC, datetime

_STEPS = ((86400 * 365, "y"), (86400 * 30, "mo"), (86400, "d"), (3600, "h"), (60, "min"))


def read_clock() -> datetime:
    """Return the time, which only the command line reads."""
    return datetime.now(UTC)


def render_age(then: datetime | None, now: datetime) -> str:
    """Write an age in its largest unit: ``5 h``, ``3 d``, ``2 mo``; unknown is a dash.

    What is less than a minute old, or lies ahead because clocks differ, is ``new``.
    """
    if then is None:
        return "-"
    seconds = int((now - then).total_seconds())
    for length, unit in _STEPS:
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return "new"
