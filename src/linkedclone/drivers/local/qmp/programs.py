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
from linkedclone.system.locks import LONGEST_PAUSE_SECONDS

POLL_SECONDS = 0.01
BUSY_SECONDS = 60.0
"""How long an answer about a script is waited for: an emulated guest on a busy host is slow."""
TURN_SECONDS = 3.0
"""How long a script is waited for before others may look at the machine."""

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

    def run_script(self, script: Callable[[], bytes], seconds: float) -> inside.ScriptResult:
        """Run a script in the guest by its shell, as soon as its agent answers; wait for its end.

        The machine's lock is let go of now and then, so it can be looked at meanwhile.

        Args:
            script: Gives the script, once, when it can be sent.
            seconds: How long all may take.
        """
        deadline = time.monotonic() + seconds
        pid = self._begin_script(script, deadline)
        while (left := deadline - time.monotonic()) > 0:
            turn = min(TURN_SECONDS, left)
            wait = partial(inside.await_script, name=self.name, pid=pid, seconds=turn)
            with suppress(BusyError):
                result = self._demand(wait, deadline_seconds=turn + BUSY_SECONDS)
                if result is not None:
                    return result
            time.sleep(2 * LONGEST_PAUSE_SECONDS)
        brief = f"the script in the guest of {self.name} takes longer than {seconds:g} s"
        raise BusyError(brief, hint="the host may be busy: try again")

    def _begin_script(self, script: Callable[[], bytes], deadline: float) -> int:
        """Send a script when the agent answers. Once it was sent it is never sent again."""
        sent = False

        async def begin(session: Session) -> int:
            async with inside.agent_of(session, self.name) as agent:
                nonlocal sent
                sent = True
                return await inside.begin_script(agent, script())

        while True:
            try:
                return self._demand(begin, deadline_seconds=BUSY_SECONDS)
            except BusyError:
                if sent or time.monotonic() >= deadline:
                    raise
                time.sleep(POLL_SECONDS)
