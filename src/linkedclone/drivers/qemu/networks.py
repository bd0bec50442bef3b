"""What a network card is on: the names that people give, and QEMU's words for them. Pure.

=================  =====================================================================
``user``           QEMU's own network behind the user's; SSH from this host to the first
``closed``         the same, out of which the guest reaches nothing
``private:NAME``   a wire between the clones of one state folder that are on it
``bridge:BRIDGE``  a bridge of this host, through QEMU's set-uid helper
``isolated``       a card with nothing at its other end
=================  =====================================================================
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface
from itertools import islice

from linkedclone.errors import InputError, NotFoundError

_KNOWN = "known are: user, closed, private:NAME, bridge:BRIDGE, isolated"
_PRIVATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BRIDGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
"""At most 15 bytes (IFNAMSIZ, linux/if.h), and nothing that QEMU's options would split at."""

USER_NETWORK = "user"
"""QEMU's own network behind the user's, with SSH to the first card on it."""

FIRST_PORT = 20000
PORTS = 10000
"""Below the ports that the kernel gives to any program (ip_local_port_range)."""


class NetworkKind(StrEnum):
    USER = "user"
    CLOSED = "closed"
    PRIVATE = "private"
    BRIDGE = "bridge"
    ISOLATED = "isolated"

    @property
    def is_behind_qemu(self) -> bool:
        """Say whether it is QEMU's own network, in which QEMU forwards SSH."""
        return self in {NetworkKind.USER, NetworkKind.CLOSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNetwork:
    kind: NetworkKind
    name: str = ""  # the private network's or the bridge's name; empty for the others

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}" if self.name else self.kind.value


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRecord:
    """A network card of a machine, as its record keeps it."""

    mac: str
    network: str = USER_NETWORK  # what it is on, as :func:`parse_network` reads it
    group: str = ""  # for a private network, its multicast group and port, as ``ADDRESS:PORT``
    # The fixed IPv4 address that the guest was given for it, with its prefix length; empty for
    # none.
    address: str = ""
    gateway: str = ""  # the default route that goes with it; empty for none


def parse_network(text: str) -> CardNetwork:
    """Read what a person calls a network."""
    word, colon, name = text.strip().partition(":")
    patterns = {NetworkKind.PRIVATE: _PRIVATE_NAME, NetworkKind.BRIDGE: _BRIDGE_NAME}
    kind = next((kind for kind in NetworkKind if kind.value == word), None)
    if kind is None or (kind in patterns and not colon):
        raise NotFoundError(f"there is no network {text!r}", hint=_KNOWN)
    pattern = patterns.get(kind)
    if pattern is None and colon:
        raise NotFoundError(f"there is no network {text!r}", hint=f"it is called {word} alone")
    if pattern is not None and not pattern.fullmatch(name):
        raise NotFoundError(
            f"there is no network {text!r}",
            hint="its name has letters, digits, dots, hyphens and underscores, and begins with "
            "a letter or digit",
        )
    return CardNetwork(kind=kind, name=name)


def find_group(store: str, name: str) -> str:
    """Return the multicast group and port of a private network: the same for one state folder.

    Bound to the loopback interface it does not leave this host [fact: qemu-multicast].
    """
    digest = hashlib.sha256(f"{store}/{name}".encode()).digest()
    port = FIRST_PORT + int.from_bytes(digest[3:5]) % PORTS
    return f"239.{192 + digest[0] % 4}.{digest[1]}.{digest[2]}:{port}"


def build_netdevs(cards: tuple[CardRecord, ...]) -> tuple[str, ...]:
    """Return the value of ``-netdev`` for each card; ``netN`` is the id of the Nth.

    The kernel chooses the SSH port [fact: qemu-user-network].
    """
    networks = [parse_network(card.network) for card in cards]
    first = next((n for n, network in enumerate(networks) if network.kind.is_behind_qemu), None)
    return tuple(
        _build_netdev(card, network, f"net{number}", reachable=number == first)
        for number, (card, network) in enumerate(zip(cards, networks, strict=True))
    )


def _build_netdev(card: CardRecord, network: CardNetwork, own: str, *, reachable: bool) -> str:
    match network.kind:
        case NetworkKind.USER:
            return f"user,id={own}" + _build_user_options(card, reachable=reachable)
        case NetworkKind.CLOSED:
            options = _build_user_options(card, reachable=reachable)
            return f"user,id={own},restrict=on" + options
        case NetworkKind.PRIVATE:
            return f"socket,id={own},mcast={card.group},localaddr=127.0.0.1"
        case NetworkKind.BRIDGE:
            return f"bridge,id={own},br={network.name}"
        case NetworkKind.ISOLATED:
            # A hub of its own: QEMU reports a card without any peer as broken.
            return f"hubport,id={own},hubid={own.removeprefix('net')}"


def _build_user_options(card: CardRecord, *, reachable: bool) -> str:
    """Make the network behind QEMU the one that the guest's fixed address is in.

    QEMU plays the gateway there, and the name server at another free address. The
    rule names the guest's address [fact: qemu-user-network].
    """
    if not card.address:
        return ",hostfwd=tcp:127.0.0.1:0-:22" if reachable else ""
    guest = IPv4Interface(card.address)
    host, server = choose_user_addresses(guest, card.gateway)
    inside = f",net={guest.network},host={host},dns={server},dhcpstart={guest.ip}"
    return inside + (f",hostfwd=tcp:127.0.0.1:0-{guest.ip}:22" if reachable else "")


def choose_user_addresses(guest: IPv4Interface, gateway: str) -> tuple[IPv4Address, IPv4Address]:
    """Return QEMU's own two addresses in the network of a guest: the gateway, the name server."""
    taken = {guest.ip, *((IPv4Address(gateway),) if gateway else ())}
    free = list(islice((a for a in guest.network.hosts() if a not in taken), 2))
    inside = bool(gateway) and IPv4Address(gateway) in guest.network
    own = [IPv4Address(gateway), *free] if inside else free
    if len(own) < 2:
        raise InputError(
            f"the network {guest.network} is too small for a guest here",
            hint="QEMU needs two addresses besides the guest's own: make it /29 or larger",
        )
    return own[0], own[1]
