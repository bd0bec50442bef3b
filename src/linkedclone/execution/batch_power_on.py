"""Starting many VMs: with one call for all of them where the hypervisor has one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from linkedclone.errors import LinkedCloneError
from linkedclone.execution.job_queue import JobQueue
from linkedclone.execution.stages import Landing, Stages, StageWorker
from linkedclone.model.jobs import Job
from linkedclone.model.plan import SetPower, Step
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power

MOST_AT_ONCE = 50
"""VMs that are started with one call [fact: vs-power-on-batch]."""

Outcomes = dict[VmId, Job | LinkedCloneError]


class PowerBatches(StageWorker):
    """Starts VMs batch by batch; the next begins when all of one have come up or failed.

    What is worth trying again is tried with a call of its own.
    """

    def __init__(self, stages: Stages) -> None:
        super().__init__(stages)
        self._sending: tuple[SetPower, ...] = ()
        self._outcomes: Outcomes = {}
        self._queue: JobQueue | None = None

    @classmethod
    def claim(cls, stages: Stages, steps: Sequence[SetPower]) -> Sequence[SetPower]:
        """Take the starts, if there are several and the hypervisor has one call for them."""
        starts = [step for step in steps if step.power is Power.ON]
        return starts if len(starts) > 1 and stages.driver.services.batch_power else []

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Names of the VMs that are being started, by any run."""
        if self._queue is None:
            return tuple(step.vm_name for step in self._sending)
        sent = (one for one in self._sending if isinstance(self._outcomes.get(one.vm), Job))
        return (*self._queue.in_flight, *(step.vm_name for step in sent))

    def run(self, steps: Sequence[SetPower]) -> Iterator[Landing[Step]]:
        """Start them all; each lands as it ends, an error with its landing."""
        size = min(self._stages.parallel, MOST_AT_ONCE)
        for first in range(0, len(steps), size):
            batch = tuple(steps[first : first + size])
            self._sending, self._queue = batch, None
            self._outcomes = self._send(batch)
            self._queue = JobQueue(self._stages, self._take)
            yield from self._queue.run(batch)

    def _send(self, steps: Sequence[SetPower]) -> Outcomes:
        """Send the one call; an interrupt comes through only once it was answered."""
        ids, batch = [step.vm for step in steps], self._stages.driver.services.batch_power
        if len(ids) < 2 or batch is None:
            return {}
        with ThreadPoolExecutor(1, thread_name_prefix="start") as pool:
            try:
                return dict(pool.submit(batch.start_vms, ids).result())
            except LinkedCloneError as error:
                return dict.fromkeys(ids, error)

    def _take(self, step: Step) -> Job:
        """Return what became of a step in its batch, or start it once more."""
        outcome = self._outcomes.pop(step.vm, None) if isinstance(step, SetPower) else None
        if outcome is None:
            return self._stages.start(step)
        if isinstance(outcome, LinkedCloneError):
            raise outcome
        return outcome
