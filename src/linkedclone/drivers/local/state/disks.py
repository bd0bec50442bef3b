"""All disks of a VM in one shape: the first one, and those beside it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from linkedclone.drivers.local.state.record import ExtraDisk, SnapshotRecord, VmRecord
from linkedclone.drivers.qemu.hardware import disk_label

DISK_LABEL = disk_label(0)
"""What the first disk of a VM is called."""


def list_disks(record: VmRecord) -> tuple[ExtraDisk, ...]:
    """Return all disks, in the order of the hardware."""
    first = ExtraDisk(label=DISK_LABEL, file=record.disk, pending=record.pending, copy=record.copy)
    return (first, *record.extra_disks)


def with_disks(record: VmRecord, disks: Sequence[ExtraDisk]) -> VmRecord:
    """Return the record with other disks."""
    first, *further = disks
    return replace(
        record,
        disk=first.file,
        pending=first.pending,
        copy=first.copy,
        extra_disks=tuple(further),
    )


def with_files(record: VmRecord, files: Mapping[int, str]) -> VmRecord:
    """Return the record with other layers that are written to; no disk is being moved then.

    Args:
        record: The record.
        files: File names by the numbers of the disks; the rest stays.
    """
    disks = [
        replace(disk, file=files.get(number, disk.file), pending="", copy="")
        for number, disk in enumerate(list_disks(record))
    ]
    return with_disks(record, disks)


def with_pending(record: VmRecord, files: Mapping[int, str]) -> VmRecord:
    """Return the record in which disks are being moved to new layers."""
    disks = [
        replace(disk, pending=files.get(number, disk.pending))
        for number, disk in enumerate(list_disks(record))
    ]
    return with_disks(record, disks)


def with_copies(record: VmRecord, files: Mapping[int, str]) -> VmRecord:
    """Return the record in which disks are being copied."""
    disks = [
        replace(disk, copy=files.get(number, disk.copy))
        for number, disk in enumerate(list_disks(record))
    ]
    return with_disks(record, disks)


def list_frozen(snapshot: SnapshotRecord) -> tuple[ExtraDisk, ...]:
    """Return the layers that a snapshot froze, in the order of the hardware."""
    return (ExtraDisk(label=DISK_LABEL, file=snapshot.file), *snapshot.extra_disks)


def renamed_layer(record: VmRecord, old: str, new: str) -> VmRecord:
    """Return the record in which snapshots name another layer in the place of one."""
    snapshots = tuple(
        replace(
            snapshot,
            file=new if snapshot.file == old else snapshot.file,
            extra_disks=tuple(
                replace(disk, file=new if disk.file == old else disk.file)
                for disk in snapshot.extra_disks
            ),
        )
        for snapshot in record.snapshots
    )
    return replace(record, snapshots=snapshots)


def is_unsettled(record: VmRecord) -> bool:
    """Say whether a command was just moving a disk of the running machine, or holding its guest."""
    moving = any(disk.pending or disk.copy for disk in list_disks(record))
    return moving or bool(record.merging) or record.halted
