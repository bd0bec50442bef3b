"""What one run over a pool has done so far, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from linkedclone.model.pool import Act, Delete, MemberChange, PoolChange, Reason, Replace, Why
from linkedclone.model.pool_report import PoolReport, PoolResult
from linkedclone.model.report import ActionResult, CloneResult, Failure, Status
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Vm
from linkedclone.planning.pool.requests import NOT_A_MEMBER, say_missing

if TYPE_CHECKING:
    from linkedclone.errors import LinkedCloneError

HEALTH: Final = "health"
"""The stage at which a clone failed that was made and does not come up."""

_TRIES: Final = 3
"""How often one run does the same thing to the same clone."""


@dataclass(slots=True)
class Tally:
    """What a run has done."""

    results: list[PoolResult] = field(default_factory=list)  # what came of each change, in order
    failures: int = 0  # how many failed, clones that do not come up among them
    made: set[VmId] = field(default_factory=set)  # clones of this run
    # Replacements whose old clone is gone and whose new one could not be made, by slot: what the
    # old one had is handed on once it can.
    lost: dict[str, Replace] = field(default_factory=dict)
    _sick: set[VmId] = field(default_factory=set)
    _tried: Counter[tuple[Act, str]] = field(default_factory=Counter)

    def may(self, change: PoolChange) -> bool:
        """Say whether a change may be tried (again), and count it.

        A clone of this run is not made anew by it, unless it is unhealthy: what
        is too grown or too old from its birth on would be so for ever. Nor is
        anything done over and over that a user, or the guest, undoes.
        """
        vm = change.old
        unhealthy = any(reason.why is Why.UNHEALTHY for reason in change.reasons)
        if isinstance(change, Replace) and vm and vm.id in self.made and not unhealthy:
            return False
        key = change.act, vm.id if vm else change.slot
        self._tried[key] += 1
        return self._tried[key] <= _TRIES

    def note(self, change: MemberChange, result: ActionResult) -> None:
        """Note what came of a change to a clone that is there."""
        if result.status is Status.FAILED:
            self.failures += 1
        self._add(
            change,
            result.status,
            id=change.vm.id,
            seconds=result.seconds,
            error=result.error,
        )

    def note_clone(self, change: PoolChange, result: CloneResult) -> None:
        """Note what came of a clone that was to be made."""
        failed = result.status is Status.FAILED
        if failed:
            self.failures += 1
        elif result.id and result.status is not Status.DIFFERS:
            # What differs is not of this run: it may be made anew.
            self.made.add(VmId(result.id))
        kept = result.status in {Status.FAILED, Status.SKIPPED}
        self._add(
            change,
            result.status if kept else Status.DONE,
            id=result.id,
            seconds=result.seconds,
            own_bytes=result.own_bytes,
            error=result.error,
        )

    def fail(self, change: PoolChange, error: LinkedCloneError) -> None:
        """Note a change that was refused."""
        self.failures += 1
        self._add(
            change,
            Status.FAILED,
            id=change.old.id if change.old else None,
            error=Failure.from_error(change.act.value, error),
        )

    def note_sick(self, vm: Vm, reason: str) -> Failure | None:
        """Note that a clone of this run does not come up; None if it is known or another's."""
        if vm.id not in self.made or vm.id in self._sick:
            return None
        self._sick.add(vm.id)
        self.failures += 1
        failure = Failure(
            stage=HEALTH,
            brief=f"{vm.name} was made but did not become healthy: {reason}",
            hint="look at its console; ``pool status`` shows the others",
        )
        for index, result in enumerate(self.results):
            if result.id == vm.id:
                self.results[index] = replace(result, status=Status.FAILED, error=failure)
        return failure

    def note_lost(self) -> None:
        """Note what the end of the run leaves out: clones that are gone, and not there anew yet."""
        told = {result.slot for result in self.results if result.status is Status.FAILED}
        for slot, change in self.lost.items():
            if slot not in told:
                gone = Delete(slot=slot, vm=change.vm, reasons=change.reasons)
                self._add(gone, Status.DONE, id=None)

    def say_failures(self) -> str:
        """Say why nothing more is begun."""
        failed = [result for result in self.results if result.status is Status.FAILED]
        last = failed[-1].error if failed else None
        return f"stopped after {render_count(self.failures, 'failure')}" + (
            f": {last.brief}" if last else ""
        )

    def _add(
        self,
        change: PoolChange,
        status: Status,
        *,
        id: str | None,  # noqa: A002 - as the result calls it
        seconds: float | None = None,
        own_bytes: int | None = None,
        error: Failure | None = None,
    ) -> None:
        self.results.append(
            PoolResult(
                slot=change.slot,
                act=change.act,
                status=status,
                reasons=change.reasons,
                id=id,
                seconds=seconds,
                own_bytes=own_bytes,
                error=error,
            )
        )


def tell_absent(report: PoolReport, names: Sequence[str]) -> PoolReport:
    """Return the report with the names that were asked for and are not in the pool."""
    why = Failure(stage=Act.REPLACE.value, brief=say_missing(report.pool), hint=NOT_A_MEMBER)
    asked = (Reason(why=Why.ASKED),)
    results = (
        PoolResult(slot=name, act=Act.REPLACE, status=Status.FAILED, reasons=asked, error=why)
        for name in names
    )
    return replace(report, results=(*report.results, *results))


def say_again(change: PoolChange) -> str:
    """Say that a change would have to be done again right after it was done."""
    reasons = "; ".join(map(str, change.reasons))
    return f"{change.slot} needs the same again right after it was done: {change.act}, {reasons}"
