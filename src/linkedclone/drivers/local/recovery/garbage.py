"""Remove what killed commands left, and layers of deleted VMs that nothing reads any more.

Only what a command registered in ``staging`` is ever removed, and what the
command at work hands over itself: never whatever nothing reaches, for that may be
the only copy of something. The rest is reported, and ``gc`` removes it on request.

Of what is registered, that goes which nothing reaches from the ``vm.json`` files,
from foreign disk files, and from layers that no command registered, looked at afresh
under the exclusive family lock. When anything cannot be read or is missing, no
layer is removed: those below it may be wanted.
"""

import errno
import os
import shutil
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

from linkedclone.drivers.local.inventory.foreign_files import find_foreign_together
from linkedclone.drivers.local.inventory.layer_users import Survey, build_chain_reader, take_survey
from linkedclone.drivers.local.inventory.orphans import list_layers
from linkedclone.drivers.local.state.file_names import SEAL_SUFFIX, is_own_name, is_temporary_name
from linkedclone.drivers.local.state.folder import (
    StateFolder,
    is_disk_name,
    is_memory_name,
    read_vm_link,
)
from linkedclone.drivers.local.state.record import FILE_NAME
from linkedclone.drivers.local.state.staging import (
    describe_entry,
    find_put_back,
    list_dead,
    read_register,
    was_killed,
)
from linkedclone.drivers.local.state.store import StoredVm, load_vm
from linkedclone.drivers.local.storage.remove_file import (
    _remove_unsealed,
    is_plain_folder,
    names_in,
    remove,
    remove_rests,
)
from linkedclone.drivers.local.storage.seals import seal_path
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.values.ids import VmId
from linkedclone.model.values.vm_names import list_names
from linkedclone.system.locks import hold

_RECOVERY_DEADLINE_SECONDS = 2.0


def recover(state: StateFolder) -> tuple[str, ...]:
    """Clean up after commands that were killed; return what was done, as sentences.

    To be called at the beginning of every command. If others are at work for
    long, the clean-up is left to a later command.
    """
    dead = {entry: (was_killed(entry), _list_there(state, entry)) for entry in list_dead(state)}
    if not dead:
        return ()
    back = {entry: find_put_back(state, entry) for entry in dead}
    try:
        doubts = sweep(state, deadline_s=_RECOVERY_DEADLINE_SECONDS)
    except BusyError:
        return ()
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return ()  # what is there can still be read
    told = (
        (*describe_entry(entry), _tell_end(state, back[entry], doubts))
        for entry, (killed, there) in dead.items()
        if not entry.exists() and (killed or back[entry] or not all(map(os.path.lexists, there)))
    )
    return tuple(
        f"a command did not come to its end: {action} {key}; {end}" for action, key, end in told
    )


def _tell_end(state: StateFolder, back: Sequence[VmId], doubts: Sequence[str]) -> str:
    if back:
        names = list_names([state.link(vm).name for vm in back])
        return (
            f"its files stay, for the {FILE_NAME} of {names} was put back or copied since "
            "(``gc`` shows what no VM reads)"
        )
    if doubts:
        return "its files stay, for not everything can be read (``doctor``)"
    return "what it left was removed"


def _list_there(state: StateFolder, entry: Path) -> list[Path]:
    return [path for path in read_register(state, entry) if os.path.lexists(path)]


def sweep(
    state: StateFolder, paths: Iterable[Path] = (), *, deadline_s: float = 60.0
) -> tuple[str, ...]:
    """Remove what nothing reaches of what dead commands registered, and of some paths more.

    Args:
        paths: Layers, and folders of VMs that were withdrawn, as commands register them.

    Returns:
        The doubts that forbade it.
    """
    with hold(state.family_lock, deadline_s=deadline_s):
        dead = list_dead(state)
        known = (entry for entry in dead if not find_put_back(state, entry))
        registered = {path for entry in known for path in read_register(state, entry)}
        registered.update(paths)
        doubts = _remove_registered(state, registered) if registered else ()
        _remove_stale_links(state)
        # The entries go last: they are what makes a killed sweep begin again.
        for entry in dead:
            with suppress(FileNotFoundError):  # its command lives, and removes it itself
                shutil.rmtree(entry)
        return doubts


def _remove_registered(state: StateFolder, registered: AbstractSet[Path]) -> tuple[str, ...]:
    folders = [path for path in registered if path.parent == state.vms and is_plain_folder(path)]
    gone = [folder for folder in folders if not state.exists(VmId(folder.name))]
    for folder in gone:  # else it would be an unlinked VM, which is kept
        (folder / FILE_NAME).unlink(missing_ok=True)
    survey = take_survey(state)
    if survey.doubts:
        return survey.doubts
    layers = {p for p in registered if is_disk_name(p.name) or is_memory_name(p.name)}
    wanted = _list_wanted(state, survey, layers.union(gone))
    for folder in {path.parent for path in registered} - {state.vms}:
        _sweep_folder(folder, [path.name for path in layers if path.parent == folder], wanted)
    for folder in gone:
        _sweep_folder(folder, filter(is_own_name, names_in(folder)), wanted)
    remove_rests(state)
    return ()


