"""Ways through the inventory that a property read can take: pure data.

Each walk names the walks that go on from where it leads. So a read never
strays: from the VMs of a folder to their resource pools and all VMs of those,
for example, which the simulator would do, because it ignores the type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One step from objects of a type along a property."""

    name: str  # its name, for ``then``
    kind: str  # the type that it starts from
    path: str  # the property that holds references
    then: tuple[str, ...] = ()  # names of the walks that go on from there


# -- up to the root folder ------------------------------------------------------------

UP: Final = (
    Walk(name="up", kind="ManagedEntity", path="parent", then=("up", "out of vapp")),
    Walk(name="to vapp", kind="VirtualMachine", path="parentVApp", then=("up", "out of vapp")),
    Walk(name="out of vapp", kind="VirtualApp", path="parentFolder", then=("up",)),
)
"""From an object to all that stands above it; a VM of a vApp has no parent of its own."""

VM_STORES: Final = Walk(name="stores of vm", kind="VirtualMachine", path="datastore")

SNAPSHOTS: Final = (
    Walk(
        name="root snapshots",
        kind="VirtualMachine",
        path="rootSnapshot",
        then=("child snapshots",),
    ),
    Walk(
        name="child snapshots",
        kind="VirtualMachineSnapshot",
        path="childSnapshot",
        then=("child snapshots",),
    ),
)
"""From a VM to all its snapshots."""

# -- down from the root folder --------------------------------------------------------

DATACENTERS: Final = Walk(
    name="datacenters",
    kind="Folder",
    path="childEntity",
    then=("datacenters", "vm folder", "stores"),
)
VM_FOLDER: Final = Walk(name="vm folder", kind="Datacenter", path="vmFolder", then=("vm children",))
VM_CHILDREN: Final = Walk(
    name="vm children",
    kind="Folder",
    path="childEntity",
    then=("vm children", "vms of vapp", "root snapshots"),
)
VAPP_VMS: Final = Walk(name="vms of vapp", kind="VirtualApp", path="vm", then=("root snapshots",))
STORES: Final = Walk(
    name="stores", kind="Datacenter", path="datastore", then=("users of store", "up")
)
STORE_USERS: Final = Walk(
    name="users of store", kind="Datastore", path="vm", then=("root snapshots",)
)

VM_FOLDERS: Final = (DATACENTERS, VM_FOLDER, VM_CHILDREN, VAPP_VMS)
"""From the root folder, or a datacenter, to its VMs by way of the folders."""

# -- sideways: where a VM runs --------------------------------------------------------

VM_POOL: Final = Walk(
    name="pool of vm", kind="VirtualMachine", path="resourcePool", then=("up", "owner of pool")
)
POOL_OWNER: Final = Walk(
    name="owner of pool",
    kind="ResourcePool",
    path="owner",
    then=("up", "stores of hosts"),
)
HOST_CLUSTER: Final = Walk(
    name="cluster of host",
    kind="HostSystem",
    path="parent",
    then=("up", "root pool", "stores of hosts"),
)
ROOT_POOL: Final = Walk(name="root pool", kind="ComputeResource", path="resourcePool")
CLUSTER_HOSTS: Final = Walk(name="hosts of cluster", kind="ComputeResource", path="host")
CLUSTER_STORES: Final = Walk(name="stores of hosts", kind="ComputeResource", path="datastore")

HOST_FOLDER: Final = Walk(
    name="host folder", kind="Datacenter", path="hostFolder", then=("host children",)
)
HOST_CHILDREN: Final = Walk(
    name="host children",
    kind="Folder",
    path="childEntity",
    then=("host children", "pools of cluster", "stores of hosts", "hosts of cluster"),
)
CLUSTER_POOLS: Final = Walk(
    name="pools of cluster", kind="ComputeResource", path="resourcePool", then=("pools below",)
)
POOLS_BELOW: Final = Walk(
    name="pools below", kind="ResourcePool", path="resourcePool", then=("pools below",)
)

# -- tasks ----------------------------------------------------------------------------

VM_TASKS: Final = Walk(name="tasks of vm", kind="VirtualMachine", path="recentTask")
