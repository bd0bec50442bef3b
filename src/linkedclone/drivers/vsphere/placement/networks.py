"""The networks that a request names for network cards, looked up once for the whole batch."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.placement.datacenter import Host, Landscape
from linkedclone.drivers.vsphere.property.choose import find_all, no_such
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import build_path
from linkedclone.drivers.vsphere.property.traversal import Walk
from linkedclone.errors import AmbiguousError, RefusedError
from linkedclone.model.request import Network, Spot

_KINDS: Final = ("Network", "DistributedVirtualPortgroup", "OpaqueNetwork")

_SWITCHED: Final[Mapping[str, Sequence[str]]] = {
    "DistributedVirtualPortgroup": ("config.key", "config.distributedVirtualSwitch"),
    "DistributedVirtualSwitch": ("uuid", "name"),
}
_SWITCH: Final = Walk(
    name="switch", kind="DistributedVirtualPortgroup", path="config.distributedVirtualSwitch"
)


def find_networks(
    land: Landscape,
    names: Sequence[str],
    hosts: Sequence[Host],
    describe: Callable[[Sequence[Seen]], Sequence[str]],
) -> tuple[dict[str, Seen], tuple[str, ...]]:
    """Return the network that each name means, and what a person should know of them.

    Of several networks of one name that counts which the hosts have that may run the
    clones. ``describe`` tells networks apart for people.
    """
    known = land.kind(*_KINDS)
    found: dict[str, Seen] = {}
    for name in names:
        fits = find_all(name, known, land.around)
        if len(fits) > 1:
            fits = _keep_seen(fits, hosts)
        if not fits:
            raise no_such("network", name, (build_path(one, land.around) for one in known.values()))
        if len(fits) > 1:
            raise AmbiguousError(
                f"{name!r} fits {len(fits)} networks",
                candidates=tuple(sorted(describe(fits))),
                hint="name it by its id, or by its inventory path",
            )
        found[name] = fits[0]
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
                hint="name a network that the hosts have, or a ``placement.cluster`` or "
                "``placement.host`` that has it",
            )
        if without:
            notes.append(f"network {name!r} does not exist on {', '.join(without)}")
    return found, tuple(notes)


def _keep_seen(fits: tuple[Seen, ...], hosts: Sequence[Host]) -> tuple[Seen, ...]:
    usable = tuple(
        seen
        for seen in fits
        if seen.kind != "OpaqueNetwork" and any(seen.id in host.networks for host in hosts)
    )
    return usable or fits


def describe_networks(
    session: Session, collector: Collector, land: Landscape, networks: Sequence[Seen]
) -> tuple[str, ...]:
    """Return lines that tell networks apart: path, kind, switch and id; reads the switches."""
    groups = {one.id for one in networks if one.kind == "DistributedVirtualPortgroup"}
    switched = _read_switches(session, collector, groups) if groups else {}
    return tuple(
        f"{build_path(one, land.around)}  {_say_kind(one, switched)}  {one.id}" for one in networks
    )


def _say_kind(seen: Seen, switched: Mapping[str, Seen]) -> str:
    if seen.kind == "OpaqueNetwork":
        return "opaque network"
    group = switched.get(seen.id)
    switch = switched.get(group.id_at("config.distributedVirtualSwitch")) if group else None
    if switch is None:
        return "standard network" if seen.kind == "Network" else "distributed port group"
    return f"port group of {unescape(str(switch.get('name')))}"


def keep_connected(
    spots: Sequence[Spot], hosts: Sequence[Host], networks: Collection[str]
) -> tuple[Spot, ...]:
    """Return those of the hosts to spread over that have all of these networks, by id."""
    fit = {host.id for host in hosts if set(networks) <= set(host.networks)}
    kept = tuple(spot for spot in spots if spot.id in fit)
    if not kept:
        raise RefusedError(
            "no host to spread over has all of the networks",
            hint="name a ``placement.cluster`` whose hosts have them, or leave "
            "``placement.spread`` out",
        )
    return kept


def build_networks(
    session: Session, collector: Collector, found: Mapping[str, Seen]
) -> tuple[Network, ...]:
    """Return the networks as a request takes them; one read if some are distributed.

    A card on a distributed port group names switch and group [fact: vs-port-group].
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
