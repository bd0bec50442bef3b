"""Resource pools in requests: a vApp is one too, and has to be sent as what it is."""

from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Seen

_VAPP: Final = "VirtualApp"


def name_pool(pool: Seen) -> str:
    """Return the id that a target keeps of a pool: of a vApp with its type, ``VirtualApp:ID``."""
    return f"{_VAPP}:{pool.id}" if pool.kind == _VAPP else pool.id


def pool_of(name: str) -> Native:
    """Return the reference that :func:`name_pool` names.

    vCenter takes no id of a vApp that is sent as that of a ResourcePool.
    """
    kind, _, moid = name.rpartition(":")
    return vim.VirtualApp(moid, None) if kind == _VAPP else vim.ResourcePool(moid, None)
