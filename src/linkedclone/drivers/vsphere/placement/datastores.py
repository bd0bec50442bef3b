"""Which datastore the deltas go to, of those that all hosts see. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from linkedclone.drivers.vsphere.placement.datacenter import Host, Landscape
from linkedclone.drivers.vsphere.property.choose import choose
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.errors import RefusedError
from linkedclone.model.request import Spot
from linkedclone.model.values.sizes import render_size


def find_members(land: Landscape, ref: str, hosts: Sequence[Host]) -> tuple[Spot, ...]:
    """Return the members of a datastore cluster that every host sees, the freest first.

    The hosts given see the parent's chain already; a member that one of them
    does not see could not hold the deltas of a clone that runs there.
    """
    cluster = choose("datastore cluster", ref, land.kind("StoragePod"), land.around)
    members = [seen for seen in land.stores.values() if seen.id_at("parent") == cluster.id]
    spots = build_spots(land, members, hosts)
    if not spots:
        why = [f"{land.store_name(one.id)} {unfit(one, hosts)}" for one in members]
        raise RefusedError(
            f"no member of datastore cluster {ref!r} can hold linked clones of this parent",
            details="\n".join(sorted(why)) or "it has no members",
            hint="every host that may run the clones has to see the member and the parent's "
            "datastore; name a --datastore, or a --host that sees both",
        )
    return spots


def find_shared(land: Landscape, hosts: Sequence[Host]) -> tuple[Spot, ...]:
    """Return all datastores that every host sees, the freest first."""
    return build_spots(land, land.stores.values(), hosts)


def build_spots(land: Landscape, stores: Iterable[Seen], hosts: Sequence[Host]) -> tuple[Spot, ...]:
    """Return those datastores that all hosts see, weighed by their free bytes."""
    spots = [
        Spot(
            id=seen.id,
            name=land.store_name(seen.id),
            weight=int(seen.get("summary.freeSpace") or 0),
        )
        for seen in stores
        if not unfit(seen, hosts)
    ]
    return tuple(sorted(spots, key=lambda spot: (-spot.weight, spot.name, spot.id)))


def unfit(store: Seen, hosts: Sequence[Host]) -> str:
    """Say why a datastore cannot take clones that run on any of the hosts; empty if it can."""
    accessible = store.get("summary.accessible")
    if not accessible:
        return "is not accessible" if accessible is False else "cannot be read"
    mode = str(store.told("summary.maintenanceMode") or "normal")
    if mode != "normal":
        return "is in maintenance mode"
    blind = sorted(host.name for host in hosts if store.id not in host.stores)
    return f"is not seen by {', '.join(blind)}" if blind else ""


def describe_choice(cluster: str, members: Sequence[Spot]) -> str:
    """Say which member of a datastore cluster was chosen, and why."""
    first = members[0]
    return (
        f"datastore {first.name} of {cluster}: {render_size(first.weight)} free, "
        f"the most of {len(members)} that will do"
    )
