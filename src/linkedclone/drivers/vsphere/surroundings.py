"""What is read around a VM to tell where clones of it can go: pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere import walks
from linkedclone.drivers.vsphere.paths import PARTS

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
    *walks.UP,
    walks.VM_POOL,
    walks.VM_STORES,
    walks.POOL_OWNER,
    walks.CLUSTER_STORES,
)
"""To the VM's folders, its pool, that pool's hosts and the datastores they see."""
