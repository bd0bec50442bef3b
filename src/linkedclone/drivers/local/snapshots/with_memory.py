"""Take snapshots of running VMs with their memory, and bring VMs back running from them.

The guest stands still only while its memory and devices are written to a stream, with its
disks moved to new layers at that instant. It runs on while the stream is turned into the
two files that forks are loaded from. The replaced ``vm.json`` that names both and the
snapshot comes last. A kill before that leaves no snapshot, and a layer more in the VM's
chains, which a later deletion merges; the stream and the files go with the command's entry.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from linkedclone.drivers.local.machine.accelerator import digest_host_cpu
from linkedclone.drivers.local.machine.arguments import Loading, build_shape
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.memory_writer import no_room, write_memory
from linkedclone.drivers.local.machine.open import (
    OpenMachine,
    find_shape,
    observe_power,
    open_machine,
)
from linkedclone.drivers.local.qmp.answers import QEMU, refuse_answer
from linkedclone.drivers.local.qmp.migration import Captured
from linkedclone.drivers.local.recovery.interrupted_merge import settle
from linkedclone.drivers.local.snapshots.consolidate import consolidate
from linkedclone.drivers.local.snapshots.snapshots import build_snapshot, publish_next
from linkedclone.drivers.local.state.folder import StateFolder, new_memory_names
from linkedclone.drivers.local.state.record import MemoryRecord, SnapshotRecord, is_machine
from linkedclone.drivers.local.state.staging import at_work_on, register
from linkedclone.drivers.local.state.store import LockedVm, load_vm, locked, save_record
from linkedclone.drivers.local.storage.memory import hash_state, seal_memory
from linkedclone.drivers.local.storage.seals import seal_if_possible, seal_path
from linkedclone.drivers.qemu.qemu_img import is_full, refuse_full
from linkedclone.errors import LinkedCloneError, RefusedError
from linkedclone.formats.chain import read_chain
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Power
from linkedclone.system.atomic_files import sync_file, sync_folder
from linkedclone.system.locks import hold
from linkedclone.system.private_files import PRIVATE_FOLDER

_STREAM = "stream"
_ASIDE = "aside"


def create_with_memory(
    state: StateFolder, machines: OpenMachine, vm: VmId, name: str, description: str
) -> SnapshotId:
    """Freeze a running VM's disks and memory under a name; return the snapshot's id."""
    with at_work_on(state, "snapshot", vm) as entry, locked(state, vm) as found:
        stored = settle(state, machines, found)
        machine = machines(stored)
        arguments = _require_like(machines, stored, machine)
        brief = f"there is no room for the memory of {stored.record.name}"
        # The stream and the file of it are there at the same time.
        refuse_full(entry, 2 * stored.record.machine.memory_bytes, brief)
        frozen = stored.disk_tops
        snapshot = build_snapshot(stored, name, description)
        try:
            stored, captured = _capture(state, machines, stored, entry)
            memory = _write_memory(state, stored, entry, captured, arguments)
            _publish(state, stored, entry, replace(snapshot, memory=memory))
        except (LinkedCloneError, OSError):
            with suppress(LinkedCloneError, OSError):  # a later deletion does it
                consolidate(state, machines, replace(stored, record=load_vm(state, vm).record))
            raise
        for layer in frozen:
            seal_if_possible(state, layer)
        return snapshot.id


def _require_like(machines: OpenMachine, vm: LockedVm, machine: Machine) -> tuple[str, ...]:
    """Return what a VM's QEMU was started with; one that was started otherwise is refused."""
    name = vm.record.name
    power = observe_power(machines, vm)
    if power is not Power.ON:
        why = "is paused: its guest cannot answer" if power is Power.PAUSED else "does not run"
        raise RefusedError(
            f"{name} {why}, so its memory cannot be kept",
            hint=f"``start`` {name}, or take the snapshot of its disks alone",
        )
    arguments = machine.read_arguments()
    if build_shape(arguments) != find_shape(vm, len(vm.record.disks)):
        raise RefusedError(
            f"{name} does not run with the hardware that it would be started with now",
            details="it was forked and has not booted since, was started by an older version of "
            "linkedclone, or has other hardware since",
            hint=f"``stop`` and ``start`` {name}: its memory can be kept then",
        )
    return arguments


