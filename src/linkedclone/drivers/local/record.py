"""``vm.json``: what the disks of a VM cannot say. Pure: text in, data out, and back."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import cast

from linkedclone.errors import HypervisorError
from linkedclone.model.ids import SnapshotId
from linkedclone.model.observed import Mark

FILE_NAME = "vm.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """A name for a sealed layer.

    Attributes:
        id: Its id.
        name: Its name.
        file: The layer's file name in the VM's folder.
        created: When it was taken.
        description: The text given then.
    """

    id: SnapshotId
    name: str
    file: str
    created: datetime
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRecord:
    """The virtual hardware.

    Attributes:
        cpus: How many.
        memory_bytes: How much.
        mac: The MAC address of its network card.
        seed: File name of the NoCloud seed in the VM's folder; empty for none.
        kernel: File name of a kernel to boot directly; empty for none.
        initrd: File name of its initial RAM disk; empty for none.
        append: Its command line.
        user: Who logs in to the guest by SSH; empty for its own default user.
    """

    cpus: int
    memory_bytes: int
    mac: str
    seed: str = ""
    kernel: str = ""
    initrd: str = ""
    append: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRecord:
    """A VM as it is kept.

    Attributes:
        name: Its name.
        uuid: Its UUID.
        disk: File name of the layer that is written to.
        machine: The hardware.
        mark: The mark that it carries.
        annotation: Its notes.
        snapshots: Its snapshots, in the order in which they were taken.
        image: The file that it was imported from; empty for all but images.
        pending: File name of the layer that a running machine is just being
            moved to; empty but for a moment, see ``settle``.
        copy: File name of the layer that a running machine's disk is just being
            copied to; empty but while it is promoted, see ``settle``.
        created: When the VM was made; None in a record of an older version.
    """

    name: str
    uuid: str
    disk: str
    machine: MachineRecord
    mark: Mark | None = None
    annotation: str = ""
    snapshots: tuple[SnapshotRecord, ...] = ()
    image: str = ""
    pending: str = ""
    copy: str = ""
    created: datetime | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The file names of its layers that it names: the frozen ones, and the disk."""
        moving = filter(None, (self.pending, self.copy))
        return (*(snapshot.file for snapshot in self.snapshots), self.disk, *moving)


def render_record(record: VmRecord) -> bytes:
    """Write a record as JSON."""
    document = {"format": FORMAT, **asdict(record)}
    text = json.dumps(document, indent=1, ensure_ascii=False, default=_render_date)
    return text.encode() + b"\n"


def _render_date(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(value)


def parse_record(content: bytes, what: str) -> VmRecord:
    """Read a record.

    Raises:
        HypervisorError: It is not one that this version wrote or understands.
    """
    try:
        document = cast("dict[str, object]", json.loads(content))
        if document.pop("format") != FORMAT:
            brief = f"{what} was written by a newer version"
            raise HypervisorError(brief, hint="use that version", kind="vm.json")
        return _parse(document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        brief = f"{what} cannot be understood"
        raise HypervisorError(
            brief, details=repr(error), kind="vm.json", hint="restore that file from a backup"
        ) from error


def _parse(document: dict[str, object]) -> VmRecord:
    machine = cast("dict[str, object]", document.pop("machine"))
    mark = cast("dict[str, str] | None", document.pop("mark"))
    snapshots = cast("list[dict[str, str]]", document.pop("snapshots"))
    created = cast("str | None", document.pop("created", None))
    return VmRecord(
        machine=MachineRecord(**machine),  # type: ignore[arg-type]  # checked by the constructor's names
        mark=Mark(**mark) if mark else None,
        snapshots=tuple(_parse_snapshot(snapshot) for snapshot in snapshots),
        created=datetime.fromisoformat(created) if created else None,
        **document,  # type: ignore[arg-type]  # checked by the constructor's names
    )


def _parse_snapshot(document: dict[str, str]) -> SnapshotRecord:
    return SnapshotRecord(
        id=SnapshotId(document["id"]),
        name=document["name"],
        file=document["file"],
        created=datetime.fromisoformat(document["created"]),
        description=document["description"],
    )
