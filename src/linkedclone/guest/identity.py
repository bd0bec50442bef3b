"""Who one guest is to be: worked out of a customization for a single clone. Pure."""

from linkedclone.guest.host_names import make_host_name
from linkedclone.model.customization import Addresses, Customization
from linkedclone.model.guest import Guest, GuestCard, Secrets


def build_guest(
    customization: Customization,
    *,
    name: str,
    uuid: str,
    cards: tuple[GuestCard, ...],
    secrets: Secrets,
) -> Guest:
    """Build the guest of one clone.

    Args:
        customization: What the batch has in common; checked before.
        uuid: The clone's UUID. Its instance-id is the same: another for each
            generation, and never that of the image, which has booted before.
        cards: What its network cards get, see :func:`build_card`.
    """
    return Guest(
        customization=customization,
        host_name=make_host_name(customization, name),
        instance_id=uuid,
        cards=cards,
        secrets=secrets,
    )


def build_card(wanted: Addresses, addresses: tuple[str, ...]) -> GuestCard:
    """Build what one card gets, given its fixed addresses with their prefix lengths.

    A card without settings for either family asks DHCP for IPv4.
    """
    told = wanted.range or wanted.range6 or wanted.dhcp6
    return GuestCard(
        dhcp=wanted.dhcp or not told,
        dhcp6=wanted.dhcp6,
        addresses=addresses,
        gateways=tuple(gateway for gateway in (wanted.gateway, wanted.gateway6) if gateway),
        dns=wanted.dns,
        search=wanted.search,
    )
