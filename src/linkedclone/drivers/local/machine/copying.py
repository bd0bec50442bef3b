"""QEMU's job that copies a running machine's disk, and the move onto the copy.

QMP's ``drive-mirror``, and not ``block-stream``, which was made for this: with
the extended L2 entries that our deltas have, ``block-stream`` ends QEMU 7.2
with a failed assertion (``bdrv_co_do_copy_on_readv``) as soon as a cluster was
written to in part (measured). And a copy that fails can be removed, while what
was streamed in would stay.

The job is QEMU's own and each question about it a short connection, so that
others get at the machine in between. The guest stands still for the move: as
long as it does, both files hold the same, and whichever is taken is right.
"""

import asyncio
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linkedclone.drivers.local.machine.arguments import DISK_DEVICE
from linkedclone.drivers.local.machine.session import Session
from linkedclone.errors import HypervisorError, NoSpaceError

JOB = "linkedclone-promote"
NEARLY_BYTES = 16 << 20
"""What may be left to copy when the guest is stopped; a busy guest never leaves nothing."""
_ENDED = "concluded"
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """How far a copy is.

    Attributes:
        copied: A number that grows while it gets on.
        nearly: True if so little is left that the guest can wait for it.
        full: True if it waits because nothing can be written any more.
        error: Why it has ended; empty while it goes on.
    """

    copied: int = 0
    nearly: bool = False
    full: bool = False
    error: str = ""


async def start_copy(session: Session, target: Path) -> Copying:
    """Start to copy the disk into a file that is there, as large and empty."""
    arguments = {
        "job-id": JOB,
        "target": str(target),
        "format": "qcow2",
        "sync": "full",
        "mode": "existing",
        # With this a full disk is told by the job's state, not only by words.
        "on-target-error": "enospc",
        "auto-dismiss": False,
    }
    await session.monitor.execute("drive-mirror", device=DISK_DEVICE, **arguments)
    return Copying()


async def observe_copy(session: Session) -> Copying:
    """Say how far it is."""
    job = await _find_job(session)
    if job is None or job["status"] == _ENDED:
        return Copying(error=(job or {}).get("error") or "the job has ended")
    for block in await session.monitor.execute("query-block-jobs"):
        if block["device"] == JOB:
            left = block["len"] - block["offset"]
            started = job["status"] in {"running", "ready"} and block["len"] > 0
            return Copying(
                copied=block["offset"],
                nearly=block["ready"] or (started and left <= NEARLY_BYTES),
                full=block["io-status"] == "nospace",
            )
    return Copying()


async def move_to_copy(session: Session) -> bool:
    """Stop the guest, move its disk onto the copy, and have all of it written.

    Returns:
        True if the guest ran; it stands still now, until it is told to go on.

    Raises:
        NoSpaceError: The file system is full; the guest stands still on its old disk.
        HypervisorError: It did not come to that; the guest stands still on its old disk,
            or on the copy.
    """
    monitor = session.monitor
    ran = (await monitor.execute("query-status"))["running"]
    await monitor.execute("stop")
    if await _wait_for(session, {"ready", _ENDED}, needs_room=True) == "ready":
        await monitor.execute("job-complete", id=JOB)
        await _wait_for(session, {_ENDED}, needs_room=True)
    error = await _end(session)
    if error:
        brief = "QEMU could not copy the disk"
        raise HypervisorError(brief, details=error, hint="try again", kind="drive-mirror")
    await _flush(session)
    return bool(ran)


def no_room() -> NoSpaceError:
    """Return the error for a copy that finds no room."""
    return NoSpaceError(
        "there is no room for a copy of the disk",
        hint="free space in the state folder's file system, then try again",
        kind="drive-mirror",
    )


async def cancel_copy(session: Session) -> bool:
    """End the job and return True; absent counts as ended. The machine keeps the disk it has."""
    job = await _find_job(session)
    if job is not None:
        if job["status"] != _ENDED:
            await session.monitor.execute("block-job-cancel", device=JOB, force=True)
        await _end(session)
    return True


async def _wait_for(
    session: Session, statuses: AbstractSet[str], *, needs_room: bool = False
) -> str:
    """Wait until the job has one of these; return it, empty if the job is gone.

    Raises:
        NoSpaceError: It needs room, and waits because nothing can be written any more.
    """
    while True:
        job = await _find_job(session)
        if job is None or job["status"] in statuses:
            return str(job["status"]) if job else ""
        if needs_room and (await observe_copy(session)).full:
            raise no_room()
        await asyncio.sleep(_POLL_SECONDS)


async def _end(session: Session) -> str:
    """Wait until the job has ended, forget it, and return what went wrong."""
    if not await _wait_for(session, {_ENDED}):
        return "the job is gone"
    job = await _find_job(session)
    await session.monitor.execute("job-dismiss", id=JOB)
    return str((job or {}).get("error", ""))


async def _flush(session: Session) -> None:
    """Have all written that QEMU still holds, before anybody counts on the file."""
    arguments = {"command-line": f'qemu-io {DISK_DEVICE} "flush"'}
    told = await session.monitor.execute("human-monitor-command", **arguments)
    if told.strip():
        raise HypervisorError(
            "QEMU could not write all to the disk",
            details=told.strip(),
            hint="free some space, then start the VM again",
            kind="qemu-io",
        )


async def _find_job(session: Session) -> dict[str, Any] | None:
    jobs: list[dict[str, Any]] = await session.monitor.execute("query-jobs")
    return next((job for job in jobs if job["id"] == JOB), None)
