"""Take, revert to and delete snapshots.

Taking one seals the layer that is written to, where it is, and lets the VM go
on over a new one. What commits each change is the replaced ``vm.json``; the
seal comes after it, see ``seals``.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from linkedclone.drivers.local.cloning import find_snapshot
from linkedclone.drivers.local.guest.forked import set_clock
from linkedclone.drivers.local.machine.arguments import Loading
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.open import OpenMachine, observe_runs, stop_hard
from linkedclone.drivers.local.recovery.garbage import drop_top, list_reached, sweep
from linkedclone.drivers.local.recovery.interrupted_merge import settle
from linkedclone.drivers.local.snapshots.consolidate import consolidate
from linkedclone.drivers.local.state.folder import StateFolder, new_disk_name
from linkedclone.drivers.local.state.record import DiskRecord, SnapshotRecord
from linkedclone.drivers.local.state.ssh import forget_host_key
from linkedclone.drivers.local.state.staging import at_work_on, register
from linkedclone.drivers.local.state.store import LockedVm, StoredVm, locked, save_record
from linkedclone.drivers.local.storage.hanging import build_delta, build_delta_over, check_layers
from linkedclone.drivers.local.storage.image_lock import kept_from_writers, refuse_writers
from linkedclone.drivers.local.storage.memory import prepare_loading
from linkedclone.drivers.local.storage.remove_file import remove
from linkedclone.drivers.local.storage.seals import is_sealed, seal_if_possible
from linkedclone.errors import (
    BusyError,
    GoneError,
    HypervisorError,
    RefusedError,
)
from linkedclone.formats.chain import read_chain
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.system.atomic_files import publish_file
from linkedclone.system.locks import hold


def create_snapshot(
    state: StateFolder,
    machines: OpenMachine,
    vm: VmId,
    name: str,
    description: str,
    *,
    quiesce: bool = False,
) -> SnapshotId:
    """Freeze a VM's disks under a name; return the snapshot's id. A running VM runs on.

    One of that name that a killed command took and did not seal is taken up, as
    long as nothing was written since.

    Args:
        quiesce: Whether it is taken only if the file systems of a running guest can
            be brought to rest for it; else they are where that is possible.
    """
    with at_work_on(state, "snapshot", vm) as entry, locked(state, vm) as found:
        stored = settle(state, machines, found)
        unfinished = _find_unfinished(stored, name)
        if unfinished is not None:
            for file in unfinished.files:
                seal_if_possible(state, stored.folder / file)
            return unfinished.id
        snapshot = build_snapshot(stored, name, description)
        frozen = stored.disk_tops
        runs = observe_runs(machines, stored)
        # From here to the record the new layers have no name: see ``state.folder``.
        with kept_from_writers(() if runs else frozen), hold(state.family_lock, shared=True):
            disks = publish_next(state, stored, entry)
            if runs:
                stored = _move_running(state, machines, stored, disks, quiesce=quiesce)
            snapshots = (*stored.record.snapshots, snapshot)
            record = replace(stored.record.with_files(disks), snapshots=snapshots)
            save_record(state, stored, record)
        for layer in frozen:
            seal_if_possible(state, layer)
        return snapshot.id


def build_snapshot(vm: StoredVm, name: str, description: str) -> SnapshotRecord:
    """Build the record of a snapshot of the layers that a VM writes to now."""
    return SnapshotRecord(
        id=SnapshotId(f"snapshot-{secrets.token_hex(6)}"),
        name=name,
        disks=tuple(DiskRecord(label=disk.label, file=disk.file) for disk in vm.record.disks),
        created=datetime.now(UTC),
        description=description,
    )


def _find_unfinished(vm: StoredVm, name: str) -> SnapshotRecord | None:
    """Return the newest snapshot if it has this name, lacks a seal, and holds what the VM holds."""
    newest = vm.record.snapshots[-1:]
    for snapshot in newest:
        frozen = [vm.folder / file for file in snapshot.files]
        if (
            snapshot.name == name
            and len(frozen) == len(vm.disk_tops)
            and not all(map(is_sealed, frozen))
            and all(
                _is_new(top, layer, vm) for top, layer in zip(vm.disk_tops, frozen, strict=True)
            )
        ):
            return snapshot
    return None


def _is_new(top: Path, frozen: Path, vm: StoredVm) -> bool:
    """Say whether a layer depends on another one, and nothing was written to it yet."""
    chain = read_chain(top)
    if [layer.path for layer in chain[-2:]] != [frozen, top] or chain[0].missing:
        return False
    wanted = build_delta_over(chain[-2], vm)
    return top.stat().st_size == wanted.length and top.read_bytes() == wanted.to_bytes()


def publish_next(state: StateFolder, vm: LockedVm, entry: Path) -> dict[int, str]:
    """Make an empty layer over each of the VM's disks; return their file names by disk."""
    chains = [read_chain(top) for top in vm.disk_tops]
    for chain in chains:
        check_layers(state, chain[:-1])
        if chain[-1].missing:
            raise RefusedError(
                f"the disk of {vm.record.name} is missing",
                details=str(chain[-1].path),
                hint="put the file back in its place",
            )
    disks = {number: new_disk_name("qcow2") for number in range(len(chains))}
    register(state, entry, [vm.folder / disk for disk in disks.values()])
    for number, chain in enumerate(chains):
        delta = build_delta_over(chain[-1], vm)
        publish_file(vm.folder / disks[number], delta, durable=state.durable)
    return disks


