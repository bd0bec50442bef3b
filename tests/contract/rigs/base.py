"""What the contract suite needs of a hypervisor, beside a driver that connects to it.

To hold a further driver to the contract, write one more rig and name it in
``conftest.RIGS``; or, for a driver that is a package of its own, in the environment:
``LINKEDCLONE_RIG=module:function``.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from linkedclone.drivers.contract import Driver
from linkedclone.errors import (
    BusyError,
    CustomizationError,
    HypervisorError,
    NoSpaceError,
    PermissionDeniedError,
)
from linkedclone.model.values.ids import VmId

Action = Literal[
    "clone",
    "identity",
    "power-on-of-clone",
    "power-on",
    "power-off",
    "delete",
    "snapshot",
    "delete-snapshot",
    "revert",
    "promote",
    "grow",
    "mark",
    "remove",
    "rename",
    "relocate",
]
"""What can be made to fail; ``power-on-of-clone`` strikes the start within a clone call,
``identity`` what an instant clone is given once it runs."""

At = Literal["submit", "job"]


class Kind(Enum):
    """Causes of a failure, each with the error that it has to be translated into."""

    SYSTEM = HypervisorError
    NO_SPACE = NoSpaceError
    BUSY = BusyError
    PERMISSION = PermissionDeniedError
    CUSTOMIZATION = CustomizationError

    def __init__(self, error: type[HypervisorError]) -> None:
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What a hypervisor does by itself; where it does not, the driver has to refuse.

    Attributes:
        keeps_layers: Whether a layer that clones read stays as it is when the snapshot goes that
            froze it.
        replaces_uuids: Whether a VM gets another UUID if another VM has the one asked for.
    """

    keeps_layers: bool = True
    replaces_uuids: bool = True


class Rig(Protocol):
    """One fresh hypervisor, for one test.

    Attributes:
        parent: Path of a VM, off, with one disk and one snapshot ``base``.
        bare: Path of a VM, off, with one disk and no snapshot.
        customization: Name of a stored customization specification.
        disk_move_type: What a linked clone's request has to say; empty if there is no such word.
        ways: What the hypervisor does by itself.
    """

    parent: str
    bare: str
    customization: str
    disk_move_type: str
    ways: Ways

    def connect(self) -> Driver:
        """Open one more connection to the same endpoint."""

    def forkable(self) -> str:
        """Return the path of a VM that instant clones can be made of.

        It runs; where they are made of snapshots, its current one has memory, and whether
        it runs does not matter.
        """

    def fail(
        self,
        action: Action,
        name: str,
        *,
        kind: Kind = Kind.SYSTEM,
        at: At = "job",
        leave: bool = False,
    ) -> None:
        """Let an action on a VM fail once; ``leave``: what was made so far stays."""

    def delay(self, action: Action, seconds: float) -> None:
        """Let jobs take their time from now on."""

    def degrade(self) -> None:
        """Make the next clone a full one."""

    def hide(self) -> None:
        """Make the next clone one whose chain is not shown."""

    def mark_template(self, name: str) -> None:
        """Make a VM a template."""

    def make_unreadable(self, name: str) -> None:
        """Let a VM be one that cannot be read."""

    def add_folder(self, name: str) -> None:
        """Make an inventory folder beside the VMs."""

    def add_store(self) -> str:
        """Return the name of a datastore that no VM is on, made if need be."""

    def leave_orphan(self, name: str) -> str:
        """Leave a delta over a VM's disk behind in its folder, as a task does that died.

        Returns the file, as ``str`` of a layer gives it.
        """

    def files(self) -> frozenset[str]:
        """Return the disk files that exist, as ``str`` of a layer gives them."""

    def macs(self, vm: VmId) -> tuple[str, ...]:
        """Return the MAC addresses of a VM."""


OpenRig = Callable[[], AbstractContextManager[Rig]]
