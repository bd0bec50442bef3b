"""Find out which layer a machine writes to, after a command died while moving it to a new one.

While a running machine is moved, its record names both layers: the old one as
``disk`` and the new one as ``pending``. Whoever finds a pending layer asks the
machine which of the two it has. If it does not run any more, the new one is
right in either case: it is empty if the machine never came to it.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.machines import OpenMachine, read_current_disk
from linkedclone.drivers.local.starting import observe_power
from linkedclone.drivers.local.store import LockedVm, load_all, locked, save_record
from linkedclone.drivers.local.sweep import remove
from linkedclone.errors import HypervisorError
from linkedclone.model.observed import Power


def settle(state: StateFolder, machines: OpenMachine, vm: LockedVm) -> LockedVm:
    """Settle one VM whose lock is held; return it as it is then.

    Raises:
        BusyError: The machine does not say what it has.
        HypervisorError: It has neither.
    """
    if not vm.record.pending:
        return vm
    new = vm.folder / vm.record.pending
    in_use = new if observe_power(machines, vm) is Power.OFF else read_current_disk(vm)
    if _is_same(in_use, new):
        return save_record(state, vm, replace(vm.record, disk=vm.record.pending, pending=""))
    if not _is_same(in_use, vm.top):
        raise HypervisorError(
            f"{vm.record.name} writes to a layer that it should not have",
            details=str(in_use),
            hint="stop it, then try again",
            kind="query-block",
        )
    settled = save_record(state, vm, replace(vm.record, pending=""))
    remove(new)
    return settled


def _is_same(one: Path | None, other: Path) -> bool:
    return one is not None and one.exists() and one.samefile(other)


def settle_all(state: StateFolder, machines: OpenMachine) -> None:
    """Settle all VMs; one that cannot be settled now is left to the next command about it."""
    for vm in load_all(state).vms:
        if vm.record.pending:
            with suppress(HypervisorError), locked(state, vm.id) as stored:
                settle(state, machines, stored)
