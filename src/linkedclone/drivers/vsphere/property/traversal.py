"""Ways through the inventory that a property read can take: pure data.

Each walk names the walks that go on from where it leads. So a read never
strays: from the VMs of a folder to their resource pools and all VMs of those,
for example, which the simulator would do, because it ignores the type.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One step from objects of a type along a property."""

    name: str  # its name, for ``then``
    kind: str  # the type that it starts from
    path: str  # the property that holds references
    then: tuple[str, ...] = ()  # names of the walks that go on from there


def _walk(name: str, kind: str, path: str, *then: str) -> Walk:
    return Walk(name=name, kind=kind, path=path, then=then)


# -- up to the root folder ------------------------------------------------------------

UP: Final = (
    _walk("up", "ManagedEntity", "parent", "up", "out of vapp"),
    _walk("to vapp", "VirtualMachine", "parentVApp", "up", "out of vapp"),
    _walk("out of vapp", "VirtualApp", "parentFolder", "up"),
)
"""From an object to all its ancestors; a VM of a vApp has no parent of its own."""

VM_STORES: Final = _walk("stores of vm", "VirtualMachine", "datastore")

SNAPSHOTS: Final = (
    _walk("root snapshots", "VirtualMachine", "rootSnapshot", "child snapshots"),
    _walk("child snapshots", "VirtualMachineSnapshot", "childSnapshot", "child snapshots"),
)
"""From a VM to all its snapshots."""

# -- down from the root folder --------------------------------------------------------

DATACENTERS: Final = _walk(
    "datacenters", "Folder", "childEntity", "datacenters", "vm folder", "stores"
)
VM_FOLDER: Final = _walk("vm folder", "Datacenter", "vmFolder", "vm children")
VM_CHILDREN: Final = _walk(
    "vm children", "Folder", "childEntity", "vm children", "vms of vapp", "root snapshots"
)
VAPP_VMS: Final = _walk("vms of vapp", "VirtualApp", "vm", "root snapshots")
STORES: Final = _walk("stores", "Datacenter", "datastore", "users of store", "up")
STORE_USERS: Final = _walk("users of store", "Datastore", "vm", "root snapshots")

VM_FOLDERS: Final = (DATACENTERS, VM_FOLDER, VM_CHILDREN, VAPP_VMS)
"""From the root folder, or a datacenter, to its VMs by way of the folders."""

# -- sideways: where a VM runs --------------------------------------------------------

VM_POOL: Final = _walk("pool of vm", "VirtualMachine", "resourcePool", "up", "owner of pool")
POOL_OWNER: Final = _walk("owner of pool", "ResourcePool", "owner", "up", "stores of hosts")
HOST_CLUSTER: Final = _walk(
    "cluster of host", "HostSystem", "parent", "up", "root pool", "stores of hosts"
)
ROOT_POOL: Final = _walk("root pool", "ComputeResource", "resourcePool")
CLUSTER_HOSTS: Final = _walk("hosts of cluster", "ComputeResource", "host")
CLUSTER_STORES: Final = _walk("stores of hosts", "ComputeResource", "datastore")

HOST_FOLDER: Final = _walk("host folder", "Datacenter", "hostFolder", "host children")
HOST_CHILDREN: Final = _walk(
    "host children",
    "Folder",
    "childEntity",
    "host children",
    "pools of cluster",
    "stores of hosts",
    "hosts of cluster",
)
CLUSTER_POOLS: Final = _walk("pools of cluster", "ComputeResource", "resourcePool", "pools below")
POOLS_BELOW: Final = _walk("pools below", "ResourcePool", "resourcePool", "pools below")

# -- tasks ----------------------------------------------------------------------------

VM_TASKS: Final = _walk("tasks of vm", "VirtualMachine", "recentTask")
