"""Finishes or takes back a rename whose command was killed, as the links say."""

from dataclasses import replace

from linkedclone.drivers.local.state.folder import StateFolder, key_of
from linkedclone.drivers.local.state.store import LockedVm, save_record


def settle_name(state: StateFolder, vm: LockedVm) -> LockedVm:
    """Let the record say what the VM is called, after a command died while renaming it."""
    wanted = vm.record.renaming
    if not wanted:
        return vm
    moved = state.holder(key_of(wanted)) == vm.id
    name = wanted if moved else vm.record.name
    return save_record(state, vm, replace(vm.record, name=name, renaming=""))
