"""QEMU's block jobs: copies, how far jobs are, the move of a guest onto their outcome, their end.

A job is QEMU's own, and each question about it a short connection, so that
others get at the machine in between. It goes on when the command that started
it is killed; all jobs of ours have names that begin with :data:`PREFIX`.

A copy is made with QMP's ``blockdev-mirror``, and not ``block-stream``, which was made for
this but ends QEMU with our deltas [fact: qemu-block-stream]. And a copy that fails can be
removed, while what was streamed in would stay.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.local.qmp.answers import Answer
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.drivers.local.qmp.sockets import disk_device
from linkedclone.errors import HypervisorError, NoSpaceError

PREFIX = "linkedclone-"
JOB = f"{PREFIX}promote"
NEARLY_BYTES = 16 << 20
"""What may be left to copy when the guest is stopped; a busy guest never leaves nothing."""
ENDED = "concluded"
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far jobs are, all together."""

    copied: int = 0  # a number that grows with their progress
    nearly: bool = False  # true if so little is left that the guest can wait for it
    ended: bool = False  # true if all of them have ended
    full: bool = False  # true if one waits because nothing can be written any more
    error: str = ""  # why one has failed; empty while all goes well


async def observe_jobs(session: Session, ids: Sequence[str]) -> Progress:
    jobs = {job["id"].text(): job for job in await session.monitor.execute("query-jobs")}
    blocks = {
        job["device"].text(): job for job in await session.monitor.execute("query-block-jobs")
    }
    return combine([judge_job(jobs.get(one), blocks.get(one)) for one in ids])


def judge_job(job: Answer | None, block: Answer | None) -> Progress:
    """Say how far one job is, from its entries in ``query-jobs`` and ``query-block-jobs``. Pure."""
    if job is None:
        return Progress(ended=True, error="the job no longer exists")
    status = job["status"].text()
    if status == ENDED:
        return Progress(ended=True, nearly=True, error=_read_error(job))
    if block is None:
        return Progress()
    length, offset = block["len"].number(), block["offset"].number()
    started = status in {"running", "ready"} and length > 0
    return Progress(
        copied=offset,
        nearly=block["ready"].flag() or (started and length - offset <= NEARLY_BYTES),
        full=block["io-status"].text() == "nospace",
    )


def _read_error(job: Answer) -> str:
    error = job.get("error")
    return "" if error is None else error.text()


def combine(seen: Collection[Progress]) -> Progress:
    """Make one of what was seen of several jobs. Pure."""
    return Progress(
        copied=sum(one.copied for one in seen),
        nearly=all(one.nearly for one in seen),
        ended=all(one.ended for one in seen),
        full=any(one.full for one in seen),
        error=next((one.error for one in seen if one.error), ""),
    )


async def stop_guest(session: Session) -> bool:
    ran = (await session.monitor.execute("query-status"))["running"].flag()
    await session.monitor.execute("stop")
    return ran


async def move_guest(session: Session, jobs: Sequence[str], devices: Sequence[str]) -> bool:
    """Stop the guest, let it have what the jobs made, and have all of it written.

    Returns:
        True if the guest ran; it is paused now, until it is resumed.
    """
    ran = await stop_guest(session)
    for job in jobs:
        if await wait_for(session, job, {"ready", ENDED}, needs_room=True) == "ready":
            await session.monitor.execute("job-complete", id=job)
            await wait_for(session, job, {ENDED}, needs_room=True)
        await finish_job(session, job)
    for device in devices:
        await _flush(session, device)
    return ran


async def finish_job(session: Session, job: str) -> None:
    error = await end_job(session, job)
    if error:
        brief = "QEMU could not copy the disk"
        raise HypervisorError(brief, details=error, hint="try again", kind="block-job")


def no_room() -> NoSpaceError:
    return NoSpaceError(
        "there is no room for a copy of the disk",
        hint="free space in the state folder's file system, then try again",
        kind="block-job",
    )


async def cancel_jobs(session: Session) -> None:
    """End all jobs of ours. The machine keeps the layers that it has.

    A copy that came to nothing is closed, so that its file gives back its room.
    """
    for job in await session.monitor.execute("query-jobs"):
        name = job["id"].text()
        if name.startswith(PREFIX):
            with suppress(HypervisorError):  # it ended by itself meanwhile
                if job["status"].text() != ENDED:
                    await session.monitor.execute("block-job-cancel", device=name, force=True)
            await end_job(session, name)
    for node in await session.monitor.execute("query-named-block-nodes", flat=True):
        name = node["node-name"].text()
        if name.startswith(PREFIX):
            with suppress(HypervisorError):  # a disk of the machine, or below one
                await session.monitor.execute("blockdev-del", **{"node-name": name})


async def wait_for(
    session: Session, job: str, statuses: AbstractSet[str], *, needs_room: bool = False
) -> str:
    """Wait until a job has one of these; return it, empty if the job no longer exists.

    Raises:
        NoSpaceError: It needs room, and waits because nothing can be written any more.
    """
    while True:
        found = await _find_job(session, job)
        status = "" if found is None else found["status"].text()
        if found is None or status in statuses:
            return status
        if needs_room and (await observe_jobs(session, [job])).full:
            raise no_room()
        await asyncio.sleep(_POLL_SECONDS)


async def end_job(session: Session, job: str) -> str:
    """Wait until a job has ended, forget it, and return what went wrong."""
    if not await wait_for(session, job, {ENDED}):
        return "the job no longer exists"
    found = await _find_job(session, job)
    await session.monitor.execute("job-dismiss", id=job)
    return "" if found is None else _read_error(found)


async def _flush(session: Session, device: str) -> None:
    """Have all written that QEMU still holds, before anybody counts on the file."""
    arguments = {"command-line": f'qemu-io {device} "flush"'}
    told = (await session.monitor.execute("human-monitor-command", **arguments)).text()
    if told.strip():
        raise HypervisorError(
            "QEMU could not write all to the disk",
            details=told.strip(),
            hint="free some space, then start the VM again",
            kind="qemu-io",
        )


async def _find_job(session: Session, job: str) -> Answer | None:
    jobs = await session.monitor.execute("query-jobs")
    return next((found for found in jobs if found["id"].text() == job), None)


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
            # With this the job's state shows a full disk, not only by words.
            "on-target-error": "enospc",
            "auto-dismiss": False,
        }
        await session.monitor.execute("blockdev-mirror", device=disk_device(number), **arguments)


def build_target(target: Path) -> dict[str, object]:
    """Build QEMU's arguments for a copy: it depends on nothing, whatever its header says. Pure."""
    return {
        "driver": "qcow2",
        "node-name": copy_node(target),
        "discard": "unmap",
        "file": {"driver": "file", "filename": str(target)},
        "backing": None,
    }
