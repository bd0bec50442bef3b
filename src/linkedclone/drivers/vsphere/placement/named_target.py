"""Where clones go when the request says more than folder, datastore or pool.

One read of the datacenter shows all hosts, pools, datastores and networks; a
request that names nothing of the kind never gets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.names import split_file_name, unescape
from linkedclone.drivers.vsphere.native import moid_of
from linkedclone.drivers.vsphere.placement.clusters import (
    ask_cluster,
    build_question,
    find_host,
    find_pool,
)
from linkedclone.drivers.vsphere.placement.datacenter import Host, Landscape, read_landscape
from linkedclone.drivers.vsphere.placement.datastores import (
    describe_choice,
    find_members,
    find_shared,
)
from linkedclone.drivers.vsphere.placement.folders import find_folder
from linkedclone.drivers.vsphere.placement.hosts import check_host, find_fit
from linkedclone.drivers.vsphere.placement.networks import (
    build_networks,
    describe_networks,
    find_networks,
    keep_connected,
)
from linkedclone.drivers.vsphere.placement.special import (
    check_consistent,
    named_networks,
    needed_stores,
)
from linkedclone.drivers.vsphere.property.choose import choose
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, build_path
from linkedclone.drivers.vsphere.property.resource_pools import name_pool
from linkedclone.drivers.vsphere.property.traversal import DATACENTERS
from linkedclone.errors import RefusedError
from linkedclone.model.request import CloneRequest, Placement, Spot, Target
from linkedclone.model.values.ids import FolderId
from linkedclone.model.vm import Vm


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What the decisions are made of.

    Attributes:
        source: The parent.
        seen: The parent as it was read, for its own place.
        near: What was read around it.
        request: What is wanted.
        land: The datacenter that the clones go to.
    """

    source: Vm
    seen: Seen
    near: Mapping[str, Seen]
    request: CloneRequest
    land: Landscape


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """Where the clones run.

    Attributes:
        pool: Their resource pool.
        host: The host that was named.
        fit: The hosts that can run them.
        notes: What a person should know.
    """

    pool: Seen
    host: Host | None
    fit: tuple[Host, ...]
    notes: tuple[str, ...]


