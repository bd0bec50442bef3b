"""Ranges of addresses, as people write them."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.errors import InputError
from linkedclone.guest.ip_ranges import (
    Span,
    count,
    parse_range,
    parse_reserved,
    spans_of,
    subtract,
    walk,
)

RANGES = {
    "10.0.0.10-10.0.0.12/24": (3, ["10.0.0.10", "10.0.0.11", "10.0.0.12"]),
    "10.0.0.0/29": (6, [f"10.0.0.{n}" for n in range(1, 7)]),
    "10.0.0.0-10.0.0.255/24": (254, ["10.0.0.1", "10.0.0.2"]),
    "10.0.0.30/24": (1, ["10.0.0.30"]),
    "10.0.0.8/31": (2, ["10.0.0.8", "10.0.0.9"]),
    "10.0.0.8/32": (1, ["10.0.0.8"]),
    "10.0.0.20-10.0.0.21/24, 10.0.0.5": (3, ["10.0.0.20", "10.0.0.21", "10.0.0.5"]),
    "10.0.0.5-10.0.0.6,10.0.0.6-10.0.0.7/24": (3, ["10.0.0.5", "10.0.0.6", "10.0.0.7"]),
    " 10.0.0.5 - 10.0.0.6 /24": (2, ["10.0.0.5", "10.0.0.6"]),
    "fd00::10-fd00::12/64": (3, ["fd00::10", "fd00::11", "fd00::12"]),
    "fd00::/64": ((1 << 64) - 1, ["fd00::1", "fd00::2", "fd00::3"]),
    "fd00::/127": (2, ["fd00::", "fd00::1"]),
    "10.0.0.0/8": ((1 << 24) - 2, ["10.0.0.1"]),
}


@pytest.mark.parametrize("text", RANGES)
def test_ranges_are_read(text: str) -> None:
    wanted, first = RANGES[text]
    found = parse_range(text)
    assert count(found.spans) == wanted
    assert list(islice(walk(found.spans), len(first))) == first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not say how large"),
        ("10.0.0.5", "does not say how large"),
        ("10.0.0.5-10.0.0.9", "does not say how large"),
        ("10.0.0.9-10.0.0.5/24", "backwards"),
        ("10.0.0.5-10.0.1.5/24", "reaches out of the network 10.0.0.0/24"),
        ("10.0.0.5/24,10.0.1.5/24", "reaches out of the network 10.0.0.0/24"),
        ("10.0.0.5/24,10.0.0.6/25", "several prefix lengths"),
        ("10.0.0.5-fd00::1/24", "mixes"),
        ("10.0.0.5,fd00::1/24", "mixes"),
        ("10.0.0.5/33", "not a prefix length"),
        ("fd00::5/129", "not a prefix length"),
        ("10.0.0.5/255.255.255.0", "not a prefix length"),
        ("10.0.0.5-10/24", "'10'"),
        ("10.0.0.5-10.0.0.6-10.0.0.7/24", "is not a valid address"),
        ("gateway/24", "is not a valid address"),
        ("10.0.0.256/24", "is not a valid address"),
        ("010.0.0.1/24", "is not a valid address"),
        ("10.0.0.5/24,", "is not a valid address"),
        ("10.0.0.255/24", "no address that a host may have"),
    ],
)
def test_an_invalid_range_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.0.0.5", 1),
        ("10.0.0.5-10.0.0.9", 5),
        ("10.0.0.5-10.0.0.9/24", 5),
        ("10.0.0.0/24", 256),
        ("10.0.0.5/24", 256),
        ("fd00::1, fd00::/120", 257),
    ],
)
def test_reserved_addresses_are_read(text: str, wanted: int) -> None:
    assert count(parse_reserved(text)) == wanted


@pytest.mark.parametrize("text", ["", "x", "10.0.0.0/40", "10.0.0.9-10.0.0.1"])
def test_an_invalid_reserved_address_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_reserved(text)


def test_what_others_tell_is_taken_as_far_as_it_is_an_address() -> None:
    found = spans_of(["10.0.0.5", "10.0.0.6/24", "fe80::1%eth0", "", "unknown"])
    assert list(walk(found)) == ["10.0.0.5", "10.0.0.6", "fe80::1"]


spans = st.builds(
    lambda version, first, length: Span(version=version, first=first, last=first + length),
    st.sampled_from([4, 6]),
    st.integers(0, 60),
    st.integers(0, 20),
)


def members(found: list[Span]) -> list[tuple[int, int]]:
    return [(span.version, n) for span in found for n in range(span.first, span.last + 1)]


@given(st.lists(spans, max_size=5), st.lists(spans, max_size=5))
def test_subtraction_removes_its_addresses_and_keeps_the_rest_in_order(
    wanted: list[Span], taken: list[Span]
) -> None:
    gone = set(members(taken))
    expected = list(dict.fromkeys(one for one in members(wanted) if one not in gone))
    assert members(list(subtract(wanted, taken))) == expected
