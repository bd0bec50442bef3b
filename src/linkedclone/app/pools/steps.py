"""The steps that the changes to a pool's clones come to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from linkedclone.model.plan import RenameVm, SetPower, ShutDownGuest, Step
from linkedclone.model.pool import Act, Change, PoolPlan
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.pool.rollout import Wave

_SHUTDOWN_SECONDS: Final = 120.0


def find_leaving(wave: Wave) -> frozenset[VmId]:
    """Return the clones that a wave takes away; those that are replaced with surge go later."""
    return frozenset(
        change.vm.id
        for change in wave.changes
        if isinstance(change, Change) and change.act in {Act.DELETE, Act.REPLACE}
        if change.slot not in wave.surging
    )


def build_rename(change: Change) -> Step:
    """Give a clone the name of its slot."""
    return RenameVm(vm=change.vm.id, vm_name=change.vm.name, new_name=change.slot)


def build_start(change: Change) -> Step:
    """Start a clone."""
    return start(change.vm)


def build_stop(change: Change) -> Step:
    """Shut down a clone."""
    return shut_down(change.vm)


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
