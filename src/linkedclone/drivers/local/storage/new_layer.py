"""Hang new layers from sealed ones, and make sure first that those are sound."""

import os
from pathlib import Path

from linkedclone.drivers.local.state.folder import StateFolder, backing_path, key_of
from linkedclone.drivers.local.state.staging import at_work
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.local.storage import seals
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.drivers.local.storage.seals import check_seal, is_sealed
from linkedclone.drivers.qemu.qemu_img import check_image
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
