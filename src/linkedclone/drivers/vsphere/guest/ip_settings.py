"""What a specification says of addresses: one entry for each card of the clone. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from ipaddress import ip_network
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.versions import require_version
from linkedclone.drivers.vsphere.native import Native, build_data
from linkedclone.errors import InputError
from linkedclone.model.customization import Customization, GuestOs
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.values.vm_names import render_count

_WITHOUT_IPV4: Final = (9, 1)
"""The version that knows DisableIpV4 first [fact: vs-cust-dns]."""


def check_card_count(name: str, wanted: int, cards: int, what: str) -> None:
    """Refuse entries that do not fit the cards; vCenter would only after the clone is made.

    It needs no entries, or one for each card [fact: vs-cust-nic-count]. ``what`` is where
    the entries are, as the subject of a sentence.
    """
    if not wanted or wanted == cards:
        return
    raise InputError(
        f"{what} says of {render_count(wanted, 'network card')} what they get, "
        f"and {name} will have {cards}",
        hint=f"give {_entries(cards)}, or change the hardware with ``hardware.nics.add`` or "
        "``hardware.nics.remove``",
    )


def _entries(cards: int) -> str:
    if not cards:
        return "none"
    if cards == 1:
        return "one entry, or none"
    return f"{cards} entries, in the order of the hardware, or none"


def build_global_settings(guest: Guest, old: Native = None) -> Native:
    """Return the settings that are not a card's own; what the guest leaves open stays.

    DNS servers are the whole guest's on Linux alone [fact: vs-cust-dns].
    """
    found = old or build_data(vim.vm.customization.GlobalIPSettings)
    servers = _once(guest.customization.dns, *(card.dns for card in guest.cards))
    domains = _once(guest.customization.search, *(card.search for card in guest.cards))
    if servers:
        found.dnsServerList = servers
    if domains:
        found.dnsSuffixList = domains
    return found


def _once(*lists: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(item for one in lists for item in one))


def build_card_settings(
    guest: Guest, slots: Sequence[int | None], *, os: GuestOs | None, version: tuple[int, ...]
) -> list[Native]:
    """Return the entries for all cards of a clone, in the order that vSphere gives them out in.

    That is the order of the PCI slots [fact: vs-cust-nic-order], not that of the
    hardware, in which ``slots`` are given: the fourth card of a VM mostly comes before
    the first. Cards whose slot is not known, because they are new, come last.
    """
    cards = guest.cards or (GuestCard(),) * len(slots)
    windows = os is GuestOs.WINDOWS
    order = sorted(range(len(cards)), key=lambda index: _place(slots, index))
    built: dict[GuestCard, Native] = {}
    for card in cards:
        if card not in built:
            built[card] = _build_card(card, guest, windows=windows, version=version)
    return [
        build_data(vim.vm.customization.AdapterMapping, adapter=built[cards[index]])
        for index in order
    ]


def _place(slots: Sequence[int | None], index: int) -> tuple[bool, int, int]:
    slot = slots[index]
    return slot is None, slot or 0, index


def _build_card(
    card: GuestCard, guest: Guest, *, windows: bool, version: tuple[int, ...]
) -> Native:
    four, _, prefix = next((one for one in card.addresses if ":" not in one), "").partition("/")
    return build_data(
        vim.vm.customization.IPSettings,
        ip=_build_ipv4(four, card, version),
        subnetMask=_netmask(prefix) if four else None,
        gateway=[via for via in card.gateways if ":" not in via] if four else [],
        ipV6Spec=_build_ipv6(card),
        dnsServerList=list(card.dns or guest.customization.dns) if windows else [],
        dnsDomain=_suffix(card, guest.customization) if windows else None,
    )


def _suffix(card: GuestCard, wanted: Customization) -> str | None:
    """Return the DNS suffix of a card: Windows has no domain of the whole guest but one it joins.

    Of several domains to look names up in there is room for the first.
    """
    suffixes = (*card.search, wanted.domain, *wanted.search)
    return next(filter(None, suffixes), None)


def has_dns(guest: Guest) -> bool:
    """Say whether the DNS of the whole guest is set."""
    return bool(guest.customization.dns or _suffix(GuestCard(), guest.customization))


def overlay_dns(entries: Iterable[Native], guest: Guest) -> None:
    """Put the whole guest's DNS into the stored entries of Windows' cards, where it is there.

    What the guest leaves open stays.
    """
    wanted = guest.customization
    for entry in entries:
        if wanted.dns:
            entry.adapter.dnsServerList = list(wanted.dns)
        if suffix := _suffix(GuestCard(), wanted):
            entry.adapter.dnsDomain = suffix


def _build_ipv4(address: str, card: GuestCard, version: tuple[int, ...]) -> Native:
    if address:
        return build_data(vim.vm.customization.FixedIp, ipAddress=address)
    if card.dhcp:
        return build_data(vim.vm.customization.DhcpIpGenerator)
    hint = "give it dhcp: true beside its IPv6 address; an answer need not come"
    require_version(version, _WITHOUT_IPV4, "a network card without IPv4", hint)
    return build_data(vim.vm.customization.DisableIpV4)


def _build_ipv6(card: GuestCard) -> Native:
    generators = list(_generators(card))
    if not generators:
        return None
    return build_data(
        vim.vm.customization.IPSettings.IpV6AddressSpec,
        ip=generators,
        gateway=[via for via in card.gateways if ":" in via],
    )


def _generators(card: GuestCard) -> Iterator[Native]:
    for text in card.addresses:
        address, _, prefix = text.partition("/")
        if ":" in address:
            yield build_data(
                vim.vm.customization.FixedIpV6, ipAddress=address, subnetMask=int(prefix)
            )
    if card.dhcp6:
        yield build_data(vim.vm.customization.DhcpIpV6Generator)


@cache
def _netmask(prefix: str) -> str:
    return str(ip_network(f"0.0.0.0/{prefix}").netmask)
