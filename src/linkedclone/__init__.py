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
    from linkedclone.app.connect import connect
    from linkedclone.app.connection import Connection
    from linkedclone.config.customization_file import read_customization
    from linkedclone.config.pool_file import read_pool
    from linkedclone.errors import LinkedCloneError
    from linkedclone.lineage.tree import TreeNode
    from linkedclone.lineage.usage import Usage
    from linkedclone.model.customization import Addresses, Customization, GuestOs, SecretSource
    from linkedclone.model.garbage import WasteKind, WasteReport
    from linkedclone.model.pool import PoolSpec, Rollout
    from linkedclone.model.report import ActionReport, CloneReport
    from linkedclone.model.request import (
        CloneRequest,
        Deletion,
        DiskMove,
        Hardware,
        NewDisk,
        Nic,
        Placement,
        Scan,
        SnapshotChoice,
        Wait,
    )


__all__ = [
    "ActionReport",
    "Addresses",
    "CloneReport",
    "CloneRequest",
    "Connection",
    "Customization",
    "Deletion",
    "DiskMove",
    "GuestOs",
    "Hardware",
    "LinkedCloneError",
    "NewDisk",
    "Nic",
    "Placement",
    "PoolSpec",
    "Rollout",
    "Scan",
    "SecretSource",
    "SnapshotChoice",
    "TreeNode",
    "Usage",
    "Wait",
    "WasteKind",
    "WasteReport",
    "connect",
    "read_customization",
    "read_pool",
]

_HOMES = {
    "ActionReport": "linkedclone.model.report",
    "Addresses": "linkedclone.model.customization",
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
    "read_pool": "linkedclone.config.pool_file",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module holds may be anything
    """Import public names when they are used: ``linkedclone --help`` needs none of them."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
