"""Starting many VMs: with one call for all of them where the hypervisor has one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from linkedclone.drivers.services import BatchPower
from linkedclone.errors import LinkedCloneError
from linkedclone.execution.job_queue import Flight, Landing
from linkedclone.model.jobs import Job
from linkedclone.model.plan import SetPower, Step
from linkedclone.model.values.ids import VmId

MOST_AT_ONCE = 50
"""VMs that are started with one call [fact: vs-power-on-batch]."""

Outcomes = dict[VmId, Job | LinkedCloneError]


class PowerBatches:
    """Starts VMs batch by batch; the next begins when all of one have come up or failed.

    What is worth trying again is tried with a call of its own.
    """

    def __init__(
        self,
        batch: BatchPower,
        *,
        start: Callable[[Step], Job],
        fly: Callable[[Callable[[Step], Job]], Flight[Step]],
        parallel: int,
    ) -> None:
        self._batch = batch
        self._start = start
        self._fly = fly
        self._parallel = min(parallel, MOST_AT_ONCE)
        self._sending: tuple[SetPower, ...] = ()
        self._flight: Flight[Step] | None = None

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Names of the VMs that are being started, whoever waits for them."""
        if self._flight is None:
            return tuple(step.vm_name for step in self._sending)
        return self._flight.in_flight

    def run(self, steps: Sequence[SetPower]) -> Iterator[Landing[Step]]:
        """Start them all; each lands as it ends, an error with its landing."""
        for first in range(0, len(steps), self._parallel):
            batch = tuple(steps[first : first + self._parallel])
            self._sending, self._flight = batch, None
            outcomes = self._send(batch)
            self._flight = self._fly(partial(self._take, outcomes))
            yield from self._flight.run(batch)

    def _send(self, steps: Sequence[SetPower]) -> Outcomes:
        """Send the one call; an interrupt comes through only once it was answered."""
        ids = [step.vm for step in steps]
        if len(ids) < 2:
            return {}
        with ThreadPoolExecutor(1, thread_name_prefix="start") as pool:
            try:
                return dict(pool.submit(self._batch.start_vms, ids).result())
            except LinkedCloneError as error:
                return dict.fromkeys(ids, error)

    def _take(self, outcomes: Outcomes, step: Step) -> Job:
        """Return what became of a step in its batch, or start it once more."""
        outcome = outcomes.pop(step.vm, None) if isinstance(step, SetPower) else None
        if outcome is None:
            return self._start(step)
        if isinstance(outcome, LinkedCloneError):
            raise outcome
        return outcome
