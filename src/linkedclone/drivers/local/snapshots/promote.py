"""Make a linked clone a full one: a copy of all that it shares goes into its own folder.

**Off**, the whole chain is copied into one new file in ``staging``; that file is
moved into the VM's folder, the replaced ``vm.json`` is what commits it, and the
old layer goes. A kill before that loses the copy alone, and one after it leaves
the old layer to the next command.

**Off, with snapshots**, only what is shared is copied: the highest layer of others
below each disk, with all below it. Then the VM's own layers depend on the copy in
its place, which the header of the lowest one commits. All that the snapshots froze
stays what it was, for the copy holds the same. A kill in between leaves some disks
on their copies and the rest where it was.

**Running**, QEMU copies the disk into a new file in the VM's folder while the
guest goes on, and then moves the guest onto it. The record names that file as
``copy`` from the beginning, so that it does not look like a leftover; ``settle``
finds out after a kill which of the two the machine has.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from linkedclone.drivers.local.inventory.layer_users import check_disk, take_survey
from linkedclone.drivers.local.inventory.vm import allocated_bytes
from linkedclone.drivers.local.machine.open import OpenMachine, observe_runs
from linkedclone.drivers.local.recovery.garbage import drop_top, list_reached, sweep
from linkedclone.drivers.local.recovery.interrupted_merge import settle
from linkedclone.drivers.local.state.folder import StateFolder, new_disk_name
from linkedclone.drivers.local.state.staging import at_work_on, register
from linkedclone.drivers.local.state.store import LockedVm, StoredVm, load_vm, locked, save_record
from linkedclone.drivers.local.storage.hanging import check_layers, rehang
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.drivers.local.storage.seals import seal_if_possible
from linkedclone.drivers.qemu.qemu_img import refuse_full, run_qemu_img
from linkedclone.errors import HypervisorError, InUseError, RefusedError
from linkedclone.formats.chain import ImageFormat, name_disk, read_chain
from linkedclone.formats.qcow2 import CLUSTER_BYTES
from linkedclone.model.values.ids import VmId
from linkedclone.system.atomic_files import sync_file, sync_folder
from linkedclone.system.locks import hold

_OPTIONS = f"cluster_size={CLUSTER_BYTES},extended_l2=on"
"""The copy is made like our deltas: what a guest scatters over it grows it least."""


def promote_vm(state: StateFolder, machines: OpenMachine, vm: VmId) -> None:
    """Make a VM share nothing with others any more; one that shares nothing counts as done."""
    with at_work_on(state, "promote", vm) as entry, locked(state, vm) as found:
        stored = settle(state, machines, found)
        if not _shares(stored):
            return
        check_disk(state, stored)
        if observe_runs(machines, stored):
            _refuse_snapshots(stored)
            _copy_running(state, machines, stored, entry)
            return
        refuse_writers(stored.tops)
        if stored.record.snapshots:
            _copy_shared(state, stored, entry)
        else:
            _copy(state, stored, entry)


def _shares(vm: StoredVm) -> bool:
    return any(file.path.parent != vm.folder for top in vm.tops for file in read_chain(top))


def _refuse_snapshots(vm: StoredVm) -> None:
    names = [snapshot.name for snapshot in vm.record.snapshots]
    if names:
        name = vm.record.name
        raise RefusedError(
            f"{name} runs and has snapshots, whose layers it has open: {', '.join(names)}",
            hint=f"stop it first, or delete them: ``snapshot delete`` {name} NAME",
        )


# -- off ------------------------------------------------------------------------------


def _copy(state: StateFolder, vm: LockedVm, entry: Path) -> None:
    _refuse_full(vm, vm.disk_tops)
    disks = dict(enumerate(_convert(state, vm, vm.disk_tops, entry)))
    try:
        # From the move to the record the new layers have no name: see ``state.folder``.
        with hold(state.family_lock, shared=True):
            _take_over(state, vm, entry, tuple(disks.values()))
            save_record(state, vm, vm.record.with_files(disks))
    except OSError:
        # Whichever of the layers the record does not name go.
        sweep(state, [*(vm.folder / disk for disk in disks.values()), *list_reached(vm.disk_tops)])
        raise
    drop_top(state, vm)


def _copy_shared(state: StateFolder, vm: LockedVm, entry: Path) -> None:
    for snapshot in vm.record.snapshots:
        for file in snapshot.files:  # a changed layer would be sealed anew below
            check_layers(state, read_chain(vm.folder / file))
    shared = _list_shared(vm)
    _refuse_readers(state, vm)
    _refuse_full(vm, shared)
    copies = _convert(state, vm, shared, entry)
    before = list_reached(vm.tops)
    try:
        # From the move to the change of a header a copy has no name: see ``state.folder``.
        with hold(state.family_lock, shared=True):
            _take_over(state, vm, entry, copies)
            for layer, copy in zip(shared, copies, strict=True):
                rehang(state, vm, layer, vm.folder / copy)
                seal_if_possible(state, vm.folder / copy)
    finally:
        # Layers that were shared, or copies without dependents.
        sweep(state, [*before, *(vm.folder / copy for copy in copies)])


def _refuse_readers(state: StateFolder, vm: StoredVm) -> None:
    """Refuse to change a header below a layer that others read: they may have it open."""
    survey = take_survey(state)
    own = {file.path for top in vm.tops for file in read_chain(top)[:-1]}
    own = {path for path in own if path.parent == vm.folder}
    readers = {one for path in own for one in survey.users.get(path, ())} - {vm.id}
    names = [one.record.name for one in survey.stored.vms if one.id in readers]
    foreign = [disk.path for disk in survey.foreign if disk.hangs_from(own)]
    if names or foreign:
        raise InUseError(
            f"others depend on snapshots of {vm.record.name}",
            dependants=(*names, *map(state.relative, foreign)),
            hint="promote or delete those first",
        )


def _list_shared(vm: StoredVm) -> tuple[Path, ...]:
    """Return the layers of other VMs that this VM depends on."""
    pairs = (pair for top in vm.tops for pair in pairwise(read_chain(top)))
    return tuple(
        dict.fromkeys(
            lower.path
            for lower, upper in pairs
            if lower.path.parent != vm.folder and upper.path.parent == vm.folder
        )
    )


def _convert(
    state: StateFolder, vm: LockedVm, ends: Sequence[Path], entry: Path
) -> tuple[str, ...]:
    copies = tuple(new_disk_name(ImageFormat.QCOW2) for _ in ends)
    for end, copy in zip(ends, copies, strict=True):
        run_qemu_img(build_convert(end, entry / copy), folder=vm.folder, lock=vm.lock)
        if state.durable:
            sync_file(entry / copy)
    return copies


def _take_over(state: StateFolder, vm: StoredVm, entry: Path, copies: Sequence[str]) -> None:
    register(state, entry, [*(vm.folder / copy for copy in copies), *list_reached(vm.tops)])
    for copy in copies:
        (entry / copy).rename(vm.folder / copy)
    if state.durable:
        sync_folder(vm.folder)


def build_convert(top: Path, made: Path) -> tuple[str, ...]:
    return ("convert", "-q", "-O", "qcow2", "-o", _OPTIONS, name_disk(top), str(made))


# -- running --------------------------------------------------------------------------


def _copy_running(state: StateFolder, machines: OpenMachine, vm: LockedVm, entry: Path) -> None:
    chains = {n: read_chain(top) for n, top in enumerate(vm.disk_tops)}
    shared = {n: c for n, c in chains.items() if any(f.path.parent != vm.folder for f in c)}
    # A copy job zeroes the whole file first: an L2 table for every 256 MiB.
    more = sum(
        (allocated_bytes(c[-1].path) or 0) + (c[-1].virtual_bytes >> 12) for c in shared.values()
    )
    _refuse_full(vm, [chain[-2].path for chain in shared.values()], more)
    disks = {number: new_disk_name(ImageFormat.QCOW2) for number in shared}
    targets = {number: vm.folder / disk for number, disk in disks.items()}
    register(state, entry, [*targets.values(), *list_reached(vm.tops)])
    # From here to the record the new files have no name: see ``state.folder``.
    with hold(state.family_lock, shared=True):
        for number, target in targets.items():
            create = build_create(target, shared[number][-1].virtual_bytes)
            run_qemu_img(create, folder=vm.folder, lock=vm.lock)
        copying = save_record(state, vm, vm.record.with_copies(disks))
    moved = vm.record.with_files(disks)

    def commit(ran: bool) -> None:  # noqa: FBT001 - called by the machine
        save_record(state, vm, replace(moved, halted=ran))

    try:
        machines(copying).copy_disks(targets, commit)
        save_record(state, vm, moved)
    except (HypervisorError, OSError):
        # If that fails too, the next command about this VM does it.
        with suppress(HypervisorError, OSError):
            settle(state, machines, replace(copying, record=load_vm(state, vm.id).record))
        raise
    drop_top(state, vm)


def build_create(made: Path, virtual_bytes: int) -> tuple[str, ...]:
    return ("create", "-q", "-f", "qcow2", "-o", _OPTIONS, str(made), str(virtual_bytes))


# -- space ----------------------------------------------------------------------------


def _refuse_full(vm: LockedVm, ends: Sequence[Path], more_bytes: int = 0) -> None:
    """Refuse copies for which there is no room, before they take the room that there is.

    Guests that run would be paused by it.

    Args:
        ends: The ends of chains that can be measured: no process writes to them.
        more_bytes: What the copies take beyond those, at most.
    """
    told = (run_qemu_img(build_measure(end), folder=vm.folder, lock=vm.lock) for end in ends)
    needed = sum(int(json.loads(one)["required"]) for one in told) + more_bytes
    brief = f"there is no room for the disk of {vm.record.name}"
    refuse_full(vm.folder, needed, brief, kind="qemu-img")


def build_measure(end: Path) -> tuple[str, ...]:
    return ("measure", "--output=json", "-O", "qcow2", "-o", _OPTIONS, name_disk(end))
