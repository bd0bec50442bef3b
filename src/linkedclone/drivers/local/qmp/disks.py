"""What is done to the disks of a running machine.

From the next start on the machine's configuration has to name the layers that
it has then; what a kill leaves in between is for ``settle`` to find out.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from linkedclone.drivers.local.qmp import block_jobs, migration
from linkedclone.drivers.local.qmp import merge as merging
from linkedclone.drivers.local.qmp.actions import go_on, snapshot_disks
from linkedclone.drivers.local.qmp.session import ANSWER_SECONDS, Session
from linkedclone.drivers.local.qmp.sockets import disk_device
from linkedclone.errors import BusyError, HypervisorError

SNAPSHOT_SECONDS = 60.0
MOVE_SECONDS = 120.0
CAPTURE_SECONDS = 600.0
STILL_SECONDS = 300.0
"""How long a block job may copy nothing before it is given up."""
LONGEST_SECONDS = 24 * 3600.0
"""How long a block job may take at all: a QEMU that its guest has taken over may say for
ever to make progress."""
POLL_SECONDS = 0.1

T = TypeVar("T")
Work = Callable[[Session], Awaitable[T]]
Commit = Callable[[bool], None]
"""Called once the guest has its new layers, while it is paused; the old ones hold the
same then. Its argument says whether the guest ran; the guest resumes only after the call."""


class RunningDisks(ABC):
    """The part of a machine that has to do with its disks while it runs."""

    @abstractmethod
    def _demand(self, work: Work[T], *, deadline_seconds: float = ANSWER_SECONDS) -> T:
        """Do something with the running machine, alone; fail if it does not run."""

    def snapshot_disks(self, overlays: Mapping[int, Path], *, quiesce: bool = False) -> bool:
        """Go on writing in new overlays, whose backing files are the present top layers.

        All disks move at one moment or none does (QMP: ``transaction`` of
        ``blockdev-snapshot-sync`` with mode ``existing``).

        Args:
            overlays: The overlays, which are there, by the numbers of their disks.
            quiesce: Whether it is done only if the guest's file systems can be
                brought to rest; else they are where that is possible.

        Returns:
            True if the guest agent froze the file systems for it, so that they
            are whole in the frozen layers; False leaves what a power failure leaves.
        """
        work = partial(snapshot_disks, overlays=overlays, quiesce=quiesce)
        return self._demand(work, deadline_seconds=SNAPSHOT_SECONDS)

    def capture(self, overlays: Mapping[int, Path], stream: Path) -> migration.Captured:
        """Save memory and devices to a new file, with overlays on the disks at that instant."""
        work = partial(migration.capture, overlays=overlays, stream=stream)
        captured = self._demand(work, deadline_seconds=CAPTURE_SECONDS)
        migration.await_written(stream)
        return captured

    def copy_disks(self, targets: Mapping[int, Path], commit: Commit) -> None:
        """Copy disks into empty files of their sizes, and let the guest go on in these."""
        self._demand(partial(block_jobs.start_copies, targets=targets))
        jobs = [block_jobs.copy_job(number) for number in targets]
        self._await(jobs, lambda seen: seen.nearly)
        self._move(jobs, [disk_device(number) for number in targets], commit)

    def merge_layers(self, merge: merging.LayerMerge, commit: Commit) -> None:
        self._demand(partial(merging.start_merge, merge=merge))
        if merge.backing:
            self._await([merging.JOB], lambda seen: seen.ended)
            self._demand(partial(block_jobs.finish_job, job=merging.JOB))
            commit(False)  # noqa: FBT003 - the guest was never paused
        else:
            self._await([merging.JOB], lambda seen: seen.nearly)
            self._move([merging.JOB], [disk_device(merge.number)], commit)

    def read_chains(self) -> dict[int, tuple[Path, ...]]:
        """Return the layers that the machine has open of each disk, the one it writes to first."""
        return self._demand(merging.read_chains)

    def cancel_jobs(self) -> None:
        """End all jobs that a command started, unfinished; the layers stay as they are."""
        self._demand(block_jobs.cancel_jobs, deadline_seconds=SNAPSHOT_SECONDS)
        self._demand(migration.cancel_saving, deadline_seconds=SNAPSHOT_SECONDS)

    def _move(self, jobs: Sequence[str], devices: Sequence[str], commit: Commit) -> None:
        move = partial(block_jobs.move_guest, jobs=jobs, devices=devices)
        try:
            ran = self._demand(move, deadline_seconds=MOVE_SECONDS)
        except BusyError as error:
            raise _stuck(error.brief) from error
        commit(ran)
        if ran:
            self._demand(go_on)

    def _await(self, jobs: Sequence[str], done: Callable[[block_jobs.Progress], bool]) -> None:
        observe = partial(block_jobs.observe_jobs, ids=jobs)
        seen, since = self._demand(observe), time.monotonic()
        end = since + LONGEST_SECONDS
        while True:
            now = time.monotonic()
            _refuse_stuck(seen, STILL_SECONDS + 1 if now > end else now - since)
            if done(seen):
                return
            time.sleep(POLL_SECONDS)
            before = seen
            with suppress(BusyError):  # as long as it lasts, that is not progress
                seen = self._demand(observe)
            since = time.monotonic() if seen.copied != before.copied else since


def _refuse_stuck(seen: block_jobs.Progress, still_seconds: float) -> None:
    if seen.full:
        raise block_jobs.no_room()
    if seen.error:
        raise HypervisorError(
            "QEMU could not copy the disk",
            details=seen.error,
            hint="stop the VM, then repeat the command",
            kind="block-job",
        )
    if still_seconds > STILL_SECONDS:
        raise _stuck()


def _stuck(details: str = "") -> HypervisorError:
    """Return the error for a job that does not end: not a busy one, which a run would repeat."""
    return HypervisorError(
        "QEMU makes no progress in copying the disk",
        details=details,
        hint="the host may be busy: try again",
        kind="block-job",
    )
