"""VMs whose folders are there without the links that make them exist.

A copy of the state folder that did not keep symbolic links (``rsync`` without
``-l``, Syncthing, ``zip``) has all its VMs so, and a person's copy of one VM's
folder beside it is another. Their disks count like disk files that others made:
they are reported and kept, as is what they depend on.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.local.state.folder import (
    StateFolder,
    is_key,
    is_vm_id,
    key_of,
    make_vm_link,
    parse_vm_link,
    read_note,
    read_vm_link,
    render_keys,
)
from linkedclone.drivers.local.state.record import FILE_NAME, VmRecord, parse_record
from linkedclone.drivers.local.state.store import LOCK_NAME, load_all
from linkedclone.errors import HypervisorError
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import list_names
from linkedclone.system.atomic_files import replace_file, sync_folder
from linkedclone.system.locks import hold, is_held
from linkedclone.system.private_files import PRIVATE_FOLDER

_ASIDE = "aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlinkedVm:
    folder: Path
    record: VmRecord | None  # what is written about the VM; None if that cannot be read
    obstacle: str = ""  # why it cannot be linked again; empty if it can
    copied: bool = False  # whether it is a copy of a VM that exists

    @property
    def name(self) -> str:
        return self.record.name if self.record else self.folder.name


def is_unlinked(state: StateFolder, folder: Path) -> bool:
    """Say whether a folder holds the record of a VM that does not exist."""
    vm = VmId(folder.name)
    if state.exists(vm) or not os.path.lexists(folder / FILE_NAME):
        return False
    # A command that publishes or deletes it holds its lock until it is done.
    held = is_held(folder / LOCK_NAME)
    return not held and not state.exists(vm) and os.path.lexists(folder / FILE_NAME)


def find_unlinked(state: StateFolder) -> tuple[UnlinkedVm, ...]:
    """Find all unlinked VMs, by folder, with the obstacle to each."""
    folders = [folder for folder in _list_folders(state) if is_unlinked(state, folder)]
    if not folders:
        return ()
    records = {folder: _read_record(folder) for folder in folders}
    claims = Counter(
        key_of(record.name)
        for folder, record in records.items()
        if record is not None and is_vm_id(folder.name)
    )
    linked = {vm.record.uuid: vm.record.name for vm in load_all(state).vms}
    return tuple(
        UnlinkedVm(
            folder=folder,
            record=record,
            obstacle=_find_obstacle(state, folder, record, claims, linked),
            copied=record is not None and record.uuid in linked,
        )
        for folder, record in records.items()
    )


def tell_unlinked(state: StateFolder) -> tuple[str, ...]:
    """Tell of VMs that lost their links; only ``doctor`` reports copies by hand."""
    linked = set(state.list_vms())
    if linked.issuperset(os.listdir(state.vms)):  # noqa: PTH208 - several times faster
        return ()
    found = [vm.name for vm in find_unlinked(state) if not vm.copied and is_vm_id(vm.folder.name)]
    if not found:
        return ()
    return (f"VM folders without a link: {list_names(found)}; ``doctor`` says what to do",)


def _list_folders(state: StateFolder) -> Iterable[Path]:
    with os.scandir(state.vms) as entries:
        found = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return map(Path, sorted(found))


def _read_record(folder: Path) -> VmRecord | None:
    try:
        return parse_record(read_note(folder / FILE_NAME), str(folder / FILE_NAME))
    except (HypervisorError, OSError):
        return None


def _find_obstacle(
    state: StateFolder,
    folder: Path,
    record: VmRecord | None,
    claims: Counter[str],
    linked: dict[str, str],
) -> str:
    if record is None:
        return f"its {FILE_NAME} cannot be read"
    if record.uuid in linked:
        return f"it is a copy of {linked[record.uuid]}"
    if not is_vm_id(folder.name):
        return "its folder does not have the name that it was given"
    if claims[key_of(record.name)] > 1:
        return f"more than one folder without a link is of a VM named {record.name}"
    if state.holder(key_of(record.name)) is not None:
        return f"another VM is named {record.name}"
    return ""


def list_odd_names(state: StateFolder) -> tuple[Path, ...]:
    """List what keeps a name taken, and is not a link to a VM."""
    if not state.names.is_dir():
        return ()
    paths = (path for path in sorted(state.names.iterdir()) if is_key(path.name))
    return tuple(path for path in paths if state.find(path.name) is None)


def relink_vms(state: StateFolder) -> tuple[str, ...]:
    """Link all unlinked VMs again without an obstacle; return their names.

    What a copy made of a link, a text file or a folder, is moved aside if it
    could be more than that.
    """
    with hold(state.family_lock):
        found = [vm for vm in find_unlinked(state) if not vm.obstacle]
        for vm in found:
            if vm.record is not None:
                _relink(state, VmId(vm.folder.name), vm.record)
        for stored in load_all(state).vms:
            _link(state, state.uuids / stored.record.uuid, stored.id)
        for folder in (state.names, state.uuids):
            sync_folder(folder)
    return tuple(vm.name for vm in found)


def _relink(state: StateFolder, vm: VmId, record: VmRecord) -> None:
    key = key_of(record.name)
    if state.birth_link(vm).name != key:
        replace_file(state.keys(vm), render_keys((key,)), durable=state.durable)
    _link(state, state.names / key, vm)


def _link(state: StateFolder, link: Path, vm: VmId) -> None:
    holder = read_vm_link(link)
    if holder is not None and state.exists(holder):
        return
    if os.path.lexists(link):
        _move_aside(state, link)
    make_vm_link(link, vm)


def _is_link_as_text(path: Path) -> bool:
    """Say whether a file holds what a link of ours had as its target, as ``zip`` leaves it."""
    try:
        return parse_vm_link(read_note(path).decode(errors="replace").strip()) is not None
    except (HypervisorError, OSError):
        return False


def _move_aside(state: StateFolder, link: Path) -> None:
    """Make room for a link, without losing what may be the only copy of something."""
    if link.is_symlink() or _is_link_as_text(link):
        link.unlink()
        return
    aside = state.root / _ASIDE / link.parent.name
    for folder in (aside.parent, aside):
        folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
    place, number = aside / link.name, 1
    while os.path.lexists(place):
        place, number = aside / f"{link.name}.{number}", number + 1
    link.rename(place)
