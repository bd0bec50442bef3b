"""Hold clones of a pool, so that nothing is done to them, and release them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from linkedclone.model.plan import Plan, WriteMark
from linkedclone.planning.pool import members_of, slot_of, state_of
from linkedclone.planning.poolwork import find_members

if TYPE_CHECKING:
    from linkedclone.app.acting import Acting
    from linkedclone.drivers.base import Driver
    from linkedclone.execution.progress import Progress
    from linkedclone.model.report import ActionReport


def set_hold(
    driver: Driver,
    acting: Acting,
    pool: str,
    names: Sequence[str],
    reason: str,
    progress: Progress | None = None,
) -> ActionReport:
    """Write into the marks why clones are held; an empty reason releases them.

    Who is released has its failures forgiven, too: a quarantine ends so.

    Raises:
        InputError: Some are not in the pool.
    """
    members = members_of(driver.observe(), pool)
    found = find_members(members, names, pool) if names else members
    steps = []
    # As the marks stand by now: a run over the pool may write its claim at the same time.
    for vm in driver.observe_vms([vm.id for vm in found]) if found else ():
        mark, state = vm.valid_mark, state_of(vm)
        failures = state.failures if reason else 0
        wanted = replace(state, slot=slot_of(vm), hold=reason, failures=failures)
        if mark is not None and wanted != mark.pool:
            steps.append(WriteMark(vm=vm.id, vm_name=vm.name, mark=replace(mark, pool=wanted)))
    return acting.carry_out(Plan(stages=(tuple(steps),) if steps else ()), progress)
