"""What is read around a VM to tell where clones of it can go: pure data."""

from collections.abc import Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.inventory_path import PARTS

OF_SOURCE: Final = (
    *("name", "parent", "parentVApp", "resourcePool", "datastore"),
    *("config.files.vmPathName", "runtime.host"),
)

AROUND: Final[Mapping[str, Sequence[str]]] = {
    **PARTS,
    "ResourcePool": ("name", "parent", "owner"),
    "VirtualApp": ("name", "parent", "parentFolder", "owner"),
    "ComputeResource": ("name", "parent", "resourcePool", "datastore", "host"),
    "Datastore": ("name", "parent"),
}

WAYS: Final = (
    *traversal.UP,
    traversal.VM_POOL,
    traversal.VM_STORES,
    traversal.POOL_OWNER,
    traversal.CLUSTER_STORES,
)
"""To the VM's folders, its pool, that pool's hosts and the datastores they see."""
