"""What guests are followed through, and how far each is: the words of waiting."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from linkedclone.model.customization import GuestOs
from linkedclone.model.report import Failure
from linkedclone.model.values.networks import choose_addresses
from linkedclone.model.vm import CustomizationNews, CustomizationStatus, Vm


class GuestStage(StrEnum):
    """What a guest is waited for; the words of the report."""

    TOOLS = "tools"
    CUSTOMIZED = "customized"
    ADDRESS = "address"


DEFAULT_SECONDS: Final[Mapping[GuestStage, float]] = {
    GuestStage.TOOLS: 300.0,
    GuestStage.CUSTOMIZED: 600.0,
    GuestStage.ADDRESS: 300.0,
}
"""How long each stage may go without progress. Terraform gives a customization
ten minutes, too [fact: vs-cust-duration]."""


class Evidence(StrEnum):
    """What counts as proof that a guest was customised."""

    TOLD = "told"
    """The hypervisor says so: by the VM's guest info, or by events."""
    SHOWN = "shown"
    """The guest goes by the name and has the addresses that it was given: for
    cloud-init over guestinfo, of which vSphere itself knows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What one guest is followed through."""

    stages: tuple[GuestStage, ...]  # the stages, in order
    evidence: Evidence = Evidence.TOLD  # what counts as proof of the customization
    host_name: str = ""  # what the guest is to be called; empty if that is not known
    fixed: tuple[str, ...] = ()  # the fixed addresses that it was given, without prefix lengths
    # Only addresses in one of these networks (CIDR) count; empty for all.
    networks: tuple[str, ...] = ()
    # How long each stage may go without progress; None for its default.
    seconds: float | None = None
    os: GuestOs | None = None  # what customises the guest; None where only the endpoint knows
    has_events: bool = False  # whether the endpoint keeps events that tell more of a failure

    def patience(self, stage: GuestStage) -> float:
        """Return the seconds that a stage may go without progress."""
        return DEFAULT_SECONDS[stage] if self.seconds is None else self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How far a guest is. Times are those of one steady clock, in seconds."""

    course: Course  # what it is followed through
    vm: Vm  # the VM as it was seen last
    since: float  # when it began to run, or to be waited for
    entered: float  # when it entered the stage that it is at
    moved: float  # when it last showed something that it had not shown before
    seen: float  # when it was looked at last
    # The stages that it went through, with their seconds.
    passed: tuple[tuple[GuestStage, float], ...] = ()
    failing: float | None = None  # since when its customization is seen to have failed
    # All that it has shown: a repeated value is not progress, so a guest that restarts again
    # and again is reported.
    shown: frozenset[object] = frozenset()
    news: CustomizationNews | None = None  # other news of its customization
    failure: Failure | None = None  # why it will not get there

    @property
    def stage(self) -> GuestStage | None:
        """What it is waited for now; None if it has got there."""
        left = self.course.stages[len(self.passed) :]
        return left[0] if left else None

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.failure is not None or self.stage is None

    @property
    def status(self) -> CustomizationStatus:
        """How far its customization is, by the VM's own word, else by the news."""
        if self.vm.customization is not CustomizationStatus.NONE or self.news is None:
            return self.vm.customization
        return self.news.status

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of its addresses that count."""
        return choose_addresses(self.vm.addresses, self.course.networks)

    @property
    def missing_addresses(self) -> tuple[str, ...]:
        """The fixed addresses that the guest was given and does not report."""
        reported = {ip_address(address) for address in self.vm.addresses}
        return tuple(text for text in self.course.fixed if ip_address(text) not in reported)

    @property
    def is_called_right(self) -> bool:
        """Whether the guest goes by the name that it was given; its domain may follow."""
        said, wanted = self.vm.host_name, self.course.host_name
        return bool(said) and _first_label(said) == _first_label(wanted)

    def needs_news(self, vm: Vm) -> bool:
        """Say whether the VM, as it is seen now, tells too little of its customization."""
        awaited = GuestStage.CUSTOMIZED in self.course.stages[len(self.passed) :]
        silent = vm.customization in {CustomizationStatus.NONE, CustomizationStatus.FAILED}
        return awaited and self.course.evidence is Evidence.TOLD and silent


def _first_label(host_name: str) -> str:
    return host_name.partition(".")[0].casefold()
