"""QEMU's jobs that copy a running machine's disks.

QMP's ``blockdev-mirror``, and not ``block-stream``, which was made for this but ends QEMU
with our deltas [fact: qemu-block-stream]. And a copy that fails can be removed, while what
was streamed in would stay.
"""

from collections.abc import Mapping
from pathlib import Path

from linkedclone.drivers.local.qmp.block_jobs import PREFIX
from linkedclone.drivers.local.qmp.names import disk_device
from linkedclone.drivers.local.qmp.session import Session

JOB = f"{PREFIX}promote"


def copy_job(number: int) -> str:
    return f"{JOB}-{number}"


def copy_node(target: Path) -> str:
    """Return what QEMU calls a copy: its own name, for an earlier one may still be known."""
    return f"{PREFIX}{target.stem}"


async def start_copies(session: Session, targets: Mapping[int, Path]) -> None:
    """Start to copy disks into files that are there, as large and empty.

    Not by ``drive-mirror``: at its end that opens whatever the target's header names.
    """
    for number, target in targets.items():
        await session.monitor.execute("blockdev-add", **build_target(target))
        arguments = {
            "job-id": copy_job(number),
            "target": copy_node(target),
            "sync": "full",
            # With this a full disk is told by the job's state, not only by words.
            "on-target-error": "enospc",
            "auto-dismiss": False,
        }
        await session.monitor.execute("blockdev-mirror", device=disk_device(number), **arguments)


def build_target(target: Path) -> dict[str, object]:
    """Build what QEMU is told of a copy: it hangs from nothing, whatever its header says. Pure."""
    return {
        "driver": "qcow2",
        "node-name": copy_node(target),
        "discard": "unmap",
        "file": {"driver": "file", "filename": str(target)},
        "backing": None,
    }
