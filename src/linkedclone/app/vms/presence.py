"""The VMs that a command names: those that are there, and those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from linkedclone.errors import NotFoundError
from linkedclone.model.report import ActionReport, ActionResult, Failure, Status

if TYPE_CHECKING:
    from linkedclone.drivers.contract import Driver
    from linkedclone.model.vm import Vm

ABSENT: Final = "there is no such VM; nothing to do"
"""The note of a VM that was to be deleted and is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of references to VMs.

    Attributes:
        vms: The VMs that are there, each once however often it was named.
        absent: The references that fit no VM.
        failure: What an absent VM is reported with.
    """

    vms: tuple[Vm, ...]
    absent: tuple[str, ...] = ()
    failure: tuple[str, str] = ("there is no such VM", "``list`` shows all VMs")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before saying yes."""
        return tuple(f"there is no VM {ref!r}" for ref in self.absent)

    def tell(
        self, report: ActionReport, *, action: str, counts_as_done: bool = False
    ) -> ActionReport:
        """Return the report with the references that fit no VM.

        Args:
            report: What became of the VMs that are there.
            action: What was to be done.
            counts_as_done: Whether a VM that is not there is what was wanted.
        """
        results = tuple(self._result(ref, action, done=counts_as_done) for ref in self.absent)
        return replace(report, results=(*report.results, *results))

    def _result(self, ref: str, action: str, *, done: bool) -> ActionResult:
        if done:
            return ActionResult(name=ref, action=action, status=Status.DONE, key=ref, note=ABSENT)
        brief, hint = self.failure
        failure = Failure(stage=action, brief=brief, hint=hint)
        return ActionResult(name=ref, action=action, status=Status.FAILED, key=ref, error=failure)


def find_present(driver: Driver, refs: Sequence[str]) -> Found:
    """Find VMs, and go on without those that do not exist.

    An interrupted command can so be repeated as it stands.

    Raises:
        NotFoundError: None of them exists.
        AmbiguousError: A name fits several.
    """
    left, absent = tuple(refs), list[str]()
    while True:
        try:
            found = driver.find_vms(left)
        except NotFoundError as error:
            rest = tuple(ref for ref in left if ref not in error.missing)
            if not rest or len(rest) == len(left):
                raise
            absent.extend(error.missing)
            left = rest
        else:
            return Found(vms=tuple({vm.id: vm for vm in found}.values()), absent=tuple(absent))
