"""How every action is carried out: plan, ask, look again, go."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypedDict
from uuid import uuid4

from linkedclone.drivers.contract import Driver
from linkedclone.errors import LinkedCloneError, RefusedError
from linkedclone.execution.progress import Progress, Silent
from linkedclone.execution.run_log import RunLog
from linkedclone.execution.runner import Check, Runner
from linkedclone.model.plan import Plan, Step
from linkedclone.model.report import ActionReport
from linkedclone.model.request import Scan
from linkedclone.planning.vms.guards import check_steps, find_missing, needs_check

Confirm = Callable[[Plan], bool]
"""Shown a plan that deletes something; True lets it go on."""


class Guarded(TypedDict, total=False):
    """How an action is carried out that takes layers away, or may.

    Attributes:
        force: Also what is not ours.
        despite_unreadable: Also what VMs that cannot be read may hang from.
        scan: Where to look for files of no VM that hang from it.
        confirm: Shown the plan first; None goes on without asking.
        progress: Who is told.
    """

    force: bool
    despite_unreadable: bool
    scan: Scan | None
    confirm: Confirm | None
    progress: Progress | None


def look_again(
    driver: Driver, steps: Sequence[Step], *, scan: Scan | None = None, despite: bool | None = None
) -> list[tuple[Step, LinkedCloneError]]:
    """Return the steps of a stage that must not be carried out after all, each with the reason.

    What is missing from the inventory is asked for by itself: only what is
    missing there, too, is gone.
    """
    if not needs_check(steps):
        return []
    inventory = driver.observe(scan=scan)
    missing = find_missing(steps, inventory)
    direct = driver.observe_vms(missing) if missing else ()
    return check_steps(steps, inventory, direct, despite=despite)


class Acting:
    """Carries out plans through one driver.

    Attributes:
        driver: The driver.
        address: The endpoint as it is shown.
    """

    def __init__(self, driver: Driver, *, address: str, log_folder: Path | None) -> None:
        self.driver = driver
        self.address = address
        self._log_folder = log_folder

    def without_guests(self) -> "Acting":
        """Return the same with looks that ask no guest, where the driver can look so.

        What is changed at VMs, above all stopping and deleting them, depends on no
        guest's answer.
        """
        driver = self.driver.without_guests()
        return Acting(driver, address=self.address, log_folder=self._log_folder)

    def log(self, run: str, progress: Progress | None) -> RunLog:
        """Open the log of one run."""
        return RunLog(self._log_folder, run, progress or Silent())

    def guarded(
        self,
        plan: Callable[[], Plan],
        *,
        scan: Scan | None = None,
        despite: bool | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None,
    ) -> ActionReport:
        """Ask, then look again right before the first call: a person may take their time.

        Args:
            plan: Looks at everything, and plans; called again after the question.
            scan: Where to look for files of no VM in the looks before later stages.
            despite: Whether VMs that cannot be read are no reason to stop in those.
            confirm: Who is asked; None goes on without.
            progress: Who is told.

        Raises:
            RefusedError: Between the question and the answer something changed.
        """
        shown = plan()
        if confirm is not None and shown.steps:
            if not confirm(shown):
                return ActionReport(endpoint=self.address)
            if plan() != shown:
                raise RefusedError(
                    "the VMs that depend on these have changed in the meantime; nothing was done",
                    hint="run the command again and look at what it shows",
                )
        check = partial(look_again, self.driver, scan=scan, despite=despite)
        return self.carry_out(shown, progress, check=check)

    def carry_out(
        self,
        plan: Plan,
        progress: Progress | None,
        *,
        check: Check | None = None,
        parallel: int | None = None,
    ) -> ActionReport:
        """Carry out a plan; how many steps are in flight at once is left to the driver if None."""
        with self.log(uuid4().hex, progress) as log:
            names = tuple(dict.fromkeys(step.about for step in plan.steps))
            log.begin(names, plan.steps[-1].action if plan.steps else "nothing")
            runner = Runner(self.driver, log, parallel)
            return runner.run(plan, endpoint=self.address, check=check)
