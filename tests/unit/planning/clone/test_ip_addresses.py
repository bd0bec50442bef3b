"""Addresses for clones: each its own, none of anybody else's."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.errors import InputError
from linkedclone.model.customization import Addresses, Customization, GuestOs
from linkedclone.model.guest import GuestCard
from linkedclone.model.vm import Vm
from linkedclone.planning.clone.ip_addresses import (
    find_clashes,
    give_addresses,
    used_addresses,
)
from tests.unit.building import clone_of, gold, vm

GOLD = gold()
BORN = datetime(2026, 11, 1, tzinfo=UTC)


def list_given(cards: Iterable[GuestCard]) -> tuple[str, ...]:
    return tuple(address.partition("/")[0] for card in cards for address in card.addresses)


def on(*cards: Addresses) -> Customization:
    return Customization(os=GuestOs.LINUX, addresses=cards)


def given_to(
    customization: Customization, names: list[str], used: tuple[str, ...] = ()
) -> list[tuple[str, ...]]:
    return [list_given(cards) for cards in give_addresses(customization, names, used).values()]


def desk(name: str, *addresses: str, minute: int | None = None) -> Vm:
    """A clone of ours that was given addresses."""
    made = clone_of(GOLD, name)
    assert made.mark
    created = None if minute is None else BORN + timedelta(minutes=minute)
    return replace(made, mark=replace(made.mark, addresses=addresses), created=created)


def test_clones_get_one_each_in_their_order() -> None:
    wanted = on(Addresses(range="10.0.0.10-10.0.0.40/24", gateway="10.0.0.1", dns=("10.0.0.2",)))
    cards = give_addresses(wanted, ["b", "a"], ())
    assert {name: card.addresses for name, (card,) in cards.items()} == {
        "b": ("10.0.0.10/24",),
        "a": ("10.0.0.11/24",),
    }
    assert {card.gateways for (card,) in cards.values()} == {("10.0.0.1",)}


def test_what_may_not_be_given_is_skipped() -> None:
    wanted = on(
        Addresses(
            range="10.0.0.0/28",
            gateway="10.0.0.1",
            dns=("10.0.0.2",),
            reserved=("10.0.0.4-10.0.0.5", "10.0.0.8/30"),
        )
    )
    used = ("10.0.0.3", "fd00::1", "10.0.0.6/28")
    assert given_to(wanted, ["a", "b", "c"], used) == [
        ("10.0.0.7",),
        ("10.0.0.12",),
        ("10.0.0.13",),
    ]


def test_a_name_server_of_the_whole_guest_is_not_given_to_a_clone() -> None:
    wanted = replace(on(Addresses(range="10.0.0.0/29")), dns=("10.0.0.1", "10.0.0.2"))
    assert given_to(wanted, ["a"]) == [("10.0.0.3",)]


def test_addresses_of_vms_count_also_while_those_are_off() -> None:
    running = replace(vm("other"), addresses=("10.0.0.2", "fe80::1"))
    assert used_addresses([running, desk("one", "10.0.0.3"), vm("none")]) == (
        "10.0.0.2",
        "fe80::1",
        "10.0.0.3",
    )


def test_both_families_and_several_cards_are_given() -> None:
    wanted = on(
        Addresses(range="10.0.0.5-10.0.0.9/24", range6="fd00::5-fd00::9/64", gateway6="fd00::1"),
        Addresses(dhcp=True),
        Addresses(range="10.1.0.0/16"),
    )
    (first, second) = give_addresses(wanted, ["a", "b"], ()).values()
    assert [card.addresses for card in first] == [
        ("10.0.0.5/24", "fd00::5/64"),
        (),
        ("10.1.0.1/16",),
    ]
    assert list_given(second) == ("10.0.0.6", "fd00::6", "10.1.0.2")


def test_two_cards_share_a_range_without_sharing_an_address() -> None:
    card = Addresses(range="10.0.0.5-10.0.0.9/24")
    assert given_to(on(card, card), ["a", "b"]) == [
        ("10.0.0.5", "10.0.0.7"),
        ("10.0.0.6", "10.0.0.8"),
    ]


def test_a_huge_range_takes_no_time_even_where_half_of_it_is_reserved() -> None:
    wanted = on(Addresses(range6="fd00::/64", reserved=("fd00::/65",)))
    assert given_to(wanted, ["a"]) == [("fd00::8000:0:0:0",)]


def test_too_few_addresses_are_reported_with_the_number_of_free_ones() -> None:
    wanted = on(Addresses(range="10.0.0.10-10.0.0.14/24", reserved=("10.0.0.10",)))
    with pytest.raises(InputError) as caught:
        give_addresses(wanted, ["a", "b", "c", "d"], ["10.0.0.11"])
    assert caught.value.brief == (
        "4 addresses are needed from 10.0.0.10-10.0.0.14/24, but 3 are free"
    )
    assert "of 5 addresses, 2 are in use" in caught.value.details


def test_without_addresses_cards_are_left_alone() -> None:
    assert give_addresses(Customization(os=GuestOs.LINUX), ["a"], ()) == {"a": ()}


names = st.lists(st.text("abc", min_size=1, max_size=4), unique=True, max_size=12)
addresses = st.integers(0, 63).map(lambda n: f"10.0.0.{n}")


@given(names, st.lists(addresses, max_size=20), st.lists(addresses, max_size=4))
def test_each_address_is_used_once_and_free(
    names: list[str], used: list[str], reserved: list[str]
) -> None:
    card = Addresses(range="10.0.0.0/26", gateway="10.0.0.1", reserved=tuple(reserved))
    forbidden = {*used, *reserved, "10.0.0.1", "10.0.0.0", "10.0.0.63"}
    try:
        found = [one for (one,) in given_to(on(card), names, tuple(used))]
    except InputError:
        assert 64 - len(forbidden) < len(names)
        return
    assert len(set(found)) == len(names)
    assert not set(found) & forbidden


@given(names, st.integers(0, 12))
def test_more_names_behind_change_nothing_of_those_before(names: list[str], cut: int) -> None:
    wanted = on(Addresses(range="10.0.0.0/26"))
    some = give_addresses(wanted, names[:cut], ())
    every = give_addresses(wanted, names, ())
    assert {name: every[name] for name in some} == some


# -- two commands at once -------------------------------------------------------------


def test_an_unused_address_does_not_clash() -> None:
    one, two = desk("one", "10.0.0.5"), desk("two", "10.0.0.6")
    assert find_clashes([one, two], [one, two, vm("other")]) == ()


@pytest.mark.parametrize(
    ("mine", "theirs", "loses"),
    [
        (desk("a", "10.0.0.5", minute=2), desk("b", "10.0.0.5", minute=1), True),
        (desk("a", "10.0.0.5", minute=1), desk("b", "10.0.0.5", minute=2), False),
        (desk("b", "10.0.0.5", minute=1), desk("a", "10.0.0.5", minute=1), True),
        (desk("a", "10.0.0.5", minute=1), desk("b", "10.0.0.5", minute=1), False),
        (desk("b", "10.0.0.5"), desk("a", "10.0.0.5", minute=1), True),
        (desk("a", "10.0.0.5"), replace(vm("x"), addresses=("10.0.0.5",)), True),
    ],
    ids=["later", "earlier", "greater", "smaller", "unknown", "foreign"],
)
def test_the_later_one_loses_and_of_two_alike_the_greater_uuid(
    mine: Vm, theirs: Vm, loses: bool
) -> None:
    (clash,) = find_clashes([mine], [mine, theirs])
    assert (clash.clone, clash.other, clash.address, clash.loses) == (
        mine,
        theirs,
        "10.0.0.5",
        loses,
    )
    if theirs.mark:
        (other_way,) = find_clashes([theirs], [mine, theirs])
        assert other_way.loses is not loses


def test_a_clone_that_is_not_customized_yet_may_show_its_parents_address() -> None:
    one = desk("one", "10.0.0.5")
    two = replace(desk("two", "10.0.0.6"), addresses=("10.0.0.5",))
    assert find_clashes([one, two], [one, two]) == ()


def test_an_inherited_mark_gives_no_address() -> None:
    one = desk("one", "10.0.0.5")
    copy = replace(vm("copy"), mark=one.mark)
    assert find_clashes([one], [one, copy]) == ()
    assert used_addresses([copy]) == ("10.0.0.5",)


def test_ipv6_is_compared_as_an_address_not_as_a_text() -> None:
    one = desk("one", "fd00::5")
    other = replace(vm("x"), addresses=("FD00:0:0::0005",))
    assert [clash.address for clash in find_clashes([one], [one, other])] == ["fd00::5"]


def test_a_single_free_address_is_reported_in_the_singular() -> None:
    wanted = on(Addresses(range="10.0.0.10-10.0.0.11/24"))
    with pytest.raises(InputError) as caught:
        give_addresses(wanted, ["a", "b"], ["10.0.0.11"])
    assert caught.value.brief.endswith("but 1 is free")
    assert "of 2 addresses, 1 is in use" in caught.value.details
