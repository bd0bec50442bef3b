"""What is done for each step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import assert_never

from linkedclone.drivers.local.cloning import (
    CLONE,
    await_clone,
    build_clone,
    build_fork,
    claim_spare,
    reserve_name,
)
from linkedclone.drivers.local.inventory.orphans import remove_stray
from linkedclone.drivers.local.jobs import Work
from linkedclone.drivers.local.lifecycle.delete import delete_vm
from linkedclone.drivers.local.lifecycle.hardware import grow_disk, reconfigure_vm
from linkedclone.drivers.local.lifecycle.naming import rename_vm
from linkedclone.drivers.local.lifecycle.power import set_power
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.recovery.interrupted_merge import settle_source
from linkedclone.drivers.local.snapshots import snapshots, with_memory
from linkedclone.drivers.local.snapshots.promote import promote_vm
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.errors import NoSnapshotError
from linkedclone.model import plan
from linkedclone.model.plan import CreateClone, JobStep
from linkedclone.model.vm import Power
from linkedclone.system.os_errors import translated

Absent = (
    plan.CreateFolder
    | plan.SetTemplate
    | plan.DisconnectMedia
    | plan.RelocateVm
    | plan.UnregisterVm
)
"""Steps that mean nothing on this machine."""


def build_work(  # noqa: C901, PLR0912 - one case for each step
    state: StateFolder, machines: OpenMachine, step: JobStep
) -> Work:
    """Say what has to be done for a step. A clone's name is kept from now on."""
    run: Callable[[], str | None]
    if isinstance(step, Absent):
        msg = f"{step!r} was not refused: it is not a feature of this driver"
        raise TypeError(msg)
    match step:
        case CreateClone():
            return _build_clone_work(state, machines, step)
        case plan.AttachClone():
            run = partial(await_clone, state, step.create.name)
        case plan.TakeSnapshot(memory=True):
            keep = partial(with_memory.create_with_memory, state, machines, step.vm)
            run = partial(keep, step.name, step.description)
        case plan.TakeSnapshot():
            take = partial(snapshots.create_snapshot, state, machines, step.vm)
            run = partial(take, step.name, step.description, quiesce=step.quiesce)
        case plan.DeleteSnapshot():
            run = partial(snapshots.delete_snapshot, state, machines, step.vm, step.snapshot)
        case plan.DeleteMemory():
            run = partial(snapshots.delete_memory, state, machines, step.vm, step.snapshot)
        case plan.RevertSnapshot():
            run = partial(snapshots.revert_snapshot, state, machines, step.vm, step.snapshot)
        case plan.WriteMark():
            vm, name = step.vm, step.vm_name
            change = plan.ReconfigureVm(vm=vm, vm_name=name, mark=step.mark, seen=step.seen)
            run = partial(reconfigure_vm, state, machines, change)
        case plan.SetPower():
            run = partial(set_power, state, machines, step.vm, step.power)
        case plan.DeleteVm():
            run = partial(delete_vm, state, machines, step.vm, step.seen)
        case plan.RenameVm():
            run = partial(rename_vm, state, step.vm, step.new_name)
        case plan.ReconfigureVm():
            run = partial(reconfigure_vm, state, machines, step)
        case plan.PromoteVm():
            run = partial(promote_vm, state, machines, step.vm)
        case plan.GrowDisk():
            run = partial(grow_disk, state, machines, step.vm, step.disk, step.capacity_bytes)
        case plan.RemoveStray():
            run = partial(remove_stray, state, step.stray)
        case _:
            assert_never(step)
    return Work(about=step.about, action=step.action, run=run)


def _build_clone_work(state: StateFolder, machines: OpenMachine, step: CreateClone) -> Work:
    if step.snapshot is None:
        raise NoSnapshotError(
            f"no snapshot is given for {step.name}",
            hint="take one first: ``snapshot create``",
        )
    with ExitStack() as stack, translated(f"cannot {CLONE} {step.name}"):
        entry = stack.enter_context(reserve_name(state, step.name))
        run = partial(_clone, state, machines, step, entry)
        return Work(about=step.name, action=CLONE, run=run, release=stack.pop_all().close)


def _clone(state: StateFolder, machines: OpenMachine, step: CreateClone, entry: Path) -> str:
    settle_source(state, machines, step.source.id)
    if step.instant:
        claimed = claim_spare(state, machines, step, entry)
        return claimed or build_fork(state, machines, step, entry)
    vm = build_clone(state, step, entry)
    if step.power_on:
        set_power(state, machines, vm, Power.ON)
    return vm
