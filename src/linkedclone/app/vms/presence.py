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
    """What became of references to VMs."""

    vms: tuple[Vm, ...]  # the VMs that are there, each once however often it was named
    absent: tuple[str, ...] = ()  # the references that fit no VM
    action: str = ""  # what is to be done to them
    # What an absent VM is reported with; None where that is what was wanted.
    failure: tuple[str, str] | None = ("there is no such VM", "``list`` shows all VMs")

    def tell(self, report: ActionReport) -> ActionReport:
        """Return the report of what became of the VMs that are there, with those that are not."""
        return replace(report, results=(*report.results, *map(self._result, self.absent)))

    def _result(self, ref: str) -> ActionResult:
        action = self.action
        if self.failure is None:
            return ActionResult(name=ref, action=action, status=Status.DONE, key=ref, note=ABSENT)
        brief, hint = self.failure
        failure = Failure(stage=action, brief=brief, hint=hint)
        return ActionResult(name=ref, action=action, status=Status.FAILED, key=ref, error=failure)


def find_present(driver: Driver, refs: Sequence[str], *, action: str = "") -> Found:
    """Find the VMs that something is to be done to, and go on without those that do not exist.

    An interrupted command can thus be repeated unchanged.

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
            vms = tuple({vm.id: vm for vm in found}.values())
            return Found(vms=vms, absent=tuple(absent), action=action)
