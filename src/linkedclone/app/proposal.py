"""How every change is made: observe, plan, confirm, observe again, execute."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypedDict, TypeVar, cast
from uuid import uuid4

from linkedclone.app.vms.presence import Found
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.features import require_steps
from linkedclone.errors import InterruptedByUserError, LinkedCloneError, StaleProposalError
from linkedclone.execution.outage import REAL, Cancellation, Pace
from linkedclone.execution.progress import Progress, Silent
from linkedclone.execution.run_log import RunLog, Wording
from linkedclone.model.plan import Plan, Step
from linkedclone.model.report import ActionReport
from linkedclone.model.request import Scan
from linkedclone.model.vm import Vm
from linkedclone.planning.vms.guards import refuse_busy
from linkedclone.planning.vms.last_look import check_steps, find_missing, needs_check

if TYPE_CHECKING:
    from linkedclone.execution.runner import Check


class Care(TypedDict, total=False):
    """How careful an action is that takes layers away, or may.

    Attributes:
        force: Also what is not ours.
        despite_unreadable: Also what VMs that cannot be read may depend on.
        scan: Where to look for files of no VM that depend on it.
    """

    force: bool
    despite_unreadable: bool
    scan: Scan | None


class Planned(Protocol):
    """What can be proposed; each kind has a ``document()``, too."""

    @property
    def parts(self) -> Mapping[str, str]:
        """What a token covers, each part with the words for it."""


_Plan = TypeVar("_Plan", bound=Planned)
_Report = TypeVar("_Report")
_Other = TypeVar("_Other")


class Proposal(Generic[_Plan, _Report]):
    """What would be done: looked up and planned. Nothing is changed before it is applied.

    Attributes:
        plan: What would be done.
    """

    def __init__(
        self,
        look: Callable[[], _Plan],
        act: Callable[[_Plan, Progress | None, Cancellation], _Report],
        *,
        instance: str,
    ) -> None:
        self._look = look
        self._act = act
        self._instance = instance
        self._unused = Lock()
        self.plan: Final = look()

    @property
    def token(self) -> str:
        """A digest of the plan, the same in every process and on every Python.

        It covers the endpoint, what is done to what, and the notes; not what was only
        measured, when, by which run, or in which order it was reported, and no password.
        """
        return self._digest(self.plan)

    def apply(
        self,
        *,
        token: str | None = None,
        progress: Progress | None = None,
        cancel: Cancellation | None = None,
    ) -> _Report:
        """Look and plan again, and do what was proposed.

        Args:
            token: Of the proposal that was agreed to, where that was another one of
                the same request: so a front end need store no more than the two.
            progress: The progress listener.
            cancel: What another thread can end it with.

        Raises:
            StaleProposalError: It would be something else by now; nothing was done.
            InterruptedByUserError: It was cancelled where nothing can be reported.
        """
        return self._run(self.look_again(token=token), progress, cancel)

    def look_again(self, *, token: str | None = None) -> _Plan:
        """Look and plan again, as :meth:`apply` does before anything is changed.

        Raises:
            StaleProposalError: It would be something else by now.
        """
        now = self._look()
        if self._digest(now) != (self.token if token is None else token):
            raise StaleProposalError(
                "what would be done has changed in the meantime; nothing was done",
                details="\n".join(_compare(self.plan.parts, now.parts)),
                hint="look at what would be done now, and decide again",
            )
        return now

    def carry_out(
        self, progress: Progress | None = None, cancel: Cancellation | None = None
    ) -> _Report:
        """Apply it without another full look, where there was no time to decide.

        Once: a plan names its run, whose clones it would undo the second time. From
        then on it is as :meth:`apply`.
        """
        first = self._unused.acquire(blocking=False)
        return self._run(self.plan if first else self.look_again(), progress, cancel)

    def then(self, tell: Callable[[_Report], _Other]) -> "Proposal[_Plan, _Other]":
        """Return the same proposal with another report made of its own."""
        act = self._act
        other = cast("Proposal[_Plan, _Other]", copy(self))
        other._act = lambda *given: tell(act(*given))  # noqa: SLF001 - its own
        return other

    def _run(self, plan: _Plan, progress: Progress | None, cancel: Cancellation | None) -> _Report:
        cancel = cancel or Cancellation()
        try:
            return self._act(plan, progress, cancel)
        except KeyboardInterrupt:
            if not cancel.cancelled:
                raise
            raise InterruptedByUserError("interrupted") from None

    def _digest(self, plan: _Plan) -> str:
        lines = (self._instance, *sorted(plan.parts))
        return sha256("\n".join(lines).encode()).hexdigest()


def _compare(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say in which parts two plans differ."""
    gone = {words for line, words in before.items() if line not in now}
    new = {words for line, words in now.items() if line not in before}
    return [
        *(f"no longer: {words}" for words in sorted(gone - new)),
        *(f"new: {words}" for words in sorted(new - gone)),
        *(f"not as before: {words}" for words in sorted(new & gone)),
    ]


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

    def __init__(
        self, driver: Driver, *, address: str, log_folder: Path | None, wording: Wording = str
    ) -> None:
        self.driver = driver
        self.address = address
        self._log_folder = log_folder
        self._wording = wording

    def without_guests(self) -> "Acting":
        """Return the same with looks that ask no guest, where the driver can look so.

        What is changed at VMs, above all stopping and deleting them, depends on no
        guest's answer.
        """
        driver = self.driver.without_guests()
        return Acting(
            driver, address=self.address, log_folder=self._log_folder, wording=self._wording
        )

    @property
    def instance(self) -> str:
        """What tells the endpoint from others: its own id; where it has none, its address."""
        identity = self.driver.identify()
        return identity.instance or identity.address

    def log(self, run: str, progress: Progress | None) -> RunLog:
        """Open the log of one run."""
        return RunLog(self._log_folder, run, progress or Silent(), wording=self._wording)

    def refuse_busy(self, vms: Sequence[Vm], *, action: str) -> None:
        """Refuse to change VMs that are being cloned right now; one read for all."""
        refuse_busy(vms, self.driver.observe_sources([vm.id for vm in vms]), action=action)

    def propose(
        self,
        plan: Callable[[], Plan],
        found: Found | None = None,
        *,
        scan: Scan | None = None,
        despite: bool | None = None,
        parallel: int | None = None,
    ) -> Proposal[Plan, ActionReport]:
        """Propose what a plan says; what the endpoint cannot do is refused before anybody decides.

        Args:
            plan: Looks at everything, and plans.
            found: The VMs that were named; the report tells of those that are absent.
            scan: Where to look for files of no VM in the looks before later stages.
            despite: Whether to go on despite VMs that cannot be read in those.
            parallel: How many steps are in flight at once; left to the driver if None.
        """
        named = found or Found(vms=())
        check = partial(look_again, self.driver, scan=scan, despite=despite)

        def look() -> Plan:
            planned = plan()
            require_steps(self.driver.features, planned.steps)
            return replace(planned, absent=named.absent)

        def act(planned: Plan, progress: Progress | None, cancel: Cancellation) -> ActionReport:
            pace = cancel.govern(REAL)
            done = self.carry_out(planned, progress, check=check, parallel=parallel, pace=pace)
            return named.tell(done)

        return Proposal(look, act, instance=self.instance)

    def carry_out(
        self,
        plan: Plan,
        progress: Progress | None,
        *,
        check: "Check | None" = None,
        parallel: int | None = None,
        pace: Pace = REAL,
    ) -> ActionReport:
        """Carry out a plan; how many steps are in flight at once is left to the driver if None."""
        from linkedclone.execution.runner import Runner

        with self.log(uuid4().hex, progress) as log:
            names = tuple(dict.fromkeys(step.about for step in plan.steps))
            log.begin(names, plan.steps[-1].action if plan.steps else "nothing")
            runner = Runner(self.driver, log, parallel, pace=pace)
            return runner.run(plan, endpoint=self.address, check=check)