def _list_wanted(state: StateFolder, survey: Survey, going: AbstractSet[Path]) -> AbstractSet[Path]:
    """Return what stays: all that is reached, also from layers that are not to go.

    And the folders that hold a foreign disk file.
    """
    left = (path for path in list_layers(state) if path not in survey.reached)
    unasked = (path for path in left if going.isdisjoint((path, path.parent)))
    reader, read = build_chain_reader(), set[Path]()
    for path in unasked:
        read.add(path)
        with suppress(HypervisorError, OSError):
            read.update(file.path for file in reader(path))
    return survey.reached.union(read, *(disk.path.parents for disk in survey.foreign))


def _remove_stale_links(state: StateFolder) -> None:
    """Remove the links of UUIDs that VMs had which are gone with their folders."""
    for link in tuple(state.uuids.iterdir()):
        vm = read_vm_link(link)
        if vm is not None and not os.path.lexists(state.folder(vm)) and not state.exists(vm):
            link.unlink(missing_ok=True)


def _sweep_folder(folder: Path, names: Iterable[str], wanted: AbstractSet[Path]) -> None:
    """Remove what has these names and is not wanted, with what is half written in the folder."""
    there = names_in(folder)
    going = {*names, *filter(is_temporary_name, there)}
    kept = {path.name for path in wanted if path.parent == folder}
    kept |= {seal_path(folder / name).name for name in kept}
    for name in sorted(going.intersection(there) - kept):
        remove(folder / name)


def remove_withdrawn(state: StateFolder, vm: StoredVm) -> None:
    """Remove the files of a VM that was just withdrawn, and layers that it was the last to read.

    The usual clone costs no look into all other VMs: only a foreign file can
    depend on a disk that is written to, and the layer below is still named by a
    VM that lives.
    """
    reached = list_reached(vm.tops)
    below = _layers_below(vm.disk_tops)
    plain = not vm.record.snapshots and _remove_plain(state, vm.folder)
    if not plain or not all(_is_named(state, layer) for layer in below):
        sweep(state, [vm.folder, *reached])


def _remove_plain(state: StateFolder, folder: Path) -> bool:
    """Remove a folder that is all ours and without sealed layers.

    Returns False, and does nothing, if it has any, or if anything may read them.
    """
    # Under the lock, for a sweeper would be in the same folder; it may have been there.
    with hold(state.family_lock, shared=True), suppress(FileNotFoundError):
        paths = tuple(folder.iterdir())
        sealed = any(path.suffix == SEAL_SUFFIX for path in paths)
        ours = all(
            is_own_name(path.name) and not (is_disk_name(path.name) and is_plain_folder(path))
            for path in paths
        )
        if sealed or not ours or _is_kept(state, folder, paths):
            return False
        for path in paths:
            _remove_unsealed(path)
        folder.rmdir()
    return True


def _is_kept(state: StateFolder, folder: Path, paths: Sequence[Path]) -> bool:
    return any(
        disk.path.is_relative_to(folder) or disk.may_hang_from(paths)
        for disk in find_foreign_together(state)
    )


def drop_top(state: StateFolder, before: StoredVm) -> None:
    """Remove the layers that a VM wrote to until now, and what only those reached.

    The VM's record names others by now; what it still names stays.
    """
    named = load_vm(state, before.id).record.files
    tops = [top for top in before.disk_tops if top.name not in named]
    drop_layers(state, tops)


def drop_layers(state: StateFolder, layers: Sequence[Path]) -> None:
    """Remove layers that a VM read until now, and what only those reached; absent counts as done.

    The VM's record names others in their place by now. What has no name that this driver gives
    to a layer belongs to something else, and stays, though a record named it.
    """
    layers = [layer for layer in layers if is_disk_name(layer.name)]
    reached = list_reached(layers)
    alone = all(_is_named(state, layer) for layer in _layers_below(layers))
    read = alone and any(_is_read(state, layer) for layer in layers)
    foreign = alone and any(disk.may_hang_from(layers) for disk in find_foreign_together(state))
    if alone and not read and not foreign:
        for layer in layers:
            remove(layer)
    else:
        sweep(state, reached)


def list_reached(tops: Sequence[Path]) -> tuple[Path, ...]:
    """Return all layers of the state folder that some read, and those themselves, as far as known.

    That is what a command registers that may take the last reader away from them.
    """
    reader, found = build_chain_reader(), dict.fromkeys(tops)
    for top in tops:
        with suppress(HypervisorError, OSError):
            found.update(dict.fromkeys(file.path for file in reader(top)))
    return tuple(path for path in found if path.parent.parent == tops[0].parent.parent)


def _layers_below(tops: Sequence[Path]) -> tuple[Path, ...]:
    """Return the layer below each, where there is one that can be read."""
    reader, found = build_chain_reader(), list[Path]()
    for top in tops:
        with suppress(HypervisorError, OSError):
            found.extend(file.path for file in reader(top)[-2:-1])
    return tuple(found)


def _is_read(state: StateFolder, layer: Path) -> bool:
    """Say whether the VM in whose folder a layer is reads it; also if that is unknown."""
    reader = build_chain_reader()
    try:
        tops = load_vm(state, VmId(layer.parent.name)).tops
        return any(file.path == layer for top in tops for file in reader(top))
    except (HypervisorError, OSError):
        return True


def _is_named(state: StateFolder, layer: Path) -> bool:
    """Say whether a VM that exists still names the layer as a snapshot's."""
    try:
        owner = load_vm(state, VmId(layer.parent.name))
    except (HypervisorError, OSError):
        return False
    return layer.name in owner.record.files
