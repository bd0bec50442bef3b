"""What is written into the marks of a pool's clones by hand: holding, releasing, adopting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from linkedclone.model.plan import Plan, WriteMark
from linkedclone.model.vm import Vm
from linkedclone.planning.pool.membership import slot_of, state_of

if TYPE_CHECKING:
    from linkedclone.app.proposal import Acting
    from linkedclone.drivers.contract import Driver
    from linkedclone.execution.progress import Progress
    from linkedclone.model.report import ActionReport
    from linkedclone.model.vm import PoolState


def set_hold(
    driver: Driver,
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

    return write_states(driver, acting, vms, change, progress)


def write_states(
    driver: Driver,
    acting: Acting,
    vms: Sequence[Vm],
    change: Callable[[Vm], PoolState],
    progress: Progress | None = None,
) -> ActionReport:
    """Write what a pool keeps on its clones; marks that say so already are left alone."""
    steps, existing = list[WriteMark](), list[Vm]()
    # As the marks stand by now: a run over the pool may write its claim at the same time.
    for vm in driver.observe_vms([vm.id for vm in vms]) if vms else ():
        mark, wanted = vm.valid_mark, change(vm)
        if mark is not None and wanted != mark.pool:
            steps.append(WriteMark(vm=vm.id, vm_name=vm.name, mark=replace(mark, pool=wanted)))
        else:
            existing.append(vm)
    stages = (tuple(steps),) if steps else ()
    return acting.carry_out(Plan(stages=stages, existing=tuple(existing)), progress)
