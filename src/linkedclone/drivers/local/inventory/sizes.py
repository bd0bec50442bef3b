"""What the files of an inventory occupy, and what is left of the file system they are in."""

import os
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.inventory.vm import allocated_bytes
from linkedclone.drivers.local.state.folder import STORE_NAME, StateFolder
from linkedclone.model.inventory import Inventory, LayerFile, Store
from linkedclone.model.vm import Layer


def measure_inventory(state: StateFolder, inventory: Inventory) -> Inventory:
    """Return the inventory with the sizes of all its files, read as they are now."""
    layers = {layer for vm in inventory.vms for layer in vm.layers}
    layers |= {layer for stray in inventory.strays for layer in stray.chain}
    return replace(
        inventory,
        files={layer: _measure(state, layer) for layer in layers},
        stores=(_measure_store(state),),
    )


def _measure(state: StateFolder, layer: Layer) -> LayerFile:
    path = state.root / layer.path
    used = allocated_bytes(path)
    return LayerFile(used_bytes=used, missing=used is None and _is_missing(path))


def _is_missing(path: Path) -> bool:
    """Say whether a file is not there; one that cannot be looked at may be."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _measure_store(state: StateFolder) -> Store:
    """Measure the file system; what only root may fill does not count as free."""
    seen = os.statvfs(state.root)
    return Store(
        id=state.store,
        name=STORE_NAME,
        capacity_bytes=seen.f_blocks * seen.f_frsize,
        free_bytes=seen.f_bavail * seen.f_frsize,
    )
