"""What a run waits for: time, and an endpoint that is away; and how it is ended."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event as Flag
from typing import TypeVar

from linkedclone.errors import LinkedCloneError, Transience
from linkedclone.execution.progress import Event, Progress
from linkedclone.model.jobs import JobStatus
from linkedclone.planning.retries import OUTAGE

_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where time and chance come from."""

    now: Callable[[], float] = time.monotonic  # seconds on a clock that never goes back
    sleep: Callable[[float], None] = time.sleep  # lets seconds pass; an interrupt ends it
    chance: Callable[[], float] = random.random  # a number from 0 up to 1, for jitter
    # Ends a run that was cancelled, as Ctrl-C does; called wherever it may end.
    check: Callable[[], None] = lambda: None

    def spread(self, seconds: float) -> float:
        """Return a pause of about so long, so that many do not come back at once."""
        return seconds * (0.75 + 0.5 * self.chance())


REAL = Pace()


class Cancellation:
    """Ends runs from another thread, as Ctrl-C ends a command.

    No step is started any more. What was sent goes on at the endpoint, and the
    report says so; what a run has to put in order, as its claim to a pool, it does.
    """

    def __init__(self) -> None:
        self._flag = Flag()

    def cancel(self) -> None:
        """End all runs that were given this. May be called from any thread, and again."""
        self._flag.set()

    @property
    def cancelled(self) -> bool:
        """Whether they were ended."""
        return self._flag.is_set()

    def govern(self, pace: Pace) -> Pace:
        """Return the pace of one run that this can end: it is cancelled once, as by Ctrl-C."""
        told = Flag()

        def check() -> None:
            if self._flag.is_set() and not told.is_set():
                told.set()
                raise KeyboardInterrupt

        def sleep(seconds: float) -> None:
            if pace is REAL and not told.is_set():
                self._flag.wait(seconds)
            else:
                pace.sleep(seconds)
            check()

        return replace(pace, sleep=sleep, check=check)


class Outage:
    """How long the endpoint has been away, and how long that is put up with.

    One for each run, used by one thread. It is over with the first answer.
    """

    def __init__(
        self, *, address: str, patience_seconds: float, progress: Progress, pace: Pace = REAL
    ) -> None:
        self._address = address
        self._patience = patience_seconds
        self._progress = progress
        self._pace = pace
        self._since: float | None = None
        self._failures = 0

    def pause(self, error: LinkedCloneError) -> float | None:
        """Return after how many seconds to try again; None if it is not worth it any more.

        Tells the progress once when an outage begins.
        """
        if error.transience not in {Transience.AWAY, Transience.LOST}:
            return None
        now = self._pace.now()
        if self._since is None:
            self._since = now
        left = self._since + self._patience - now
        if left <= 0:
            return None
        self._failures += 1
        if self._failures == 1:
            text = f"it does not answer; waiting for it, at most {left:.0f} s ({error.brief})"
            self._tell(JobStatus.QUEUED, text)
        planned = OUTAGE.pause_seconds(self._failures) or OUTAGE.longest_seconds
        return min(self._pace.spread(planned), left)

    def give_up(self) -> None:
        """Wait no more: the user has better things to do."""
        self._patience = 0.0

    def over(self) -> None:
        """Note that the endpoint has answered."""
        if self._failures and self._since is not None:
            self._tell(
                JobStatus.DONE, f"it answers again after {self._pace.now() - self._since:.0f} s"
            )
        self._since, self._failures = None, 0

    def ask(self, question: Callable[[], _Out]) -> _Out:
        """Ask what only reads, and again while the endpoint is away."""
        while True:
            try:
                answer = question()
            except LinkedCloneError as error:
                pause = self.pause(error)
                if pause is None:
                    raise
                self._pace.sleep(pause)
            else:
                self.over()
                return answer

    def _tell(self, status: JobStatus, text: str) -> None:
        event = Event(name=self._address, action="connection", status=status, text=text)
        self._progress.update(event)
