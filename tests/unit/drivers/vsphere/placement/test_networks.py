"""Hosts are spread over only if they have the networks that the clones get."""

import pytest

from linkedclone.drivers.vsphere.placement.datacenter import Host, Landscape
from linkedclone.drivers.vsphere.placement.networks import find_networks, keep_connected
from linkedclone.errors import AmbiguousError, RefusedError
from linkedclone.model.request import Spot
from tests.unit.drivers.vsphere.build import seen


def host(number: int, *networks: str) -> Host:
    return Host(
        id=f"host-{number}",
        name=f"esx{number}",
        compute="domain-c1",
        stores=frozenset(),
        networks=frozenset(networks),
        trouble="",
        free_bytes=1 << 30,
    )


HOSTS = (host(1, "net-a", "net-b"), host(2, "net-a"), host(3))
SPOTS = tuple(Spot(id=one.id, name=one.name, weight=1) for one in HOSTS)


@pytest.mark.parametrize(
    ("networks", "kept"),
    [
        ({"net-a"}, ["esx1", "esx2"]),
        ({"net-a", "net-b"}, ["esx1"]),
        (set(), ["esx1", "esx2", "esx3"]),
    ],
)
def test_only_hosts_with_all_networks_are_spread_over(networks: set[str], kept: list[str]) -> None:
    assert [spot.name for spot in keep_connected(SPOTS, HOSTS, networks)] == kept


def test_no_host_with_all_of_them_is_refused() -> None:
    with pytest.raises(RefusedError, match="no host"):
        keep_connected(SPOTS, HOSTS, {"net-b", "net-c"})


TWINS = {
    moid: seen(kind, moid, name="LAN")
    for moid, kind in (
        ("net-a", "DistributedVirtualPortgroup"),
        ("net-b", "DistributedVirtualPortgroup"),
        ("net-o", "OpaqueNetwork"),
    )
}
LAND = Landscape(path="/DC0", around=TWINS)


@pytest.mark.parametrize(
    ("ref", "hosts", "chosen"),
    [
        ("LAN", HOSTS[1:2], "net-a"),
        ("/LAN", HOSTS[1:], "net-a"),
        ("net-b", HOSTS[:1], "net-b"),
    ],
)
def test_item_19_of_networks_of_one_name_the_host_tells_which_and_an_id_always_does(
    ref: str, hosts: tuple[Host, ...], chosen: str
) -> None:
    found, _ = find_networks(LAND, [ref], hosts, lambda fits: [one.id for one in fits])
    assert found[ref].id == chosen


def test_item_19_networks_of_one_name_on_a_host_are_distinguished() -> None:
    with pytest.raises(AmbiguousError) as caught:
        find_networks(LAND, ["LAN"], HOSTS, lambda fits: [f"switch {one.id}" for one in fits])
    assert caught.value.candidates == ("switch net-a", "switch net-b")
    assert "id" in caught.value.hint
