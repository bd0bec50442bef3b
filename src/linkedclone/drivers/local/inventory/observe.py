"""Find VMs by what people call them, and read them with their chains and their machines."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from linkedclone.drivers.local.inventory.layer_users import ChainReader, Survey, take_survey
from linkedclone.drivers.local.inventory.vm import (
    FOLDER_PATH,
    Seen,
    assume_shared,
    build_unreadable,
    build_vm,
    needs_survey,
)
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.folder import StateFolder, key_of, read_vm_link
from linkedclone.drivers.local.state.store import Stored, StoredVm, load_all
from linkedclone.drivers.rules.refusals import no_such_vms
from linkedclone.errors import HypervisorError
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm

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
    reader, foreign = ChainReader(), frozenset[Path]()
    try:
        chains = {top: reader.read(top) for vm in stored.vms for top in vm.tops}
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
    """Find VMs by name, path or UUID."""
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
