"""Read the whole state folder: all VMs, all files of nobody among theirs, and sizes if wanted."""

import os
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.inventory.foreign_files import ForeignDisk
from linkedclone.drivers.local.inventory.layer_users import Survey, take_survey
from linkedclone.drivers.local.inventory.observe import build_all
from linkedclone.drivers.local.inventory.orphans import build_abandoned, build_foreign, find_orphans
from linkedclone.drivers.local.inventory.scan import Findings, scan_places
from linkedclone.drivers.local.inventory.vm import Seen, allocated_bytes, build_unreadable
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.state.folder import STORE_NAME, StateFolder
from linkedclone.model.inventory import Inventory, LayerFile, Store
from linkedclone.model.request import Scan
from linkedclone.model.vm import Layer


def observe_all(
    state: StateFolder,
    machines: OpenMachine | None,
    *,
    sizes: bool = False,
    scan: Scan | None = None,
    guests: bool = True,
) -> Inventory:
    """Read all VMs, by name, with the files of nobody that lie among theirs.

    A VM whose record is unreadable is there with its name alone.

    Args:
        machines: Gives the machines to look at; None looks at none.
        sizes: Whether the sizes of files and of the file system are wanted.
        scan: Where to look for more files of nobody.
    """
    survey = take_survey(state)
    found = scan_places(state, scan.places, _list_known(survey)) if scan else Findings()
    seen = Seen(chains=survey.chains, users=survey.users, foreign=_list_shared(survey, found))
    unreadable = tuple(build_unreadable(state, vm, why) for vm, why in survey.stored.unreadable)
    vms = build_all(state, machines, survey.stored.vms, seen, guests=guests) + unreadable
    strays = (
        *build_foreign(state, _list_unread(survey, found)),
        *find_orphans(state, survey),
        *(build_abandoned(state) if sizes and scan else ()),
    )
    inventory = Inventory(
        vms=tuple(sorted(vms, key=lambda vm: vm.name)),
        strays=tuple(sorted(strays, key=lambda stray: stray.layer)),
        blind=(_tell_limits(state, scan), *found.blind),
        unscanned=(_tell_limits(state, scan),),
    )
    return measure_inventory(state, inventory) if sizes else inventory


def _list_known(survey: Survey) -> set[Path]:
    chains = (*survey.chains.values(), *(disk.chain for disk in survey.foreign))
    return {file.path for chain in chains for file in chain}


def _list_shared(survey: Survey, found: Findings) -> frozenset[Path]:
    outside = (file.path for disk in found.disks for file in disk.chain[:-1])
    return survey.read_by_foreign.union(outside)


def _list_unread(survey: Survey, found: Findings) -> tuple[ForeignDisk, ...]:
    disks = (*survey.foreign, *found.disks)
    return tuple(disk for disk in disks if disk.path not in survey.users)


def _tell_limits(state: StateFolder, scan: Scan | None) -> str:
    what = "was not searched for disk files that depend on this machine's clones"
    if scan is None:
        return f"everything outside {state.vms} {what} (``scan`` does that)"
    where = ", ".join(scan.places) or f"{state.root} and the folders of its bases"
    return f"everything outside {state.vms} and {where} {what}"


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
