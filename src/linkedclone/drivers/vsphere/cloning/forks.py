"""What follows when a VM was forked: its guest becomes another one, and only then is reachable.

A job goes on behind the task that forks: it looks whether the fork is what was asked for,
waits until its guest tells that it has an identity of its own, and connects the cards. All
forks of a batch are looked at together.
"""

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from linkedclone.drivers.vsphere.cloning.fork_spec import TAKEN, build_connection, fork_id
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.device_shape import (
    is_card,
    is_disk,
    is_independent,
    is_told,
)
from linkedclone.drivers.vsphere.inventory.devices import drop_devices
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.errors import CustomizationError, GoneError, HypervisorError, LinkedCloneError
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import JobId, VmId

GUEST_SECONDS: Final = 120.0
"""How long the guest of a fork may take to become another one."""

_CONNECT: Final = "connect"

_TAKEN: Final = f'config.extraConfig["{TAKEN}"]'
_SPEC: Final = 'config.extraConfig["linkedclone.spec"]'
_RUN: Final = 'config.extraConfig["linkedclone.run"]'
_STATE: Final = (_TAKEN, _SPEC, _RUN)
_WHOLE: Final = (
    "parent",
    "parentVApp",
    "resourcePool",
    "runtime.powerState",
    "config.instanceUuid",
    "config.hardware.device",
)
_ANSWER: Final = re.compile(r"(?P<id>\S{1,200}) (?:done|failed: (?P<why>[ -~]{1,200}))")


@dataclass(slots=True)
class _Fork:
    """A fork on its way."""

    job: Job
    step: CreateClone
    cards: tuple[int, ...]  # device keys of the cards that are to be connected
    macs: frozenset[str]  # the addresses of the source's cards
    vm: VmId | None = None  # set once it is there
    task: str | None = None  # the task that connects its cards
    deadline: float = 0.0
    uuid: str = ""
    devices: dict[int, Native] = field(default_factory=dict)


class Forks:
    """Knows how far each fork is. Its methods that look are called by one thread at a time."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector
        self._forks: dict[JobId, _Fork] = {}
        self._lock = threading.Lock()

    def add(self, job: Job, step: CreateClone, source: Sequence[Native]) -> None:
        """Go on with a job once the VM is forked; ``source`` are the devices of the source."""
        cards = [one for one in source if is_card(one)]
        fork = _Fork(
            job=job,
            step=step,
            cards=tuple(one.key for one in cards if one.connectable.connected),
            macs=frozenset(str(one.macAddress).lower() for one in cards),
        )
        with self._lock:
            self._forks[job.id] = fork

    def waits(self, job: Job) -> bool:
        """Say whether it is the guest that a job waits for, and not a task."""
        with self._lock:
            fork = self._forks.get(job.id)
            return fork is not None and fork.vm is not None and fork.task is None

    def find_later(self, job: Job) -> Job | None:
        """Return a job as that of the task that connects a fork's cards, if it is at that."""
        with self._lock:
            fork = self._forks.get(job.id)
        return replace(job, action=_CONNECT, task=fork.task) if fork and fork.task else None

    def go_on(self, states: Iterable[JobState], waiting: Sequence[Job]) -> list[JobState]:
        """Return how far jobs are: those whose task is done may have to go on.

        Args:
            states: Of the jobs that wait for a task.
            waiting: The jobs that wait for a guest, see :meth:`waits`.
        """
        with self._lock:
            forks = dict(self._forks)
        out = [self._go_on(state, forks.get(state.job.id)) for state in states]
        out += self._look([forks[job.id] for job in waiting])
        with self._lock:
            for state in out:
                if state.finished:
                    self._forks.pop(state.job.id, None)
        return out

    def _go_on(self, state: JobState, fork: _Fork | None) -> JobState:
        if fork is None or state.status is not JobStatus.DONE:
            return state
        if fork.task is not None:
            return JobState(job=fork.job, status=JobStatus.DONE, result=fork.vm)
        fork.deadline = time.monotonic() + GUEST_SECONDS
        fork.vm = VmId(str(state.result))
        return _running(fork)

    def _look(self, forks: Sequence[_Fork]) -> list[JobState]:
        """Look at forks: whole at first, then at what their guests tell."""
        seen = self._read([one for one in forks if not one.uuid], (*_STATE, *_WHOLE))
        seen |= self._read([one for one in forks if one.vm not in seen], _STATE)
        return self._session.map(lambda fork: self._judge(fork, seen), forks)

    def _read(self, forks: Sequence[_Fork], paths: Sequence[str]) -> dict[str, Seen]:
        starts = [self._session.managed("VirtualMachine", str(one.vm)) for one in forks]
        if not starts:
            return {}
        wanted = {"VirtualMachine": paths}
        return self._collector.read("look at forks", starts, wanted, lighten=drop_devices)

    def _judge(self, fork: _Fork, seen: Mapping[str, Seen]) -> JobState:
        try:
            one = seen.get(str(fork.vm))
            if one is None:
                raise GoneError(
                    f"{fork.step.name} was deleted in the meantime", hint="run it again"
                )
            if _text(one, _SPEC) != fork.step.born.spec:
                # Another run has finished it, or this one before its answer was lost.
                return JobState(job=fork.job, status=JobStatus.DONE, result=fork.vm)
            if not _is_ours(fork, one):
                return self._wait(fork)
            if not fork.uuid:
                _check(fork, one)
                devices = one.demand("config.hardware.device")
                fork.devices = {device.key: device for device in devices}
                fork.uuid = str(one.demand("config.instanceUuid")).lower()
            if not _has_taken(fork, one):
                return self._wait(fork)
            return self._connect(fork)
        except LinkedCloneError as error:
            return JobState(job=fork.job, status=JobStatus.FAILED, error=error)

    def _wait(self, fork: _Fork) -> JobState:
        if time.monotonic() < fork.deadline:
            return _running(fork)
        raise CustomizationError(
            f"the guest of {fork.step.name} did not take an identity of its own within "
            f"{GUEST_SECONDS:g} s: its network cards stayed disconnected",
            hint="look whether the script for instant clones runs in the guest of "
            f"{fork.step.source.name}",
        )

    def _connect(self, fork: _Fork) -> JobState:
        cards = [fork.devices[key] for key in fork.cards]
        native = self._session.managed("VirtualMachine", str(fork.vm))
        about = f"connect the network cards of {fork.step.name}"
        spec = build_connection(fork.step, fork.uuid, cards)
        fork.task = moid_of(self._session.call(about, native.ReconfigVM_Task, spec=spec))
        return _running(fork)


