"""What is seen at an endpoint: VMs, their disks and the chains below them."""

import json
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from linkedclone.model.values.document import LEFT_OUT_IF_EMPTY, NOT_TOLD, Document
from linkedclone.model.values.ids import SnapshotId, StoreId, VmId


class Power(StrEnum):
    """Whether a VM runs."""

    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    UNKNOWN = "unknown"


class CustomizationStatus(StrEnum):
    """How far the customization of a guest is."""

    NONE = "none"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomizationNews:
    """The last news of a guest's customization.

    Attributes:
        status: How far it is.
        text: The hypervisor's own words; empty if all is well.
        event: What the hypervisor calls the kind of news (``CustomizationNetworkSetupFailed``).
        log: Where the guest keeps its log of it, if known.
    """

    status: CustomizationStatus
    text: str = ""
    event: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Layer:
    """One disk file. Two layers are the same file exactly if they compare equal.

    Datastore names can be changed and are unique only per datacenter, so the
    store is given by its id [fact: vs-datastore-names].

    Attributes:
        store: The id of the datastore (vSphere) or state folder (local).
        path: The file's path in that store, without the store's name.
        store_name: What people call the store; never compared.
    """

    store: StoreId
    path: str
    store_name: str = field(default="", compare=False, metadata=NOT_TOLD)

    @property
    def folder(self) -> str:
        """The folder that holds the file, relative to the store."""
        return self.path.rpartition("/")[0]

    def __str__(self) -> str:
        return f"[{self.store_name or self.store}] {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A virtual disk and its chain.

    Attributes:
        label: What the hypervisor calls it (``Hard disk 1``).
        chain: Its layers, base first; the last is the one that is written to.
        capacity_bytes: The size that the guest sees.
        independent: True if snapshots leave the disk out.
        hidden: True if the hypervisor does not tell the layers below the last
            one (native vSphere clones: ``nativeUnmanagedLinkedClone``).
    """

    label: str
    chain: tuple[Layer, ...]
    capacity_bytes: int = 0
    independent: bool = False
    hidden: bool = False

    @property
    def top(self) -> Layer:
        """The layer that is written to."""
        return self.chain[-1]

    def document(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "label": self.label,
            "capacity_bytes": self.capacity_bytes,
            "independent": self.independent,
            "chain": None if self.hidden else [str(layer) for layer in self.chain],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMemory(Document):
    """The memory of a VM that a snapshot holds beside its disks."""

    size_bytes: int  # what it takes of the storage
    # Why no instant clone can be made of it any more, while its disks are as good as ever; empty if
    # one can.
    stale: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Document):
    """A frozen state of a VM.

    Attributes:
        id: Its id at the endpoint.
        name: Its name; names are not unique.
        path: Names from the root snapshot down, joined with ``/``.
        created: When it was taken, with time zone, where known.
        current: True for the snapshot that the VM's present state follows.
        disks: The disks as they were; the last layer of each chain is frozen.
            None where the driver was not asked to read them.
        description: The text given when it was taken.
        aliases: What else its name and its path may be called: other spellings of them.
        memory: The memory that it holds; None if it holds none, or the driver cannot tell.
    """

    id: SnapshotId
    name: str
    path: str
    created: datetime | None = None
    current: bool = False
    disks: tuple[Disk, ...] | None = field(default=None, metadata=NOT_TOLD)
    description: str = ""
    aliases: tuple[str, ...] = field(default=(), metadata=NOT_TOLD)
    memory: SnapshotMemory | None = None


UNREADABLE_STATE: Final = "what its mark says of the pool cannot be read"
"""Why a clone counts as held whose mark was cut, or written by something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """What a pool keeps on each of its clones: the hypervisor's own object is the only record.

    Attributes:
        slot: The name that the clone has in the pool, whatever it is called at
            the moment.
        generation: How often it has been made anew.
        failures: How often in a row it came up unhealthy on this image.
        hold: Why it is to be left alone; empty if it is not.
        previous_parent: UUID of the parent before the last recompose.
        previous_snapshot: Id of the snapshot before it.
        claim: The run that works on the pool; on one clone of it only.
        claimed: When that run last said so, in seconds since the epoch.
        pattern: How the pool numbers its clones, see ``PoolSpec.numbering``; empty
            in a mark of version 0.1.0, as the two below.
        place: Inventory path of the folder that the pool makes its clones in.
        parent: UUID of the pool's parent, as its file has it.
        spare: Whether it is no clone of the pool yet, but a fork that stands still until one
            takes it over.
        others: What a newer version keeps there and this one does not know, as JSON:
            whatever is changed, it is written back as it was.
    """

    slot: str = ""
    generation: int = 0
    failures: int = 0
    hold: str = ""
    previous_parent: str = field(default="", metadata=NOT_TOLD)
    previous_snapshot: str = field(default="", metadata=NOT_TOLD)
    claim: str = field(default="", metadata=NOT_TOLD)
    claimed: int = field(default=0, metadata=NOT_TOLD)
    pattern: str = ""
    place: str = ""
    parent: str = ""
    spare: bool = field(default=False, metadata=LEFT_OUT_IF_EMPTY)
    others: str = field(default="", metadata=NOT_TOLD)

    @classmethod
    def read(cls, document: object) -> "PoolState":
        """Read what a mark holds as plain data, see :meth:`write`.

        Where it cannot be understood, the clone counts as held: so it is left
        alone, whatever was meant.
        """
        kinds = {one.name: type(one.default) for one in fields(cls) if one.name != "others"}
        if not isinstance(document, dict):
            return cls(hold=UNREADABLE_STATE)
        given: dict[str, Any] = {key: value for key, value in document.items() if key in kinds}
        known: dict[str, Any] = {
            key: value
            for key, value in given.items()
            if type(value) is kinds[key]
            if not isinstance(value, int) or 0 <= value <= _MOST
        }
        others = {key: value for key, value in document.items() if key not in kinds}
        hold = {} if known == given else {"hold": UNREADABLE_STATE}
        return cls(**{**known, **hold, "others": json.dumps(others) if others else ""})

    def write(self) -> dict[str, object]:
        """Return what a mark is to hold as plain data, without what is as in any other state."""
        others = json.loads(self.others) if self.others else {}
        known = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "others"}
        plain = PoolState()
        return {k: value for k, value in known.items() if value != getattr(plain, k)} | others


