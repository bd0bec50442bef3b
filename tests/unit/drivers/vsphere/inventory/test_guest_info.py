"""What guests report: which addresses are their own, and whose customization is told."""

from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import fromstring

import pytest

from linkedclone.drivers.vsphere.inventory.guest_info import (
    CustomizationInfo,
    choose_addresses,
    read_cards,
    read_customization,
    settle,
)
from linkedclone.model.values.networks import ReportedCard
from linkedclone.model.vm import CustomizationStatus

PENDING, RUNNING = CustomizationStatus.PENDING, CustomizationStatus.RUNNING
SUCCEEDED, FAILED = CustomizationStatus.SUCCEEDED, CustomizationStatus.FAILED
NONE = CustomizationStatus.NONE

ETH0, ETH1 = "00:50:56:00:00:01", "00:50:56:00:00:02"
MACS = (ETH0, ETH1)


def card(mac: str, *addresses: str, inner: bool = False) -> ReportedCard:
    return ReportedCard(mac=mac, addresses=addresses, inner=inner)


DOCKER = card("02:42:aa:00:00:01", "172.17.0.1", inner=True)
ADDRESSES = [
    ([], "", MACS, ()),
    ([], "10.0.0.9", MACS, ("10.0.0.9",)),
    ([], "169.254.7.7", MACS, ()),
    ([card(ETH0, "10.0.0.1")], "10.0.0.1", MACS, ("10.0.0.1",)),
    # The guest may list its cards in any order, and write their addresses in capitals.
    ([card(ETH1, "10.0.1.1"), card(ETH0.upper(), "10.0.0.1")], "", MACS, ("10.0.0.1", "10.0.1.1")),
    ([card(ETH0, "fd00::1", "10.0.0.1"), card(ETH1, "10.0.1.1")], "", MACS,
     ("10.0.0.1", "10.0.1.1", "fd00::1")),
    ([card(ETH0, "fe80::1", "169.254.1.1", "0.0.0.0", "127.0.0.1", "::1", "x")], "", MACS, ()),
    # A bridge is none of the VM's cards, also where the server takes its address for the guest's.
    ([DOCKER, card(ETH0, "10.0.0.1")], "172.17.0.1", MACS, ("10.0.0.1",)),
    ([card("02:42:aa:00:00:01", "172.17.0.1"), card(ETH0, "10.0.0.1")], "", MACS, ("10.0.0.1",)),
    ([DOCKER], "172.17.0.1", MACS, ()),
    # Old tools tell no MAC addresses; and the hardware may not be readable.
    ([card("", "10.0.0.1")], "", MACS, ("10.0.0.1",)),
    ([DOCKER, card(ETH0, "10.0.0.1")], "", (), ("10.0.0.1",)),
    # Until the guest has answered for its cards the server may know one address.
    ([card(ETH0)], "10.0.0.1", MACS, ("10.0.0.1",)),
]  # fmt: skip


@pytest.mark.parametrize(("cards", "single", "macs", "expected"), ADDRESSES)
def test_addresses_of_the_vms_own_cards(
    cards: list[ReportedCard], single: str, macs: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert choose_addresses(cards, single, macs) == expected


def test_cards_are_read_with_what_is_configured_before_what_is_merely_listed() -> None:
    text = """<val xmlns="urn:vim25">
      <GuestNicInfo><macAddress>00:50:56:00:00:01</macAddress>
        <deviceConfigId>4000</deviceConfigId><ipAddress>10.0.0.9</ipAddress>
        <ipConfig><ipAddress><ipAddress>10.0.0.1</ipAddress></ipAddress></ipConfig></GuestNicInfo>
      <GuestNicInfo><deviceConfigId>-1</deviceConfigId><ipAddress>172.17.0.1</ipAddress>
      </GuestNicInfo></val>"""
    assert read_cards(fromstring(text)) == (
        card(ETH0, "10.0.0.1"),
        card("", "172.17.0.1", inner=True),
    )


STATES = [
    ("TOOLSDEPLOYPKG_IDLE", NONE),
    ("TOOLSDEPLOYPKG_PENDING", PENDING),
    ("TOOLSDEPLOYPKG_RUNNING", RUNNING),
    ("TOOLSDEPLOYPKG_SUCCEEDED", SUCCEEDED),
    ("TOOLSDEPLOYPKG_FAILED", FAILED),
    ("TOOLSDEPLOYPKG_OF_A_LATER_VERSION", NONE),
]


@pytest.mark.parametrize(("word", "status"), STATES)
def test_the_words_of_the_api(word: str, status: CustomizationStatus) -> None:
    text = f"""<val xmlns="urn:vim25"><customizationStatus>{word}</customizationStatus>
      <startTime>2026-11-02T03:04:05.5Z</startTime><endTime>2026-11-02T03:05:05Z</endTime>
      <errorMsg>no Perl</errorMsg></val>"""
    assert read_customization(fromstring(text)) == CustomizationInfo(
        status=status, moment=datetime(2026, 11, 2, 3, 4, 5, 500000, tzinfo=UTC), error="no Perl"
    )


BORN = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
BEFORE, AFTER = BORN - timedelta(days=9), BORN + timedelta(seconds=40)
SETTLED = [
    (None, BORN, NONE),
    (CustomizationInfo(status=PENDING), BORN, PENDING),
    (CustomizationInfo(status=PENDING, moment=BEFORE), BORN, PENDING),
    (CustomizationInfo(status=RUNNING, moment=AFTER), BORN, RUNNING),
    (CustomizationInfo(status=SUCCEEDED, moment=AFTER), BORN, SUCCEEDED),
    (CustomizationInfo(status=FAILED, moment=AFTER), BORN, FAILED),
    # What began before the clone was made is its parent's.
    (CustomizationInfo(status=RUNNING, moment=BEFORE), BORN, NONE),
    (CustomizationInfo(status=SUCCEEDED, moment=BEFORE), BORN, NONE),
    (CustomizationInfo(status=FAILED, moment=BEFORE, error="old"), BORN, NONE),
    # Without a time nobody can say whose it is; the events can.
    (CustomizationInfo(status=SUCCEEDED), BORN, NONE),
    (CustomizationInfo(status=SUCCEEDED, moment=BEFORE), None, SUCCEEDED),
]


@pytest.mark.parametrize(("info", "created", "status"), SETTLED)
def test_whose_customization_it_is(
    info: CustomizationInfo | None, created: datetime | None, status: CustomizationStatus
) -> None:
    settled = settle(info, created)
    assert settled.status is status
    assert settled.error == ("" if status is NONE or info is None else info.error)
