"""Addresses that guests report: which are their own, and which networks they lie in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from linkedclone.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedCard:
    """A network card as a guest reports it.

    Attributes:
        mac: Its MAC address; empty if it is not told.
        addresses: Its addresses, of any kind.
        inner: Whether it is known to be no card of the VM, but a bridge or a
            tunnel that the guest made itself.
    """

    mac: str
    addresses: tuple[str, ...]
    inner: bool = False


def find_own(cards: Iterable[ReportedCard], macs: Sequence[str]) -> tuple[ReportedCard, ...]:
    """Return the cards that are the VM's own, in the order of its hardware.

    Args:
        cards: What the guest reports.
        macs: The MAC addresses of the VM's cards, lower case; empty if they
            are not known: then only what is known to be no card is left out.
    """
    places = {mac: place for place, mac in enumerate(macs)}
    own = [card for card in cards if not card.inner and _is_own(card, places)]
    return tuple(sorted(own, key=lambda card: places.get(card.mac.lower(), len(places))))


def _is_own(card: ReportedCard, places: dict[str, int]) -> bool:
    return not card.mac or not places or card.mac.lower() in places


def order_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses that can be reached from outside, each once, IPv4 before IPv6."""
    found = dict.fromkeys(address for address in addresses if is_reachable(address))
    return tuple(sorted(found, key=lambda address: ":" in address))


def is_reachable(address: str) -> bool:
    """Say whether a text is an address that others can reach a guest at."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return not (found.is_link_local or found.is_loopback or found.is_unspecified)


def check_networks(networks: Sequence[str]) -> None:
    """Refuse networks that are none, all of them at once.

    Raises:
        InputError: One is not in CIDR notation.
    """
    wrong = [text for text in networks if not _is_network(text)]
    if wrong:
        brief = f"{', '.join(map(repr, wrong))} {'is' if len(wrong) == 1 else 'are'} no network"
        raise InputError(brief, hint="write it as 10.0.0.0/8 or fd00::/8")


def choose_addresses(addresses: Sequence[str], networks: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses that lie in one of the networks, or all if there are none."""
    if not networks:
        return tuple(addresses)
    known = [ip_network(text, strict=False) for text in networks]
    return tuple(a for a in addresses if any(ip_address(a) in network for network in known))


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
