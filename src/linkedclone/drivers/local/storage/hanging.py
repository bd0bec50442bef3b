"""Link layers to backing files: new layers to sealed ones, and old ones to equal content.

Before a new one is made, all below are found to be sound. Headers of old ones are changed
one after the other. A kill in between does no harm, for as long as both layers below are
there and hold the same; the rest can be done again.
"""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from linkedclone.drivers.local.state.folder import StateFolder, backing_path, key_of
from linkedclone.drivers.local.state.staging import at_work
from linkedclone.drivers.local.state.store import LockedVm, StoredVm
from linkedclone.drivers.local.storage import seals
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.drivers.local.storage.seals import check_seal, is_sealed, seal_if_possible, unseal
from linkedclone.drivers.qemu.qemu_img import check_image, run_qemu_img
from linkedclone.errors import InputError, RefusedError
from linkedclone.formats.chain import DiskFile, format_by_suffix, read_chain, read_disk_file
from linkedclone.formats.qcow2 import build_overlay
from linkedclone.system.atomic_files import SparseFile
from linkedclone.system.locks import hold


def check_layers(state: StateFolder, layers: tuple[DiskFile, ...]) -> None:
    """Make sure that sealed layers are there and unchanged, base first."""
    refuse_writers(layer.path for layer in layers)
    for layer in layers:
        check_seal(state, layer.path)


def accept_layer(state: StateFolder, file: Path) -> None:
    """Seal a layer anew whose time alone was changed, once all of it was looked at."""
    real = Path(os.path.realpath(file))
    layer = state.vms / real.parent.name / real.name
    if not is_sealed(layer) or not layer.is_file() or not layer.samefile(real):
        raise InputError(
            f"{file} is not a sealed layer of this state folder",
            hint="name the file as ``doctor`` does",
        )
    with at_work(state, "accept", key_of(layer.name)), hold(state.family_lock):
        wrong = check_image(read_disk_file(layer, format_by_suffix(layer)))
        if wrong:
            raise RefusedError(
                f"{state.relative(layer)} is not sound",
                details=wrong,
                hint="put the file back from a backup",
            )
        seals.accept_layer(state, layer)


def build_delta(state: StateFolder, base: StoredVm, file_name: str) -> SparseFile:
    """Build an empty layer over a frozen one, whose whole chain is checked.

    To be called under the shared family lock.
    """
    chain = read_chain(base.folder / file_name)
    check_layers(state, chain)
    return build_delta_over(chain[-1], base)


def build_delta_over(layer: DiskFile, owner: StoredVm) -> SparseFile:
    """Build an empty layer over one that is in its owner's folder."""
    name = layer.path.name
    return build_overlay(
        layer.virtual_bytes, backing_path(owner.id, name), format_by_suffix(layer.path)
    )


def rehang(state: StateFolder, vm: LockedVm, old: Path, new: Path) -> None:
    """Let all layers of a VM that depend on one layer depend on another in the VM's folder.

    None of them may be open in a machine.
    """
    for layer in sorted(set(_list_over(vm, old))):
        sealed = is_sealed(layer)
        if sealed:
            unseal(layer)
        try:
            run_qemu_img(build_rebase(vm, layer, new), folder=vm.folder, lock=vm.lock)
        finally:
            if sealed:
                seal_if_possible(state, layer)


def _list_over(vm: StoredVm, below: Path) -> Iterator[Path]:
    for top in vm.tops:
        for lower, upper in pairwise(read_chain(top)):
            if lower.path == below and upper.path.parent == vm.folder:
                yield upper.path


def build_rebase(vm: StoredVm, layer: Path, new: Path) -> tuple[str, ...]:
    """Build qemu-img's arguments for a new name of what is below; no data are touched. Pure."""
    below = ("-b", backing_path(vm.id, new.name), "-F", format_by_suffix(new).value)
    return ("rebase", "-q", "-u", "-f", format_by_suffix(layer).value, *below, str(layer))
