"""What people call networks, and what QEMU is told."""

import pytest

from linkedclone.drivers.qemu.networks import (
    FIRST_PORT,
    PORTS,
    CardRecord,
    build_netdevs,
    find_group,
    parse_network,
)
from linkedclone.errors import LinkedCloneError, NotFoundError

MAC = "02:00:00:00:00:01"


@pytest.mark.parametrize(
    "text", ["user", "closed", "isolated", "private:lab", "private:a.b_c-1", "bridge:br0"]
)
def test_a_network_is_read_as_it_is_written(text: str) -> None:
    assert str(parse_network(text)) == text
    assert parse_network(f" {text} ") == parse_network(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("VM Network", "known are"),
        ("", "known are"),
        ("private", "known are"),
        ("bridge", "known are"),
        ("user:x", "called user alone"),
        ("isolated:", "called isolated alone"),
        ("private:", "letters"),
        ("private:a,b", "letters"),
        ("bridge:br0,helper=/tmp/x", "letters"),
        ("bridge:sixteenbyteslong", "letters"),
        ("bridge:../x", "letters"),
    ],
)
def test_other_networks_are_refused(text: str, hint: str) -> None:
    with pytest.raises(NotFoundError, match="there is no network") as caught:
        parse_network(text)
    assert hint in caught.value.hint


def test_ssh_goes_to_the_first_card_on_the_user_network_alone() -> None:
    cards = tuple(CardRecord(mac=MAC, network=one) for one in ("isolated", "user", "user"))
    isolated, first, second = build_netdevs(cards)
    assert isolated == "hubport,id=net0,hubid=0"
    assert "hostfwd=tcp:127.0.0.1:0-" in first
    assert "hostfwd" not in second


def test_a_closed_network_lets_ssh_in_and_nothing_out() -> None:
    (closed,) = build_netdevs((CardRecord(mac=MAC, network="closed"),))
    assert closed == "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"


def test_a_private_network_is_one_for_a_state_folder_and_bound_to_loopback() -> None:
    group = find_group("store-1", "lab")
    assert group == find_group("store-1", "lab")
    assert len({group, find_group("store-2", "lab"), find_group("store-1", "other")}) == 3
    card = CardRecord(mac=MAC, network="private:lab", group=group)
    assert build_netdevs((card,)) == (f"socket,id=net0,mcast={group},localaddr=127.0.0.1",)


def test_groups_are_for_local_use_and_ports_are_not_those_that_the_kernel_gives() -> None:
    for number in range(300):
        address, _, port = find_group("store", str(number)).partition(":")
        first, second, *_ = map(int, address.split("."))
        assert (first, second & ~3) == (239, 192)
        assert FIRST_PORT <= int(port) < FIRST_PORT + PORTS <= 32768


def test_an_invalid_network_raises_our_own_error() -> None:
    with pytest.raises(LinkedCloneError):
        parse_network("user\nx")
