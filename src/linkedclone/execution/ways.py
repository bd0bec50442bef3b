"""How the steps of one stage are carried out: most as one job each, some together."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.services import BatchPower
from linkedclone.execution.guest_shutdown import STOPPED_HARD, Shutdowns
from linkedclone.execution.job_queue import Flight, Landing
from linkedclone.execution.progress import Progress
from linkedclone.model.jobs import Job
from linkedclone.model.plan import SetPower, ShutDownGuest, Step
from linkedclone.model.vm import Power

Start = Callable[[Step], Job]
"""Starts the one call that a step stands for."""

Fly = Callable[[Start], Flight[Step]]
"""Makes a flight whose steps are started so."""


class Way(Protocol):
    """How steps are carried out."""

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Names of the VMs for which something goes on at the hypervisor after an interrupt."""

    def run(self, steps: Sequence[Any], /) -> Iterator[Landing[Any]]:
        """Carry them out; each lands as it ends."""


class Ways:
    """Knows the ways of one driver."""

    def __init__(
        self, driver: Driver, *, start: Start, fly: Fly, parallel: int, progress: Progress
    ) -> None:
        self._driver = driver
        self._start = start
        self._fly = fly
        self._parallel = parallel
        self._progress = progress

    def choose(self, steps: Sequence[Step]) -> Iterator[tuple[Way, Sequence[Any]]]:
        """Return the steps of a stage in groups, each with the way that it goes.

        Guests are asked together, VMs are started with one call for many where
        the hypervisor has one, and all else is one job for each step.
        """
        guests = [step for step in steps if isinstance(step, ShutDownGuest)]
        starts = [step for step in steps if _is_start(step)]
        others = [step for step in steps if not isinstance(step, ShutDownGuest)]
        if guests:
            yield Shutdowns(self._driver, pull=self._pull, progress=self._progress), guests
        batch = self._driver.services.batch_power
        if len(starts) > 1 and batch is not None:
            if len(others) > len(starts):
                yield self._fly(self._start), [s for s in others if not _is_start(s)]
            yield self._batches(batch), starts
        elif others:
            yield self._fly(self._start), others

    def _batches(self, batch: BatchPower) -> Way:
        from linkedclone.execution.batch_power_on import PowerBatches

        return PowerBatches(batch, start=self._start, fly=self._fly, parallel=self._parallel)

    def _pull(self, steps: Sequence[ShutDownGuest]) -> Iterator[Landing[ShutDownGuest]]:
        """Stop VMs hard whose guests did not obey; lands the steps that asked them."""
        asked = {step.subject: step for step in steps}
        hard = [SetPower(vm=s.vm, vm_name=s.vm_name, power=Power.OFF) for s in steps]
        for landing in self._fly(self._start).run(hard):
            yield Landing(
                item=asked[landing.item.subject],
                result=None if landing.error else STOPPED_HARD,
                error=landing.error,
                accepted=landing.accepted,
                known=landing.known,
                seconds=landing.seconds,
                task=landing.task,
            )


def _is_start(step: Step) -> bool:
    return isinstance(step, SetPower) and step.power is Power.ON
