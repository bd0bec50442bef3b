"""Who one guest is to be."""

import pytest

from linkedclone.guest.identity import build_card, build_guest
from linkedclone.model.customization import Addresses, Customization, GuestOs, SecretSource
from linkedclone.model.guest import GuestCard
from linkedclone.model.values.secret import Secret

SOURCE = SecretSource(env="A")


def test_a_guest_has_the_clones_name_and_uuid() -> None:
    customization = Customization(os=GuestOs.LINUX, host_name="x-{name}")
    card = GuestCard(addresses=("10.0.0.5/24",))
    guest = build_guest(
        customization,
        name="desk-1",
        uuid="u-1",
        cards=(card,),
        secrets=((SOURCE, Secret("c4nary")),),
    )
    assert (guest.host_name, guest.instance_id, guest.cards) == ("x-desk-1", "u-1", (card,))
    assert guest.reveal(SOURCE) == "c4nary"
    assert "c4nary" not in repr(guest)


@pytest.mark.parametrize(
    ("wanted", "dhcp", "dhcp6"),
    [
        (Addresses(), True, False),
        (Addresses(dhcp=True), True, False),
        (Addresses(dns=("10.0.0.1",)), True, False),
        (Addresses(dhcp6=True), False, True),
        (Addresses(dhcp=True, dhcp6=True), True, True),
        (Addresses(range="10.0.0.5/24"), False, False),
        (Addresses(range6="fd00::5/64"), False, False),
        (Addresses(dhcp=True, range6="fd00::5/64"), True, False),
    ],
)
def test_a_card_without_settings_uses_dhcp(wanted: Addresses, dhcp: bool, dhcp6: bool) -> None:
    card = build_card(wanted, ())
    assert (card.dhcp, card.dhcp6) == (dhcp, dhcp6)


def test_a_card_has_a_gateway_of_each_family() -> None:
    wanted = Addresses(
        range="10.0.0.5/24",
        gateway="10.0.0.1",
        range6="fd00::5/64",
        gateway6="fd00::1",
        dns=("10.0.0.2",),
        search=("corp.example",),
    )
    assert build_card(wanted, ("10.0.0.5/24", "fd00::5/64")) == GuestCard(
        dhcp=False,
        addresses=("10.0.0.5/24", "fd00::5/64"),
        gateways=("10.0.0.1", "fd00::1"),
        dns=("10.0.0.2",),
        search=("corp.example",),
    )
