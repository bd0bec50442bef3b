"""The networks that a request names for network cards, looked up once for the whole batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere.choose import choose
from linkedclone.drivers.vsphere.collector import Collector, Seen
from linkedclone.drivers.vsphere.landscape import Host, Landscape
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.session import Session
from linkedclone.drivers.vsphere.walks import Walk
from linkedclone.errors import RefusedError
from linkedclone.model.spec import Network, Spot

_KINDS: Final = ("Network", "DistributedVirtualPortgroup", "OpaqueNetwork")

_SWITCHED: Final[Mapping[str, Sequence[str]]] = {
    "DistributedVirtualPortgroup": ("config.key", "config.distributedVirtualSwitch"),
    "DistributedVirtualSwitch": ("uuid",),
}
_SWITCH: Final = Walk(
    name="switch", kind="DistributedVirtualPortgroup", path="config.distributedVirtualSwitch"
)


def find_networks(
    land: Landscape, names: Sequence[str], hosts: Sequence[Host]
) -> tuple[dict[str, Seen], tuple[str, ...]]:
    """Return the network that each name means, and what a person should know of them.

    Args:
        land: The datacenter, with its networks.
        names: Names, inventory paths or ids.
        hosts: The hosts that may run the clones.

    Raises:
        NotFoundError: There is none of that name.
        AmbiguousError: A name fits several.
        RefusedError: None of the hosts has it, or it is an opaque one.
    """
    known = land.kind(*_KINDS)
    found = {name: choose("network", name, known, land.around) for name in names}
    notes: list[str] = []
    for name, seen in found.items():
        if seen.kind == "OpaqueNetwork":
            raise RefusedError(
                f"network {name!r} is managed outside of vCenter (opaque)",
                hint="name a standard network or a distributed port group",
            )
        without = [host.name for host in hosts if seen.id not in host.networks]
        if len(without) == len(hosts):
            raise RefusedError(
                f"network {name!r} does not exist on {', '.join(without)}",
                hint="name a network that the hosts have, or a --cluster or --host that has it",
            )
        if without:
            notes.append(f"network {name!r} does not exist on {', '.join(without)}")
    return found, tuple(notes)


def keep_connected(
    spots: Sequence[Spot], hosts: Sequence[Host], networks: Collection[str]
) -> tuple[Spot, ...]:
    """Return those of the hosts to spread over that have all of these networks, by id.

    Raises:
        RefusedError: None has.
    """
    fit = {host.id for host in hosts if set(networks) <= set(host.networks)}
    kept = tuple(spot for spot in spots if spot.id in fit)
    if not kept:
        raise RefusedError(
            "no host to spread over has all of the networks",
            hint="name a --cluster whose hosts have them, or leave --spread out",
        )
    return kept


def build_networks(
    session: Session, collector: Collector, found: Mapping[str, Seen]
) -> tuple[Network, ...]:
    """Return the networks as a request takes them; one read if some are distributed.

    A card on a distributed port group names the switch by its UUID and the
    group by its key (handbook, section 6).
    """
    groups = {seen.id for seen in found.values() if seen.kind == "DistributedVirtualPortgroup"}
    switched = _read_switches(session, collector, groups) if groups else {}
    return tuple(_build(wanted, seen, switched) for wanted, seen in found.items())


def _read_switches(
    session: Session, collector: Collector, groups: Iterable[str]
) -> dict[str, Seen]:
    starts = [session.managed("DistributedVirtualPortgroup", moid) for moid in sorted(groups)]
    return collector.read("look up networks", starts, _SWITCHED, [_SWITCH])


def _build(wanted: str, seen: Seen, switched: Mapping[str, Seen]) -> Network:
    group = switched.get(seen.id)
    switch = switched.get(group.id_at("config.distributedVirtualSwitch")) if group else None
    return Network(
        wanted=wanted,
        id=seen.id,
        name=unescape(str(seen.get("name"))),
        switch_uuid=str(switch.get("uuid")) if switch else "",
        portgroup_key=str(group.get("config.key")) if group else "",
    )
