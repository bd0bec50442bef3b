"""The hypervisor in memory as tests need it: set by hand, and failing on demand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from linkedclone.drivers.memory import hypervisor
from linkedclone.drivers.memory.inventory import Estate, Linking
from linkedclone.drivers.memory.vm import Guest
from linkedclone.errors import (
    CustomizationError,
    EndpointError,
    HypervisorError,
    LinkedCloneError,
    PowerOnError,
)
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import FolderId, VmId
from linkedclone.model.vm import Disk, Layer, Mark, Power, Vm

Action = Literal[
    "clone",
    "power-on",
    "power-off",
    "shut-down",
    "rename",
    "customize",
    "identity",
    "relocate",
    "delete",
    "unregister",
    "snapshot",
    "delete-snapshot",
    "revert",
    "promote",
    "grow",
    "mark",
    "reconfigure",
    "remove",
    "disconnect-media",
    "make a VM",
    "make a template",
    "create-folder",
]
"""What jobs do, and what can be made to fail or to take its time."""

At = Literal["submit", "job"]
"""When a failure strikes: the call itself is refused, or the job ends in it."""


@dataclass(slots=True, kw_only=True)
class Rule:
    """One failure to come."""

    action: Action
    name: str  # the VM that it fails for; empty for any
    error: LinkedCloneError
    at: At = "job"
    times: int = 1  # how often it still strikes; below zero for ever
    leave: bool = False  # whether a failed clone leaves a half-made VM behind


def default_error(action: Action) -> LinkedCloneError:
    """Return what an action fails with unless a test says otherwise."""
    brief = f"{action} failed"
    details = "A general system error occurred."
    if action == "customize":
        return CustomizationError(brief, details=details, kind="CustomizationFault")
    if action == "power-on":
        return PowerOnError(brief, details=details, kind="SystemError")
    return HypervisorError(brief, details=details, kind="SystemError")


class MemoryHypervisor(hypervisor.MemoryHypervisor):
    """Fails on demand; the oldest of several failures to come strikes first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rules: list[Rule] = []
        self._next_linkings: list[Linking] = []
        self._down: EndpointError | None = None

    @contextmanager
    def access(self, call: str) -> Iterator[Estate]:
        if self._down is not None:
            raise self._down
        with super().access(call) as estate:
            yield estate

    def _take(self, action: str, name: str, at: At) -> Rule | None:
        for rule in self._rules:
            if rule.times and rule.action == action and rule.at == at and rule.name in {"", name}:
                rule.times -= 1
                return rule
        return None

    def strike(self, action: str, name: str, at: At) -> None:
        rule = self._take(action, name, at)
        if rule is not None:
            raise rule.error

    def strike_clone(self, step: CreateClone) -> None:
        rule = self._take("clone", step.name, "job")
        if rule is None:
            return
        if rule.leave:
            self._estate.clone_without_disks(step, self._estate.machine(step.source.id))
        raise rule.error

    def choose_linking(self) -> Linking:
        return self._next_linkings.pop(0) if self._next_linkings else "linked"

    def add_folder(self, path: str) -> FolderId:
        """Add an inventory folder."""
        with self._inside() as estate:
            return estate.places.make_folder(path)

    def add_disk(self, vm: VmId, *, independent: bool = False) -> Disk:
        """Add a disk to a VM."""
        with self._inside() as estate:
            return estate.add_disk(estate.machine(vm), independent=independent)

    def remove(self, vm: VmId) -> None:
        """Delete a VM at once, whether it runs or not."""
        with self._inside() as estate:
            estate.machine(vm).power = Power.OFF
            estate.delete(vm)

    def set_mark(self, vm: VmId, mark: Mark | None) -> None:
        """Give a VM a mark, or take it away."""
        with self._inside() as estate:
            estate.machine(vm).mark = mark

    def mark_template(self, vm: VmId) -> None:
        """Turn a VM into a template: it has no resource pool then."""
        with self._inside() as estate:
            machine = estate.machine(vm)
            machine.template, machine.power, machine.pool = True, Power.OFF, ""

    def make_unreadable(self, vm: VmId, reason: str) -> None:
        """Show no more of a VM than its name, as of one whose host cannot get at its files."""
        with self._inside() as estate:
            estate.machine(vm).unreadable = reason

    def overlook(self, vm: VmId) -> None:
        """Leave a VM out where all are read at once; asked for by itself it is there."""
        with self._inside() as estate:
            estate.machine(vm).overlooked = True

    def set_guest(self, vm: VmId, guest: Guest) -> None:
        """Say how a guest takes it to be asked to shut down."""
        with self._inside() as estate:
            estate.machine(vm).guest = guest

    def insert_media(self, vm: VmId) -> None:
        """Put an image into the CD drive of a VM."""
        with self._inside() as estate:
            estate.machine(vm).media = True

    def fail(
        self,
        action: Action,
        name: str = "",
        *,
        error: LinkedCloneError | None = None,
        at: At = "job",
        times: int = 1,
        leave: bool = False,
    ) -> None:
        """Let an action fail for a VM of this name, or for any.

        ``leave`` leaves the half-made VM of a failed clone behind: marked, and
        without disks. ``power-on`` strikes clones that are to be started, too:
        the clone is there then, off. ``customize`` strikes the call, or the
        guest once it runs. ``times`` below zero means for ever.
        """
        error = error or default_error(action)
        with self._lock:
            self._rules.append(
                Rule(action=action, name=name, error=error, at=at, times=times, leave=leave)
            )

    def heal(self) -> None:
        """Let nothing fail any more."""
        with self._lock:
            self._rules.clear()

    def degrade(self, times: int = 1) -> None:
        """Make the next clones full ones, without a word."""
        with self._lock:
            self._next_linkings += ["full"] * times

    def hide(self, times: int = 1) -> None:
        """Make the next clones native ones: linked, but the chain cannot be seen."""
        with self._lock:
            self._next_linkings += ["hidden"] * times

    def disconnect(self, error: EndpointError | None = None) -> None:
        """Let every call fail until :meth:`reconnect`; jobs go on."""
        with self._lock:
            self._down = error or EndpointError("the hypervisor does not answer")

    def reconnect(self) -> None:
        """Answer again."""
        with self._lock:
            self._down = None

    @property
    def files(self) -> frozenset[Layer]:
        """Every disk file that exists."""
        with self._inside() as estate:
            return estate.storage.files

    @property
    def vms(self) -> tuple[Vm, ...]:
        """Every VM, without counting as a call."""
        with self._inside() as estate:
            return estate.view(estate.machines.values(), with_disks=True)

    def macs(self, vm: VmId) -> tuple[str, ...]:
        """Return the MAC addresses of a VM."""
        with self._inside() as estate:
            return estate.machine(vm).macs
