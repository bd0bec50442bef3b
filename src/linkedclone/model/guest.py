"""Who one guest is to be: a customization worked out for a single clone."""

from dataclasses import dataclass, field

from linkedclone.model.customization import Customization, SecretSource
from linkedclone.model.values.secret import Secret

Secrets = tuple[tuple[SecretSource, Secret], ...]
"""The passwords of a customization, each with where it was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestCard:
    """What one network card of a guest gets."""

    dhcp: bool = True  # IPv4 by DHCP
    dhcp6: bool = False  # IPv6 by DHCP
    # Fixed addresses with their prefix length (``10.0.0.10/24``), at most one of each family.
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()  # default routes, at most one of each family
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()  # domains to look names up in


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Who one guest is to be."""

    customization: Customization  # what the whole batch has in common
    host_name: str
    instance_id: str  # what cloud-init tells it from others by: new for each generation of a clone
    # What its cards get, in the order of the hardware; empty leaves all of them to DHCP.
    cards: tuple[GuestCard, ...] = ()
    secrets: Secrets = field(default=(), repr=False)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The fixed addresses of its cards without prefix lengths, as a mark holds them."""
        return tuple(one.partition("/")[0] for card in self.cards for one in card.addresses)

    def reveal(self, source: SecretSource | None) -> str:
        """Return a password; empty for none. Only for what goes on the wire or into the guest."""
        return "" if source is None else dict(self.secrets)[source].reveal()
