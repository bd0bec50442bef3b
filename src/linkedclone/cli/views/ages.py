"""How long ago something was, for people."""

from datetime import datetime, timedelta

_STEPS = ((86400 * 365, "y"), (86400 * 30, "mo"), (86400, "d"), (3600, "h"), (60, "min"))
_CLOCKS_APART = timedelta(days=1)


def render_age(then: datetime | None, now: datetime) -> str:
    """Write an age in its largest unit: ``5 h``, ``3 d``, ``2 mo``; unknown is a dash.

    An age below a minute, or slightly negative because clocks differ, is ``new``.
    A date a day or more ahead comes from a wrong clock: the age is unknown.
    """
    if then is None or then - now >= _CLOCKS_APART:
        return "-"
    seconds = int((now - then).total_seconds())
    for length, unit in _STEPS:
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return "new"
