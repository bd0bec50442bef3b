"""What a datacenter holds that clones can be placed on: one read, and plain data of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.placement.wish import Wish
from linkedclone.drivers.vsphere.property import surroundings, traversal
from linkedclone.drivers.vsphere.property.choose import find_all
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.drivers.vsphere.property.traversal import Walk

WANTED: Final[Mapping[str, Sequence[str]]] = {
    **surroundings.AROUND,
    "HostSystem": (
        *("name", "parent", "datastore", "network"),
        *("runtime.connectionState", "runtime.inMaintenanceMode"),
        *("summary.hardware.memorySize", "summary.quickStats.overallMemoryUsage"),
    ),
    "Datastore": (
        *("name", "parent"),
        *("summary.freeSpace", "summary.accessible", "summary.maintenanceMode"),
    ),
    "Network": ("name", "parent"),
}
"""Without VMs: the walked folders hold all others."""

AROUND_HOST: Final = (
    *traversal.UP,
    traversal.HOST_CLUSTER,
    traversal.ROOT_POOL,
    traversal.CLUSTER_STORES,
)
"""From a host to its cluster, that one's root pool, and the datastores that it sees."""

_POOLS: Final = (
    traversal.HOST_FOLDER,
    traversal.HOST_CHILDREN,
    traversal.CLUSTER_POOLS,
    traversal.POOLS_BELOW,
)
_STORES: Final = (
    traversal.STORES,
    Walk(name="store folder", kind="Datacenter", path="datastoreFolder", then=("store children",)),
    Walk(name="store children", kind="Folder", path="childEntity", then=("store children",)),
    *traversal.UP,
)
_NETWORKS: Final = Walk(name="networks", kind="Datacenter", path="network", then=("up",))
_FOLDERS: Final = (traversal.VM_FOLDER, traversal.VM_CHILDREN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host that may run clones."""

    id: str
    name: str
    compute: str  # id of its cluster, or of the parent of a host without one
    stores: frozenset[str]  # ids of the datastores that it sees
    networks: frozenset[str]  # ids of the networks that it has
    trouble: str  # why nothing can be started there now; empty if it can
    free_bytes: int  # memory that is not in use


@dataclass(frozen=True, slots=True, kw_only=True)
class Landscape:
    """A datacenter as far as it was read."""

    path: str  # its inventory path; empty where it cannot be seen
    around: Mapping[str, Seen]  # everything by id, with the folders above

    def kind(self, *kinds: str) -> dict[str, Seen]:
        """Return all objects of some types."""
        return {moid: seen for moid, seen in self.around.items() if seen.kind in kinds}

    @property
    def stores(self) -> dict[str, Seen]:
        """All datastores."""
        return self.kind("Datastore")

    @property
    def pools(self) -> dict[str, Seen]:
        """All resource pools."""
        return self.kind("ResourcePool", "VirtualApp")

    @property
    def computes(self) -> dict[str, Seen]:
        """All clusters, and the parents of hosts without one."""
        return self.kind("ComputeResource", "ClusterComputeResource")

    @property
    def hosts(self) -> dict[str, Host]:
        """All hosts."""
        return {moid: _build_host(seen) for moid, seen in self.kind("HostSystem").items()}

    def store_name(self, moid: str) -> str:
        """Return the name of a datastore, for people."""
        seen = self.around.get(moid)
        return unescape(str(seen.get("name"))) if seen else moid


def choose_ways(wish: Wish, near: Mapping[str, Seen]) -> tuple[Walk, ...]:
    """Return the ways to what has to be read of a datacenter; none where ``near`` is enough.

    A nearby datastore is found by its name or id; a path needs the
    folders above it, too.
    """
    wanted = wish.placement
    stores = {moid: seen for moid, seen in near.items() if seen.kind == "Datastore"}
    path = "/" in wanted.datastore
    far = wanted.datastore and (path or len(find_all(wanted.datastore, stores, {})) != 1)
    ways: tuple[Walk, ...] = ()
    if wanted.folder or wanted.datacenter:
        ways += _FOLDERS
    if wish.weighs_hosts or wanted.resource_pool:
        ways += _POOLS
    if wish.weighs_hosts:
        ways += (traversal.CLUSTER_HOSTS,)
    if wish.weighs_hosts or far:
        ways += _STORES
    return (*ways, _NETWORKS) if wish.networks else ways


def _build_host(seen: Seen) -> Host:
    memory = int(seen.get("summary.hardware.memorySize") or 0)
    used = int(seen.get("summary.quickStats.overallMemoryUsage") or 0) << 20
    return Host(
        id=seen.id,
        name=unescape(str(seen.get("name") or "")),
        compute=seen.id_at("parent"),
        stores=frozenset(seen.ids_at("datastore")),
        networks=frozenset(seen.ids_at("network")),
        trouble=_trouble(seen),
        free_bytes=max(memory - used, 0),
    )


def _trouble(seen: Seen) -> str:
    state = str(seen.get("runtime.connectionState") or "")
    if not state or "runtime.inMaintenanceMode" in seen.refused:
        return "cannot be read"
    if state != "connected":
        return "is not responding" if state == "notResponding" else f"is {state}"
    return "is in maintenance mode" if seen.get("runtime.inMaintenanceMode") else ""
