"""Where clones go: the source's own place, or what the request names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.rules.refusals import refuse_unsupported
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.guest.stored_specifications import StoredSpecs
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.names import memory_mib, split_file_name, unescape
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.placement.special import is_special, needed_stores
from linkedclone.drivers.vsphere.property import surroundings, traversal
from linkedclone.drivers.vsphere.property.choose import choose, find_all
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import build_path, datacenter_of
from linkedclone.drivers.vsphere.property.questions import Wanted
from linkedclone.drivers.vsphere.property.resource_pools import name_pool
from linkedclone.drivers.vsphere.property.traversal import Walk
from linkedclone.errors import NotFoundError, RefusedError
from linkedclone.model.request import CloneRequest, Placement, Target
from linkedclone.model.values.ids import FolderId
from linkedclone.model.vm import Vm

REFUSED: Final = {
    "--firmware": "leave it out: a clone boots with the firmware of its parent",
    "--display": "leave it out: every VM has a screen",
}
"""What there is no counterpart for here, and what would help."""

_WANTED: Final = {**surroundings.AROUND, "VirtualMachine": surroundings.OF_SOURCE}
_PLACES: Final = surroundings.AROUND
"""Without VMs: below the folders that are walked through stand all there are."""

_AROUND_HOST: Final = (
    *traversal.UP,
    traversal.HOST_CLUSTER,
    traversal.ROOT_POOL,
    traversal.CLUSTER_STORES,
)
_FOLDERS: Final = (traversal.VM_FOLDER, traversal.VM_CHILDREN)
_POOLS: Final = (
    traversal.HOST_FOLDER,
    traversal.HOST_CHILDREN,
    traversal.CLUSTER_POOLS,
    traversal.POOLS_BELOW,
    traversal.CLUSTER_STORES,
)
_STORES: Final = (traversal.STORES, *traversal.UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The source, and all that was read around it so far."""

    source: Seen
    around: dict[str, Seen]

    def kind(self, *kinds: str) -> dict[str, Seen]:
        return {moid: seen for moid, seen in self.around.items() if seen.kind in kinds}


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
        """Look up where the clones of a request go.

        No call where the source's own place is kept and the source is the one
        VM that was found last: its surroundings were read with it. One read
        for any other; one more for a template, whose cluster has to be found
        by its host, and one more where the request names a folder or a
        resource pool.
        """
        self._session.require_vcenter("make clones")
        refuse_unsupported(request, REFUSED, endpoint="vSphere")
        memory_mib(request.hardware)
        wanted = request.placement
        self._specs.read(request.customization_spec)
        place = self._read_place(source)
        if is_special(request):
            return self._survey(source, request, place)
        self._read_named(place, wanted)
        folder = self._folder(place, wanted)
        pool = self._pool(place, wanted)
        store = self._store(place, wanted, pool)
        _check_visible(needed_stores(source, request), place, pool, store)
        return Target(
            folder=FolderId(folder.id),
            folder_path=build_path(folder, place.around),
            datastore=store.id,
            datastore_name=unescape(store.get("name")),
            pool=name_pool(pool),
            pool_name=build_path(pool, place.around),
            customization_spec=request.customization_spec,
            hosts=0 if request.disk_move.linked else _count_hosts(place, pool),
        )

    def _survey(self, source: Vm, request: CloneRequest, place: _Place) -> Target:
        """Look up a target for which more of the datacenter has to be seen."""
        from linkedclone.drivers.vsphere.placement.named_target import Surveyor

        surveyor = Surveyor(self._session, self._collector)
        origin = self._datacenter(place)
        return surveyor.resolve(source, request, place.source, place.around, origin)

    def _read_place(self, source: Vm) -> _Place:
        around = dict(self._observer.surroundings(source))
        if not around:
            start = self._session.managed("VirtualMachine", source.id)
            around = self._read(start, surroundings.WAYS)
        seen = around.get(source.id)
        if seen is None:
            raise NotFoundError(f"{source.name!r} was deleted just now")
        return _Place(source=seen, around=around)

    def _read_named(self, place: _Place, wanted: Placement) -> None:
        """Read the folders and pools of the source's datacenter that names are looked up in."""
        ways = (_FOLDERS if wanted.folder else ()) + (_POOLS if wanted.resource_pool else ())
        if ways:
            start = self._session.managed("Datacenter", self._datacenter(place).id)
            place.around.update(self._read(start, ways, _PLACES))

    def _read(
        self, start: Native, ways: Sequence[Walk], wanted: Wanted = _WANTED
    ) -> dict[str, Seen]:
        return self._collector.read("look up where clones go", [start], wanted, ways)

    def _datacenter(self, place: _Place) -> Seen:
        found = datacenter_of(place.source, place.around)
        if found is None:
            raise RefusedError(
                f"the datacenter of {place.source.get('name')!r} cannot be seen",
                hint="the user needs System.View on the folders above the parent",
            )
        return found

    def _folder(self, place: _Place, wanted: Placement) -> Seen:
        if not wanted.folder:
            folder = place.around.get(place.source.id_at("parent"))
            if folder is None or folder.kind != "Folder":
                raise RefusedError(
                    "the parent is in no folder of its own, as VMs of a vApp do",
                    hint="say where the clones go with --folder",
                )
            return folder
        top = build_path(self._datacenter(place), place.around) + "/vm/"
        folders = {
            moid: seen
            for moid, seen in place.kind("Folder").items()
            if f"{build_path(seen, place.around)}/".startswith(top)
        }
        return choose("folder", wanted.folder, folders, place.around)

    def _pool(self, place: _Place, wanted: Placement) -> Seen:
        if wanted.resource_pool:
            pools = place.kind("ResourcePool", "VirtualApp")
            return choose("resource pool", wanted.resource_pool, pools, place.around)
        own = place.source.id_at("resourcePool") or self._root_pool(place)
        pool = place.around.get(own)
        if pool is None:
            raise RefusedError(
                f"the resource pool of {place.source.get('name')!r} cannot be seen",
                hint="say where the clones go with --resource-pool",
            )
        return pool

    def _root_pool(self, place: _Place) -> str:
        """Return the root pool of a template's cluster: a template itself is in no pool."""
        host = place.source.id_at("runtime.host")
        if host:
            start = self._session.managed("HostSystem", host)
            place.around.update(self._read(start, _AROUND_HOST))
        for compute in place.kind("ComputeResource", "ClusterComputeResource").values():
            return compute.id_at("resourcePool")
        return ""

    def _store(self, place: _Place, wanted: Placement, pool: Seen) -> Seen:
        stores = place.kind("Datastore")
        if not wanted.datastore:
            name, _ = split_file_name(str(place.source.get("config.files.vmPathName") or ""))
            own = {moid_of(ref) for ref in place.source.get("datastore") or ()}
            used = {moid: store for moid, store in stores.items() if moid in own}
            return choose("datastore", name, used, {})
        visible = {moid: stores[moid] for moid in _visible(place, pool) if moid in stores}
        # Names are told by what was read already; paths need the folders above, too.
        named = () if "/" in wanted.datastore else find_all(wanted.datastore, visible, {})
        if len(named) == 1:
            return named[0]
        start = self._session.managed("Datacenter", self._datacenter(place).id)
        everywhere = place.around | self._read(start, _STORES)
        every = {moid: seen for moid, seen in everywhere.items() if seen.kind == "Datastore"}
        return choose("datastore", wanted.datastore, every, everywhere)


