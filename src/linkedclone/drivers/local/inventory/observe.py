"""Read VMs with their chains and their machines."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from linkedclone.drivers.local.inventory.layer_users import ChainReader, Survey, take_survey
from linkedclone.drivers.local.inventory.vm import (
    Seen,
    assume_shared,
    build_unreadable,
    build_vm,
    needs_survey,
)
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import Stored, StoredVm, load_all
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