class Surveyor:
    """Resolves such targets at one endpoint."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector

    def resolve(
        self, source: Vm, request: CloneRequest, seen: Seen, near: Mapping[str, Seen], origin: Seen
    ) -> Target:
        """Look up where the clones of a request go.

        Two reads beside that of the source: its datacenter, and where another
        one is named, which there are. Distributed port groups cost one more,
        and so does a cluster's advice.

        Args:
            source: The parent.
            request: What is wanted.
            seen: The parent as it was read, for its own place.
            near: What was read around it.
            origin: Its datacenter.
        """
        wanted = request.placement
        check_consistent(wanted)
        names = named_networks(request.hardware)
        land = read_landscape(
            self._session,
            self._collector,
            *self._datacenter(wanted, origin, near),
            folders=bool(wanted.folder or wanted.datacenter),
            networks=bool(names),
        )
        ground = _Ground(source=source, seen=seen, near=near, request=request, land=land)
        running = _find_running(ground)
        target = _build_target(ground, running)
        found, notes = find_networks(
            land,
            names,
            running.fit,
            partial(describe_networks, self._session, self._collector, land),
        )
        target = replace(
            target,
            networks=build_networks(self._session, self._collector, found),
            notes=target.notes + notes,
        )
        if wanted.spread == "host" and found:
            ids = {network.id for network in found.values()}
            target = replace(target, spots=keep_connected(target.spots, running.fit, ids))
        return self._ask(ground, running, target)

    def _datacenter(
        self, wanted: Placement, origin: Seen, near: Mapping[str, Seen]
    ) -> tuple[Seen, Mapping[str, Seen]]:
        """Return the datacenter that the clones go to, and what stands above it."""
        if not wanted.datacenter:
            return origin, near
        root = self._session.content.rootFolder
        around = self._collector.read("read datacenters", [root], PARTS, [DATACENTERS])
        every = {moid: one for moid, one in around.items() if one.kind == "Datacenter"}
        return choose("datacenter", wanted.datacenter, every, around), around

    def _ask(self, ground: _Ground, running: _Running, target: Target) -> Target:
        """Let the cluster advise the host of a single clone, and a datastore of its cluster.

        For a batch the host is left to the cluster, which balances each clone
        at its power-on: one answer for all would put them on one host.
        """
        wanted = ground.request.placement
        if not wanted.cluster or running.host is not None or wanted.spread:
            return target
        single = len(ground.request.names) == 1
        if not single and not wanted.datastore_cluster:
            return target
        stores: tuple[Spot, ...] = (
            Spot(id=target.datastore, name=target.datastore_name, weight=0),
        )
        if wanted.datastore_cluster:
            stores = find_members(ground.land, wanted.datastore_cluster, running.fit)
        question = build_question(
            ground.source.id,
            ground.request.names[0],
            target.pool,
            hosts=running.fit,
            stores=stores,
        )
        cluster = ground.land.around[running.pool.id_at("owner")]
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


def _find_running(ground: _Ground) -> _Running:
    """Find the pool and the hosts that can run the clones."""
    land, wanted = ground.land, ground.request.placement
    host = find_host(land, wanted.host)
    pool = find_pool(
        land,
        wanted,
        host,
        own_pool=ground.seen.id_at("resourcePool"),
        own_host=ground.seen.id_at("runtime.host"),
    )
    compute = pool.id_at("owner")
    hosts = [one for one in land.hosts.values() if one.compute == compute]
    needed = needed_stores(ground.source, ground.request)
    if not wanted.datastore_cluster and wanted.spread != "datastore":
        store = _find_store(ground)
        needed |= {store.id: land.store_name(store.id)}
    if host is not None:
        check_host(host, needed, hosts)
        return _Running(pool=pool, host=host, fit=(host,), notes=())
    fit, notes = find_fit(build_path(pool, land.around), hosts, needed)
    return _Running(pool=pool, host=None, fit=fit, notes=notes)


def _find_store(ground: _Ground) -> Seen:
    """Return the datastore that is named, else that of the source."""
    land, wanted = ground.land, ground.request.placement
    if wanted.datastore:
        return choose("datastore", wanted.datastore, land.stores, land.around)
    name, _ = split_file_name(str(ground.seen.get("config.files.vmPathName") or ""))
    own = {moid_of(ref) for ref in ground.seen.get("datastore") or ()}
    for moid in own:
        seen = land.stores.get(moid)
        if seen is not None and unescape(str(seen.get("name"))) == unescape(name):
            return seen
    raise RefusedError(
        f"the parent's datastore {name} does not exist in {build_path(land.datacenter, {})}",
        hint="name one with --datastore; a linked clone needs hosts that see both",
    )


def _build_target(ground: _Ground, running: _Running) -> Target:
    land, wanted = ground.land, ground.request.placement
    notes = list(running.notes)
    spots: tuple[Spot, ...] = ()
    if wanted.datastore_cluster or wanted.spread == "datastore":
        spots = _datastores(ground, running)
        store, store_name = spots[0].id, spots[0].name
        if not wanted.spread:
            notes.append(describe_choice(wanted.datastore_cluster, spots))
    else:
        store = _find_store(ground).id
        store_name = land.store_name(store)
    if wanted.spread == "host":
        spots = tuple(
            Spot(id=host.id, name=host.name, weight=host.free_bytes) for host in running.fit
        )
    if wanted.spread and len(spots) == 1:
        notes.append(f"there is only {spots[0].name} to spread over")
    folder, path, missing = _find_folder(ground)
    return Target(
        folder=FolderId(folder),
        folder_path=path,
        datastore=store,
        datastore_name=store_name,
        pool=name_pool(running.pool),
        pool_name=build_path(running.pool, land.around),
        customization_spec=ground.request.customization_spec,
        host=running.host.id if running.host else "",
        host_name=running.host.name if running.host else "",
        new_folder=missing,
        spots=spots if wanted.spread else (),
        hosts=len(running.fit),
        notes=tuple(notes),
    )


def _datastores(ground: _Ground, running: _Running) -> tuple[Spot, ...]:
    """Return what the deltas may be spread over, or the best of which takes all."""
    land, wanted = ground.land, ground.request.placement
    if wanted.datastore_cluster:
        return find_members(land, wanted.datastore_cluster, running.fit)
    spots = find_shared(land, running.fit)
    if not spots:
        raise RefusedError(
            "there is no datastore that all hosts see which can run the clones",
            hint="name one with --datastore, or a --host",
        )
    return spots


def _find_folder(ground: _Ground) -> tuple[str, str, str]:
    """Return the folder's id, the whole path, and what of it is yet to be made."""
    land, wanted = ground.land, ground.request.placement
    if wanted.folder:
        folder, missing = find_folder(wanted, land.datacenter, land.around)
        path = build_path(folder, land.around)
        return folder.id, f"{path}/{missing}" if missing else path, missing
    own = ground.near.get(ground.seen.id_at("parent"))
    if own is not None and own.kind == "Folder" and own.id_at("parent"):
        path = build_path(own, ground.near)
        top = build_path(land.datacenter, land.around)
        if f"{path}/".startswith(f"{top}/"):
            return own.id, path, ""
    if not wanted.datacenter:
        raise RefusedError(
            "the parent is in no folder of its own, as VMs of a vApp do",
            hint="say where the clones go with --folder",
        )
    return _root_folder(land)


def _root_folder(land: Landscape) -> tuple[str, str, str]:
    top = f"{build_path(land.datacenter, land.around)}/vm"
    for seen in land.kind("Folder").values():
        if build_path(seen, land.around) == top:
            return seen.id, top, ""
    raise RefusedError(f"the folder {top} cannot be seen", hint="name one with --folder")
