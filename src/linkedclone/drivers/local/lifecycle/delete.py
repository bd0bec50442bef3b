"""Delete VMs, and keep the layers that others read."""

from contextlib import ExitStack, suppress

from linkedclone.drivers.local.lifecycle.naming import name_newest, plain_name
from linkedclone.drivers.local.machine.open import OpenMachine, observe_power
from linkedclone.drivers.local.machine.process import runs_in
from linkedclone.drivers.local.recovery.garbage import list_reached, remove_withdrawn, sweep
from linkedclone.drivers.local.state.file_names import RUN_FOLDER
from linkedclone.drivers.local.state.folder import StateFolder, is_disk_name
from linkedclone.drivers.local.state.record import NEWER
from linkedclone.drivers.local.state.staging import at_work_on, register
from linkedclone.drivers.local.state.store import (
    LOCK_NAME,
    load_vm,
    locked,
    withdraw_broken,
    withdraw_vm,
)
from linkedclone.drivers.local.storage.image_lock import kept_from_writers, refuse_writers
from linkedclone.drivers.rules.marks import refuse_changed
from linkedclone.errors import GoneError, HypervisorError, LinkedCloneError
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Mark, Power
from linkedclone.system.locks import hold


def delete_vm(
    state: StateFolder, machines: OpenMachine, vm: VmId, seen: Mark | None = None
) -> None:
    """Delete a VM that is off; one that is absent counts as deleted.

    Of an image, the newest version that is left bears the plain name then. Its
    name is free from the moment it is withdrawn; what remains of its files
    after a kill is removed by the next command.
    """
    try:
        load_vm(state, vm)
    except GoneError:
        return
    except HypervisorError as error:
        if error.kind == NEWER:
            raise
        _delete_broken(state, vm)
        return
    try:
        with at_work_on(state, "delete", vm) as entry, locked(state, vm) as stored:
            refuse_changed(stored.record.name, seen=seen, now=stored.record.mark)
            power = observe_power(machines, stored)
            if power is not Power.OFF:
                raise HypervisorError(
                    f"{stored.record.name} is {power.value}",
                    hint="stop it first",
                    kind="InvalidPowerState",
                )
            reached = list_reached(stored.tops)
            with kept_from_writers(path for path in reached if path.parent == stored.folder):
                register(state, entry, [stored.folder, *reached])
                withdraw_vm(state, stored)
                remove_withdrawn(state, stored)
    except GoneError:
        return
    if stored.record.image:
        # The VM is gone, whether the version before it can have its name or not.
        with suppress(LinkedCloneError):
            name_newest(state, plain_name(stored.record.name))


def _delete_broken(state: StateFolder, vm: VmId) -> None:
    """Delete a VM whose record cannot be read, with the layers that nothing else reads."""
    folder = state.folder(vm)
    with at_work_on(state, "delete", vm) as entry, ExitStack() as stack:
        if runs_in(folder / RUN_FOLDER):
            raise HypervisorError(
                f"a QEMU process runs in {folder / RUN_FOLDER}",
                hint="end that process first: ``doctor``",
                kind="InvalidPowerState",
            )
        with suppress(FileNotFoundError, NotADirectoryError):
            stack.enter_context(hold(folder / LOCK_NAME, create=False))
        refuse_writers(path for path in folder.glob("disk-*") if is_disk_name(path.name))
        register(state, entry, [folder])
        withdraw_broken(state, vm)
        sweep(state, [folder])
