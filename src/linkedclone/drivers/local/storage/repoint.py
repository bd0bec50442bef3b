"""Let layers of a VM hang from another layer that holds the same: what they hold stays.

Headers are changed one after the other. A kill in between does no harm, for as
long as both layers below are there and hold the same; the rest can be done again.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from linkedclone.drivers.local.state.folder import StateFolder, backing_path
from linkedclone.drivers.local.state.store import LockedVm, StoredVm
from linkedclone.drivers.local.storage.seals import is_sealed, seal_if_possible, unseal
from linkedclone.drivers.qemu.qemu_img import run_qemu_img
from linkedclone.formats.chain import format_by_suffix, read_chain


def rehang(state: StateFolder, vm: LockedVm, old: Path, new: Path) -> None:
    """Let all layers of a VM that hang from one layer hang from another in the VM's folder.

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
