"""Which network cards a clone has: those of the parent that stay, then the new ones. Pure."""

from collections.abc import Sequence
from typing import TypeVar

from linkedclone.errors import InputError
from linkedclone.model.request import Nic
from linkedclone.model.values.vm_names import render_count

CardT = TypeVar("CardT")
"""A card of the parent, as a driver has it."""


def choose_cards(
    present: Sequence[CardT], nics: Sequence[Nic]
) -> tuple[tuple[CardT | None, Nic | None], ...]:
    """Return each card of a clone: the parent's, None for a new one; and what puts it elsewhere."""
    changed: dict[int, Nic] = {}
    for nic in nics:
        if nic.action == "add":
            continue
        if not 0 <= nic.index < len(present):
            hint = f"the snapshot has {len(present)}, counted from 0"
            raise InputError(f"there is no network card {nic.index}", hint=hint)
        if nic.index in changed:
            raise InputError(f"network card {nic.index} is changed twice", hint="leave one out")
        changed[nic.index] = nic
    gone = {index for index, nic in changed.items() if nic.action == "remove"}
    stay = ((card, changed.get(n)) for n, card in enumerate(present) if n not in gone)
    return (*stay, *((None, nic) for nic in nics if nic.action == "add"))


def fill_macs(name: str, macs: Sequence[str], count: int) -> tuple[str, ...]:
    """Return a MAC address for each card of a clone; empty for one that is given none."""
    if len(macs) > count:
        given = render_count(len(macs), "MAC address", "MAC addresses")
        hint = f"it has {render_count(count, 'network card')}"
        raise InputError(f"{name} is given {given}", hint=hint)
    return (*macs, *[""] * (count - len(macs)))
