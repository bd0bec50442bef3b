"""What VMs go through between being made and being deleted: new names, new places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from linkedclone.app.proposal import look_again
from linkedclone.app.vms.presence import find_present
from linkedclone.drivers.contract import Driver, Relocation
from linkedclone.errors import InputError, LinkedCloneError, UnsupportedError
from linkedclone.lineage.proof import prove_kept
from linkedclone.model.plan import Plan, Step
from linkedclone.model.report import ActionReport, ActionResult, Failure, Stage, Status
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm
from linkedclone.planning.vms.guards import refuse_busy
from linkedclone.planning.vms.relocate import plan_relocate
from linkedclone.planning.vms.rename import plan_rename

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting
    from linkedclone.execution.progress import Progress
    from linkedclone.model.request import Placement


class Life:
    """Renames and moves VMs of one endpoint."""

    def __init__(self, driver: Driver, acting: Acting) -> None:
        self._driver = driver
        self._acting = acting

    def rename(
        self, ref: str, name: str, *, force: bool = False, progress: Progress | None = None
    ) -> ActionReport:
        """Give a VM another name."""
        (vm,) = self._driver.find_vms([ref])
        return self._acting.carry_out(plan_rename(vm, name, force=force), progress)

    def relocate(
        self,
        refs: Sequence[str],
        placement: Placement,
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Move VMs, and prove of each that it hangs from what it hung from."""
        driver = self._driver
        if not isinstance(driver, Relocation):
            raise UnsupportedError(
                f"{self._acting.address} cannot move VMs: there is one place for all",
                hint="leave it where it is, or make a new clone elsewhere",
                kind="NotSupported",
            )
        if not any(
            (placement.datastore, placement.host, placement.resource_pool, placement.cluster)
        ):
            raise InputError(
                "no destination is given",
                hint="name a ``placement.datastore``, ``placement.host``, ``placement.cluster`` "
                "or pool",
            )
        found = find_present(driver, refs)
        vms = found.vms
        targets = {vm.id: driver.resolve_relocation(vm, placement) for vm in vms}

        def plan() -> Plan:
            refuse_busy(vms, self._driver.observe_sources([vm.id for vm in vms]), action="move")
            inventory = self._driver.observe(sizes=True)
            moves_disks = bool(placement.datastore)
            return plan_relocate(
                vms,
                targets,
                inventory,
                moves_disks=moves_disks,
                force=force,
                despite_unreadable=despite_unreadable,
            )

        def check(steps: Sequence[Step]) -> Sequence[tuple[Step, LinkedCloneError]]:
            return look_again(driver, steps, despite=despite_unreadable)

        before = {vm.id: vm for vm in self._driver.observe_vms([vm.id for vm in vms])}
        report = self._acting.guarded(plan, confirm=None, progress=progress, check=check)
        proven = self._proven(report, before)
        return found.tell(proven, action="relocate", counts_as_done=False)

    def _proven(self, report: ActionReport, before: dict[VmId, Vm]) -> ActionReport:
        """Read back what was moved; what hangs from something else now has failed, loudly."""
        moved = [VmId(r.id) for r in report.results if r.id and r.status is Status.DONE]
        if not moved:
            return report
        try:
            after = {vm.id: vm for vm in self._driver.observe_vms(moved)}
        except LinkedCloneError as error:
            failure = Failure.from_error(Stage.PROOF, error)
            results = tuple(
                replace(r, status=Status.FAILED, error=failure) if r.id in moved else r
                for r in report.results
            )
            return replace(report, results=results)
        results = tuple(
            _judge(r, before.get(VmId(r.id or "")), after.get(VmId(r.id or "")))
            if r.id in moved
            else r
            for r in report.results
        )
        return replace(report, results=results)


def _judge(result: ActionResult, before: Vm | None, after: Vm | None) -> ActionResult:
    if before is None or after is None:
        return _failed(result, f"{result.name} no longer exists", "it was deleted in the meantime")
    proof = prove_kept(before, after)
    if proof.linked is False:
        return _failed(
            result,
            f"{result.name} was moved, but has another base than before",
            proof.reason,
        )
    return replace(result, note=proof.reason) if proof.reason else result


def _failed(result: ActionResult, brief: str, details: str) -> ActionResult:
    failure = Failure(
        stage=Stage.PROOF,
        brief=brief,
        details=details,
        hint="look at it with ``show``; a new clone at the target is linked again",
    )
    return replace(result, status=Status.FAILED, error=failure)
