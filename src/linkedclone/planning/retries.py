"""Whether a call or job that failed is worth another try, and when. Pure.

What may pass by itself is the driver's to say
(:class:`~linkedclone.errors.Transience`); how often it is tried again is
in ``ALLOWANCES``, and for which steps that is safe in :func:`may_repeat`. How
often and how long follows [fact: vs-retries].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from linkedclone.errors import LinkedCloneError, Transience
from linkedclone.model.plan import (
    AttachClone,
    CreateClone,
    CreateFolder,
    DeleteMemory,
    DeleteSnapshot,
    DeleteVm,
    DisconnectMedia,
    GrowDisk,
    PromoteVm,
    ReconfigureVm,
    RelocateVm,
    RemoveStray,
    RenameVm,
    SetPower,
    SetTemplate,
    Step,
    UnregisterVm,
    WriteMark,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How often something is tried again, and how long after it failed.

    Attributes:
        tries: Further tries after the first one.
        first_seconds: The pause before the second try; each later one is twice as long.
        longest_seconds: No pause is longer.
    """

    tries: int
    first_seconds: float
    longest_seconds: float

    def pause_seconds(self, failures: int) -> float | None:
        """Return the pause after so many failures (one or more); None to give up."""
        if failures > self.tries:
            return None
        return min(self.first_seconds * 2.0 ** (failures - 1), self.longest_seconds)


ALLOWANCES: Final[dict[Transience, Allowance]] = {
    Transience.BUSY: Allowance(tries=6, first_seconds=0.5, longest_seconds=8.0),
    Transience.HOST: Allowance(tries=3, first_seconds=2.0, longest_seconds=8.0),
    Transience.LOCKED: Allowance(tries=2, first_seconds=2.0, longest_seconds=4.0),
    Transience.UNREADABLE: Allowance(tries=3, first_seconds=1.0, longest_seconds=4.0),
    Transience.INTERNAL: Allowance(tries=1, first_seconds=2.0, longest_seconds=2.0),
    Transience.LOST: Allowance(tries=3, first_seconds=1.0, longest_seconds=4.0),
}
"""What is missing here is never tried again. That the endpoint is away at all
(``AWAY``) is not counted in tries but in time: see ``OUTAGE``."""

OUTAGE: Final = Allowance(tries=1_000, first_seconds=0.5, longest_seconds=10.0)
"""How often an endpoint that is away is knocked at; for how long is the driver's to say."""

_SAME_TWICE: Final = (
    CreateFolder,
    SetTemplate,
    DisconnectMedia,
    WriteMark,
    SetPower,
    RenameVm,
    ReconfigureVm,
    RelocateVm,
    DeleteVm,
    UnregisterVm,
    DeleteSnapshot,
    DeleteMemory,
    PromoteVm,
    GrowDisk,
    RemoveStray,
)
"""Steps that are the same the second time. Others are not: a snapshot would be
there twice, and what was written since a revert would be lost."""


def may_repeat(step: Step, transience: Transience, *, accepted: bool) -> bool:
    """Say whether it is safe to send a step again after it failed so.

    Deleting what is gone, power that is as wanted, a mark, a name, a place or
    a size that is so already: all that counts as done, so it may be sent again
    even if it is unknown whether it was done. A clone is not sent again by
    itself: its name is looked up first, and what a failed task has left of it
    is undone (``execution.clone_stage``).

    Args:
        step: What failed.
        transience: Why it may pass.
        accepted: Whether the hypervisor took the call, so that work had begun.
    """
    unknown = transience is Transience.LOST
    if isinstance(step, CreateClone | AttachClone):
        return not unknown and not accepted
    if isinstance(step, _SAME_TWICE):
        return True
    return transience is Transience.BUSY or not (unknown or accepted)


def plan_retry(
    step: Step, error: LinkedCloneError, *, failures: int, accepted: bool
) -> float | None:
    """Return the seconds to wait before a step is sent again; None to give up.

    Args:
        step: What failed.
        error: Why.
        failures: How often it has failed by now, this time included.
        accepted: Whether the hypervisor took the call.
    """
    if not may_repeat(step, error.transience, accepted=accepted):
        return None
    return plan_pause(error, failures=failures)


def plan_pause(error: LinkedCloneError, *, failures: int) -> float | None:
    """Return the seconds after which something is worth another try at all; None if never."""
    allowance = ALLOWANCES.get(error.transience)
    return allowance.pause_seconds(failures) if allowance else None