def _move_running(
    state: StateFolder,
    machines: OpenMachine,
    vm: LockedVm,
    disks: Mapping[int, str],
    *,
    quiesce: bool,
) -> LockedVm:
    """Let a running machine go on in new layers; see ``settle`` for what a kill leaves."""
    before = vm.record
    moving = save_record(state, vm, before.with_pending(disks))
    overlays = {number: vm.folder / disk for number, disk in disks.items()}
    try:
        machines(vm).snapshot_disks(overlays, quiesce=quiesce)
    except (HypervisorError, RefusedError) as error:
        if not isinstance(error, GoneError | BusyError):  # it refused, and has the old layers
            save_record(state, moving, before)
            for overlay in overlays.values():
                remove(overlay)
        raise
    return moving


def revert_snapshot(
    state: StateFolder, machines: OpenMachine, vm: VmId, snapshot: SnapshotId
) -> None:
    """Put a VM back to a snapshot; what it wrote since is lost.

    A running VM is stopped hard first. It runs again if the snapshot holds memory that can
    still be loaded; else it is off then, as on vSphere.
    """
    with at_work_on(state, "revert", vm) as entry, locked(state, vm) as found:
        find_snapshot(found, snapshot)
        stop_hard(machines, found)
        stored = settle(state, machines, found)
        chosen = find_snapshot(stored, snapshot)
        frozen = chosen.disks
        refuse_writers(stored.disk_tops)
        forget_host_key(stored.folder)
        with hold(state.family_lock, shared=True):
            deltas = [build_delta(state, stored, below.file) for below in frozen]
            disks = [replace(below, file=new_disk_name("qcow2")) for below in frozen]
            made = [stored.folder / disk.file for disk in disks]
            register(state, entry, [*made, *list_reached(stored.disk_tops)])
            for path, delta in zip(made, deltas, strict=True):
                publish_file(path, delta, durable=state.durable)
            record = replace(stored.record, disks=tuple(disks))
            reverted = save_record(state, stored, record)
        drop_top(state, stored)
        loading = None
        with suppress(RefusedError):  # no memory, or none that can be loaded: it stays off
            loading = prepare_loading(reverted, chosen)
        if loading is not None:
            bring_back(machines(reverted), loading)


def bring_back(machine: Machine, loading: Loading) -> None:
    """Let a VM go on from the memory of its own snapshot, with its clock set if that works."""
    machine.load(loading)
    machine.plug_in()
    machine.go_on()
    set_clock(machine)


def delete_memory(
    state: StateFolder, machines: OpenMachine, vm: VmId, snapshot: SnapshotId
) -> None:
    """Take a snapshot's memory away; absent counts as done. Forks that run have it open still."""
    with at_work_on(state, "delete-memory", vm) as entry, locked(state, vm) as found:
        stored = settle(state, machines, found)
        kept = tuple(
            replace(s, memory=None) if s.id == snapshot else s for s in stored.record.snapshots
        )
        if kept != stored.record.snapshots:
            register(state, entry, stored.memory)
            save_record(state, stored, replace(stored.record, snapshots=kept))
            sweep(state, stored.memory)


def delete_snapshot(
    state: StateFolder, machines: OpenMachine, vm: VmId, snapshot: SnapshotId
) -> None:
    """Take a snapshot's name away, and its memory; absent counts as done.

    Its layers stay if anything else reads them; else each is merged with the one
    above, also while the VM runs. What a killed or failed command left unmerged is
    merged by a later deletion.
    """
    with (
        suppress(GoneError),
        at_work_on(state, "delete-snapshot", vm) as entry,
        locked(state, vm) as found,
    ):
        stored = settle(state, machines, found)
        left = tuple(s for s in stored.record.snapshots if s.id != snapshot)
        if len(left) == len(stored.record.snapshots):
            return
        memory = [stored.folder / file for file in stored.record.memory_files]
        reached = (*list_reached(stored.tops), *memory)
        if not observe_runs(machines, stored):
            refuse_writers(p for p in reached if p.parent == stored.folder and p not in memory)
        register(state, entry, reached)
        stored = save_record(state, stored, replace(stored.record, snapshots=left))
        consolidate(state, machines, stored)
        sweep(state, reached)