def _visible(place: _Place, pool: Seen) -> frozenset[str]:
    """Return the datastores that the pool's hosts see; empty where it cannot be told."""
    compute = place.around.get(pool.id_at("owner"))
    stores = compute.get("datastore") if compute else None
    return frozenset(moid_of(store) for store in stores or ())


def _count_hosts(place: _Place, pool: Seen) -> int:
    """Return how many hosts the pool has; 0 where it cannot be told.

    Only asked for copies, which load a host four times as much. Links are
    done at once, and vCenter queues what is too much [fact: vs-limits].
    """
    compute = place.around.get(pool.id_at("owner"))
    return len(compute.get("host") or ()) if compute else 0


def _check_visible(base: Mapping[str, str], place: _Place, pool: Seen, store: Seen) -> None:
    """Refuse a place whose hosts do not see target and base [fact: vs-hosts-see-chain]."""
    visible = _visible(place, pool)
    needed = {store.id: unescape(str(store.get("name"))), **base}
    missing = sorted(name for moid, name in needed.items() if moid not in visible)
    if visible and missing:
        raise RefusedError(
            f"the hosts of {build_path(pool, place.around)} do not see {', '.join(missing)}",
            hint="a linked clone needs the parent's datastore and its own on every host: "
            "choose another --datastore or --resource-pool",
        )
