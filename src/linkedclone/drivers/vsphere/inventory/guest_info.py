"""What a guest reports of itself, by way of its tools. Pure: XML in, data out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element

from linkedclone.drivers.vsphere.connection.answers import NS, read_date
from linkedclone.model.values.networks import ReportedCard, find_own, order_addresses
from linkedclone.model.vm import CustomizationStatus

_NO_DEVICE: Final = "-1"
"""GuestNicInfo.deviceConfigId of a bridge or tunnel in the guest [fact: vs-guest-cards]."""

_STATUSES: Final = {
    "TOOLSDEPLOYPKG_PENDING": CustomizationStatus.PENDING,
    "TOOLSDEPLOYPKG_RUNNING": CustomizationStatus.RUNNING,
    "TOOLSDEPLOYPKG_SUCCEEDED": CustomizationStatus.SUCCEEDED,
    "TOOLSDEPLOYPKG_FAILED": CustomizationStatus.FAILED,
}
"""GuestInfoCustomizationStatus [fact: vs-cust-status]; idle means that there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomizationInfo:
    """What the guest info says of a customization."""

    status: CustomizationStatus = CustomizationStatus.NONE
    moment: datetime | None = None  # when it began, or if that is not told, when it ended
    error: str = ""


def read_cards(cards: Element) -> tuple[ReportedCard, ...]:
    """Read the cards that the guest reports."""
    return tuple(
        ReportedCard(
            mac=card.findtext(NS + "macAddress") or "",
            addresses=tuple(_addresses(card)),
            inner=card.findtext(NS + "deviceConfigId") == _NO_DEVICE,
        )
        for card in cards
    )


def _addresses(card: Element) -> Iterator[str]:
    config = card.find(NS + "ipConfig")
    configured: Iterable[Element] = () if config is None else config.findall(NS + "ipAddress")
    found = [item.findtext(NS + "ipAddress") or "" for item in configured]
    yield from found or (item.text or "" for item in card.findall(NS + "ipAddress"))


def choose_addresses(
    cards: Sequence[ReportedCard], single: str, macs: Sequence[str]
) -> tuple[str, ...]:
    """Return the addresses of the VM's own cards, in the order of their MACs, IPv4 before IPv6.

    ``single`` is ``guest.ipAddress``, the one address that the server picks; it counts
    unless it is that of a bridge. Old tools report no other.
    """
    if not cards and not single:
        return ()
    own = find_own(cards, macs)
    of_others = {address for card in cards if card not in own for address in card.addresses}
    found = [address for card in own for address in card.addresses]
    return order_addresses(found if single in of_others else [*found, single])


def read_customization(info: Element) -> CustomizationInfo:
    """Read what the guest info says of a customization."""
    moment = info.findtext(NS + "startTime") or info.findtext(NS + "endTime") or ""
    return CustomizationInfo(
        status=_STATUSES.get(
            info.findtext(NS + "customizationStatus") or "", CustomizationStatus.NONE
        ),
        moment=_read_moment(moment),
        error=info.findtext(NS + "errorMsg") or "",
    )


def _read_moment(text: str) -> datetime | None:
    """Return a moment; None if it is not one: the guest's tools have told it."""
    try:
        return read_date(text)
    except ValueError:
        return None


_PAST: Final = {
    CustomizationStatus.RUNNING,
    CustomizationStatus.SUCCEEDED,
    CustomizationStatus.FAILED,
}


def settle(info: CustomizationInfo | None, created: datetime | None) -> CustomizationInfo:
    """Return what counts: what began before the VM was made is its parent's, and nothing here.

    If a clone's guest info begins with its parent's, that must not pass for the
    clone's own [fact: vs-cust-status]. A customization that is only pending has no time yet.
    """
    if info is None:
        return CustomizationInfo()
    if info.status not in _PAST or created is None:
        return info
    if info.moment is None or info.moment < created:
        return CustomizationInfo()
    return info
