"""Carry out the steps of one stage: each kind of step by the worker for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from linkedclone.drivers.contract import Driver
from linkedclone.errors import LinkedCloneError
from linkedclone.execution.outage import REAL, Outage, Pace
from linkedclone.execution.progress import Event, Progress
from linkedclone.model.jobs import Job, JobStatus
from linkedclone.model.plan import JobStep, ShutDownGuest, Step

_TICK_SECONDS: Final = 5.0

Item = TypeVar("Item", bound=Step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing(Generic[Item]):
    """How one step ended."""

    item: Item
    result: str | None  # what its job made; None if it failed
    error: LinkedCloneError | None  # why it failed; None if it did not
    accepted: bool  # True if the hypervisor took the call
    # True if the hypervisor itself told how the job ended; False where it could not be asked, or
    # has forgotten the job.
    known: bool
    seconds: float  # from the start of the call to the end of the job
    # Of these, until the hypervisor took the call; None if it did not.
    submitted_seconds: float | None = None
    landed: float = 0.0  # when it ended, by ``time.monotonic``
    task: str = ""  # what the hypervisor calls the job; empty where it has no word for it


class StageWorker(ABC):
    """Carries out the steps of one kind in one stage.

    Attributes:
        tells: Whether it tells the progress listener itself how its steps ended.
    """

    tells: ClassVar[bool] = False

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    @classmethod
    def claim(cls, stages: Stages, steps: Sequence[Any]) -> Sequence[Any]:  # noqa: ARG003 - all
        """Return those of the steps of its kind that it carries out."""
        return steps

    @property
    @abstractmethod
    def in_flight(self) -> tuple[str, ...]:
        """Names of the VMs for which something goes on at the hypervisor after an interrupt."""

    @abstractmethod
    def run(self, steps: Sequence[Any], /) -> Iterator[Landing[Any]]:
        """Carry them out; each lands as it ends, its error with its landing."""


Workers = Mapping[type[Any], type[StageWorker]]
"""Who carries out which kind of step; what one leaves, the next takes."""


class Stages:
    """Carries out stages through one driver.

    Attributes:
        driver: The open connection.
        progress: The progress listener.
        parallel: How many jobs may be in flight at once.
        interrupted: Set once the user interrupted; nothing more is started then.
        in_flight: Names of the VMs whose jobs go on at the hypervisor all the same.
        outage: Waits for the endpoint where it goes away in the middle of the run.
        pace: Where time and chance come from.
    """

    workers: ClassVar[Workers]

    def __init__(
        self,
        driver: Driver,
        progress: Progress,
        parallel: int | None = None,
        *,
        pace: Pace = REAL,
    ) -> None:
        self.pace = pace
        self.outage = Outage(
            address=driver.identify().address,
            patience_seconds=driver.features.patience_seconds,
            progress=progress,
            pace=pace,
        )
        self.driver = driver
        self.progress = progress
        self.parallel = parallel or driver.features.parallel
        self._interrupted = False
        self.in_flight: frozenset[str] = frozenset()

    @property
    def interrupted(self) -> bool:
        """Whether the user interrupted: nothing more is started then, and nothing waited for."""
        return self._interrupted

    @interrupted.setter
    def interrupted(self, interrupted: bool) -> None:
        self._interrupted = interrupted
        if interrupted:
            self.outage.give_up()

    def start(self, step: Step) -> Job:
        """Start the one call of a step."""
        if isinstance(step, ShutDownGuest):
            msg = f"a guest's shutdown is not a job, and cannot be started alone: {step!r}"
            raise TypeError(msg)
        return self.driver.start(step)

    def finish(self, step: JobStep) -> str | None:
        """Start a step that all others wait for, and wait until it is done; return its result.

        Raises:
            LinkedCloneError: It failed.
        """
        return self.wait(self.start(step))

    def wait(self, job: Job) -> str | None:
        """Wait until a job is done, past outages; return its result.

        Raises:
            LinkedCloneError: It failed.
        """
        while True:
            self.pace.check()
            (state,) = self.outage.ask(lambda: self.driver.wait([job], _TICK_SECONDS))
            if state.error is not None:
                raise state.error
            if state.finished:
                return state.result

    def run_stage(self, steps: Sequence[Step]) -> list[Landing[Any]]:
        """Carry out steps that do not wait for each other; an interrupt ends it early."""
        landings: list[Landing[Any]] = []
        before = self.interrupted
        for worker, some in self.assign(steps):
            if self.interrupted and not before:
                break
            landings += self.work(worker, some)
        return landings

    def assign(self, steps: Sequence[Step]) -> Iterator[tuple[StageWorker, Sequence[Step]]]:
        """Return the steps of a stage in groups, each with its worker."""
        left = list({id(step): step for step in steps}.values())
        for kind, worker in self.workers.items():
            own = worker.claim(self, [step for step in left if isinstance(step, kind)])
            if own:
                taken = set(map(id, own))
                left = [step for step in left if id(step) not in taken]
                yield worker(self), own

    def work(
        self,
        worker: StageWorker,
        steps: Sequence[Step],
        landed: Callable[[Landing[Any]], None] | None = None,
    ) -> list[Landing[Any]]:
        """Let one worker carry out steps; an interrupt ends it early.

        Args:
            worker: Who does it.
            steps: The steps.
            landed: Called at the end of each step; must not wait.
        """
        landings: list[Landing[Any]] = []
        try:
            self.pace.check()
            for landing in worker.run(steps):
                landings.append(landing)
                if not worker.tells:
                    self._tell(landing)
                if landed is not None:
                    landed(landing)
        except KeyboardInterrupt:
            self.interrupted = True
            self.in_flight = frozenset(worker.in_flight)
        return landings

    def _tell(self, landing: Landing[Any]) -> None:
        """Report a finished step to the progress listener."""
        event = Event(
            name=landing.item.about,
            action=landing.item.action,
            status=JobStatus.FAILED if landing.error else JobStatus.DONE,
            text=str(landing.error) if landing.error else "",
        )
        self.progress.update(event)