def _capture(
    state: StateFolder, machines: OpenMachine, vm: LockedVm, entry: Path
) -> tuple[LockedVm, Captured]:
    """Write the stream; the VM goes on in new layers then."""
    before = vm.record
    with hold(state.family_lock, shared=True):
        disks = publish_next(state, vm, entry)
        # A kill may leave the guest paused: see ``settle``.
        moving = save_record(state, vm, replace(before.with_pending(disks), halted=True))
        overlays = {number: vm.folder / disk for number, disk in disks.items()}
        try:
            captured = machines(vm).capture(overlays, entry / _STREAM)
            if not is_machine(captured.machine, captured.qemu):  # a guest may speak for its QEMU
                raise refuse_answer(QEMU, "its type of machine, or its version")
        except (LinkedCloneError, OSError) as error:
            full = is_full(entry)
            with suppress(LinkedCloneError, OSError):  # the next command does it
                settle(state, machines, moving)
            if full:
                raise no_room(before.name, str(error)) from error
            raise
        return save_record(state, moving, replace(before.with_files(disks), halted=False)), captured


def _write_memory(
    state: StateFolder,
    vm: LockedVm,
    entry: Path,
    captured: Captured,
    arguments: tuple[str, ...],
) -> MemoryRecord:
    """Turn the stream into the files of a snapshot's memory, in the command's entry."""
    ram, devices = new_memory_names()
    told = _read_options(arguments)
    machine = vm.record.machine
    accel = told["-accel"].partition(",")[0]
    loading = Loading(
        ram=entry / ram,
        state=entry / _STREAM,
        machine=captured.machine,
        cpu=told["-cpu"],
        accel=accel,
        user_networks=sum(argument.startswith("user,") for argument in arguments),
    )
    aside = entry / _ASIDE
    aside.mkdir(mode=PRIVATE_FOLDER)
    sizes = [read_chain(top)[-1].virtual_bytes for top in vm.disk_tops]
    write_memory(aside, open_machine(vm).config, loading, sizes, entry / devices)
    (entry / _STREAM).unlink()
    for file in (entry / ram, entry / devices):
        if state.durable:
            sync_file(file)
        seal_memory(state, file)
    return MemoryRecord(
        ram=ram,
        state=devices,
        state_sha256=hash_state(entry / devices),
        machine=captured.machine,
        qemu=captured.qemu,
        accel=accel,
        cpu=told["-cpu"],
        host_cpu=digest_host_cpu(accel),
        shape=build_shape(arguments),
        cpus=machine.cpus,
        memory_bytes=machine.memory_bytes,
        macs=machine.macs,
        user_networks=loading.user_networks,
    )


def _read_options(arguments: tuple[str, ...]) -> Mapping[str, str]:
    return dict(pairwise(arguments))


def _publish(state: StateFolder, vm: LockedVm, entry: Path, snapshot: SnapshotRecord) -> None:
    """Let the record name the snapshot, and the files of its memory, which get their places."""
    files = snapshot.memory.files if snapshot.memory else ()
    register(state, entry, [vm.folder / file for file in files])
    with hold(state.family_lock, shared=True):
        for path in (entry / file for file in files):
            # A seal alone would not be found by its registered file.
            path.rename(vm.folder / path.name)
            seal_path(path).rename(seal_path(vm.folder / path.name))
        if state.durable:
            sync_folder(vm.folder)
        snapshots = (*vm.record.snapshots, snapshot)
        save_record(state, vm, replace(vm.record, snapshots=snapshots))
