"""What is wanted: requests as a person or a program states them, before anything is looked up."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from linkedclone.model.ids import FolderId

DEFAULT_OWNER = "linkedclone"


class Wait(StrEnum):
    """How far a clone is followed before the command returns."""

    TASK = "task"
    TOOLS = "tools"
    IP = "ip"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotChoice:
    """Which snapshot of the parent to clone from.

    Attributes:
        kind: ``current``, ``named`` (by name, path or id) or ``new`` (take one).
        name: The name, path or id for ``named``; optional for ``new``.
    """

    kind: Literal["current", "named", "new"] = "current"
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Hardware that differs from the snapshot's; None keeps what the snapshot has."""

    cpus: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the clones go, by name or inventory path; empty means the parent's own place."""

    datastore: str = ""
    resource_pool: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneRequest:
    """One call of the main job: N linked clones of one parent.

    Attributes:
        parent: The parent's name, inventory path or UUID.
        names: The clones' names, each once.
        snapshot: Which snapshot they hang from.
        hardware: What differs from the snapshot's hardware.
        placement: Where they go.
        annotation: The notes of the clones; None keeps the parent's.
        customization_spec: Name of a customization specification stored at the endpoint.
        power_on: Whether they are started.
        wait: How far they are followed.
        wait_seconds: How long the guests may take to get there, without any progress.
        parallel: How many are in flight at once; None leaves it to the driver.
        owner: Goes into the mark.
        generation: Distinguishes successive clones of one name in the UUID.
    """

    parent: str
    names: tuple[str, ...]
    snapshot: SnapshotChoice = field(default_factory=SnapshotChoice)
    hardware: Hardware = field(default_factory=Hardware)
    placement: Placement = field(default_factory=Placement)
    annotation: str | None = None
    customization_spec: str = ""
    power_on: bool = True
    wait: Wait = Wait.TASK
    wait_seconds: float = 300.0
    parallel: int | None = None
    owner: str = DEFAULT_OWNER
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where clones go, looked up once for the whole batch. Ids are the endpoint's own.

    Attributes:
        folder: The inventory folder; a name is unique in it.
        folder_path: Its path, for people.
        datastore: Id of the datastore.
        datastore_name: Its name, for people.
        pool: Id of the resource pool; empty where the endpoint has none.
        pool_name: Its name, for people.
        customization_spec: The stored specification that the driver has read.
    """

    folder: FolderId
    folder_path: str
    datastore: str
    datastore_name: str
    pool: str = ""
    pool_name: str = ""
    customization_spec: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A look for disk files that belong to no VM.

    Attributes:
        places: Names of datastores (vSphere) or paths of folders (local);
            empty for every one where a known family has a layer.
    """

    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How far a deletion may go.

    Attributes:
        force: Also what is not ours, and a base that belongs to no VM any more.
        cascade: Also all clones that hang from what is named.
        keep_base: The last users of such a base are unregistered instead.
    """

    force: bool = False
    cascade: bool = False
    keep_base: bool = False
