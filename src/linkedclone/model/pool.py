"""Pools: what a named set of clones is to be, what of it is kept on its VMs, what is to change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from linkedclone.model.customization import Customization, SecretSource
from linkedclone.model.request import DriverSettings
from linkedclone.model.values.document import (
    LEFT_OUT_IF_EMPTY,
    NOT_TOLD,
    Document,
    told_as,
    told_by,
)
from linkedclone.model.values.document_errors import Written
from linkedclone.model.vm import Vm

Keep = Literal["address", "mac"]
"""What a clone hands on to the one that replaces it, besides its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolHardware(Written):
    """Hardware of the clones that differs from the snapshot's.

    Attributes:
        cpus: Virtual processors; changed without a replacement, while the VM is off.
        memory: Bytes of memory; changed in the same way.
        cores_per_socket: How many processors share a socket.
        add_disks: Sizes of further, empty disks, in bytes.
        extra_config: Further settings, as key and value (vSphere).
    """

    cpus: int | None = None
    memory: int | None = None
    cores_per_socket: int | None = None
    add_disks: tuple[int, ...] = ()
    extra_config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Written):
    """How the guests of a pool are found healthy, besides running and answering.

    Attributes:
        customized: Whether the customization must have succeeded.
        address: Whether the guest must have an address of its own.
        tcp: A port that must take connections on that address; 0 for none.
        command: What must end with 0 inside the guest; empty for nothing.
        user: Who runs commands inside the guest, where the hypervisor needs
            one (vSphere); for ``in_use`` too.
        password: That user's password.
        within: Seconds that a clone may take to become healthy once it runs.
    """

    customized: bool = True
    address: bool = True
    tcp: int = 0
    command: tuple[str, ...] = ()
    user: str = ""
    password: SecretSource | None = None
    within: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout(Written):
    """How fast a pool may change.

    Attributes:
        max_unavailable: How many of ``size`` may be missing or unhealthy for
            the sake of a change.
        max_surge: How many may be there above ``size``: the new one is healthy
            before the old one goes.
        canary: How many go first onto a new image; the others follow once
            those are healthy.
        stop_after_failures: After how many failures of one run nothing more is begun.
    """

    max_unavailable: int = 1
    max_surge: int = 0
    canary: int = 0
    stop_after_failures: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec(Written):
    """What a pool is to be, as its file states it.

    Attributes:
        pool: Its name: the owner in the marks of its clones.
        parent: The golden image: name, inventory path or UUID.
        snapshot: Name, path or id of the snapshot; empty for the current one.
        size: How many clones.
        name: What they are called: ``{n}`` or ``{n:03}`` is their number.
        first: The lowest number.
        clone: How they are made: linked clones boot, instant clones are forked from the
            running parent, or from a snapshot that holds its memory.
        spares: How many instant clones are kept beside them, forked and standing still: a
            clone that is made takes one over, which is faster than to fork it.
        power: Whether they run.
        annotation: Their notes; None keeps the parent's.
        hardware: What differs from the snapshot's hardware.
        per_driver: What only one kind of driver knows, by the section of the file
            that says it.
        customization: Who the guests are to be.
        health: When a clone counts as healthy.
        in_use: A command that ends with 0 inside a guest that is in use;
            such clones are left alone.
        refresh_above: Bytes of its own above which a clone is made anew.
        max_age: Seconds after which a clone is made anew.
        keep: What a clone hands on to its replacement; excludes ``max_surge``,
            where both are there for a while.
        rollout: How fast the pool may change.
    """

    pool: str
    parent: str
    size: int
    name: str
    snapshot: str = ""
    first: int = 1
    clone: Literal["linked", "instant"] = "linked"
    spares: int = 0
    power: Literal["on", "off"] = "on"
    annotation: str | None = None
    hardware: PoolHardware = field(default_factory=PoolHardware)
    per_driver: Mapping[str, DriverSettings] = field(default_factory=dict)
    customization: Customization | None = None
    health: Probe = field(default_factory=Probe)
    in_use: tuple[str, ...] = ()
    refresh_above: int | None = None
    max_age: float | None = None
    keep: tuple[Keep, ...] = ()
    rollout: Rollout = field(default_factory=Rollout)

    @property
    def slots(self) -> tuple[str, ...]:
        """The names that the clones are to have."""
        return tuple(self.name.format(n=self.first + index) for index in range(self.size))

    @property
    def numbering(self) -> str:
        """How the clones are numbered, as their marks say it; two pools of one name differ here."""
        return f"{self.name} from {self.first}"

    @property
    def running(self) -> bool:
        """Whether the clones are to run."""
        return self.power == "on"

    @property
    def instant(self) -> bool:
        """Whether they are instant clones."""
        return self.clone == "instant"


