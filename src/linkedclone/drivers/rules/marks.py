"""Marks are changed by several commands at once: what none of them may lose. Pure."""

from dataclasses import fields, is_dataclass, replace
from typing import cast

from linkedclone.errors import ChangedError
from linkedclone.model.vm import Mark


def merge_mark(name: str, wanted: Mark, *, seen: Mark | None, now: Mark | None) -> Mark:
    """Return the mark to write: what a command changes, and what others have changed since.

    To be called while no other process can write it. Refuses what others have changed as well,
    and a mark that is gone. The mark that is wanted was made of the one that was
    ``seen``; the VM bears another by ``now``.
    """
    try:
        return cast("Mark", _merge(wanted, seen, now))
    except ValueError:
        raise _changed(name) from None


def refuse_changed(name: str, *, seen: Mark | None, now: Mark | None) -> None:
    """Refuse to delete a VM whose mark has changed; ``seen`` is None where it does not matter."""
    if seen is not None and seen != now:
        raise _changed(name)


def _merge(wanted: object, seen: object, now: object) -> object:
    if now in (seen, wanted):
        return wanted
    if wanted == seen and now is not None:
        return now
    if not (is_dataclass(wanted) and is_dataclass(seen) and is_dataclass(now)):
        raise ValueError
    parts = {
        name: _merge(getattr(wanted, name), getattr(seen, name), getattr(now, name))
        for name in (one.name for one in fields(now))
    }
    return replace(now, **parts)  # type: ignore[type-var]  # of no class, but an object of one


def _changed(name: str) -> ChangedError:
    return ChangedError(
        f"the mark of {name} was changed in the meantime",
        hint="nothing was done to it; run the command again",
        kind="mark",
    )
