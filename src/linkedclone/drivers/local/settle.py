"""Find out which layer a machine writes to, after a command died while moving it to a new one.

While a running machine is moved, its record names both layers: the old one as
``disk`` and the new one as ``pending``. Whoever finds a pending layer asks the
machine which of the two it has. If it does not run any more, the new one is
right in either case: it is empty if the machine never came to it.

While a running machine's disk is copied, its record names the copy as ``copy``.
There the old layer is right if the machine does not run any more: the guest
stands still from before the move onto the copy until the record is replaced, so
until then the old one holds all.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.locks import is_held
from linkedclone.drivers.local.machines import OpenMachine, read_current_disk
from linkedclone.drivers.local.starting import observe_power
from linkedclone.drivers.local.store import LOCK_NAME, LockedVm, load_all, locked, save_record
from linkedclone.drivers.local.sweep import drop_top, remove
from linkedclone.errors import HypervisorError, NoSpaceError
from linkedclone.model.observed import Power


def settle(state: StateFolder, machines: OpenMachine, vm: LockedVm) -> LockedVm:
    """Settle one VM whose lock is held; return it as it is then.

    Raises:
        BusyError: The machine does not say what it has.
        HypervisorError: It has neither.
    """
    if vm.record.copy:
        vm = _settle_copy(state, machines, vm)
    if not vm.record.pending:
        return vm
    new = vm.folder / vm.record.pending
    in_use = new if observe_power(machines, vm) is Power.OFF else read_current_disk(vm)
    if _is_same(in_use, new):
        return save_record(state, vm, replace(vm.record, disk=vm.record.pending, pending=""))
    _refuse_other(vm, in_use)
    settled = save_record(state, vm, replace(vm.record, pending=""))
    remove(new)
    return settled


def _settle_copy(state: StateFolder, machines: OpenMachine, vm: LockedVm) -> LockedVm:
    copy = vm.folder / vm.record.copy
    runs = observe_power(machines, vm) is not Power.OFF
    in_use = read_current_disk(vm) if runs else vm.top
    if _is_same(in_use, copy):
        settled = save_record(state, vm, replace(vm.record, disk=vm.record.copy, copy=""))
        drop_top(state, vm)
    else:
        _refuse_other(vm, in_use)
        if runs:
            machines(vm).cancel_copy()
        settled = _forget_copy(state, vm, copy)
    if runs:
        with suppress(NoSpaceError):  # it was paused before, for another reason
            machines(settled).resume()
    return settled


def _forget_copy(state: StateFolder, vm: LockedVm, copy: Path) -> LockedVm:
    forgotten = replace(vm.record, copy="")
    try:
        settled = save_record(state, vm, forgotten)
    except OSError:  # the disk is full, and what fills it is the copy
        remove(copy)
        settled = save_record(state, vm, forgotten)
    remove(copy)
    return settled


def _refuse_other(vm: LockedVm, in_use: Path | None) -> None:
    if not _is_same(in_use, vm.top):
        raise HypervisorError(
            f"{vm.record.name} writes to a layer that it should not have",
            details=str(in_use),
            hint="stop it, then try again",
            kind="query-block",
        )


def _is_same(one: Path | None, other: Path) -> bool:
    return one is not None and one.exists() and one.samefile(other)


def settle_all(state: StateFolder, machines: OpenMachine) -> None:
    """Settle all VMs; one that cannot be settled now is left to the next command about it."""
    for vm in load_all(state).vms:
        unsettled = vm.record.pending or vm.record.copy
        # A copy may take long; the command that lives settles it itself.
        if unsettled and not is_held(vm.folder / LOCK_NAME):
            with suppress(HypervisorError), locked(state, vm.id) as stored:
                settle(state, machines, stored)