def _running(fork: _Fork) -> JobState:
    return JobState(job=fork.job, status=JobStatus.RUNNING)


def _text(seen: Seen, path: str) -> str:
    option = seen.told(path)
    return "" if option is None else str(option.value)


def _is_ours(fork: _Fork, seen: Seen) -> bool:
    return _text(seen, _RUN) == fork.step.mark.run


def _has_taken(fork: _Fork, seen: Seen) -> bool:
    """Say whether a guest has its own identity; what it tells of another fork is its source's."""
    told = _text(seen, _TAKEN)
    answer = _ANSWER.fullmatch(told)
    ours = fork_id(fork.step)
    if answer is None and told.startswith(ours):
        raise _nameless(fork, "its answer cannot be understood")
    if answer is None or answer["id"] != ours:
        return False
    if answer["why"] is not None:
        raise _nameless(fork, answer["why"])
    return True


def _nameless(fork: _Fork, why: str) -> CustomizationError:
    return CustomizationError(
        f"the guest of {fork.step.name} did not take an identity of its own: {why}",
        hint="its network cards stayed disconnected; look at the script in the guest",
    )


def _check(fork: _Fork, seen: Seen) -> None:
    """Compare a fork with what was asked for: what a server ignores, it does not refuse."""
    step = fork.step
    for fault in _find_faults(fork, seen):
        raise HypervisorError(
            f"{step.name} was forked, but {fault}",
            hint="run it again without what was not honoured",
            kind="ForkDiffers",
        )


def _find_faults(fork: _Fork, seen: Seen) -> Iterable[str]:
    target, devices = fork.step.target, seen.demand("config.hardware.device")
    if str(seen.demand("runtime.powerState")) != "poweredOn":
        yield "it does not run"
    if seen.told("parentVApp") is None and seen.id_at("parent") != target.folder:
        yield f"it is in another folder than {target.folder_path or target.folder}"
    if seen.id_at("resourcePool") != moid_of(pool_of(target.pool)):
        yield f"it is in another resource pool than {target.pool_name or target.pool}"
    for disk in filter(is_disk, devices):
        top = disk.backing
        if not is_independent(disk) and getattr(top, "parent", None) is None:
            yield "its disks are not linked"
        if getattr(top, "datastore", None) is None or moid_of(top.datastore) != target.datastore:
            yield f"it is on another datastore than {target.datastore_name or target.datastore}"
    yield from _find_card_faults(fork, [device for device in devices if is_card(device)])


def _find_card_faults(fork: _Fork, cards: Sequence[Native]) -> Iterable[str]:
    if not {card.key for card in cards} >= set(fork.cards):
        yield "it lacks a network card of its parent"
    for card in cards:
        if not is_told(card):
            yield "the server does not say whether its network cards are connected"
        elif card.connectable.connected:
            yield "its network cards were connected from the first moment"
        if str(card.macAddress).lower() in fork.macs:
            yield "it has the MAC address of its parent"
