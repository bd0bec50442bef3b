"""Where clones go, and VMs that are moved: the source's own place, and what is named instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.guest.stored_specifications import StoredSpecs
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.names import memory_mib
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.placement.clusters import (
    ask_cluster,
    build_question,
    find_host,
    find_pool,
)
from linkedclone.drivers.vsphere.placement.datacenter import (
    AROUND_HOST,
    WANTED,
    Host,
    Landscape,
    choose_ways,
)
from linkedclone.drivers.vsphere.placement.datastores import (
    describe_choice,
    find_members,
    find_spots,
    find_store,
)
from linkedclone.drivers.vsphere.placement.folders import find_folder
from linkedclone.drivers.vsphere.placement.hosts import check_host, check_visible, find_fit
from linkedclone.drivers.vsphere.placement.networks import (
    build_networks,
    describe_networks,
    find_networks,
    keep_connected,
)
from linkedclone.drivers.vsphere.placement.wish import Wish, check_consistent
from linkedclone.drivers.vsphere.property import surroundings
from linkedclone.drivers.vsphere.property.choose import choose
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, build_path, datacenter_of
from linkedclone.drivers.vsphere.property.questions import Wanted
from linkedclone.drivers.vsphere.property.resource_pools import name_pool
from linkedclone.drivers.vsphere.property.traversal import DATACENTERS, Walk
from linkedclone.errors import NotFoundError, RefusedError
from linkedclone.model.request import CloneRequest, DiskMove, Spot, Target
from linkedclone.model.values.ids import FolderId
from linkedclone.model.vm import Vm

_COPIES: Final = frozenset({DiskMove.COPIED, DiskMove.CONSOLIDATED})
"""Ways to clone after which nothing of the parent is read any more."""

_AROUND_SOURCE: Final = {**surroundings.AROUND, "VirtualMachine": surroundings.OF_SOURCE}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    pool: Seen
    host: Host | None = None
    fit: tuple[Host, ...] = ()  # the hosts that can run them; empty where hosts are not looked at
    hosts: int  # how many hosts that are; 0 where it does not count
    notes: tuple[str, ...] = ()


class Placer:
    """Resolves targets at one endpoint."""

    def __init__(
        self, session: Session, collector: Collector, observer: Observer, specs: StoredSpecs
    ) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer
        self._specs = specs

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        """Look up where the clones of a request go; see :meth:`resolve`."""
        memory_mib(request.hardware)
        self._specs.read(request.customization_spec)
        layers = () if request.disk_move in _COPIES else source.layers
        nics = request.hardware.nics
        wish = Wish(
            source=source,
            placement=request.placement,
            stores={str(layer.store): layer.store_name for layer in layers},
            networks=tuple(dict.fromkeys(nic.network for nic in nics if nic.network)),
            names=request.names,
            linked=request.disk_move.linked,
        )
        return replace(self.resolve(wish), customization_spec=request.customization_spec)

    def resolve(self, wish: Wish) -> Target:
        """Look up a place.

        No call where the source's own place is kept and the source is the one
        VM that was found last: its surroundings were read with it. One read
        for any other; one more for a template, whose cluster has to be found
        by its host, and one more of the datacenter where something is named.
        Another datacenter, distributed port groups and a cluster's advice cost
        one each.
        """
        check_consistent(wish.placement)
        source, near = self._read_source(wish)
        land = self._read_land(wish, source, near)
        running = _find_running(wish, source, land)
        target = _build_target(wish, source, land, running)
        describe = partial(describe_networks, self._session, self._collector, land)
        found, notes = find_networks(land, wish.networks, running.fit, describe)
        target = replace(
            target,
            networks=build_networks(self._session, self._collector, found),
            notes=target.notes + notes,
        )
        if wish.placement.spread == "host" and found:
            ids = {network.id for network in found.values()}
            target = replace(target, spots=keep_connected(target.spots, running.fit, ids))
        return self._ask(wish, land, running, target)

    # -- read -------------------------------------------------------------------------

    def _read_source(self, wish: Wish) -> tuple[Seen, Mapping[str, Seen]]:
        vm, around = wish.source, self._observer.surroundings(wish.source)
        if not around:
            start = self._session.managed("VirtualMachine", vm.id)
            around = self._read(start, surroundings.WAYS, _AROUND_SOURCE)
        seen = around.get(vm.id)
        if seen is None:
            raise NotFoundError(f"{vm.name!r} was deleted just now")
        host = seen.id_at("runtime.host")
        in_pool = wish.placement.resource_pool or seen.id_at("resourcePool")
        if host and not in_pool and not wish.weighs_hosts:
            # A template itself is in no pool.
            start = self._session.managed("HostSystem", host)
            around = {**around, **self._read(start, AROUND_HOST, WANTED)}
        return seen, around

    def _read_land(self, wish: Wish, source: Seen, near: Mapping[str, Seen]) -> Landscape:
        ways = choose_ways(wish, near)
        center, above = datacenter_of(source, near), near
        if ways and wish.placement.datacenter:
            root = self._session.content.rootFolder
            above = self._collector.read("read datacenters", [root], PARTS, [DATACENTERS])
            every = {moid: one for moid, one in above.items() if one.kind == "Datacenter"}
            center = choose("datacenter", wish.placement.datacenter, every, above)
        if not ways:
            return Landscape(path=build_path(center, near) if center else "", around=near)
        if center is None:
            raise RefusedError(
                f"the datacenter of {source.get('name')!r} cannot be seen",
                hint="the user needs System.View on the folders above the parent",
            )
        start = self._session.managed("Datacenter", center.id)
        around = {**above, **self._read(start, ways, WANTED)}
        return Landscape(path=build_path(center, around), around=around)

    def _read(self, start: Native, ways: Sequence[Walk], wanted: Wanted) -> Mapping[str, Seen]:
        return self._collector.read("look up where clones go", [start], wanted, ways)

    # -- advice -----------------------------------------------------------------------

    def _ask(self, wish: Wish, land: Landscape, running: _Running, target: Target) -> Target:
        """Let the cluster advise the host of a single clone, and a datastore of its cluster.

        For a batch the host is left to the cluster, which balances each clone
        at its power-on: one answer for all would put them on one host.
        """
        wanted, single = wish.placement, len(wish.names) == 1
        if not wanted.cluster or running.host is not None or wanted.spread:
            return target
        if not single and not wanted.datastore_cluster:
            return target
        stores: tuple[Spot, ...] = (
            Spot(id=target.datastore, name=target.datastore_name, weight=0),
        )
        if wanted.datastore_cluster:
            stores = find_members(land, wanted.datastore_cluster, running.fit)
        question = build_question(
            wish.source.id, wish.names[0], target.pool, hosts=running.fit, stores=stores
        )
        cluster = land.around[running.pool.id_at("owner")]
        advice = ask_cluster(self._session, cluster, question, hosts=running.fit, stores=stores)
        if advice.note:
            return replace(target, notes=(*target.notes, advice.note))
        if advice.store is not None and advice.store.id != target.datastore:
            note = f"datastore {advice.store.name}, as the cluster advises"
            target = replace(
                target,
                datastore=advice.store.id,
                datastore_name=advice.store.name,
                notes=(*target.notes, note),
            )
        if advice.host is not None and single:
            note = f"host {advice.host.name}, as the cluster advises"
            target = replace(
                target,
                host=advice.host.id,
                host_name=advice.host.name,
                hosts=1,
                notes=(*target.notes, note),
            )
        return target


def _find_running(wish: Wish, source: Seen, land: Landscape) -> _Running:
    wanted, needed = wish.placement, dict(wish.stores)
    host = find_host(land, wanted.host)
    pool = find_pool(land, wanted, host, source)
    if not wish.chooses_store:
        store = find_store(land, wanted, source)
        needed[store.id] = land.store_name(store.id)
    path, compute = build_path(pool, land.around), land.around.get(pool.id_at("owner"))
    if not wish.weighs_hosts:
        check_visible(path, compute, needed)
        # Links are done at once, and vCenter queues what is too much; copies load
        # a host four times as much [fact: vs-limits].
        counted = compute.ids_at("host") if compute is not None and not wish.linked else ()
        return _Running(pool=pool, hosts=len(counted))
    hosts = [one for one in land.hosts.values() if one.compute == pool.id_at("owner")]
    if host is not None:
        check_host(host, needed, hosts)
        return _Running(pool=pool, host=host, fit=(host,), hosts=1)
    fit, notes = find_fit(path, hosts, needed)
    return _Running(pool=pool, fit=fit, hosts=len(fit), notes=notes)


def _build_target(wish: Wish, source: Seen, land: Landscape, running: _Running) -> Target:
    wanted, notes = wish.placement, list(running.notes)
    spots: tuple[Spot, ...] = ()
    if wish.chooses_store:
        spots = find_spots(land, wanted, running.fit)
        store, store_name = spots[0].id, spots[0].name
        if not wanted.spread:
            notes.append(describe_choice(wanted.datastore_cluster, spots))
    else:
        store = find_store(land, wanted, source).id
        store_name = land.store_name(store)
    if wanted.spread == "host":
        spots = tuple(
            Spot(id=host.id, name=host.name, weight=host.free_bytes) for host in running.fit
        )
    if wanted.spread and len(spots) == 1:
        notes.append(f"there is only {spots[0].name} to spread over")
    folder, path, missing = find_folder(land, wanted, source.id_at("parent"))
    return Target(
        folder=FolderId(folder),
        folder_path=path,
        datastore=store,
        datastore_name=store_name,
        pool=name_pool(running.pool),
        pool_name=build_path(running.pool, land.around),
        host=running.host.id if running.host else "",
        host_name=running.host.name if running.host else "",
        new_folder=missing,
        spots=spots if wanted.spread else (),
        hosts=running.hosts,
        notes=tuple(notes),
    )