class Fitness(StrEnum):
    """Whether a clone does what it is there for."""

    HEALTHY = "healthy"
    STARTING = "starting"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was found when a clone was looked at."""

    fitness: Fitness  # the outcome. ``starting`` may yet become healthy.
    reason: str = ""  # why it is not healthy
    in_use: bool = False  # whether it is in use, or this cannot be determined
    unasked: str = ""  # why this is unknown; empty if the guest was asked


class Why(StrEnum):
    """Why something is to change."""

    MISSING = "missing"
    SURPLUS = "surplus"
    SPARE = "spare"
    REPLACED = "replaced"
    IMAGE = "image changed"
    SPEC = "spec changed"
    UNLINKED = "not linked any more"
    UNHEALTHY = "unhealthy"
    UNREADABLE = "unreadable"
    GROWN = "too grown"
    OLD = "too old"
    ASKED = "asked for"
    RENAMED = "renamed"
    POWER = "power"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason(Document):
    """One reason, with the figures that it rests on."""

    why: Why
    text: str = ""

    def __str__(self) -> str:
        return f"{self.why.value}: {self.text}" if self.text else self.why.value


class Act(StrEnum):
    """What is done."""

    CREATE = "create"
    DELETE = "delete"
    REPLACE = "replace"
    RECONFIGURE = "reconfigure"
    RENAME = "rename"
    START = "start"
    STOP = "stop"


def _tell_id(_: str, vm: Vm | None) -> dict[str, object]:
    return {"id": vm.id if vm else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Document):
    """Make a clone where none is."""

    slot: str = field(metadata=told_as("name"))  # the name that it is to have
    act: Act = field(default=Act.CREATE, init=False)  # what is done, as reports name it
    # The previous clone of the slot, if this run knows it.
    old: Vm | None = field(default=None, metadata=told_by(_tell_id))
    reasons: tuple[Reason, ...] = ()

    @property
    def spare(self) -> bool:
        """Whether it is to stand still until another clone takes it over."""
        return any(reason.why is Why.SPARE for reason in self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MemberChange(Document):
    """What is to be done to a clone that is there."""

    slot: str = field(metadata=told_as("name"))  # the name that the clone has, or is to have
    act: Act = field(init=False)
    vm: Vm = field(metadata=told_by(_tell_id))
    reasons: tuple[Reason, ...] = ()  # why; the weightiest first

    @property
    def old(self) -> Vm:
        """The clone, of which a new one in its place keeps something."""
        return self.vm


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace(_MemberChange):
    """Make a clone anew."""

    act: Act = field(default=Act.REPLACE, init=False)
    # Whether the new one is made before the old one goes.
    beside: bool = field(default=False, metadata=NOT_TOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename(_MemberChange):
    """Give a clone the name of its slot."""

    act: Act = field(default=Act.RENAME, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(_MemberChange):
    """Start a clone."""

    act: Act = field(default=Act.START, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(_MemberChange):
    """Shut down a clone."""

    act: Act = field(default=Act.STOP, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconfigure(_MemberChange):
    """Change a clone in place."""

    act: Act = field(default=Act.RECONFIGURE, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(_MemberChange):
    """Delete a clone."""

    act: Act = field(default=Act.DELETE, init=False)


MemberChange = Replace | Rename | Start | Stop | Reconfigure | Delete
"""What is to be done to a clone that is there."""

PoolChange = Create | MemberChange
"""What is to be done to one clone of a pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip(Document):
    """What would be done, and is not."""

    slot: str = field(metadata=told_as("name"))
    act: Act  # what would be done
    vm: Vm = field(metadata=told_by(_tell_id))
    reasons: tuple[Reason, ...]  # why it would
    because: str  # why it is not


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger(Document):
    """A clone that bears the pool's name and does not fit its file: it is never changed."""

    vm: Vm = field(metadata=told_by(lambda _, vm: {"name": vm.name, "id": vm.id, "path": vm.path}))
    because: str  # what differs
    hint: str = ""  # how it comes into the pool, if it belongs there


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan(Document):
    """What is to change in a pool; empty if it is as its spec wants it.

    Attributes:
        changes: What is to be done, in the order in which it should be.
        skipped: What is left alone.
        notes: What a person should know.
        refused: Clones of the pool's name that do not fit its file.
    """

    changes: tuple[PoolChange, ...] = ()
    skipped: tuple[Skip, ...] = ()
    notes: tuple[str, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)
    refused: tuple[Stranger, ...] = field(default=(), metadata=LEFT_OUT_IF_EMPTY)

    @property
    def empty(self) -> bool:
        """True if there is nothing to do."""
        return not self.changes
