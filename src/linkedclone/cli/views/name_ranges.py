"""Names as ranges: the shortest way to show all of many."""

import re
from collections.abc import Iterable, Sequence

_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})", re.DOTALL)


def collapse_names(names: Iterable[str]) -> Sequence[str]:
    """Write names that count up as ``desk-{001..100}``, in the order of names and numbers.

    The opposite of ``model.values.vm_names.expand_names``: nothing is left out.
    """
    runs: list[tuple[str, list[str]]] = []
    for stem, digits in sorted(map(_split, names), key=_order):
        if runs and _goes_on(runs[-1], stem, digits):
            runs[-1][1].append(digits)
        else:
            runs.append((stem, [digits]))
    return [_render(stem, numbers) for stem, numbers in runs]


def _split(name: str) -> tuple[str, str]:
    match = _NUMBERED.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")


def _order(parts: tuple[str, str]) -> tuple[str, int, int]:
    stem, digits = parts
    return stem, int(digits or "0"), len(digits)


def _goes_on(run: tuple[str, list[str]], stem: str, digits: str) -> bool:
    of_run, numbers = run
    first, last = numbers[0], numbers[-1]
    if stem != of_run or not first:
        return False
    return digits == str(int(last) + 1).zfill(len(first))


def _render(stem: str, numbers: Sequence[str]) -> str:
    if len(numbers) == 1:
        return stem + numbers[0]
    return f"{stem}{{{numbers[0]}..{numbers[-1]}}}"
