"""One open endpoint, and everything that can be asked of it.

What only some commands need is imported when it is asked for: making clones
has to start at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from linkedclone.app.proposal import Acting, Proposal
from linkedclone.drivers.contract import Driver
from linkedclone.execution.outage import REAL, Cancellation
from linkedclone.execution.progress import Progress
from linkedclone.execution.run_log import Wording
from linkedclone.model.report import ActionReport, CloneReport
from linkedclone.model.request import CloneRequest
from linkedclone.model.vm import Identity

if TYPE_CHECKING:
    from datetime import datetime

    from linkedclone.app.clone.job import Prepared
    from linkedclone.app.families import Families
    from linkedclone.app.guests import Guests
    from linkedclone.app.images import Images
    from linkedclone.app.pools.pools import Pools
    from linkedclone.app.vms.disks import Disks
    from linkedclone.app.vms.golden_images import Parents
    from linkedclone.app.vms.snapshots import Snapshots
    from linkedclone.app.vms.vms import Vms
    from linkedclone.model.findings import Finding, HostCheck
    from linkedclone.model.request import Deletion


class Connection:
    """An open endpoint. Close it, or use it as a context manager.

    Every method may raise :class:`~linkedclone.errors.LinkedCloneError`; what
    went wrong with single VMs of a batch is in the report instead.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        address: str,
        log_folder: Path | None = None,
        wording: Wording = str,
    ) -> None:
        self._driver = driver
        self._address = address
        self._acting = Acting(driver, address=address, log_folder=log_folder, wording=wording)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. What was started goes on at the endpoint."""
        self._driver.close()

    @property
    def address(self) -> str:
        """The endpoint as it is shown, without a password."""
        return self._address

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person has to know of what was found when the endpoint was opened."""
        return self._driver.notes

    def identify(self) -> Identity:
        """Say what the endpoint is."""
        return self._driver.identify()

    def read_clock(self) -> datetime:
        """Return the time by the endpoint's clock."""
        from linkedclone.app.clock import keep_time

        return keep_time(self._driver)()

    def diagnose(self) -> tuple[Finding, ...]:
        """Check what linked clones need of this endpoint, and the families that are there."""
        from linkedclone.planning.vms.family_checks import find_trouble

        diagnosis = self._driver.services.diagnosis
        findings = diagnosis.diagnose() if diagnosis is not None else ()
        return (*findings, *find_trouble(self._driver.observe(sizes=True)))

    # -- clones -----------------------------------------------------------------------

    def propose_clone(self, request: CloneRequest) -> Proposal[Prepared, CloneReport]:
        """Propose to make linked clones; see :meth:`clone`."""
        from linkedclone.app.clone.job import CloneJob, prepare

        def act(prepared: Prepared, progress: Progress | None, cancel: Cancellation) -> CloneReport:
            pace = cancel.govern(REAL)
            with self._acting.log(prepared.scene.run.id, progress) as log:
                return CloneJob(self._driver, prepared, log, pace).run(self._address)

        look = partial(prepare, self._driver, request)
        return Proposal(look, act, instance=self._acting.instance)

    def preview(self, prepared: Prepared) -> tuple[Mapping[str, object], ...]:
        """Return the requests of a planned batch exactly as they would be sent."""
        from linkedclone.app.clone.job import preview

        return preview(self._driver, prepared)

    def check(self, prepared: Prepared) -> tuple[HostCheck, ...]:
        """Let the hypervisor itself check a planned batch; see ``app.clone.job.check``."""
        from linkedclone.app.clone.job import check

        return check(self._driver, prepared)

    def planned(self, prepared: Prepared) -> CloneReport:
        """Return the report of a batch that is only planned."""
        from linkedclone.app.clone.job import planned_report

        return planned_report(prepared, self._address)

    def clone(self, request: CloneRequest, progress: Progress | None = None) -> CloneReport:
        """Make linked clones, each proven; see :class:`~linkedclone.model.request.CloneRequest`.

        Running it again makes nothing new: what is there is reported as
        existing, and what an earlier run left unfinished is finished.
        """
        return self.propose_clone(request).carry_out(progress)

    def delete(
        self,
        refs: Sequence[str],
        how: Deletion | None = None,
        *,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete VMs, unless something depends on them; short for ``vms.delete``."""
        return self.vms.delete(refs, how, progress=progress)

    # -- what else can be asked -------------------------------------------------------

    @cached_property
    def vms(self) -> Vms:
        """VMs: look at them, delete, start, stop, rename, move and adopt them."""
        from linkedclone.app.vms.vms import Vms

        return Vms(self._acting)

    @cached_property
    def snapshots(self) -> Snapshots:
        """Snapshots: list, take and delete them, and revert to them."""
        from linkedclone.app.vms.snapshots import Snapshots

        return Snapshots(self._acting)

    @cached_property
    def disks(self) -> Disks:
        """Disks: promote, grow and export them; their files."""
        from linkedclone.app.vms.disks import Disks

        return Disks(self._acting)

    @cached_property
    def parents(self) -> Parents:
        """Golden images: check and mend them."""
        from linkedclone.app.vms.golden_images import Parents

        return Parents(self._acting)

    @cached_property
    def pools(self) -> Pools:
        """Pools: look at them, plan them, bring them to their spec."""
        from linkedclone.app.pools.pools import Pools

        return Pools(self._acting)

    @cached_property
    def images(self) -> Images:
        """Images that parents are made of."""
        from linkedclone.app.images import Images

        return Images(self._acting)

    @cached_property
    def guests(self) -> Guests:
        """Guests: their SSH servers, consoles and screens."""
        from linkedclone.app.guests import Guests

        return Guests(self._acting)

    @cached_property
    def lineage(self) -> Families:
        """Families: their trees, what they take, and what nothing uses any more."""
        from linkedclone.app.families import Families

        return Families(self._acting)
