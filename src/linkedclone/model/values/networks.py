"""Addresses and names that guests report: which are valid, their own, in which networks.

The root user of a guest controls what it reports, on every hypervisor. What is not
wholly an address or a host name is not used: it would get into tables, inventories
of Ansible and arguments of ssh.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from linkedclone.errors import InputError

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*",
    re.ASCII | re.IGNORECASE,
)
"""RFC 1123, section 2.1."""
_LONGEST_ADDRESS = 45
"""Of an IPv6 address that ends as an IPv4 one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedCard:
    """A network card as a guest reports it."""

    mac: str  # its MAC address; empty if it is not told
    addresses: tuple[str, ...]
    # Whether it is known to be no card of the VM, but a bridge or a tunnel that the guest made
    # itself.
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
    """Return the addresses that can be reached from outside, each once, IPv4 before IPv6.

    They are written as ``ipaddress`` writes them, whatever the guest's way is.
    """
    read = (read_address(address) for address in addresses)
    found = dict.fromkeys(address for address in read if address is not None)
    return tuple(str(address) for address in sorted(found, key=lambda address: address.version))


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address at which others can reach a guest; None if the text is not one.

    An address with a zone is not one: a zone has a meaning inside of the guest only,
    and may be any text.
    """
    if len(text) > _LONGEST_ADDRESS or "%" in text:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    plain = found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
    hidden = plain.is_link_local or plain.is_loopback or plain.is_unspecified
    nobodys = plain.is_multicast or (plain.version == 4 and plain.is_reserved)
    return None if hidden or nobodys else found


def read_host_name(text: str) -> str:
    """Return a host name that a guest reports; empty if it is not a valid one."""
    return text if _HOST_NAME.fullmatch(text) else ""


def check_networks(networks: Sequence[str]) -> None:
    """Refuse networks that are none, all of them at once."""
    wrong = [text for text in networks if not _is_network(text)]
    if wrong:
        verb = "is not a network" if len(wrong) == 1 else "are not networks"
        brief = f"{', '.join(map(repr, wrong))} {verb}"
        raise InputError(brief, hint="write it as 10.0.0.0/8 or fd00::/8")


def choose_addresses(addresses: Sequence[str], networks: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses within one of the networks, or all if there are none."""
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
