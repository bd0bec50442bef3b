"""An endpoint that does not answer in the middle of a run: wait for it, up to a bound."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from linkedclone.errors import LinkedCloneError, Transience
from linkedclone.execution.progress import Event, Progress
from linkedclone.model.jobs import JobStatus
from linkedclone.planning.retries import OUTAGE

_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where time and chance come from.

    Attributes:
        now: Seconds on a clock that never goes back.
        sleep: Lets seconds pass; an interrupt ends it.
        chance: A number from 0 up to 1, for jitter.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def spread(self, seconds: float) -> float:
        """Return a pause of about so long, so that many do not come back at once."""
        return seconds * (0.75 + 0.5 * self.chance())


REAL = Pace()


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
