"""What is written into the marks of a pool's clones by hand: holding, releasing, adopting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from linkedclone.model.plan import Plan, WriteMark
from linkedclone.model.report import ActionReport, ActionResult, Failure, Status
from linkedclone.model.vm import Vm
from linkedclone.planning.pool.membership import slot_of, state_of

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting
    from linkedclone.execution.progress import Progress
    from linkedclone.model.vm import PoolState


def set_hold(
    acting: Acting,
    vms: Sequence[Vm],
    reason: str,
    progress: Progress | None = None,
) -> ActionReport:
    """Write into the marks why clones are held; an empty reason releases them.

    Who is released has its failures forgiven, too: a quarantine ends so.
    """

    def change(vm: Vm) -> PoolState:
        state = state_of(vm)
        failures = state.failures if reason else 0
        return replace(state, slot=slot_of(vm), hold=reason, failures=failures)

    return write_states(acting, vms, change, progress)


def write_states(
    acting: Acting,
    vms: Sequence[Vm],
    change: Callable[[Vm], PoolState],
    progress: Progress | None = None,
) -> ActionReport:
    """Write what a pool keeps on its clones; marks that say so already are left alone.

    What else is changed in the marks at the same time, as by a run over the pool,
    is kept. What cannot be written is reported as failed: no caller is told that a
    clone is held that is gone by then, or has no mark to write into.
    """
    steps, existing, markless = list[WriteMark](), list[Vm](), list[ActionResult]()
    for vm in vms:
        mark, wanted = vm.valid_mark, change(vm)
        if mark is not None and wanted == mark.pool:
            existing.append(vm)
        elif mark is not None:
            marked = replace(mark, pool=wanted)
            steps.append(WriteMark(vm=vm.id, vm_name=vm.name, mark=marked, seen=mark))
        else:
            markless.append(_say_markless(vm))
    stages = (tuple(steps),) if steps else ()
    report = acting.carry_out(Plan(stages=stages, existing=tuple(existing)), progress)
    return replace(report, results=(*report.results, *markless))


def _say_markless(vm: Vm) -> ActionResult:
    brief, hint = f"{vm.name} has lost its mark", "``pool plan`` says what becomes of it"
    error = Failure(stage="mark", brief=brief, hint=hint)
    return ActionResult(
        name=vm.name, action="mark", status=Status.FAILED, id=vm.id, key=vm.id, error=error
    )
