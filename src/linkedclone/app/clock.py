"""The time by which ages are computed: the endpoint's, for this machine's clock may be far off."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkedclone.drivers.contract import Driver

_TICKS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Never set, and goes on while the machine sleeps, where there is such a clock (Linux)."""

Clock = Callable[[], datetime]


def read_clock() -> datetime:
    """Return this machine's time."""
    return datetime.now(UTC)


def _go_on_from(moment: datetime) -> Clock:
    begun = time.clock_gettime(_TICKS)
    return lambda: moment + timedelta(seconds=time.clock_gettime(_TICKS) - begun)


def keep_time(driver: Driver, clock: Clock | None = None) -> Clock:
    """Return a clock that shows the endpoint's time; how far it is off is asked once, at first.

    When VMs were made, and what runs on other machines claim, is dated by the
    endpoint's clock. It goes on evenly, also where this machine's is set
    meanwhile.

    Args:
        driver: The endpoint.
        clock: This machine's; None for the one that it has.
    """
    here = clock or _go_on_from(read_clock())
    events = driver.services.events
    if events is None:
        return here
    offsets: list[timedelta] = []

    def now() -> datetime:
        if not offsets:
            offsets.append(events.read_clock() - here())
        return here() + offsets[0]

    return now
