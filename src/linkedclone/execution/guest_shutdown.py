"""Guests that are asked to shut down: many at once, each with its own deadline.

There is no job to wait for: a hypervisor only passes the wish on. So the VMs
are read again, all in one batch each time, until each is off, is gone, or has
taken too long.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    CertificateError,
    EndpointError,
    GoneError,
    HypervisorError,
    LinkedCloneError,
    RefusedError,
)
from linkedclone.execution.job_queue import SUBMIT_THREADS, JobQueue
from linkedclone.execution.progress import Event
from linkedclone.execution.stages import Landing, Stages, StageWorker
from linkedclone.model.jobs import JobStatus
from linkedclone.model.plan import SetPower, ShutDownGuest
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
_SHARE_OF_AGE = 0.1
SILENCE_SECONDS = 30.0
"""How long the endpoint may at least not answer before nothing more is known of any
guest; longer where it is put up with for longer, as while a vCenter restarts."""

ASK_AGAIN_SECONDS = 5.0
"""How long a guest that may not have heard has before it is asked once more."""

STOPPED_HARD = "stopped hard"
"""The result of a landing whose guest did not obey; else it has none."""


class TooSlowError(HypervisorError):
    """A guest was asked, and its VM runs on."""


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A guest that was asked, when first, and when last, by the monotonic clock."""

    step: ShutDownGuest
    at: float
    last: float = 0.0

    def seconds(self) -> float:
        return time.monotonic() - self.at

    @property
    def late(self) -> bool:
        return self.seconds() >= self.step.deadline_seconds


def _begin(step: ShutDownGuest) -> _Asked:
    now = time.monotonic()
    return _Asked(step=step, at=now, last=now)


