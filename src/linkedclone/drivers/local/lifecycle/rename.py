"""Give a VM another name: its folder, its files and its id keep theirs.

The link under ``names`` is what a VM is called by, so moving it from the old
key to the new one is what renames the VM, in one atomic step. The chains name
the VM's folder, which is called after the first name for ever. Before the link
is moved, the record says what the VM is to be called, so that whoever comes
after a kill knows: see :func:`settle_name`.
"""

import os
from dataclasses import replace

from linkedclone.drivers.local.state.folder import StateFolder, key_of, render_keys
from linkedclone.drivers.local.state.staging import at_work_on, is_at_work
from linkedclone.drivers.local.state.store import (
    LockedVm,
    locked,
    name_taken,
    save_record,
    settle_name,
)
from linkedclone.model.values.ids import VmId
from linkedclone.system.atomic_files import replace_file, sync_folder
from linkedclone.system.locks import hold

RENAME = "rename"
_CLONE = "clone"


def rename_vm(state: StateFolder, vm: VmId, name: str) -> None:
    """Rename a VM, running or not; what the guest calls itself stays."""
    new = state.names / key_of(name)
    with at_work_on(state, RENAME, vm), locked(state, vm) as found:
        stored = settle_name(state, found)
        if name == stored.record.name:
            return
        if new == state.link(vm):  # only its case changes
            save_record(state, stored, replace(stored.record, name=name))
            return
        if state.holder(new.name) is not None:
            raise name_taken(name)
        stored = save_record(state, stored, replace(stored.record, renaming=name))
        try:
            _move_link(state, stored, name)
        finally:
            # Under the lock, so nobody has changed the record since.
            settle_name(state, stored)


def _move_link(state: StateFolder, vm: LockedVm, name: str) -> None:
    old, new = state.link(vm.id), state.names / key_of(name)
    keys = render_keys((old.name, new.name))
    replace_file(state.keys(vm.id), keys, durable=state.durable)
    # Exclusive: clones are published under the shared lock, and a rename replaces.
    with hold(state.family_lock):
        if os.path.lexists(new) or is_at_work(state, _CLONE, new.name):
            raise name_taken(name)
        old.rename(new)
        if state.durable:
            sync_folder(state.names)
