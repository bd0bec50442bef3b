"""Find out which layers a machine has, after a command died while moving it to others.

While a running machine is moved, its record names both layers of each disk: the
old one as ``disk`` and the new one as ``pending``. A command that finds a pending layer
asks the machine which of the two it has. If it does not run any more, the new one
is right in either case: it is empty if the machine never came to it.

While a running machine's disks are copied, its record names each copy as ``copy``.
There the old layer is right if the machine does not run any more: the guest
is paused from before the move onto the copy until the record is replaced, so
until then the old one holds all.

While two layers of a running machine are merged, its record names both as
``merging``. Either way of reading them holds the same all the time: what was
copied down is still covered by the upper layer, and before a guest writes to the
lower one the record is replaced.

A guest that is paused for such a move is resumed; ``halted`` says that it
is paused after the record was replaced.
"""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.machine.open import OpenMachine, observe_runs
from linkedclone.drivers.local.recovery.garbage import drop_layers, list_reached
from linkedclone.drivers.local.state.folder import StateFolder, is_disk_name
from linkedclone.drivers.local.state.record import DiskRecord, VmRecord
from linkedclone.drivers.local.state.staging import at_work_on, register
from linkedclone.drivers.local.state.store import (
    LOCK_NAME,
    LockedVm,
    StoredVm,
    load_all,
    load_vm,
    locked,
    save_record,
    settle_name,
)
from linkedclone.drivers.local.storage.hanging import rehang
from linkedclone.drivers.local.storage.remove_file import remove
from linkedclone.errors import BusyError, HypervisorError, NoSpaceError
from linkedclone.formats.chain import read_chain
from linkedclone.model.values.ids import VmId
from linkedclone.system.locks import is_held

OpenLayers = Mapping[int, tuple[Path, ...]]


def settle(state: StateFolder, machines: OpenMachine, vm: LockedVm) -> LockedVm:
    """Settle one VM whose lock is held; return it as it is then."""
    vm = settle_name(state, vm)
    if not vm.record.unsettled:
        return vm
    # A command that was killed during a snapshot may have left the guest frozen.
    runs = observe_runs(machines, vm, guest=True)
    # Only snapshots without memory do not pause the guest.
    moving = any(disk.pending for disk in vm.record.disks)
    halting = runs and (vm.record.halted or not moving)
    if halting:
        machines(vm).cancel_jobs()
    layers = machines(vm).read_chains() if runs else None
    settled = _settle_layers(state, vm, layers, halted=halting)
    if halting:
        _let_go_on(machines, settled)
    return settled if not halting else save_record(state, settled, _going(settled.record))


def _going(record: VmRecord) -> VmRecord:
    return replace(record, halted=False)


def _let_go_on(machines: OpenMachine, vm: StoredVm) -> None:
    with suppress(NoSpaceError):  # it was paused before, for another reason
        machines(vm).resume()


def _settle_layers(
    state: StateFolder, vm: LockedVm, layers: OpenLayers | None, *, halted: bool
) -> LockedVm:
    disks = vm.record.disks
    if layers is not None and not layers.keys() >= set(range(len(disks))):
        raise HypervisorError(
            f"QEMU does not say which layers it has open of the disks of {vm.record.name}",
            hint="stop it, then try again",
            kind="query-blockstats",
        )
    files = {
        number: _choose(vm, disk, None if layers is None else layers[number][0])
        for number, disk in enumerate(disks)
    }
    left = {name for n, disk in enumerate(disks) for name in _list_left(disk, files[n])}
    record = replace(vm.record.with_files(files), merging=(), halted=halted)
    if vm.record.merging and _is_merged(vm, layers):
        lower, upper = vm.record.merging
        rehang(state, vm, vm.folder / upper, vm.folder / lower)
        record = record.with_renamed_layer(upper, lower)
        left.add(upper)
    left = set(filter(is_disk_name, left.difference(record.files)))
    gone = [vm.folder / name for name in sorted(left)]
    with ExitStack() as stack:
        with suppress(OSError):  # a full disk, which what follows makes room on
            entry = stack.enter_context(at_work_on(state, "settle", vm.id))
            register(state, entry, list_reached(gone) if gone else ())
        settled = _save(state, vm, record, [disk.copy for disk in disks if disk.copy in left])
        if gone:
            drop_layers(state, gone)
    return settled


def _choose(vm: StoredVm, disk: DiskRecord, in_use: Path | None) -> str:
    if in_use is None:
        return disk.pending or disk.file
    lower, upper = vm.record.merging or ("", "")
    merged = lower if disk.file == upper else ""
    for name in filter(None, (disk.file, disk.pending, disk.copy, merged)):
        if _is_same(in_use, vm.folder / name):
            return name
    raise HypervisorError(
        f"{vm.record.name} writes to a layer that it should not have",
        details=str(in_use),
        hint="stop it, then try again",
        kind="query-block",
    )


def _list_left(disk: DiskRecord, chosen: str) -> set[str]:
    """Return the layers that nothing needs if the disk goes on with the chosen one."""
    needed = {chosen}
    if chosen == disk.pending:
        needed.add(disk.file)  # a pending layer depends on it
    return set(disk.files) - needed


def _is_merged(vm: StoredVm, layers: OpenLayers | None) -> bool:
    """Say whether a merge in the middle of a chain came to its end: nothing reads the upper."""
    upper = vm.folder / vm.record.merging[1]
    if upper in vm.disk_tops:
        return False  # the layer that is written to shows that
    if layers is None:
        return all(file.path != upper for top in vm.disk_tops for file in read_chain(top))
    return not any(_is_same(file, upper) for chain in layers.values() for file in chain)


def _save(state: StateFolder, vm: LockedVm, record: VmRecord, copies: list[str]) -> LockedVm:
    try:
        return save_record(state, vm, record)
    except OSError:  # the disk is full, and what fills it are the copies
        for copy in copies:
            remove(vm.folder / copy)
        return save_record(state, vm, record)


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def settle_source(state: StateFolder, machines: OpenMachine, vm: VmId) -> None:
    """Settle a VM that is about to be cloned from, if a killed command left it unsettled."""
    if load_vm(state, vm).record.unsettled:
        with locked(state, vm) as stored:
            settle(state, machines, stored)


def refuse_unsettled(vm: StoredVm) -> None:
    """Refuse to link anything to a VM whose layers are being merged."""
    if vm.record.merging:
        raise BusyError(
            f"layers of {vm.record.name} are being merged",
            hint="repeat the command",
            kind="vm.json",
        )


def settle_all(state: StateFolder, machines: OpenMachine) -> None:
    """Settle all VMs; one that cannot be settled now is left to the next command about it."""
    for vm in load_all(state).vms:
        unsettled = vm.record.unsettled or vm.record.renaming
        # A copy may take long; the command that lives settles it itself.
        if unsettled and not is_held(vm.folder / LOCK_NAME):
            with suppress(HypervisorError), locked(state, vm.id) as stored:
                settle(state, machines, stored)


def resume_halted(state: StateFolder, machines: OpenMachine) -> None:
    """Let guests go on that killed commands left paused; a later command settles their records.

    They may have the old layers or the new ones, and the record names both.
    """
    for vm in load_all(state).vms:
        if vm.record.halted and not is_held(vm.folder / LOCK_NAME):
            with suppress(HypervisorError), locked(state, vm.id) as stored:
                if stored.record.halted and observe_runs(machines, stored):
                    machines(stored).cancel_jobs()
                    _let_go_on(machines, stored)
