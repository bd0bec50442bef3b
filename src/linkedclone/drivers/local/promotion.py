"""Make a linked clone a full one: a copy of all that it shares goes into its own folder.

**Off**, the whole chain is copied into one new file in ``staging``; that file is
moved into the VM's folder, the replaced ``vm.json`` is what commits it, and the
old layer goes. A kill before that loses the copy alone, and one after it leaves
the old layer to the next command.

**Running**, QEMU copies the disk into a new file in the VM's folder while the
guest goes on, and then moves the guest onto it. The record names that file as
``copy`` from the beginning, so that nobody takes it for a leftover; ``settle``
finds out after a kill which of the two the machine has.
"""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.chain import ImageFormat, format_by_suffix, read_chain
from linkedclone.drivers.local.inventory import allocated_bytes
from linkedclone.drivers.local.layers import check_disk
from linkedclone.drivers.local.layout import StateFolder, new_disk_name
from linkedclone.drivers.local.locks import hold
from linkedclone.drivers.local.machines import OpenMachine
from linkedclone.drivers.local.publish import sync_folder
from linkedclone.drivers.local.qcow2 import CLUSTER_BYTES
from linkedclone.drivers.local.settle import settle
from linkedclone.drivers.local.staging import at_work
from linkedclone.drivers.local.starting import observe_power
from linkedclone.drivers.local.store import LockedVm, StoredVm, locked, save_record
from linkedclone.drivers.local.sweep import drop_top, sweep
from linkedclone.drivers.local.tool import free_bytes, run_qemu_img
from linkedclone.errors import HypervisorError, NoSpaceError, RefusedError
from linkedclone.model.ids import VmId
from linkedclone.model.observed import Power
from linkedclone.model.sizes import render_size

_OPTIONS = f"cluster_size={CLUSTER_BYTES},extended_l2=on"
"""The copy is made like our deltas: what a guest scatters over it grows it least."""


def promote_vm(state: StateFolder, machines: OpenMachine, vm: VmId) -> None:
    """Make a VM share nothing with others any more; one that shares nothing counts as done.

    Raises:
        GoneError: It does not exist.
        RefusedError: It has snapshots, or a layer below it is missing or changed.
        InUseError: A foreign file hangs from its disk.
        NoSpaceError: The copy does not fit; the VM is as it was.
        HypervisorError: QEMU or qemu-img failed; the VM is as it was.
    """
    with at_work(state, "promote", state.link(vm).name) as entry, locked(state, vm) as found:
        stored = settle(state, machines, found)
        if not _shares(stored):
            return
        _refuse_snapshots(stored)
        check_disk(state, stored)
        if observe_power(machines, stored) is Power.OFF:
            _copy(state, stored, entry)
        else:
            _copy_running(state, machines, stored)


def _shares(vm: StoredVm) -> bool:
    """Say whether anything that the VM reads lies outside of its own folder."""
    return any(file.path.parent != vm.folder for top in vm.tops for file in read_chain(top))


def _refuse_snapshots(vm: StoredVm) -> None:
    names = [snapshot.name for snapshot in vm.record.snapshots]
    if names:
        name = vm.record.name
        raise RefusedError(
            f"{name} has snapshots, and what they froze cannot be rewritten: {', '.join(names)}",
            hint=f"delete them first: linkedclone snapshot delete {name} NAME",
        )


# -- off ------------------------------------------------------------------------------


def _copy(state: StateFolder, vm: LockedVm, entry: Path) -> None:
    _refuse_full(vm, vm.top)
    disk = new_disk_name(ImageFormat.QCOW2)
    made = entry / disk
    run_qemu_img(build_convert(vm.top, made), folder=vm.folder, lock=vm.lock)
    if state.durable:
        _sync(made)
    try:
        # From the move to the record the new layer has no name: see layout.
        with hold(state.family_lock, shared=True):
            made.rename(vm.folder / disk)
            if state.durable:
                sync_folder(vm.folder)
            save_record(state, vm, replace(vm.record, disk=disk))
    except OSError:
        sweep(state)  # whichever of the two layers the record does not name goes
        raise
    drop_top(state, vm)


def build_convert(top: Path, made: Path) -> tuple[str, ...]:
    """Build qemu-img's arguments for a copy of a whole chain. Pure."""
    image_format = format_by_suffix(top).value
    return ("convert", "-q", "-f", image_format, "-O", "qcow2", "-o", _OPTIONS, str(top), str(made))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- running --------------------------------------------------------------------------


def _copy_running(state: StateFolder, machines: OpenMachine, vm: LockedVm) -> None:
    chain = read_chain(vm.top)
    # The copy job zeroes the whole file first: an L2 table for every 256 MiB.
    tables = chain[-1].virtual_bytes >> 12
    _refuse_full(vm, chain[-2].path, (allocated_bytes(vm.top) or 0) + tables)
    disk = new_disk_name(ImageFormat.QCOW2)
    # From here to the record the new file has no name: see layout.
    with hold(state.family_lock, shared=True):
        create = build_create(vm.folder / disk, chain[-1].virtual_bytes)
        run_qemu_img(create, folder=vm.folder, lock=vm.lock)
        copying = save_record(state, vm, replace(vm.record, copy=disk))

    def commit() -> None:
        save_record(state, vm, replace(vm.record, disk=disk))

    try:
        machines(copying).copy_disk(vm.folder / disk, commit)
    except (HypervisorError, OSError):
        # If that fails too, the next command about this VM does it.
        with suppress(HypervisorError, OSError):
            settle(state, machines, copying)
        raise
    drop_top(state, vm)


def build_create(made: Path, virtual_bytes: int) -> tuple[str, ...]:
    """Build qemu-img's arguments for an empty disk that hangs from nothing. Pure."""
    return ("create", "-q", "-f", "qcow2", "-o", _OPTIONS, str(made), str(virtual_bytes))


# -- space ----------------------------------------------------------------------------


def _refuse_full(vm: LockedVm, end: Path, more_bytes: int = 0) -> None:
    """Refuse a copy for which there is no room, before it takes the room that there is.

    Guests that run would be paused by it.

    Args:
        vm: The VM.
        end: The end of a chain that can be measured: nobody writes to it.
        more_bytes: What the copy takes beyond that, at most.

    Raises:
        NoSpaceError: It would not fit.
    """
    told = run_qemu_img(build_measure(end), folder=vm.folder, lock=vm.lock)
    needed, free = int(json.loads(told)["required"]) + more_bytes, free_bytes(vm.folder)
    if needed > free:
        raise NoSpaceError(
            f"there is no room for the disk of {vm.record.name}",
            details=f"{render_size(needed)} are needed, and {render_size(free)} are free",
            hint="free some space",
            kind="qemu-img",
        )


def build_measure(end: Path) -> tuple[str, ...]:
    """Build qemu-img's arguments for measuring what a copy of a chain would take. Pure."""
    image_format = format_by_suffix(end).value
    return (
        *("measure", "--output=json", "-f", image_format, "-O", "qcow2", "-o", _OPTIONS),
        str(end),
    )
