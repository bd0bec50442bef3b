"""What the engine needs of each hypervisor: a connection, an oracle, and acts of strangers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from linkedclone.app.connection import Connection
from tests.families.look import Look, Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Powers:
    """What a hypervisor can do, and what our driver sees of it.

    Attributes:
        sees_loose: Whether files that no VM reads are seen without a scan.
        unregisters: Whether a base can be kept by unregistering its last user.
        promotes: Whether a clone can be made independent.
        promotes_snapshots: Whether a VM with snapshots can be promoted.
        runs: Whether VMs can be started.
        measures: Whether the oracle knows the sizes of files.
    """

    sees_loose: bool = False
    unregisters: bool = True
    promotes: bool = True
    promotes_snapshots: bool = True
    runs: bool = True
    measures: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an act has done, for an oracle that keeps account of more than can be seen.

    Attributes:
        clones: The snapshot's VM and id of each new VM, by its name.
        frozen: The VM whose present state a snapshot froze, by the snapshot's id.
        reverted: The snapshot that a VM went back to, by its name.
        forgotten: VMs that were unregistered.
    """

    clones: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    frozen: Mapping[str, str] = field(default_factory=dict)
    reverted: Mapping[str, str] = field(default_factory=dict)
    forgotten: tuple[Member, ...] = ()


class World(Protocol):
    """One hypervisor with a parent ``golden`` that has a snapshot, and a VM ``bare`` without."""

    connection: Connection
    powers: Powers
    strangers: tuple[str, ...]
    """What strangers can do here, by name."""

    def look(self) -> Look:
        """Look at everything, by no way that our driver takes."""

    def act_as_stranger(self, act: str, member: Member, number: int) -> Change:
        """Do something behind the driver's back to or with a VM."""

    def note(self, change: Change) -> None:
        """Be told what an act has done, before the next look."""

    def check_contents(self, number: int | None = None) -> None:
        """Check what can be read: of everything, or of a few VMs that a number stands for."""
