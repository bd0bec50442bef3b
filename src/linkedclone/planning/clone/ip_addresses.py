"""Give every clone an address of its own on each card. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from linkedclone.errors import InputError
from linkedclone.guest.identity import build_card
from linkedclone.guest.ip_ranges import (
    AddressRange,
    Span,
    count,
    find_span,
    parse_range,
    parse_reserved,
    show_address,
    spans_of,
    subtract,
    walk,
)
from linkedclone.model.customization import Addresses, Customization
from linkedclone.model.guest import GuestCard
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Vm


def used_addresses(vms: Iterable[Vm]) -> tuple[str, ...]:
    """Return every address that a VM has, or was given; of VMs that are off, too.

    Those of a mark count also where it names another UUID than its VM's own: a
    clone made of a clone by other means may have come up with them.
    """
    return tuple(
        address
        for vm in vms
        for address in (*vm.addresses, *(vm.mark.addresses if vm.mark else ()))
    )


def give_addresses(
    customization: Customization,
    names: Sequence[str],
    used: Iterable[str],
    kept: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, tuple[GuestCard, ...]]:
    """Return what the cards of each clone get, in the order of the names.

    The same names, with the same addresses in use, get the same every time.
    None is given twice, in this batch or to one of those in use; neither is a
    gateway, an address that no host may have, or a reserved one.

    Args:
        customization: What the batch has in common.
        names: The clones.
        used: The addresses that are in use.
        kept: Addresses that single clones are to have again, if they are free
            and in the range still.
    """
    taken = [*spans_of(used), *_never(customization)]
    before = [tuple((kept or {}).get(name, ())) for name in names]
    columns = [_give_card(card, before, taken) for card in customization.addresses]
    return {
        name: tuple(
            build_card(card, tuple(family[number] for family in column))
            for card, column in zip(customization.addresses, columns, strict=True)
        )
        for number, name in enumerate(names)
    }


def _never(customization: Customization) -> Iterator[Span]:
    """Return what is not given out on any card: gateways, name servers and what is reserved."""
    yield from spans_of(customization.dns)
    for card in customization.addresses:
        yield from spans_of((card.gateway, card.gateway6, *card.dns))
        for text in card.reserved:
            yield from parse_reserved(text)


def _give_card(
    card: Addresses, kept: Sequence[Sequence[str]], taken: list[Span]
) -> list[list[str]]:
    """Return an address for each clone, of each family that a card has a range of.

    They are taken then. ``kept`` has for each clone what it had before.
    """
    families = []
    for text in (card.range, card.range6):
        if text:
            found = _give(parse_range(text), text, kept, taken)
            taken += spans_of(found)
            families.append(found)
    return families


def _give(
    source: AddressRange, text: str, kept: Sequence[Sequence[str]], taken: Sequence[Span]
) -> list[str]:
    free, wanted = subtract(source.spans, taken), len(kept)
    if count(free) < wanted:
        own = count(source.spans)
        raise InputError(
            f"{render_count(wanted, 'address is', 'addresses are')} needed from {text}, "
            f"but {render_count(count(free), 'is', 'are')} free",
            details=f"of {render_count(own, 'address', 'addresses')}, "
            f"{render_count(own - count(free), 'is', 'are')} in use, reserved, or those of "
            "gateways and name servers",
            hint="widen the range, or delete clones that are no longer needed; nothing was created",
        )
    again: list[str] = []
    given, room = set[str](), sorted(free)
    for before in kept:
        mine = next((a for a in before if a not in given and _lies_in(a, room)), "")
        given.add(mine)
        again.append(mine)
    others = islice(walk(subtract(free, spans_of(filter(None, again)))), again.count(""))
    return [f"{mine or next(others)}/{source.prefix}" for mine in again]


def _lies_in(address: str, free: Sequence[Span]) -> bool:
    for span in spans_of((address,)):
        index = find_span(free, span.version, span.first)
        return index < len(free) and free[index].holds(span)
    return False


# -- two commands at once -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """An address that a clone of ours shares with another VM."""

    clone: Vm
    other: Vm  # who else has it
    address: str
    loses: bool  # whether the clone is the one that has to go


def find_clashes(clones: Sequence[Vm], vms: Sequence[Vm]) -> tuple[Clash, ...]:
    """Find addresses given to a clone that another VM has, too.

    Two commands at once may give out the same, since neither sees what the
    other has not made yet. Of two clones the one made later loses, by the
    endpoint's own clock, and of two made at once the one with the greater UUID:
    so both commands decide the same. Against a VM that nothing was given to by
    us, the clone loses. Each pair is reported once, for each of its clones of ours.

    Args:
        clones: The clones of this run, as they are now.
        vms: Everything, with the clones.
    """
    holders: dict[Span, list[Vm]] = {}
    for vm in vms:
        for span in dict.fromkeys(spans_of(_held(vm))):
            holders.setdefault(span, []).append(vm)
    clashes: dict[tuple[str, str], Clash] = {}
    for clone in clones:
        for span in spans_of(_held(clone)) if clone.valid_mark else ():
            for other in holders.get(span, ()):
                if other.id != clone.id:
                    clash = Clash(
                        clone=clone,
                        other=other,
                        address=show_address(span.version, span.first),
                        loses=_loses(clone, other, span),
                    )
                    clashes.setdefault((clone.id, other.id), clash)
    return tuple(clashes.values())


def _held(vm: Vm) -> tuple[str, ...]:
    """Return what a VM was given by us; of any other what its guest says.

    A guest that is not customized yet may still show its parent's addresses.
    """
    mark = vm.valid_mark
    return mark.addresses if mark and mark.addresses else vm.addresses


def _loses(clone: Vm, other: Vm, span: Span) -> bool:
    theirs = other.valid_mark
    if theirs is None or span not in spans_of(theirs.addresses):
        return True
    if clone.created and other.created and clone.created != other.created:
        return clone.created > other.created
    return clone.uuid > other.uuid
