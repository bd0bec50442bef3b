"""The steps that the changes to a pool's clones come to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from linkedclone.model.plan import RenameVm, SetPower, ShutDownGuest, Step
from linkedclone.model.pool import PoolPlan, Rename, Start, Stop
from linkedclone.model.vm import Power, Vm

_SHUTDOWN_SECONDS: Final = 120.0


def build_step(change: Rename | Start | Stop) -> Step:
    """Return the step that a change comes to which is done in one."""
    match change:
        case Rename(slot=slot, vm=vm):
            return RenameVm(vm=vm.id, vm_name=vm.name, new_name=slot)
        case Start(vm=vm):
            return start(vm)
        case Stop(vm=vm):
            return shut_down(vm)


def start(vm: Vm) -> SetPower:
    """Start a VM."""
    return SetPower(vm=vm.id, vm_name=vm.name, power=Power.ON)


def shut_down(vm: Vm) -> ShutDownGuest:
    """Shut down a guest; one that takes too long is stopped hard."""
    return ShutDownGuest(
        vm=vm.id, vm_name=vm.name, deadline_seconds=_SHUTDOWN_SECONDS, then_off=True
    )


def find_names(plan: PoolPlan, starting: Iterable[Vm]) -> tuple[str, ...]:
    """Return the names that a run is about: of what changes, and of what comes up."""
    slots = (change.slot for change in plan.changes)
    return tuple(dict.fromkeys((*slots, *(vm.name for vm in starting))))
