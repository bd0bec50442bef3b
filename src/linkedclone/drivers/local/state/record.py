"""``vm.json``: what the disks of a VM cannot say. Pure: text in, data out, and back."""

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import datetime
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Interface
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints
from uuid import UUID

from linkedclone.drivers.local.state.folder import is_memory_name
from linkedclone.drivers.qemu.hardware import BIOS, UEFI, MachineRecord, disk_label
from linkedclone.drivers.qemu.networks import CardRecord, NetworkKind, parse_network
from linkedclone.errors import HypervisorError, InputError
from linkedclone.model.values.ids import SnapshotId
from linkedclone.model.vm import LEFT_FAILED, Mark, PoolState

FILE_NAME = "vm.json"
FORMAT = 3
"""Of a record of an instant clone, or with a snapshot's memory, which an older version would
lose; else 2 is written."""
_FORMAT_WITHOUT_MEMORY = 2
_FORMATS = range(1, FORMAT + 1)
NEWER = "newer vm.json"
"""The kind of the error that a record of a newer version is."""


_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
_CPUS = range(1, 1 << 16)
_MEMORY_BYTES = range(1, 1 << 62)
_MACHINE = re.compile(r"[a-z0-9][a-z0-9.+_-]{0,60}")
_CPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+-]{0,500}")
_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){2}")
_NETWORKS = range(1 << 8)
_SERIALS = range(1 << 62)
_RECORDS_KEPT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRecord:
    """A disk, or what a snapshot froze of it."""

    label: str  # what it is called (``Hard disk 2``); the same in all snapshots
    file: str  # file name of the layer that is written to, or that was frozen
    # File name of the layer that a running machine is just being moved to; empty but for a
    # moment, see ``settle``.
    pending: str = ""
    # File name of the layer that a running machine's disk is just being copied to; empty but
    # while it is promoted, see ``settle``.
    copy: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The file names of its layers that it names."""
        return (self.file, *filter(None, (self.pending, self.copy)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecord:
    """What a snapshot kept of the running machine besides its disks, and what loads that."""

    ram: str  # file name of the memory
    state: str  # file name of the devices' state
    state_sha256: str  # of all of that file: QEMU does not notice that it was changed
    machine: str  # QEMU's type of it, with the version
    qemu: str  # the version of QEMU that saved it, as ``7.2.22``
    accel: str  # ``kvm`` or ``tcg``
    cpu: str  # the CPU model, as ``-cpu`` takes it
    host_cpu: str = ""  # under KVM, a digest of what this host's CPU can do
    shape: str  # a digest of the hardware, see ``arguments.build_shape``
    cpus: int
    memory_bytes: int
    # What the guest has in memory as its cards' addresses, in their order.
    macs: tuple[str, ...] = ()
    user_networks: int = 0  # how many of QEMU's own networks its state tells of

    @property
    def files(self) -> tuple[str, str]:
        return (self.ram, self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """A name for sealed layers, one of each disk."""

    id: SnapshotId
    name: str
    disks: tuple[DiskRecord, ...]  # the layers that it froze, in the order of the hardware
    created: datetime
    description: str = ""
    memory: MemoryRecord | None = None  # what it kept of the running machine; None for disks alone

    @property
    def files(self) -> tuple[str, ...]:
        """The file names of all layers that it froze, the first disk's first."""
        return tuple(disk.file for disk in self.disks)


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRecord:
    name: str
    uuid: str
    # Its disks, in the order of the hardware; all are moved or copied at once.
    disks: tuple[DiskRecord, ...]
    machine: MachineRecord
    mark: Mark | None = None
    annotation: str = ""
    # Its snapshots, in the order in which they were taken.
    snapshots: tuple[SnapshotRecord, ...] = ()
    image: str = ""  # what it was imported from; empty for all but images
    # Which import of its name it is, from 1; 0 for all but images, and in a record of an older
    # version.
    image_version: int = 0
    # File names of the two layers, lower and upper, that a running machine is just merging into
    # the lower; empty but for that time, see ``settle``.
    merging: tuple[str, ...] = ()
    # Whether a command paused the running guest for a move, and has not let it go on
    # yet.
    halted: bool = False
    renaming: str = ""  # what it is just being renamed to; empty but for a moment, see ``naming``
    created: datetime | None = None  # when the VM was made; None in a record of an older version
    # How many records it had before this one: an older one that is put back has a lower number
    # than the layers call for, see ``staging``.
    serial: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        """The file names of its layers that it names: the frozen ones, and the disks."""
        frozen = (file for snapshot in self.snapshots for file in snapshot.files)
        return (*frozen, *(file for disk in self.disks for file in disk.files))

    @property
    def memory_files(self) -> tuple[str, ...]:
        """The file names of its snapshots' memory."""
        return tuple(file for s in self.snapshots if s.memory for file in s.memory.files)

    @property
    def disk_files(self) -> tuple[str, ...]:
        """The file names of the layers that are written to, the first disk's first."""
        return tuple(disk.file for disk in self.disks)

    @property
    def unsettled(self) -> bool:
        """Whether a command was just moving a disk of the running machine, or holding its guest."""
        moving = any(disk.pending or disk.copy for disk in self.disks)
        return moving or bool(self.merging) or self.halted

    @property
    def unconfirmed(self) -> bool:
        """Whether it was born as an instant clone, and has no confirmed identity yet."""
        return self.mark is not None and self.mark.unconfirmed

    @property
    def spare(self) -> bool:
        """Whether it is a whole fork that stands still until a clone takes it over."""
        return self.mark is not None and self.mark.spare and self.mark.spec != LEFT_FAILED

    def with_files(self, files: Mapping[int, str]) -> "VmRecord":
        """Return the record with other layers to write to, by disk; none is being moved then."""
        disks = tuple(
            replace(disk, file=files.get(number, disk.file), pending="", copy="")
            for number, disk in enumerate(self.disks)
        )
        return replace(self, disks=disks)

    def with_pending(self, files: Mapping[int, str]) -> "VmRecord":
        disks = (replace(disk, pending=files.get(n, "")) for n, disk in enumerate(self.disks))
        return replace(self, disks=tuple(disks))

    def with_copies(self, files: Mapping[int, str]) -> "VmRecord":
        disks = (replace(disk, copy=files.get(n, "")) for n, disk in enumerate(self.disks))
        return replace(self, disks=tuple(disks))

    def with_renamed_layer(self, old: str, new: str) -> "VmRecord":
        snapshots = (
            replace(
                snapshot,
                disks=tuple(
                    replace(disk, file=new if disk.file == old else disk.file)
                    for disk in snapshot.disks
                ),
            )
            for snapshot in self.snapshots
        )
        return replace(self, snapshots=tuple(snapshots))


