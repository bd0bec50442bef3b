"""The numbers by which Sysprep knows time zones."""

from zoneinfo import available_timezones

import pytest

from linkedclone.errors import InputError
from linkedclone.guest import windows_zones
from linkedclone.guest.windows_zones import all_zones, describe_zone, find_zone_number

NUMBERS = {
    "Pacific/Honolulu": 2,
    "America/Los_Angeles": 4,
    "America/New_York": 35,
    "America/Sao_Paulo": 65,
    "Atlantic/Azores": 80,
    "Europe/London": 85,
    "Europe/Prague": 95,
    "Europe/Paris": 105,
    "Europe/Berlin": 110,
    "Europe/Helsinki": 125,
    "Europe/Moscow": 145,
    "Asia/Tehran": 160,
    "Asia/Kolkata": 190,
    "Asia/Kathmandu": 193,
    "Asia/Shanghai": 210,
    "Asia/Tokyo": 235,
    "Australia/Sydney": 255,
    "Pacific/Auckland": 290,
    "Pacific/Tongatapu": 300,
}
"""From Microsoft's Time Zone Index Values."""


@pytest.mark.parametrize("zone", NUMBERS)
def test_a_zone_has_the_number_of_its_windows_zone(zone: str) -> None:
    assert find_zone_number(zone) == NUMBERS[zone]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("US/Pacific", "America/Los_Angeles"),
        ("UTC", "Etc/UTC"),
        ("europe/berlin", "Europe/Berlin"),
    ],
)
def test_an_old_name_means_the_same(old: str, new: str) -> None:
    assert find_zone_number(old) == find_zone_number(new)


def test_utc_has_no_summer_time() -> None:
    """085 is London's clock, 090 that of Reykjavik."""
    assert find_zone_number("Etc/UTC") == 90
    assert describe_zone(90) == "Greenwich Standard Time"


def test_each_zone_has_one_number() -> None:
    zones = [zone.casefold() for zone in all_zones()]
    assert len(zones) == len(set(zones))
    near = [zone for _, _, more in windows_zones._records(windows_zones._NEAREST) for zone in more]
    assert not set(zones) & {zone.casefold() for zone in near}


def test_every_zone_of_the_database_has_a_number_or_a_neighbour() -> None:
    """But for the few that a newer database than this table may bring."""
    nowhere = {"Factory", "localtime", "posixrules"}
    unknown = []
    for zone in available_timezones() - nowhere:
        try:
            find_zone_number(zone)
        except InputError as error:
            if "no number" not in error.brief:
                unknown.append(zone)
    assert len(unknown) < 4, unknown


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("America/Whitehorse", "15, US Mountain Standard Time"),
        ("America/Vancouver", "15, US Mountain Standard Time"),
        ("America/Edmonton", "25, Canada Central Standard Time"),
    ],
)
def test_the_neighbour_of_a_zone_without_dst_has_no_dst_either(zone: str, near: str) -> None:
    with pytest.raises(InputError, match="no number") as caught:
        find_zone_number(zone)
    assert f"the nearest is {near}" in caught.value.hint


def test_a_zone_without_a_number_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="no number for the time zone Europe/Istanbul") as caught:
        find_zone_number("Europe/Istanbul")
    assert caught.value.hint == (
        "the nearest is 145, Russian Standard Time: write Europe/Moscow to get that"
    )


def test_a_misspelt_zone_is_refused_with_what_it_is_like() -> None:
    with pytest.raises(InputError, match="no time zone 'Europe/Berln'") as caught:
        find_zone_number("Europe/Berln")
    assert "Europe/Berlin" in caught.value.hint
