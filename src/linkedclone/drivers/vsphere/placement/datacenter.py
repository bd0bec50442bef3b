"""What a datacenter holds that clones can be placed on: one read, and plain data of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import moid_of
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import PARTS
from linkedclone.drivers.vsphere.property.traversal import Walk

_WANTED: Final[Mapping[str, Sequence[str]]] = {
    **PARTS,
    "VirtualApp": ("name", "parent", "parentFolder", "owner"),
    "ResourcePool": ("name", "parent", "owner"),
    "ComputeResource": ("name", "parent", "resourcePool", "datastore", "host"),
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
_COMPUTING: Final = (
    traversal.HOST_FOLDER,
    traversal.HOST_CHILDREN,
    traversal.CLUSTER_POOLS,
    traversal.POOLS_BELOW,
    Walk(name="hosts of cluster", kind="ComputeResource", path="host"),
)
_STORING: Final = (
    Walk(name="stores", kind="Datacenter", path="datastore", then=("up",)),
    Walk(name="store folder", kind="Datacenter", path="datastoreFolder", then=("store children",)),
    Walk(name="store children", kind="Folder", path="childEntity", then=("store children",)),
    *traversal.UP,
)
_NETWORKS: Final = Walk(name="networks", kind="Datacenter", path="network", then=("up",))
_FOLDERS: Final = (traversal.VM_FOLDER, traversal.VM_CHILDREN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host that may run clones.

    Attributes:
        id: Its managed object id.
        name: Its name.
        compute: Id of its cluster, or of what a host without one stands in.
        stores: Ids of the datastores that it sees.
        networks: Ids of the networks that it has.
        trouble: Why nothing can be started there now; empty if it can.
        free_bytes: Memory that is not in use.
    """

    id: str
    name: str
    compute: str
    stores: frozenset[str]
    networks: frozenset[str]
    trouble: str
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Landscape:
    """A datacenter as it was read.

    Attributes:
        datacenter: The datacenter.
        around: Everything by id, with the folders above.
    """

    datacenter: Seen
    around: Mapping[str, Seen]

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
        """All clusters, and what hosts without one stand in."""
        return self.kind("ComputeResource", "ClusterComputeResource")

    @property
    def hosts(self) -> dict[str, Host]:
        """All hosts."""
        return {moid: _build_host(seen) for moid, seen in self.kind("HostSystem").items()}

    def store_name(self, moid: str) -> str:
        """Return the name of a datastore, for people."""
        seen = self.around.get(moid)
        return unescape(str(seen.get("name"))) if seen else moid


def read_landscape(
    session: Session,
    collector: Collector,
    datacenter: Seen,
    above: Mapping[str, Seen],
    *,
    folders: bool,
    networks: bool,
) -> Landscape:
    """Read a datacenter: one call, and one more for each further page.

    Args:
        session: The session.
        collector: What reads.
        datacenter: The datacenter.
        above: Objects among which are the folders that it stands in.
        folders: Whether its VM folders are wanted too; their VMs are not read.
        networks: Whether its networks are wanted too.
    """
    ways: tuple[Walk, ...] = (*_COMPUTING, *_STORING)
    ways += _FOLDERS if folders else ()
    ways += (_NETWORKS,) if networks else ()
    start = session.managed("Datacenter", datacenter.id)
    around = collector.read("look up where clones go", [start], _WANTED, ways)
    parts = {moid: seen for moid, seen in above.items() if seen.kind in {"Folder", "Datacenter"}}
    return Landscape(datacenter=datacenter, around=parts | around)


def _build_host(seen: Seen) -> Host:
    memory = int(seen.get("summary.hardware.memorySize") or 0)
    used = int(seen.get("summary.quickStats.overallMemoryUsage") or 0) << 20
    return Host(
        id=seen.id,
        name=unescape(str(seen.get("name") or "")),
        compute=seen.id_at("parent"),
        stores=frozenset(moid_of(ref) for ref in seen.get("datastore") or ()),
        networks=frozenset(moid_of(ref) for ref in seen.get("network") or ()),
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
