"""What is seen at an endpoint: VMs, their disks and the chains below them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from linkedclone.model.ids import SnapshotId, StoreId, VmId


class Power(StrEnum):
    """Whether a VM runs."""

    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Layer:
    """One disk file. Two layers are the same file exactly if they compare equal.

    Datastore names can be changed and are unique only per datacenter, so the
    store is given by its id (handbook, section 2).

    Attributes:
        store: The id of the datastore (vSphere) or state folder (local).
        path: The file's path in that store, without the store's name.
        store_name: What people call the store; never compared.
    """

    store: StoreId
    path: str
    store_name: str = field(default="", compare=False)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
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
    """

    id: SnapshotId
    name: str
    path: str
    created: datetime | None = None
    current: bool = False
    disks: tuple[Disk, ...] | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a clone of ours carries from birth. Clones of a clone inherit it, hence ``uuid``.

    Attributes:
        owner: ``linkedclone``, or the pool's name.
        uuid: The UUID of the VM that the mark was made for.
        run: The run that made the clone; only that run may undo it.
        parent_uuid: UUID of the parent.
        parent_name: Its name at the time.
        snapshot: Id of the snapshot that the clone hangs from.
        snapshot_name: Its name at the time.
        spec: Hash of what was asked for, see ``planning.clone.hash_spec``; empty
            for a clone that was adopted.
        version: The version of linkedclone that made it.
    """

    owner: str
    uuid: str
    run: str = ""
    parent_uuid: str = ""
    parent_name: str = ""
    snapshot: str = ""
    snapshot_name: str = ""
    spec: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAddress:
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
        addresses: What the guest says its addresses are.
        ssh: Where SSH to it can be reached, if the driver knows.
        tools_running: Whether the guest's tools or agent answer.
        own_bytes: Storage that nothing else uses; None where unknown.
        shared_bytes: Storage that it shares with others; None where unknown.
        created: When it was made, with time zone, where known.
        macs: The MAC addresses of its network cards, lower case.
        bios_uuid: The UUID that its firmware shows to the guest, where it is
            another than ``uuid``; lower case.
        instance_id: What cloud-init in the guest tells one instance from another by.
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
    created: datetime | None = None
    macs: tuple[str, ...] = ()
    bios_uuid: str = ""
    instance_id: str = ""

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
class Identity:
    """What an endpoint says it is.

    Attributes:
        instance: An id that stays the same however the endpoint is addressed
            (vSphere: ``about.instanceUuid``).
        product: What it calls itself.
        version: Its version.
        address: Where it is, without user name or password.
    """

    instance: str
    product: str
    version: str
    address: str
