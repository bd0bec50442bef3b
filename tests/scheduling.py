"""Which tests go to a worker together, and in which order they are handed out."""

from collections.abc import Iterable, Sequence

import pytest

WHOLE = "tests/unit/"
"""The modules of this folder go to a worker whole: their tests take next to no time."""
SHORT = "tests/contract/"
"""The tests of this folder come last: no worker is left with a long one at the end."""

Unit = tuple[int, ...]
"""Tests that one worker runs one after the other, by their numbers."""


def arrange(items: Sequence[pytest.Item]) -> list[Unit]:
    """Form groups and modules of short tests into units, each other test into one of its own."""
    units: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        units.setdefault(_name_unit(item), []).append(number)
    return [tuple(units[name]) for name in mix(units)]


def _name_unit(item: pytest.Item) -> str:
    module = item.nodeid.partition("::")[0]
    if group := item.get_closest_marker("together"):
        return f"{module.rpartition('/')[0]}/@{group.args[0]}"
    return module if module.startswith(WHOLE) else item.nodeid


def mix(units: Iterable[str]) -> list[str]:
    """Order what computes between what waits, so that no processor has nothing to do."""
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for unit in sorted(units, key=lambda unit: unit.startswith(SHORT)):
        kinds[unit.startswith(WHOLE)].append(unit)
    places = [
        (number / len(kind), unit) for kind in kinds.values() for number, unit in enumerate(kind)
    ]
    return [unit for _, unit in sorted(places, key=lambda place: place[0])]
