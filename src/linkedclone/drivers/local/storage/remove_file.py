"""Removes files of the state folder, sealed or not, and folders in which nothing is left."""

import os
import shutil
from pathlib import Path

from linkedclone.drivers.local.state.file_names import is_own_name
from linkedclone.drivers.local.state.folder import (
    StateFolder,
    is_disk_name,
    is_memory_name,
    is_vm_id,
)
from linkedclone.drivers.local.state.record import FILE_NAME
from linkedclone.drivers.local.storage.seals import seal_path, unseal
from linkedclone.model.values.ids import VmId


def names_in(folder: Path) -> list[str]:
    """Return what is in a folder; nothing where that is gone."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - several times faster
    except FileNotFoundError:  # a VM that is just being deleted, where no lock is held
        return []


def remove_rests(state: StateFolder) -> None:
    """Remove the folders of deleted VMs in which no layer is kept any more, and nothing else is."""
    for folder in tuple(state.vms.iterdir()):
        if _is_rest(state, folder):
            names = names_in(folder)
            if all(is_own_name(name) and not is_disk_name(name) for name in names):
                for name in names:
                    remove(folder / name)
                folder.rmdir()


def _is_rest(state: StateFolder, folder: Path) -> bool:
    """Say whether a folder is what is left of a deleted VM, or of one that was never made."""
    vm = VmId(folder.name)
    ours = folder.parent == state.vms and is_vm_id(vm) and is_plain_folder(folder)
    return ours and not os.path.lexists(folder / FILE_NAME) and not state.exists(vm)


def is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def remove(path: Path) -> None:
    """Remove a file, sealed or not, or a folder; absent counts as done.

    A folder in the place of a disk was put there by a person, and stays.
    """
    if is_disk_name(path.name):
        if is_plain_folder(path):
            return
        unseal(path)
    elif is_memory_name(path.name):
        seal_path(path).unlink(missing_ok=True)
    _remove_unsealed(path)


def _remove_unsealed(path: Path) -> None:
    if is_plain_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
