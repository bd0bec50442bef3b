"""Which datastore the deltas go to, of those that all hosts see. Pure."""

from collections.abc import Iterable, Sequence

from linkedclone.drivers.vsphere.names import split_file_name, unescape
from linkedclone.drivers.vsphere.placement.datacenter import Host, Landscape
from linkedclone.drivers.vsphere.property.choose import choose
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.errors import RefusedError
from linkedclone.model.request import Placement, Spot
from linkedclone.model.values.sizes import render_size


def find_store(land: Landscape, wanted: Placement, source: Seen) -> Seen:
    """Return the datastore that is named, else that of the source."""
    if wanted.datastore:
        return choose("datastore", wanted.datastore, land.stores, land.around)
    name, _ = split_file_name(str(source.get("config.files.vmPathName") or ""))
    for store in map(land.stores.get, source.ids_at("datastore")):
        if store is not None and unescape(str(store.get("name"))) == unescape(name):
            return store
    raise RefusedError(
        f"the parent's datastore {name} does not exist in {land.path or 'its datacenter'}",
        hint="name one with ``placement.datastore``; a linked clone needs hosts that see both",
    )


def find_spots(land: Landscape, wanted: Placement, hosts: Sequence[Host]) -> tuple[Spot, ...]:
    """Return what the deltas may be spread over, or the best of which takes all."""
    if wanted.datastore_cluster:
        return find_members(land, wanted.datastore_cluster, hosts)
    spots = _build_spots(land, land.stores.values(), hosts)
    if not spots:
        raise RefusedError(
            "there is no datastore that all hosts see which can run the clones",
            hint="name one with ``placement.datastore``, or a ``placement.host``",
        )
    return spots


def find_members(land: Landscape, ref: str, hosts: Sequence[Host]) -> tuple[Spot, ...]:
    """Return the members of a datastore cluster that every host sees, the freest first.

    The hosts given see the parent's chain already; a member that one of them
    does not see could not hold the deltas of a clone that runs there.
    """
    cluster = choose("datastore cluster", ref, land.kind("StoragePod"), land.around)
    members = [seen for seen in land.stores.values() if seen.id_at("parent") == cluster.id]
    spots = _build_spots(land, members, hosts)
    if not spots:
        why = [f"{land.store_name(one.id)} {unfit(one, hosts)}" for one in members]
        raise RefusedError(
            f"no member of datastore cluster {ref!r} can hold linked clones of this parent",
            details="\n".join(sorted(why)) or "it has no members",
            hint="every host that may run the clones has to see the member and the parent's "
            "datastore; name a ``placement.datastore``, or a ``placement.host`` that sees both",
        )
    return spots


def _build_spots(
    land: Landscape, stores: Iterable[Seen], hosts: Sequence[Host]
) -> tuple[Spot, ...]:
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