def render_record(record: VmRecord) -> bytes:
    forked = record.mark is not None and record.mark.instant
    number = FORMAT if forked or record.memory_files else _FORMAT_WITHOUT_MEMORY
    document = {"format": number, **asdict(record)}
    for snapshot in document["snapshots"]:
        if snapshot["memory"] is None:
            del snapshot["memory"]
    if record.mark and not forked:
        del document["mark"]["instant"]
    if record.mark and record.mark.pool:
        document["mark"]["pool"] = record.mark.pool.write()
    text = json.dumps(document, indent=1, ensure_ascii=False, default=_render_date)
    return text.encode() + b"\n"


def read_serial(content: bytes) -> int:
    """Return the serial number of a record, as far as it can be read; 0 if it has none."""
    try:
        found = json.loads(content)["serial"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return 0
    return found if type(found) is int else 0


def _render_date(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(value)


@lru_cache(_RECORDS_KEPT)
def parse_record(content: bytes, what: str) -> VmRecord:
    """Read a record; a command looks at the same ones many times."""
    record: VmRecord
    try:
        document = cast("dict[str, Any]", json.loads(content))
        written = document.pop("format")
        _check_format(written, what)
        record = _read(VmRecord, _read_format_1(document) if written == 1 else document)
        if not document.keys() >= {"mark", "snapshots"}:
            raise ValueError("it is not whole")
        _check_names(record)
        _check_machine(record.machine)
        for memory in filter(None, (snapshot.memory for snapshot in record.snapshots)):
            _check_memory(memory)
    except (
        *(ValueError, TypeError, KeyError, AttributeError, RecursionError),
        InputError,
    ) as error:
        brief = f"{what} cannot be understood"
        raise HypervisorError(
            brief, details=repr(error), kind="vm.json", hint="restore that file from a backup"
        ) from error
    return record


def _check_format(written: object, what: str) -> None:
    if type(written) is int and written > FORMAT:
        raise HypervisorError(
            f"{what} was written by a newer version of linkedclone",
            hint="use that version: nothing is wrong with the VM, and this one leaves it as it is",
            kind=NEWER,
        )
    if type(written) is not int or written not in _FORMATS:
        raise ValueError(f"format {written!r:.80}")


def _read(kind: Any, value: object) -> Any:  # noqa: ANN401 - whatever a field is said to be
    """Build what a type says from JSON, which may hold anything: what does not fit is refused."""
    parts = get_args(kind)
    if isinstance(kind, UnionType):
        return None if value is None else _read(parts[0], value)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_read(parts[0], one) for one in value)
    if kind is PoolState:
        json.dumps(value, ensure_ascii=False).encode()  # it is kept whole, also what is unknown
        return PoolState.read(value)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        kinds = _list_fields(kind)
        return kind(**{name: _read(kinds[name], held) for name, held in value.items()})
    if kind is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if type(value) is not getattr(kind, "__supertype__", kind):
        raise TypeError(f"{kind}: {value!r:.80}")
    if isinstance(value, str):
        value.encode()  # JSON may hold halves of characters, which are not text
    return value


@cache
def _list_fields(kind: Hashable) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _check_names(record: VmRecord) -> None:
    """Make sure that a record names nothing outside of the VM's own folder."""
    if record.uuid != str(UUID(record.uuid)) or not record.name or "\0" in record.name:
        raise ValueError(record.uuid)
    if any(s.created.tzinfo is None for s in record.snapshots):
        raise ValueError("a time without its zone")
    machine = record.machine
    own = (machine.seed, machine.kernel, machine.initrd)
    files = (*record.files, *record.merging, *record.memory_files, *own)
    for file in filter(None, files):
        if file.startswith(".") or set(file) & {"/", "\0"}:
            raise ValueError(file)
    disks = (record.disks, *(snapshot.disks for snapshot in record.snapshots))
    if not all(disks) or not all(record.files):
        raise ValueError("a disk without a file")
    if record.serial not in _SERIALS:
        raise ValueError("serial")
    if len(record.merging) not in {0, 2} or "\0" in record.renaming:
        raise ValueError(f"{record.merging!r:.80} {record.renaming!r:.80}")


def _check_machine(machine: MachineRecord) -> None:
    """Make sure that the hardware is valid for QEMU, and adds no other options."""
    if machine.cpus not in _CPUS or machine.memory_bytes not in _MEMORY_BYTES:
        raise ValueError(f"{machine.cpus:d} CPUs, {machine.memory_bytes:d} bytes of memory"[:80])
    if machine.firmware not in {BIOS, UEFI}:
        raise ValueError(f"firmware: {machine.firmware!r:.80}")
    if "\0" in machine.append:
        raise ValueError("append")
    for card in machine.cards:
        _check_card(card)


def is_machine(kind: str, qemu: str) -> bool:
    """Say whether it can be a type of machine, which adds no other options, and a version."""
    return bool(_MACHINE.fullmatch(kind) and _VERSION.fullmatch(qemu))


def _check_memory(memory: MemoryRecord) -> None:
    """Make sure that what is told of a snapshot's memory is valid for QEMU, too."""
    if not (is_memory_name(memory.ram) and is_memory_name(memory.state)):
        raise ValueError(f"memory: {memory.files!r:.80}")
    if memory.ram == memory.state or memory.accel not in {"kvm", "tcg"}:
        raise ValueError(f"memory: {memory.accel!r:.80}")
    if not (is_machine(memory.machine, memory.qemu) and _CPU.fullmatch(memory.cpu)):
        raise ValueError(f"memory: {memory.machine!r:.80} {memory.cpu!r:.80}")
    if memory.cpus not in _CPUS or memory.memory_bytes not in _MEMORY_BYTES:
        raise ValueError("memory: hardware")
    if memory.user_networks not in _NETWORKS or not all(map(_MAC.fullmatch, memory.macs)):
        raise ValueError("memory: cards")


def _check_card(card: CardRecord) -> None:
    if not _MAC.fullmatch(card.mac):
        raise ValueError(f"mac: {card.mac!r:.80}")
    if parse_network(card.network).kind is NetworkKind.PRIVATE:
        group, _, port = card.group.partition(":")
        if not IPv4Address(group).is_multicast or not re.fullmatch("[0-9]{1,5}", port):
            raise ValueError(f"group: {card.group!r:.80}")
    if card.address:
        IPv4Interface(card.address)
    if card.gateway:
        IPv4Address(card.gateway)


def _read_format_1(document: dict[str, Any]) -> dict[str, Any]:
    """Return a record of format 1 as one of format 2: its first disk had fields of its own.

    Of the one card that a machine had at first, its address alone was written.
    """
    further = document.pop("extra_disks", [])
    first = {name: document.pop(name, "") for name in ("pending", "copy")}
    first |= {"label": disk_label(0), "file": document.pop("disk")}
    for snapshot in document["snapshots"]:
        frozen = {"label": disk_label(0), "file": snapshot.pop("file")}
        snapshot["disks"] = [frozen, *snapshot.pop("extra_disks", [])]
    machine = document["machine"]
    macs = [machine.pop("mac")] if "mac" in machine else []
    machine["cards"] = machine.get("cards") or [{"mac": mac} for mac in macs]
    return {**document, "disks": [first, *further]}