class Shutdowns(StageWorker):
    """Asks guests, and waits until each VM is off.

    If the consumer is interrupted, :attr:`in_flight` names the guests that
    were asked: a shutdown request cannot be revoked.
    """

    def __init__(self, stages: Stages) -> None:
        super().__init__(stages)
        self._driver = stages.driver
        self._waiting: dict[VmId, _Asked] = {}
        self._hard: dict[VmId, _Asked] = {}

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Names of the VMs whose guests were asked and that were not seen to be off."""
        asked = (*self._waiting.values(), *self._hard.values())
        return tuple(one.step.vm_name for one in asked)

    def run(self, steps: Sequence[ShutDownGuest]) -> Iterator[Landing[ShutDownGuest]]:
        """Ask them all, and land each as it ends.

        Raises nothing of its own: a step's error comes with its landing.
        """
        for step, error, seconds in self._ask(steps):
            if step.then_off and isinstance(error, RefusedError):
                # The guest would not receive it, however long the wait.
                self._hard[step.vm] = _Asked(step=step, at=time.monotonic() - seconds)
            else:
                yield _land(step, error, seconds, accepted=False)
        yield from self._pull_hard()
        begun, silent_since = time.monotonic(), 0.0
        patience = max(SILENCE_SECONDS, self._driver.features.patience_seconds)
        while self._waiting:
            time.sleep(self._pause(time.monotonic() - begun))
            self._stages.pace.check()
            try:
                ended = self._look()
            except LinkedCloneError as error:
                silent_since = silent_since or time.monotonic()
                if not _passes(error) or time.monotonic() - silent_since > patience:
                    yield from self._give_up(error)
                continue
            silent_since = 0.0
            for asked, failure in ended:
                if asked.step.then_off and isinstance(failure, TooSlowError):
                    self._hard[asked.step.vm] = asked
                else:
                    yield _land(asked.step, failure, asked.seconds(), accepted=True)
            yield from self._pull_hard()
            self._ask_again()

    def _pull_hard(self) -> Iterator[Landing[ShutDownGuest]]:
        """Stop VMs hard whose guests did not obey; what it took begins with the question."""
        if not self._hard:
            return
        hard = [
            SetPower(vm=vm, vm_name=asked.step.vm_name, power=Power.OFF)
            for vm, asked in self._hard.items()
        ]
        for landing in JobQueue(self._stages).run(hard):
            asked = self._hard.pop(VmId(landing.item.subject))
            yield Landing(
                item=asked.step,
                result=None if landing.error else STOPPED_HARD,
                error=landing.error,
                accepted=landing.accepted,
                known=landing.known,
                seconds=asked.seconds(),
                task=landing.task,
            )

    def _pause(self, age: float) -> float:
        """Return how long to wait before the next look; never past the next deadline."""
        pause = min(max(FIRST_PAUSE_SECONDS, _SHARE_OF_AGE * age), LONGEST_PAUSE_SECONDS)
        left = min(a.step.deadline_seconds - a.seconds() for a in self._waiting.values())
        return max(min(pause, left), 0.0)

    def _ask(
        self, steps: Sequence[ShutDownGuest]
    ) -> Iterator[tuple[ShutDownGuest, LinkedCloneError, float]]:
        """Ask all guests; yield those that cannot be asked, with the reason."""
        guests = self._driver.services.guests
        if guests is None:
            yield from ((step, _no_guests(step), 0.0) for step in steps)
            return
        with ThreadPoolExecutor(SUBMIT_THREADS, thread_name_prefix="ask") as pool:
            begun = time.monotonic()
            asking = [(step, pool.submit(guests.shut_down_guest, step.vm)) for step in steps]
            try:
                for step, future in asking:
                    error = future.exception()
                    if error is None:
                        self._waiting[step.vm] = _begin(step)
                        self._tell(step, JobStatus.RUNNING)
                    elif isinstance(error, LinkedCloneError):
                        yield step, error, time.monotonic() - begun
                    else:
                        raise error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                for step, future in asking:
                    if future.done() and not future.cancelled() and future.exception() is None:
                        self._waiting.setdefault(step.vm, _begin(step))

    def _ask_again(self) -> None:
        """Ask those again that may not have heard, as while they boot [fact: qemu-power-button]."""
        guests, now = self._driver.services.guests, time.monotonic()
        if guests is None or not self._driver.features.asks_deaf_guests:
            return
        due = [asked for asked in self._waiting.values() if now - asked.last >= ASK_AGAIN_SECONDS]
        if not due:
            return
        with ThreadPoolExecutor(SUBMIT_THREADS, thread_name_prefix="ask") as pool:
            for asked in due:
                pool.submit(guests.shut_down_guest, asked.step.vm)  # whether it helps is seen
        for asked in due:
            asked.last = time.monotonic()

    def _look(self) -> list[tuple[_Asked, LinkedCloneError | None]]:
        """Read all that are waited for; return those that have ended, or are too late."""
        seen = {vm.id: vm for vm in self._driver.observe_vms(list(self._waiting))}
        ended: list[tuple[_Asked, LinkedCloneError | None]] = []
        for vm_id, asked in tuple(self._waiting.items()):
            vm = seen.get(vm_id)
            if vm is None:
                ended.append((asked, _was_deleted(asked.step)))
            elif vm.power is Power.OFF:
                ended.append((asked, None))
            elif asked.late:
                ended.append((asked, _runs_on(asked.step, vm.power)))
            else:
                continue
            del self._waiting[vm_id]
        return ended

    def _give_up(self, error: LinkedCloneError) -> Iterator[Landing[ShutDownGuest]]:
        for asked in self._waiting.values():
            yield _land(asked.step, error, asked.seconds(), accepted=True, known=False)
        self._waiting.clear()

    def _tell(self, step: ShutDownGuest, status: JobStatus) -> None:
        self._stages.progress.update(Event(name=step.vm_name, action="shut-down", status=status))


def _land(
    step: ShutDownGuest,
    error: LinkedCloneError | None,
    seconds: float,
    *,
    accepted: bool,
    known: bool = True,
) -> Landing[ShutDownGuest]:
    return Landing(
        item=step, result=None, error=error, accepted=accepted, known=known, seconds=seconds
    )


def _passes(error: LinkedCloneError) -> bool:
    """Say whether an endpoint that does not answer may do so a little later."""
    if isinstance(error, CertificateError | AuthenticationError):
        return False
    return isinstance(error, BusyError | EndpointError)


def _was_deleted(step: ShutDownGuest) -> GoneError:
    return GoneError(f"{step.vm_name} was deleted while its guest shut down", hint="``list``")


def _runs_on(step: ShutDownGuest, power: Power) -> TooSlowError:
    state = "runs on" if power is Power.ON else f"is {power.value}"
    return TooSlowError(
        f"the guest of {step.vm_name} was asked to shut down, "
        f"and {state} after {step.deadline_seconds:.0f} s",
        hint="look at its console; give it longer with ``deadline``, or stop it hard after that "
        "with ``then_off``",
        kind="deadline",
    )


def _no_guests(step: ShutDownGuest) -> RefusedError:
    return RefusedError(
        f"the guest of {step.vm_name} cannot be asked here",
        hint="stop it hard: ``stop`` without ``guest``",
    )
