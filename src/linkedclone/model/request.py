"""What is wanted: requests as a person or a program states them, before anything is looked up."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal

from linkedclone.model.customization import Customization
from linkedclone.model.guest import Secrets
from linkedclone.model.values.document import NOT_TOLD
from linkedclone.model.values.document_errors import Written
from linkedclone.model.values.ids import FolderId, VmId
from linkedclone.model.vm import Mark, PoolState

DEFAULT_OWNER = "linkedclone"

DEADLINE_SECONDS = 300.0
"""How long a guest may take to shut down by default: services
that hang are given 90 s each by systemd's defaults, and Windows may install updates."""


class Wait(StrEnum):
    """How far a clone is followed before the command returns."""

    TASK = "task"
    TOOLS = "tools"
    CUSTOMIZED = "customized"
    IP = "ip"


class DiskMove(StrEnum):
    """What becomes of the parent's disks in a clone; the words are vSphere's own.

    Only the first makes a linked clone of a snapshot [fact: vs-move-types].
    """

    LINKED = "createNewChildDiskBacking"
    SHARED = "moveAllDiskBackingsAndAllowSharing"
    COPIED = "moveAllDiskBackingsAndDisallowSharing"
    CONSOLIDATED = "moveAllDiskBackingsAndConsolidate"
    CHILD_MOST = "moveChildMostDiskBacking"

    @property
    def linked(self) -> bool:
        """Whether the clone has to depend on the snapshot, and is undone if it does not."""
        return self is DiskMove.LINKED


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotChoice:
    """Which snapshot of the parent to clone from.

    Attributes:
        kind: ``current``, ``named`` (by name, path or id) or ``new`` (take one).
        name: The name, path or id for ``named``; optional for ``new``.
        quiesce: Whether the guest's file systems are quiesced for a ``new`` one
            while the parent runs.
        memory: Whether a ``new`` one of a running parent holds its memory.
        prepare_template: Whether a template may be made a VM for a moment, so
            that a snapshot can be taken of it.
    """

    kind: Literal["current", "named", "new"] = "current"
    name: str = ""
    quiesce: bool = False
    memory: bool = False
    prepare_template: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDisk:
    """An empty data disk that a clone gets beside the parent's disks.

    Attributes:
        capacity_bytes: Its size, a multiple of 1 KiB.
        thin: Whether space is taken only as it is written.
    """

    capacity_bytes: int
    thin: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """What is changed of a clone's network cards.

    Attributes:
        action: ``remap`` one to another network, ``add`` one, ``remove`` one.
        index: Which of the snapshot's cards, from 0 in the order of the
            hardware; unused where one is added.
        network: Name, path or id of the network or port group; unused where
            one is removed.
    """

    action: Literal["remap", "add", "remove"]
    index: int = 0
    network: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Hardware that differs from the snapshot's; None keeps what the snapshot has.

    Attributes:
        cpus: Virtual processors.
        cores_per_socket: How many of them share a socket; divides ``cpus``.
        memory_bytes: Memory.
        cpu_hot_add: Whether processors can be added while it runs.
        memory_hot_add: Whether memory can be added while it runs.
        extra_config: Further settings, as key and value; an empty value removes
            the key (API reference).
        disks: Data disks that are added.
        nics: What is changed of the network cards.
        disk_bytes: The size wanted for the first disk. A linked disk cannot
            grow, so anything but the snapshot's own size is refused for one.
        keep_tpm: Whether a virtual TPM is copied with its secrets instead of
            getting new ones.
        firmware: What the machine boots with; empty keeps the parent's.
        display: Whether a machine that has none gets a screen to look at.
    """

    cpus: int | None = None
    cores_per_socket: int | None = None
    memory_bytes: int | None = None
    cpu_hot_add: bool | None = None
    memory_hot_add: bool | None = None
    extra_config: tuple[tuple[str, str], ...] = ()
    disks: tuple[NewDisk, ...] = ()
    nics: tuple[Nic, ...] = ()
    disk_bytes: int | None = None
    keep_tpm: bool = False
    firmware: Literal["", "bios", "uefi"] = ""
    display: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the clones go: names, inventory paths or ids; empty means the parent's own place.

    Attributes:
        datacenter: Where all other names are looked up.
        datastore: Where the deltas go.
        datastore_cluster: Of its members one that the parent's chain is
            reachable from as well.
        resource_pool: The pool.
        cluster: Its root pool, with the host left to the cluster's own advice.
        host: The host that runs them.
        folder: The inventory folder.
        create_folder: Whether the folder is made if it is missing.
        spread: Over what the clones of a batch are spread, weighed by free
            space or load; empty for one place for all.
    """

    datacenter: str = ""
    datastore: str = ""
    datastore_cluster: str = ""
    resource_pool: str = ""
    cluster: str = ""
    host: str = ""
    folder: str = ""
    create_folder: bool = False
    spread: Literal["", "datastore", "host"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a single clone of a batch has of its own."""

    # Distinguishes successive clones of one name in the UUID; None for the request's.
    generation: int | None = None
    called: str = ""  # what its guest is called after, where that is not its name
    # Fixed addresses that it is given before any other, without prefix lengths.
    addresses: tuple[str, ...] = ()
    pool: PoolState | None = None  # what its pool keeps on it
    # The fork that stands still and becomes the clone; None where it is forked anew.
    spare: VmId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneRequest:
    """One call of the main job: N clones of one parent, linked unless asked for otherwise.

    Attributes:
        parent: The parent's name, inventory path or UUID.
        names: The clones' names, each once.
        snapshot: Which snapshot they depend on.
        disk_move: What becomes of the disks.
        instant: Whether they are forked with the parent's memory, and go on where it
            stands; none of them boots.
        hardware: What differs from the snapshot's hardware.
        placement: Where they go.
        annotation: The notes of the clones; None keeps the parent's.
        customization_spec: Name of a customization specification stored at the endpoint.
        customization: Who the guests are to be; overrides what the stored
            specification says.
        secrets: The passwords that the customization names the sources of.
        power_on: Whether they are started.
        wait: How far they are followed.
        wait_seconds: How long a guest may take for one stage without any
            progress; None for each stage's own default.
        network_filter: Networks in CIDR notation: only addresses in one of them
            count as a guest's own; empty for all.
        keep_failed: Whether a clone is kept that its customization failed at,
            to be looked at.
        parallel: How many are in flight at once; None leaves it to the driver.
        macs: MAC addresses that clones are given, by name, one for each of the
            first cards; all others get fresh ones.
        owner: Goes into the mark.
        generation: Distinguishes successive clones of one name in the UUID.
        own: What single clones have of their own, by name.
    """

    parent: str
    names: tuple[str, ...]
    snapshot: SnapshotChoice = field(default_factory=SnapshotChoice)
    disk_move: DiskMove = DiskMove.LINKED
    instant: bool = False
    hardware: Hardware = field(default_factory=Hardware)
    placement: Placement = field(default_factory=Placement)
    annotation: str | None = None
    customization_spec: str = ""
    customization: Customization | None = None
    secrets: Secrets = field(default=(), repr=False)
    power_on: bool = True
    wait: Wait = Wait.TASK
    wait_seconds: float | None = None
    network_filter: tuple[str, ...] = ()
    keep_failed: bool = False
    parallel: int | None = None
    macs: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    owner: str = DEFAULT_OWNER
    generation: int = 0
    own: Mapping[str, Own] = field(default_factory=dict, hash=False)

    def own_of(self, name: str) -> Own:
        """Return what a clone has of its own."""
        return self.own.get(name) or Own()

    def generation_of(self, name: str) -> int:
        """Return which clone of its name a clone is."""
        own = self.own_of(name).generation
        return self.generation if own is None else own

    def called(self, name: str) -> str:
        """Return what a clone's guest is called after."""
        return self.own_of(name).called or name


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One of several places that clones can be spread over."""

    id: str
    name: str
    # How much more it takes than the others: free bytes of a datastore, free memory bytes of a
    # host.
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that was looked up."""

    wanted: str  # what it was called in the request
    id: str
    name: str
    switch_uuid: str = ""  # UUID of its distributed switch; empty for a standard network
    portgroup_key: str = ""  # its key there; empty for a standard network


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where clones go, looked up once for the whole batch. Ids are the endpoint's own."""

    folder: FolderId  # the inventory folder; a name is unique in it
    folder_path: str  # its path, for people
    datastore: str
    datastore_name: str
    pool: str = ""  # id of the resource pool; empty where the endpoint has none
    pool_name: str = ""
    customization_spec: str = ""  # the stored specification that the driver has read
    host: str = ""  # id of the host; empty to leave it to the endpoint
    host_name: str = ""
    # Path of the folder below ``folder`` that has to be made first, its levels joined with slashes
    # and each escaped as in an inventory path; empty if all is there. The clones go into that one.
    new_folder: str = ""
    # What the batch is spread over; empty for one place for all.
    spots: tuple[Spot, ...] = field(default=(), metadata=NOT_TOLD)
    # How many hosts can run the clones; 0 where unknown. Bounds what is in flight.
    hosts: int = field(default=0, metadata=NOT_TOLD)
    networks: tuple[Network, ...] = ()
    # What a person should know of the choice, as a fallback that was taken.
    notes: tuple[str, ...] = field(default=(), metadata=NOT_TOLD)


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
        cascade: Also all clones that depend on what is named.
        keep_base: The last users of such a base are unregistered instead.
        despite_unreadable: Also what VMs that cannot be read may depend on, and
            such VMs themselves.
        marks: The marks for which VMs go; one that bears another by then stays.
        notes: What a person should know besides.
    """

    force: bool = False
    cascade: bool = False
    keep_base: bool = False
    despite_unreadable: bool = False
    marks: Mapping[VmId, Mark] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AskGuests:
    """That guests are asked to shut down, instead of being stopped hard."""

    deadline_seconds: float = DEADLINE_SECONDS  # how long each may take
    then_off: bool = False  # whether one that does not obey is stopped hard after all


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """What is to be mended of a golden image."""

    # Stop it hard if it runs. It need not be ours: this is about one VM that was named for just
    # that.
    power_off: bool = False
    disconnect_media: bool = False  # empty its CD and floppy drives
    # Name of a snapshot that is taken at the end, unless the current one is called so; empty for
    # none.
    snapshot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSettings(ABC, Written):
    """What only one kind of driver knows: a section of a pool's file, of the driver's own making.

    Its fields are the settings that the section may hold; each has a default.

    Attributes:
        about: What the section is for, as the schema of pools' files says it.
    """

    about: ClassVar[str] = ""

    @abstractmethod
    def apply_to(self, request: CloneRequest) -> CloneRequest:
        """Return the request of a pool's clones with what the section says. Pure."""

    @staticmethod
    def remap_first_card(network: str) -> tuple[Nic, ...]:
        """Return the change that puts the first card into a network; none if it is empty."""
        return (Nic(action="remap", index=0, network=network),) if network else ()
