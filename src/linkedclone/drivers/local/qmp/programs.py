"""What is run in the guest of a running machine, through its agent."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from linkedclone.drivers.local.qmp import inside
from linkedclone.drivers.local.qmp.session import ANSWER_SECONDS, Session
from linkedclone.errors import BusyError, LinkedCloneError

POLL_SECONDS = 0.01

T = TypeVar("T")


class GuestPrograms(ABC):
    """The part of a machine that has to do with programs in its guest."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the machine."""

    @abstractmethod
    def _demand(
        self, work: Callable[[Session], Awaitable[T]], *, deadline_seconds: float = ANSWER_SECONDS
    ) -> T:
        """Do something with the running machine, alone; fail if it does not run."""

    def run_command(self, command: Sequence[str], seconds: float) -> int:
        """Run a command in the guest through its agent; return its exit status.

        The machine's lock is held only for moments, so it can be looked at meanwhile.

        Args:
            seconds: How long it may take; then it is ended.
        """
        deadline, name = time.monotonic() + seconds, self.name
        pid = self._demand(partial(inside.begin_command, name=name, command=command))
        pause = POLL_SECONDS
        while True:
            status = self._demand(partial(inside.poll_command, name=name, pid=pid))
            if status is not None:
                return status
            if time.monotonic() + pause >= deadline:
                with suppress(LinkedCloneError):
                    self._demand(partial(inside.end_command, name=name, pid=pid))
                brief = f"{command[0]} took longer than {seconds:g} s in the guest of {name}"
                raise BusyError(brief, hint="make it quicker: it is run again and again")
            time.sleep(pause)
            pause = min(1.0, 2 * pause)
