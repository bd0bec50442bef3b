"""Names of VMs: given anew, and given on between the versions of an image.

The link under ``names`` is what a VM is called by, so moving it from the old key to the new
one is what renames the VM, in one atomic step; its folder, its files and its id keep theirs.
The chains name the VM's folder, which is called after the first name for ever. Before the
link is moved, the record says what the VM is to be called, so that the next command after a kill
knows: see ``settle_name``.

A second import under one name does not touch the first. The newest version bears the plain
name, so that ``clone debian`` takes it. An older one is renamed to ``debian@1``, ``debian@2``,
which changes nothing of its files, nor of what depends on them.
"""

import filecmp
import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.state.folder import StateFolder, key_of, render_keys
from linkedclone.drivers.local.state.record import VmRecord
from linkedclone.drivers.local.state.staging import at_work_on, is_at_work
from linkedclone.drivers.local.state.store import (
    LockedVm,
    StoredVm,
    load_all,
    load_vm,
    locked,
    name_taken,
    publish_vm,
    save_record,
    settle_name,
    take_uuid,
)
from linkedclone.drivers.local.storage.fingerprint import take_fingerprint
from linkedclone.drivers.local.storage.seals import read_seal
from linkedclone.errors import DuplicateNameError, GoneError, HypervisorError, InputError
from linkedclone.model.values.ids import VmId
from linkedclone.system.atomic_files import replace_file, sync_folder
from linkedclone.system.locks import hold

_OLDER = re.compile(r"(.+)@([1-9][0-9]*)")


def plain_name(name: str) -> str:
    match = _OLDER.fullmatch(name)
    return match.group(1) if match else name


def version_of(record: VmRecord) -> int:
    return record.image_version or 1


def refuse_version_name(name: str) -> None:
    if _OLDER.fullmatch(name):
        raise InputError(
            f"{name!r} is a name for an older version of an image",
            hint=f"import it as {plain_name(name)}: older versions are kept",
        )


def refuse_taken(state: StateFolder, name: str) -> None:
    """Refuse a name that something else has than an image."""
    holder = _find_holder(state, name)
    if holder is not None and not holder.record.image:
        raise name_taken(name)


def find_unfinished(state: StateFolder, name: str, file: Path) -> StoredVm | None:
    """Find what a killed import of this very file left: the newest version, without its seal."""
    holder = _find_holder(state, name)
    if holder is None or not holder.record.snapshots:
        return None
    base = holder.folder / holder.record.snapshots[0].files[0]
    try:
        sealed = read_seal(base)
    except FileNotFoundError:
        return holder if _is_same(base, file) else None
    found = take_fingerprint(file)
    like = (found.size, found.sampled_sha256) == (sealed.size, sealed.sampled_sha256)
    if like and _is_same(base, file):
        raise same_image(holder)
    return None


def same_image(holder: StoredVm) -> DuplicateNameError:
    return DuplicateNameError(
        f"the image {holder.record.name} already has the same content",
        hint="give it another ``name``, or use the one that is there",
        kind="names",
    )


def _is_same(base: Path, file: Path) -> bool:
    try:
        return base.suffix == file.suffix and filecmp.cmp(base, file, shallow=False)
    except FileNotFoundError:
        return False


def publish_version(state: StateFolder, built: Path, vm: VmId, record: VmRecord) -> None:
    """Make an image exist as the newest version of its name."""
    with hold(state.images_lock):
        refuse_taken(state, record.name)
        older = [version_of(found.record) for found in _list_versions(state, record.name)]
        numbered = replace(record, image_version=max(older, default=0) + 1)
        holder = _find_holder(state, record.name)
        if holder is not None:
            rename_vm(state, holder.id, f"{record.name}@{version_of(holder.record)}")
        try:
            with hold(state.family_lock, shared=True):
                take_uuid(state, record.uuid, vm)
                publish_vm(state, built, vm, numbered)
        except BaseException:
            if holder is not None:
                rename_vm(state, holder.id, holder.record.name)
            raise


def name_newest(state: StateFolder, name: str) -> None:
    """Give the plain name to the newest version that is left, if nothing has it."""
    with hold(state.images_lock):
        left = sorted(_list_versions(state, name), key=lambda vm: version_of(vm.record))
        if left and state.holder(key_of(name)) is None:
            rename_vm(state, left[-1].id, plain_name(left[-1].record.name))


def settle_versions(state: StateFolder) -> None:
    """Give back plain names that killed imports took from versions and gave to no newer one."""
    records = [vm.record for vm in load_all(state).vms]
    older = {plain_name(record.name) for record in records if record.image}
    for name in sorted(older - {record.name for record in records}):
        with suppress(HypervisorError):  # the next command does it
            name_newest(state, name)


def _list_versions(state: StateFolder, name: str) -> tuple[StoredVm, ...]:
    key = key_of(name)
    return tuple(
        vm
        for vm in load_all(state).vms
        if vm.record.image and key_of(plain_name(vm.record.name)) == key
    )


def _find_holder(state: StateFolder, name: str) -> StoredVm | None:
    vm = state.find(key_of(name))
    try:
        return None if vm is None else load_vm(state, vm)
    except GoneError:
        return None


RENAME = "rename"
_CLONE = "clone"


def rename_vm(state: StateFolder, vm: VmId, name: str) -> None:
    """Rename a VM, running or not; what the guest calls itself stays."""
    with at_work_on(state, RENAME, vm), locked(state, vm) as found:
        give_name(state, found, name)


def give_name(state: StateFolder, vm: LockedVm, name: str, *, reserved: bool = False) -> LockedVm:
    """Rename a VM under its lock; return it as it is then.

    Args:
        reserved: Whether this command keeps the name for the VM, as for a clone.
    """
    new = state.names / key_of(name)
    stored = settle_name(state, vm)
    if name == stored.record.name:
        return stored
    if new == state.link(vm.id):  # only its case changes
        return save_record(state, stored, replace(stored.record, name=name))
    if state.holder(new.name) is not None:
        raise name_taken(name)
    stored = save_record(state, stored, replace(stored.record, renaming=name))
    try:
        _move_link(state, stored, name, reserved=reserved)
    finally:
        # Under the lock, so the record is unchanged since.
        stored = settle_name(state, stored)
    return stored


def _move_link(state: StateFolder, vm: LockedVm, name: str, *, reserved: bool) -> None:
    old, new = state.link(vm.id), state.names / key_of(name)
    keys = render_keys((old.name, new.name))
    replace_file(state.keys(vm.id), keys, durable=state.durable)
    # Exclusive: clones are published under the shared lock, and a rename replaces.
    with hold(state.family_lock):
        if os.path.lexists(new) or (not reserved and is_at_work(state, _CLONE, new.name)):
            raise name_taken(name)
        old.rename(new)
        if state.durable:
            sync_folder(state.names)
