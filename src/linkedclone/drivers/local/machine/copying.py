"""QEMU's jobs that copy a running machine's disks.

QMP's ``drive-mirror``, and not ``block-stream``, which was made for this: with
the extended L2 entries that our deltas have, ``block-stream`` ends QEMU 7.2
with a failed assertion (``bdrv_co_do_copy_on_readv``) as soon as a cluster was
written to in part (measured). And a copy that fails can be removed, while what
was streamed in would stay.
"""

from collections.abc import Mapping
from pathlib import Path

from linkedclone.drivers.local.machine.arguments import disk_device
from linkedclone.drivers.local.machine.blockjobs import PREFIX
from linkedclone.drivers.local.machine.session import Session

JOB = f"{PREFIX}promote"


def copy_job(number: int) -> str:
    """Return the name of the job that copies a disk, counted from 0."""
    return f"{JOB}-{number}"


async def start_copies(session: Session, targets: Mapping[int, Path]) -> bool:
    """Start to copy disks into files that are there, as large and empty; return True."""
    for number, target in targets.items():
        arguments = {
            "job-id": copy_job(number),
            "target": str(target),
            "format": "qcow2",
            "sync": "full",
            "mode": "existing",
            # With this a full disk is told by the job's state, not only by words.
            "on-target-error": "enospc",
            "auto-dismiss": False,
        }
        await session.monitor.execute("drive-mirror", device=disk_device(number), **arguments)
    return True
