"""The datastores of an endpoint, as a look at their files needs them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.shared_datastores import choose_ids, read_volume
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.choose import match, no_such
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, build_path, datacenter_of
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer

_WANTED: Final = {
    "Datastore": ("name", "parent", "browser", "summary.url", "summary.accessible"),
    **PARTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Datastore:
    """A datastore."""

    id: StoreId
    name: str  # its name; unique in its datacenter only
    path: str
    datacenter: str  # the id of its datacenter
    datacenter_path: str  # the inventory path of that, without a slash in front
    browser: Native
    # What hosts call it below ``/vmfs/volumes``, beside its name; where that is not told, what else
    # tells its storage from any other.
    volume: str
    accessible: bool  # whether any host reaches it, and can tell which storage it is

    def layer(self, path: str) -> Layer:
        """Return the layer that a file here is."""
        return Layer(store=self.id, path=path, store_name=self.name)


def read_datastores(session: Session, collector: Collector) -> tuple[Datastore, ...]:
    """Read all datastores, in one call."""
    root = session.content.rootFolder
    ways = (traversal.DATACENTERS, traversal.STORES, *traversal.UP)
    around = collector.read("read the datastores", [root], _WANTED, ways)
    return tuple(
        _build(seen, around)
        for seen in around.values()
        if seen.kind == "Datastore" and seen.get("browser") is not None
    )


def _build(seen: Seen, around: Mapping[str, Seen]) -> Datastore:
    datacenter = datacenter_of(seen, around)
    return Datastore(
        id=StoreId(seen.id),
        name=unescape(str(seen.get("name") or "")),
        path=build_path(seen, around),
        datacenter=datacenter.id if datacenter else "",
        datacenter_path=build_path(datacenter, around).lstrip("/") if datacenter else "",
        browser=seen.get("browser"),
        volume=read_volume(str(seen.get("summary.url") or "")),
        accessible=bool(seen.get("summary.accessible") and seen.get("summary.url")),
    )


def find_shared(stores: Sequence[Datastore]) -> frozenset[StoreId]:
    """Return the datastores whose storage is in another datacenter as well.

    Its objects have the same URL [fact: vs-shared-storage].
    """
    times = Counter(store.volume for store in stores if store.volume)
    return frozenset(store.id for store in stores if times[store.volume] > 1)


def drop_twins(
    stores: Sequence[Datastore], chosen: Sequence[Datastore]
) -> tuple[tuple[Datastore, ...], tuple[Datastore, ...]]:
    """Return one object for each storage, of all and of those that were chosen, see ``twins``."""
    twins = choose_ids((store.id, store.volume, store.name) for store in stores)
    wanted = {twins.get(store.id, store.id) for store in chosen}
    single = tuple(store for store in stores if store.id not in twins)
    return single, tuple(store for store in single if store.id in wanted)


def choose_datastores(
    stores: Sequence[Datastore], places: Sequence[str], known: frozenset[StoreId]
) -> tuple[Datastore, ...]:
    """Return the datastores of these names or inventory paths; without any, the known ones.

    A name that several datacenters have means all of them.
    """
    if not places:
        return tuple(store for store in stores if store.id in known)
    # No name has a slash of its own: a path holds them escaped.
    ways = {store.id: (tuple(store.path.strip("/").split("/")),) for store in stores}
    chosen: dict[StoreId, Datastore] = {}
    for place in places:
        found = match(place, ways)
        if not found:
            raise no_such("datastore", place, (store.path for store in stores))
        chosen |= {store.id: store for store in stores if store.id in found}
    return tuple(chosen.values())
