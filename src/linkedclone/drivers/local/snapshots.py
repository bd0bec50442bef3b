"""Take, revert to and delete snapshots.

Taking one seals the layer that is written to, where it is, and lets the VM go
on over a new one. What commits each change is the replaced ``vm.json``; the
seal comes after it, see ``seals``.
"""

import secrets
from dataclasses import replace
from datetime import UTC, datetime

from linkedclone.drivers.local.chain import read_chain
from linkedclone.drivers.local.clones import find_snapshot
from linkedclone.drivers.local.consolidate import consolidate
from linkedclone.drivers.local.layers import build_delta, build_delta_over, check_layers
from linkedclone.drivers.local.layout import StateFolder, new_disk_name
from linkedclone.drivers.local.locks import hold
from linkedclone.drivers.local.machines import OpenMachine, VmMachine
from linkedclone.drivers.local.publish import publish_file
from linkedclone.drivers.local.record import SnapshotRecord
from linkedclone.drivers.local.seals import seal_if_possible
from linkedclone.drivers.local.settle import settle
from linkedclone.drivers.local.staging import at_work
from linkedclone.drivers.local.starting import observe_power
from linkedclone.drivers.local.store import LockedVm, locked, save_record
from linkedclone.drivers.local.sweep import drop_top, remove, sweep
from linkedclone.errors import BusyError, GoneError, HypervisorError, RefusedError
from linkedclone.model.ids import SnapshotId, VmId
from linkedclone.model.observed import Power


def create_snapshot(
    state: StateFolder, machines: OpenMachine, vm: VmId, name: str, description: str
) -> SnapshotId:
    """Freeze a VM's disk under a name; return the snapshot's id. A running VM runs on.

    Raises:
        GoneError: The VM does not exist.
        RefusedError: A layer of its chain is missing or changed.
        HypervisorError: The machine refuses to be moved to a new layer.
    """
    with at_work(state, "snapshot", state.link(vm).name), locked(state, vm) as found:
        stored = settle(state, machines, found)
        snapshot = SnapshotRecord(
            id=SnapshotId(f"snapshot-{secrets.token_hex(6)}"),
            name=name,
            file=stored.record.disk,
            created=datetime.now(UTC),
            description=description,
        )
        machine = machines(stored)
        # From here to the record the new layer has no name: see layout.
        with hold(state.family_lock, shared=True):
            disk = _publish_next(state, stored)
            if observe_power(machines, stored) is not Power.OFF:
                stored = _move_running(state, machine, stored, disk)
            frozen = stored.top
            snapshots = (*stored.record.snapshots, snapshot)
            record = replace(stored.record, disk=disk, pending="", snapshots=snapshots)
            save_record(state, stored, record)
        seal_if_possible(state, frozen)
        return snapshot.id


def _publish_next(state: StateFolder, vm: LockedVm) -> str:
    """Make an empty layer over the VM's disk; return its file name."""
    chain = read_chain(vm.top)
    check_layers(state, chain[:-1])
    if chain[-1].missing:
        raise RefusedError(
            f"the disk of {vm.record.name} is missing",
            details=str(vm.top),
            hint="put the file back in its place",
        )
    disk = new_disk_name("qcow2")
    publish_file(vm.folder / disk, build_delta_over(chain[-1], vm), durable=state.durable)
    return disk


def _move_running(state: StateFolder, machine: VmMachine, vm: LockedVm, disk: str) -> LockedVm:
    """Let a running machine go on in a new layer; see ``settle`` for what a kill leaves."""
    before = vm.record
    moving = save_record(state, vm, replace(before, pending=disk))
    try:
        machine.snapshot_disk(vm.folder / disk)
    except HypervisorError as error:
        if not isinstance(error, GoneError | BusyError):  # it refused, and has the old layer
            save_record(state, moving, before)
            remove(vm.folder / disk)
        raise
    return moving


def revert_snapshot(
    state: StateFolder, machines: OpenMachine, vm: VmId, snapshot: SnapshotId
) -> None:
    """Put a VM back to a snapshot; what it wrote since is lost.

    A running VM is stopped hard first: a snapshot holds no memory, so after it
    the VM is off, as on vSphere.

    Raises:
        GoneError: The VM or the snapshot does not exist.
        RefusedError: A layer below the snapshot is missing or changed.
    """
    with at_work(state, "revert", state.link(vm).name), locked(state, vm) as found:
        stored = settle(state, machines, found)
        frozen = find_snapshot(stored, snapshot)
        if observe_power(machines, stored) is not Power.OFF:
            machines(stored).stop(force=True)
        with hold(state.family_lock, shared=True):
            disk = new_disk_name("qcow2")
            delta = build_delta(state, stored, frozen.file)
            publish_file(stored.folder / disk, delta, durable=state.durable)
            save_record(state, stored, replace(stored.record, disk=disk))
        drop_top(state, stored)


def delete_snapshot(
    state: StateFolder, machines: OpenMachine, vm: VmId, snapshot: SnapshotId
) -> None:
    """Take a snapshot's name away; absent counts as done.

    Its layer stays if anything else reads it, or the VM runs; else it is merged
    with the one above. A layer that stayed is merged by a later deletion.

    Raises:
        BusyError: Another command works on the VM.
    """
    try:
        with at_work(state, "delete-snapshot", state.link(vm).name), locked(state, vm) as found:
            stored = settle(state, machines, found)
            left = tuple(s for s in stored.record.snapshots if s.id != snapshot)
            if len(left) == len(stored.record.snapshots):
                return
            stored = save_record(state, stored, replace(stored.record, snapshots=left))
            if observe_power(machines, stored) is Power.OFF:
                consolidate(state, stored)
            sweep(state)
    except GoneError:
        return
