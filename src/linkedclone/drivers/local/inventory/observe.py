"""Find VMs by what people call them; read some, or the whole state folder with all its files."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.inventory.foreign_files import ForeignDisk
from linkedclone.drivers.local.inventory.layer_users import Survey, build_chain_reader, take_survey
from linkedclone.drivers.local.inventory.orphans import build_abandoned, build_foreign, find_orphans
from linkedclone.drivers.local.inventory.scan import Findings, scan_places
from linkedclone.drivers.local.inventory.vm import (
    FOLDER_PATH,
    Seen,
    allocated_bytes,
    assume_shared,
    build_unreadable,
    build_vm,
    needs_survey,
)
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.folder import STORE_NAME, StateFolder, key_of, read_vm_link
from linkedclone.drivers.local.state.store import Stored, StoredVm, load_all
from linkedclone.drivers.rules.refusals import no_such_vms
from linkedclone.errors import HypervisorError
from linkedclone.model.inventory import Inventory, LayerFile, Store
from linkedclone.model.request import Scan
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Layer, Power, Vm

_THREADS = 8


def observe_some(
    state: StateFolder,
    machines: OpenMachine | None,
    ids: Sequence[VmId],
    *,
    with_snapshot_disks: bool = False,
    guests: bool = True,
) -> tuple[Vm, ...]:
    """Read these VMs, in this order; those that are gone are left out."""
    stored = load_all(state, dict.fromkeys(ids))
    reader, foreign = build_chain_reader(), frozenset[Path]()
    try:
        chains = {top: reader(top) for vm in stored.vms for top in vm.tops}
        usual = not any(needs_survey(state, vm, chains) for vm in stored.vms)
    except (HypervisorError, OSError):
        usual, chains = False, {}
    if usual:
        users = {
            path: users for vm in stored.vms for path, users in assume_shared(vm, chains).items()
        }
    else:
        survey = take_survey(state)
        chains, users, foreign = survey.chains, survey.users, survey.read_by_foreign
        stored = _still_there(stored, survey)
    seen = Seen(
        chains=chains, users=users, foreign=foreign, with_snapshot_disks=with_snapshot_disks
    )
    unreadable = tuple(build_unreadable(state, vm, why) for vm, why in stored.unreadable)
    return build_all(state, machines, stored.vms, seen, guests=guests) + unreadable


def _still_there(stored: Stored, survey: Survey) -> Stored:
    """Take the VMs as the survey saw them, so that they fit its chains."""
    seen = {vm.id: vm for vm in survey.stored.vms}
    vms = tuple(seen[vm.id] for vm in stored.vms if vm.id in seen)
    return Stored(vms=vms, unreadable=stored.unreadable)


def build_all(
    state: StateFolder,
    machines: OpenMachine | None,
    vms: Sequence[StoredVm],
    seen: Seen,
    *,
    guests: bool = True,
) -> tuple[Vm, ...]:
    """Build what is seen of VMs, with a look at the machine of each, and at its guest if wanted.

    Without ``machines`` none is looked at, and whether they run is unknown.
    """
    unasked = MachineState(power=Power.UNKNOWN)

    def build(vm: StoredVm) -> Vm:
        seen_now = unasked if machines is None else machines(vm).observe(guest=guests)
        return build_vm(state, vm, seen, seen_now)

    if len(vms) < 2 or machines is None:
        return tuple(map(build, vms))
    # A running machine takes a while to answer; one that is off takes none.
    with ThreadPoolExecutor(_THREADS) as pool:
        return tuple(pool.map(build, vms))


def find_vms(state: StateFolder, refs: Sequence[str]) -> list[VmId]:
    found = {ref: _find_vm(state, ref) for ref in refs}
    missing = [ref for ref, vm in found.items() if vm is None]
    if missing:
        raise no_such_vms(missing)
    return [vm for ref in refs if (vm := found[ref]) is not None]


def _find_vm(state: StateFolder, ref: str) -> VmId | None:
    name = ref.removeprefix(f"{FOLDER_PATH}/")
    found = None if "/" in name else state.find(key_of(name))
    if found is None and "/" not in ref:
        found = read_vm_link(state.uuids / ref.lower())
    return found if found is not None and state.exists(found) else None


def find_names(state: StateFolder, names: Sequence[str]) -> tuple[VmId, ...]:
    """Return the VMs that have these names, leaving out names that no VM has."""
    found = (state.find(key_of(name)) for name in names)
    return tuple(vm for vm in found if vm is not None)


def observe_all(
    state: StateFolder,
    machines: OpenMachine | None,
    *,
    sizes: bool = False,
    scan: Scan | None = None,
    guests: bool = True,
) -> Inventory:
    """Read all VMs, by name, with the stray files among theirs.

    A VM whose record is unreadable is there with its name alone.

    Args:
        machines: Gives the machines to look at; None looks at none.
        sizes: Whether the sizes of files and of the file system are wanted.
        scan: Where to look for more stray files.
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