_MOST: Final = 2**33
"""More seconds since the epoch, and more of anything that a pool counts, is not believed."""

LEFT_FAILED: Final = "failed"
"""The digest in the mark of a clone that is kept for inspection, and of an instant clone that has
no identity of its own yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a clone of ours carries from birth. Clones of a clone inherit it, hence ``uuid``.

    Attributes:
        owner: ``linkedclone``, or the pool's name.
        uuid: The UUID of the VM that the mark was made for.
        run: The run that made the clone; only that run may undo it.
        parent_uuid: UUID of the parent.
        parent_name: Its name at the time.
        snapshot: Id of the snapshot that the clone depends on.
        snapshot_name: Its name at the time.
        spec: Digest of what was asked for, see ``planning.clone.spec_digest``; empty for a
            clone that was adopted, ``LEFT_FAILED`` for one that was kept as its
            failed call left it: no run adopts it as a good one.
        version: The version of linkedclone that made it.
        addresses: The fixed addresses that its guest was given, without prefix
            lengths: they count as used while it is off, too.
        pool: What its pool keeps on it; None for what belongs to none.
        instant: Whether it was born as an instant clone.
    """

    owner: str
    uuid: str
    run: str = field(default="", metadata=NOT_TOLD)
    parent_uuid: str = ""
    parent_name: str = field(default="", metadata=NOT_TOLD)
    snapshot: str = ""
    snapshot_name: str = field(default="", metadata=NOT_TOLD)
    spec: str = ""
    version: str = field(default="", metadata=NOT_TOLD)
    addresses: tuple[str, ...] = ()
    pool: PoolState | None = None
    instant: bool = False

    @property
    def spare(self) -> bool:
        """Whether it is a fork that stands still until a clone of its pool takes it over."""
        return self.pool is not None and self.pool.spare

    @property
    def unconfirmed(self) -> bool:
        """Whether it was born as an instant clone, and has no identity of its own yet."""
        return self.instant and (self.spec == LEFT_FAILED or self.spare)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAddress(Document):
    """Where SSH to the guest can be reached from here."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A VM as it was seen.

    Attributes:
        id: Its id at the endpoint.
        name: Its name; unique only within its folder.
        uuid: Its instance UUID, lower case.
        path: Its place in the inventory (``/DC0/vm/Desktops/desk-001``).
        home: The folder that holds its own files, as (store, path).
        power: Whether it runs.
        template: True for a vSphere template.
        disks: Its present disks.
        snapshots: All its snapshots, parents before children.
        mark: The mark that it carries, valid or not; see ``owner``.
        host_name: What the guest says it is called.
        addresses: What the guest says the addresses of its own cards are, in the
            order of the cards; loopback, link-local ones and those of bridges
            inside the guest are left out.
        ssh: Where SSH to it can be reached, if the driver knows.
        tools_running: Whether the guest's tools or agent answer.
        own_bytes: Storage that nothing else uses; None where unknown.
        shared_bytes: Storage that it shares with others; None where unknown.
        log_bytes: What is kept of what its guest's console and its hypervisor say; None
            where that is not known.
        created: When it was made, with time zone, where known.
        macs: The MAC addresses of its network cards, lower case.
        bios_uuid: The UUID that its firmware shows to the guest, where it is
            another than ``uuid``; lower case.
        instance_id: What cloud-init in the guest tells one instance from another by.
        customization: How far the guest's customization is.
        customization_error: What the guest or the hypervisor says of a failed one.
        cpus: Its virtual processors; None where they were not read.
        memory_bytes: Its memory; None where it was not read.
        booted: When it was started last, with time zone, where known.
        frozen: Whether its guest stands still for instant clones to be made of it.
        trouble: Why it does not run as it should, and what to do: why it is
            paused, or the leftover of an unexpected end;
            empty if nothing is the matter.
        unreadable: Why what it depends on, and what may depend on it, cannot be
            read in full; empty if it was read. What is set beside may be stale.
        remedy: What alone helps an unreadable VM; empty where a person may go on
            with ``--force``.
        stores: Where all the files of an unreadable VM are; empty where that is
            not known, and for a VM that can be read.
    """

    id: VmId
    name: str
    uuid: str
    path: str = ""
    home: tuple[StoreId, str] | None = None
    power: Power = Power.UNKNOWN
    template: bool = False
    disks: tuple[Disk, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    mark: Mark | None = None
    host_name: str = ""
    addresses: tuple[str, ...] = ()
    ssh: SshAddress | None = None
    tools_running: bool = False
    own_bytes: int | None = None
    shared_bytes: int | None = None
    log_bytes: int | None = None
    created: datetime | None = None
    macs: tuple[str, ...] = ()
    bios_uuid: str = ""
    instance_id: str = ""
    customization: CustomizationStatus = CustomizationStatus.NONE
    customization_error: str = ""
    cpus: int | None = None
    memory_bytes: int | None = None
    booted: datetime | None = None
    frozen: bool = False
    trouble: str = ""
    unreadable: str = ""
    remedy: str = ""
    stores: frozenset[StoreId] = frozenset()

    @property
    def valid_mark(self) -> Mark | None:
        """The mark, if it names this VM's own UUID; an inherited one does not count."""
        return self.mark if self.mark is not None and self.mark.uuid == self.uuid else None

    @property
    def owner(self) -> str | None:
        """Who owns the VM: ``linkedclone``, a pool's name, or None if it is not ours."""
        mark = self.valid_mark
        return mark.owner if mark else None

    @property
    def layers(self) -> frozenset[Layer]:
        """Every layer that the VM or one of its snapshots reads."""
        disks = [*self.disks, *(d for s in self.snapshots for d in s.disks or ())]
        return frozenset(layer for disk in disks for layer in disk.chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Document):
    """What an endpoint says it is.

    Attributes:
        product: What it calls itself.
        version: Its version.
        instance: An id that stays the same however the endpoint is addressed
            (vSphere: ``about.instanceUuid``).
        address: Where it is, without user name or password. No part of the JSON
            form: callers know under which they asked.
    """

    product: str
    version: str
    instance: str
    address: str = field(metadata=NOT_TOLD)
