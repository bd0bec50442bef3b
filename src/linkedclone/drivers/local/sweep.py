"""Remove what nothing reaches: rests of killed commands, and layers of deleted VMs.

The reference count is the reachability from all ``vm.json`` files and from all
foreign disk files through the headers, looked at afresh under the exclusive
family lock. When anything cannot be read or is missing, nothing is removed: the
layers below it may be wanted. And only what bears a name that we give is ever
removed, see ``own_names``.
"""

import shutil
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

from linkedclone.drivers.local.foreign import find_foreign_together
from linkedclone.drivers.local.layout import StateFolder, is_disk_name, read_vm_link
from linkedclone.drivers.local.locks import hold
from linkedclone.drivers.local.own_names import is_own_name, is_storage_name
from linkedclone.drivers.local.seals import SEAL_SUFFIX, seal_path, unseal
from linkedclone.drivers.local.staging import list_dead
from linkedclone.drivers.local.store import StoredVm, load_vm
from linkedclone.drivers.local.survey import ChainReader, Survey, take_survey
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.ids import VmId

_RECOVERY_DEADLINE_SECONDS = 2.0


def recover(state: StateFolder) -> bool:
    """Clean up after commands that were killed; return whether there were any.

    To be called at the beginning of every command. If others are at work for
    long, the clean-up is left to a later command.
    """
    if not list_dead(state):
        return False
    with suppress(BusyError):
        sweep(state, deadline_s=_RECOVERY_DEADLINE_SECONDS)
    return True


def sweep(state: StateFolder, *, deadline_s: float = 60.0) -> tuple[str, ...]:
    """Remove everything that nothing reaches; return the doubts that forbade it.

    Raises:
        BusyError: Others use layers for that long.
        OSError: Something cannot be removed.
    """
    with hold(state.family_lock, deadline_s=deadline_s):
        dead = list_dead(state)
        survey = take_survey(state)
        if not survey.doubts:
            named = {vm.id for vm in survey.stored.vms}
            for link in tuple(state.uuids.iterdir()):
                if read_vm_link(link) not in named:
                    link.unlink(missing_ok=True)
            wanted = _list_wanted(survey)
            for folder in _list_folders(state):
                _sweep_folder(folder, wanted, named=folder.name in named)
        # The entries go last: they are what makes a killed sweep begin again.
        for entry in dead:
            with suppress(FileNotFoundError):  # its command lives, and removes it itself
                shutil.rmtree(entry)
        return survey.doubts


def list_unreached(state: StateFolder, survey: Survey) -> tuple[Path, ...]:
    """Return what a sweep would remove. To be called under the family lock."""
    if survey.doubts:
        return ()
    named = {vm.id for vm in survey.stored.vms}
    wanted = _list_wanted(survey)
    return tuple(
        path
        for folder in sorted(_list_folders(state))
        for path in _unreached_in(folder, wanted, named=folder.name in named)
    )


def _list_wanted(survey: Survey) -> AbstractSet[Path]:
    """Return what stays: all that is reached, and folders in which somebody keeps a disk file."""
    return survey.reached.union(*(disk.path.parents for disk in survey.foreign))


def _list_folders(state: StateFolder) -> tuple[Path, ...]:
    """Return the folders of all VMs, and of those that were; a link is not ours."""
    return tuple(path for path in state.vms.iterdir() if _is_folder(path))


def _unreached_in(folder: Path, wanted: AbstractSet[Path], *, named: bool) -> tuple[Path, ...]:
    is_ours = is_storage_name if named else is_own_name
    try:
        paths = tuple(folder.iterdir())
    except FileNotFoundError:  # a VM that is just being deleted, where no lock is held
        return ()
    kept = {path for path in paths if path in wanted}
    kept |= {seal_path(path) for path in kept}
    return tuple(path for path in paths if path not in kept and is_ours(path.name))


def _sweep_folder(folder: Path, wanted: AbstractSet[Path], *, named: bool) -> None:
    for path in _unreached_in(folder, wanted, named=named):
        remove(path)
    if not named and not any(folder.iterdir()):
        folder.rmdir()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def remove(path: Path) -> None:
    """Remove a file, sealed or not, or a folder; absent counts as done."""
    if is_disk_name(path.name) and not _is_folder(path):
        unseal(path)
    _remove_unsealed(path)


def _remove_unsealed(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_withdrawn(state: StateFolder, vm: StoredVm) -> None:
    """Remove the files of a VM that was just withdrawn, and layers that it was the last to read.

    The usual clone costs no look into all other VMs: only a foreign file can
    hang from a disk that is written to, and the layer below is still named by a
    VM that lives.
    """
    below = _layers_below(vm.disk_tops)
    plain = not vm.record.snapshots and _remove_plain(state, vm.folder)
    if not plain or not all(_is_named(state, layer) for layer in below):
        sweep(state)


def _remove_plain(state: StateFolder, folder: Path) -> bool:
    """Remove a folder that is all ours and without sealed layers.

    Returns False, and does nothing, if it has any, or if anything may read them.
    """
    # Under the lock, for a sweeper would be in the same folder; it may have been there.
    with hold(state.family_lock, shared=True), suppress(FileNotFoundError):
        paths = tuple(folder.iterdir())
        sealed = any(path.suffix == SEAL_SUFFIX for path in paths)
        ours = all(is_own_name(path.name) for path in paths)
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

    The VM's record names others in their place by now.
    """
    alone = all(_is_named(state, layer) for layer in _layers_below(layers))
    read = alone and any(_is_read(state, layer) for layer in layers)
    foreign = alone and any(disk.may_hang_from(layers) for disk in find_foreign_together(state))
    if alone and not read and not foreign:
        for layer in layers:
            remove(layer)
    else:
        sweep(state)


def _layers_below(tops: Sequence[Path]) -> tuple[Path, ...]:
    """Return the layer below each, where there is one that can be read."""
    reader, found = ChainReader(), list[Path]()
    for top in tops:
        with suppress(HypervisorError, OSError):
            found.extend(file.path for file in reader.read(top)[-2:-1])
    return tuple(found)


def _is_read(state: StateFolder, layer: Path) -> bool:
    """Say whether the VM in whose folder a layer is reads it; also if nobody can tell."""
    reader = ChainReader()
    try:
        tops = load_vm(state, VmId(layer.parent.name)).tops
        return any(file.path == layer for top in tops for file in reader.read(top))
    except (HypervisorError, OSError):
        return True


def _is_named(state: StateFolder, layer: Path) -> bool:
    """Say whether a VM that exists still names the layer as a snapshot's."""
    try:
        owner = load_vm(state, VmId(layer.parent.name))
    except (HypervisorError, OSError):
        return False
    return layer.name in owner.record.files
