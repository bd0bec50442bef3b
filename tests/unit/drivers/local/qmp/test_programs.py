"""Programs that are run in guests, while others look at the machine."""

import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import TypeVar, cast

from linkedclone.drivers.local.qmp.inside import ScriptResult
from linkedclone.drivers.local.qmp.programs import GuestPrograms
from linkedclone.drivers.local.qmp.session import ANSWER_SECONDS, Session
from linkedclone.system.locks import LONGEST_PAUSE_SECONDS

T = TypeVar("T")
RESULT = ScriptResult(status=0, output=b"")


class SlowGuest(GuestPrograms):
    """A guest whose script ends in the third turn; no lock is held between its turns."""

    def __init__(self) -> None:
        self.answers = [7, None, None, RESULT]
        self.turns: list[tuple[float, float]] = []

    @property
    def name(self) -> str:
        return "slow"

    def _demand(
        self,
        work: Callable[[Session], Awaitable[T]],  # noqa: ARG002
        *,
        deadline_seconds: float = ANSWER_SECONDS,  # noqa: ARG002
    ) -> T:
        begun = time.monotonic()
        answer = self.answers.pop(0)
        self.turns.append((begun, time.monotonic()))
        return cast("T", answer)


def test_whoever_waits_for_a_machine_gets_a_turn_while_a_script_runs_in_its_guest() -> None:
    guest = SlowGuest()
    assert guest.run_script(lambda: b"", 60.0) == RESULT
    _, *waiting = guest.turns
    free = [after[0] - before[1] for before, after in pairwise(waiting)]
    assert min(free) > LONGEST_PAUSE_SECONDS
