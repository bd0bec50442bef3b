"""Virtual machines in seconds, as linked clones, on VMware vSphere and plain QEMU.

Example:
    >>> import linkedclone
    >>> with linkedclone.connect("memory:") as lab:
    ...     report = lab.clone(linkedclone.CloneRequest(parent="golden", names=("desk-{01..03}",)))
    >>> [(clone.name, clone.linked) for clone in report.clones]
    [('desk-01', True), ('desk-02', True), ('desk-03', True)]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from linkedclone.model.values.version import __version__ as __version__

if TYPE_CHECKING:
    from linkedclone.app.connect import connect as connect
    from linkedclone.app.connection import Connection as Connection
    from linkedclone.app.pools.pool_file import read_pool as read_pool
    from linkedclone.config.customization_file import read_customization as read_customization
    from linkedclone.errors import LinkedCloneError as LinkedCloneError
    from linkedclone.execution.outage import Cancellation as Cancellation
    from linkedclone.lineage.tree import TreeNode as TreeNode
    from linkedclone.lineage.usage import Usage as Usage
    from linkedclone.model.customization import Addresses as Addresses
    from linkedclone.model.customization import Customization as Customization
    from linkedclone.model.customization import GuestOs as GuestOs
    from linkedclone.model.customization import SecretSource as SecretSource
    from linkedclone.model.garbage import WasteKind as WasteKind
    from linkedclone.model.garbage import WasteReport as WasteReport
    from linkedclone.model.pool import PoolSpec as PoolSpec
    from linkedclone.model.pool import Rollout as Rollout
    from linkedclone.model.report import ActionReport as ActionReport
    from linkedclone.model.report import CloneReport as CloneReport
    from linkedclone.model.request import CloneRequest as CloneRequest
    from linkedclone.model.request import Deletion as Deletion
    from linkedclone.model.request import DiskMove as DiskMove
    from linkedclone.model.request import Hardware as Hardware
    from linkedclone.model.request import NewDisk as NewDisk
    from linkedclone.model.request import Nic as Nic
    from linkedclone.model.request import Placement as Placement
    from linkedclone.model.request import Scan as Scan
    from linkedclone.model.request import SnapshotChoice as SnapshotChoice
    from linkedclone.model.request import Wait as Wait

_HOMES = {
    "ActionReport": "linkedclone.model.report",
    "Addresses": "linkedclone.model.customization",
    "Cancellation": "linkedclone.execution.outage",
    "CloneReport": "linkedclone.model.report",
    "CloneRequest": "linkedclone.model.request",
    "Connection": "linkedclone.app.connection",
    "Customization": "linkedclone.model.customization",
    "Deletion": "linkedclone.model.request",
    "DiskMove": "linkedclone.model.request",
    "GuestOs": "linkedclone.model.customization",
    "Hardware": "linkedclone.model.request",
    "LinkedCloneError": "linkedclone.errors",
    "NewDisk": "linkedclone.model.request",
    "Nic": "linkedclone.model.request",
    "Placement": "linkedclone.model.request",
    "PoolSpec": "linkedclone.model.pool",
    "Rollout": "linkedclone.model.pool",
    "Scan": "linkedclone.model.request",
    "SecretSource": "linkedclone.model.customization",
    "SnapshotChoice": "linkedclone.model.request",
    "TreeNode": "linkedclone.lineage.tree",
    "Usage": "linkedclone.lineage.usage",
    "Wait": "linkedclone.model.request",
    "WasteKind": "linkedclone.model.garbage",
    "WasteReport": "linkedclone.model.garbage",
    "connect": "linkedclone.app.connect",
    "read_customization": "linkedclone.config.customization_file",
    "read_pool": "linkedclone.app.pools.pool_file",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module holds may be anything
    """Import public names when they are used: ``linkedclone --help`` needs none of them."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
