"""Read and change the VMs of a state folder, one at a time or all."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from linkedclone.drivers.local.state.folder import (
    SSH_CONFIG,
    StateFolder,
    is_disk_name,
    key_of,
    make_vm_link,
    read_note,
    read_vm_link,
)
from linkedclone.drivers.local.state.record import (
    FILE_NAME,
    NEWER,
    VmRecord,
    parse_record,
    render_record,
)
from linkedclone.drivers.local.state.ssh import render_entry, render_include
from linkedclone.drivers.local.state.staging import forget_registered, register
from linkedclone.errors import DuplicateNameError, GoneError, HypervisorError
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.sizes import render_size
from linkedclone.model.values.vm_names import render_count
from linkedclone.system.atomic_files import (
    replace_file,
    sync_folder,
    sync_folder_together,
    whole_file,
    write_new,
)
from linkedclone.system.locks import DEFAULT_DEADLINE_SECONDS, hold

LOCK_NAME = "lock"
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVm:
    id: VmId
    folder: Path
    record: VmRecord

    @property
    def top(self) -> Path:
        """The layer of the first disk that is written to."""
        return self.disk_tops[0]

    @property
    def disk_tops(self) -> tuple[Path, ...]:
        """The layers that are written to, the first disk's first."""
        return tuple(self.folder / file for file in self.record.disk_files)

    @property
    def tops(self) -> tuple[Path, ...]:
        """The ends of all its chains: what its snapshots froze, and its disks."""
        return tuple(self.folder / file for file in self.record.files)

    @property
    def memory(self) -> tuple[Path, ...]:
        """The files of its snapshots' memory."""
        return tuple(self.folder / file for file in self.record.memory_files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    vms: tuple[StoredVm, ...]  # those that can be read
    # Those that exist but cannot be read, each with the reason.
    unreadable: tuple[tuple[VmId, HypervisorError], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedVm(StoredVm):
    lock: int  # the descriptor; a child that inherits it keeps the lock


AnyVm = TypeVar("AnyVm", bound=StoredVm)


def load_vm(state: StateFolder, vm: VmId) -> StoredVm:
    folder = state.folder(vm)
    path = folder / FILE_NAME
    try:
        record = parse_record(read_note(path), str(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(state, vm) from error
    except HypervisorError as error:
        raise _unreadable(state, vm, error) from error
    key = state.key(vm)
    if key is None:
        raise _gone(vm)
    if key not in {key_of(name) for name in (record.name, record.renaming) if name}:
        raise HypervisorError(
            f"{path} is the record of another VM ({record.name}), not of {key}",
            hint="put the VM's own record back",
            kind="vm.json",
        )
    return StoredVm(id=vm, folder=folder, record=record)


def load_all(state: StateFolder, ids: Iterable[VmId] | None = None) -> Stored:
    """Read all VMs, by name, or these; those that are gone, or go meanwhile, are left out."""
    vms: list[StoredVm] = []
    unreadable: list[tuple[VmId, HypervisorError]] = []
    for vm in state.list_vms() if ids is None else ids:
        try:
            vms.append(load_vm(state, vm))
        except GoneError:
            continue
        except HypervisorError as error:
            unreadable.append((vm, error))
    return Stored(vms=tuple(vms), unreadable=tuple(unreadable))


@contextmanager
def locked(
    state: StateFolder,
    vm: VmId,
    *,
    shared: bool = False,
    deadline_s: float = DEFAULT_DEADLINE_SECONDS,
) -> Iterator[LockedVm]:
    """Hold a VM's lock, shared or alone, while the block runs; yields the VM as it is under it."""
    path = state.folder(vm) / LOCK_NAME
    with ExitStack() as stack:
        try:
            # Not made: a folder that is just being removed would not become empty.
            lock = hold(path, shared=shared, create=False, deadline_s=deadline_s)
            descriptor = stack.enter_context(lock)
        except (FileNotFoundError, NotADirectoryError):
            load_vm(state, vm)  # says whether it is gone or broken; else the lock alone is missing
            descriptor = stack.enter_context(hold(path, shared=shared, deadline_s=deadline_s))
        found = load_vm(state, vm)
        yield LockedVm(id=vm, folder=found.folder, record=found.record, lock=descriptor)


def save_record(state: StateFolder, vm: AnyVm, record: VmRecord) -> AnyVm:
    """Put a new record in the place of the old one, which commits a change; return the VM with it.

    To be called under the VM's lock.
    """
    record = replace(record, serial=vm.record.serial + 1)
    replace_file(vm.folder / FILE_NAME, render_record(record), durable=state.durable)
    if (record.name, record.uuid) != (vm.record.name, vm.record.uuid):
        write_ssh_entry(state, vm.folder, record)
    return replace(vm, record=record)


def settle_name(state: StateFolder, vm: LockedVm) -> LockedVm:
    """Let the record say what the VM is called, after a command died while renaming it."""
    wanted = vm.record.renaming
    if not wanted:
        return vm
    moved = state.holder(key_of(wanted)) == vm.id
    name = wanted if moved else vm.record.name
    return save_record(state, vm, replace(vm.record, name=name, renaming=""))


def publish_vm(state: StateFolder, built: Path, vm: VmId, record: VmRecord) -> None:
    """Make a VM exist from a folder that was built in an entry of ``staging``.

    To be called under the shared family lock: between the two steps the folder
    has no name, and the sweeper would take it.
    """
    write_new(built / FILE_NAME, whole_file(render_record(record)), durable=state.durable)
    entry = render_entry(state, state.folder(vm), record)
    write_new(built / SSH_CONFIG, whole_file(entry), durable=False)  # it can be written again
    if state.durable:
        sync_folder(built)
    folder = state.folder(vm)
    register(state, built.parent, [folder])
    with hold(built / LOCK_NAME):  # without a link it would look like one that lost it
        built.rename(folder)
        try:
            make_vm_link(state.birth_link(vm), vm)
        except OSError as error:
            folder.rename(built)
            forget_registered(built.parent)
            if isinstance(error, FileExistsError):
                raise name_taken(record.name) from error
            raise
    forget_registered(built.parent)
    register(state, built.parent, [folder / LOCK_NAME])
    if state.durable:
        sync_folder_together(state.vms)
        sync_folder_together(state.names)


def write_ssh_entry(state: StateFolder, folder: Path, record: VmRecord) -> None:
    """Write what plain ``ssh NAME`` needs of a VM. To be called under the VM's lock."""
    replace_file(folder / SSH_CONFIG, render_entry(state, folder, record), durable=False)


def write_ssh_config(state: StateFolder) -> Path:
    """Write what plain ``ssh NAME`` needs of all VMs; return the file to include.

    Also for VMs of older versions, and after the state folder was moved.
    """
    for vm in load_all(state).vms:
        with suppress(GoneError), locked(state, vm.id) as stored:
            write_ssh_entry(state, stored.folder, stored.record)
    include = state.root / SSH_CONFIG
    replace_file(include, render_include(state), durable=False)
    return include


def take_uuid(state: StateFolder, wanted: str, vm: VmId) -> str:
    """Take a UUID for a VM that is about to be published; return another one if it is taken.

    Only one VM at a time can have a name, so two that want one UUID at the same
    moment do not come from one name and one owner; the link excludes them too.
    """
    link = state.uuids / wanted
    try:
        make_vm_link(link, vm)
    except FileExistsError:
        holder = read_vm_link(link)
        taken = holder is not None and state.exists(holder)
        if taken or (link.is_dir() and not link.is_symlink()):
            return take_uuid(state, str(uuid.uuid4()), vm)
        link.unlink(missing_ok=True)
        return take_uuid(state, wanted, vm)
    return wanted


def withdraw_vm(state: StateFolder, vm: StoredVm) -> None:
    """Make a VM not exist any more; its layers are still there. To be called under its lock."""
    state.link(vm.id).unlink()
    (vm.folder / FILE_NAME).unlink(missing_ok=True)  # without a link it would be an unlinked VM's
    taken = state.uuids / vm.record.uuid
    if read_vm_link(taken) == vm.id:
        taken.unlink()
    if state.durable:
        sync_folder_together(state.names)


def name_taken(name: str) -> DuplicateNameError:
    return DuplicateNameError(
        f"the name {name!r} is taken",
        hint="choose another, or delete that VM; names that differ only in case are the same",
        kind="names",
    )


def withdraw_broken(state: StateFolder, vm: VmId) -> None:
    """Make a VM not exist any more whose record cannot be read; its layers are still there."""
    folder = state.folder(vm)
    links = [link for link in state.uuids.iterdir() if read_vm_link(link) == vm]
    for link in (state.link(vm), *links):
        link.unlink(missing_ok=True)
    if folder.is_dir() and not folder.is_symlink():  # a link may lead to another VM
        with suppress(FileNotFoundError):
            (folder / FILE_NAME).rename(folder / f"{FILE_NAME}.unreadable")
    if state.durable:
        sync_folder_together(state.names)


def _missing(state: StateFolder, vm: VmId) -> HypervisorError:
    if not state.exists(vm):
        return _gone(vm)
    folder, name = state.folder(vm), state.link(vm).name
    if folder.is_dir():
        what, hint = folder / FILE_NAME, _suggest_mending(state, vm)
    else:
        what, hint = folder, f"put it back from a backup, or clear {name} away: {_DELETE} {name}"
    return HypervisorError(f"{name} is broken: {what} is missing", hint=hint, kind="vm.json")


def _unreadable(state: StateFolder, vm: VmId, error: HypervisorError) -> HypervisorError:
    if not state.exists(vm):
        return _gone(vm)
    if error.kind == NEWER:  # The VM is sound: nothing is to be cleared away.
        return error
    hint = _suggest_mending(state, vm)
    return HypervisorError(error.brief, details=error.details, hint=hint, kind=error.kind)


_DELETE = "``delete``"


def _suggest_mending(state: StateFolder, vm: VmId) -> str:
    """Say what helps if a record cannot be read: its disks are sound, and are not to go first."""
    folder, name = state.folder(vm), state.link(vm).name
    disks = [path for path in folder.iterdir() if is_disk_name(path.name)]
    used = sum(path.lstat().st_blocks * _BLOCK_BYTES for path in disks)
    lost = (
        f"its {render_count(len(disks), 'disk file')} ({render_size(used)})"
        if disks
        else "the rest of it"
    )
    return (
        f"restore {folder / FILE_NAME} from a backup; ``doctor`` says how to take the "
        f"disks out without it; {_DELETE} {name} ``force`` ``despite_unreadable`` would lose {lost}"
    )


def _gone(vm: VmId) -> GoneError:
    return GoneError(
        f"the VM {vm} does not exist any more",
        hint="``list`` shows what there is",
        kind="names",
    )
