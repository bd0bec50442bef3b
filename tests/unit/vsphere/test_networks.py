"""Hosts are spread over only if they have the networks that the clones get."""

import pytest

from linkedclone.drivers.vsphere.landscape import Host
from linkedclone.drivers.vsphere.networks import keep_connected
from linkedclone.errors import RefusedError
from linkedclone.model.spec import Spot


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
