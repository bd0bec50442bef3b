"""From VMs as they are kept to VMs as everybody sees them. Pure but for file sizes."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from linkedclone.drivers.local.inventory.layer_users import Chain, build_chain_reader
from linkedclone.drivers.local.machine.logs import measure_logs
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.file_names import RUN_FOLDER
from linkedclone.drivers.local.state.folder import (
    STORE_NAME,
    VMS,
    StateFolder,
    is_disk_name,
    read_vm_link,
)
from linkedclone.drivers.local.state.record import NEWER, DiskRecord, SnapshotRecord, VmRecord
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.local.storage.memory import find_stale
from linkedclone.errors import HypervisorError
from linkedclone.model.request import DEFAULT_OWNER
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Disk, Layer, Mark, Power, Snapshot, SnapshotMemory, Vm

FOLDER_PATH = "/vm"
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was read for one or more VMs."""

    chains: Mapping[Path, Chain]  # the chain of each end, base first
    users: Mapping[Path, set[VmId]]  # the VMs that read each file, as far as they were looked at
    foreign: frozenset[Path] = frozenset()  # what foreign files read, as far as they were looked at
    with_snapshot_disks: bool = True  # whether snapshots are wanted with their disks


def build_vm(state: StateFolder, vm: StoredVm, seen: Seen, machine: MachineState) -> Vm:
    record = vm.record
    own, shared = _measure(vm, seen)
    return Vm(
        id=vm.id,
        name=record.name,
        uuid=record.uuid,
        path=f"{FOLDER_PATH}/{record.name}",
        home=(state.store, f"{VMS}/{vm.id}"),
        power=machine.power,
        disks=_build_disks(state, vm, record.disks, seen),
        snapshots=_build_snapshots(state, vm, seen),
        mark=record.mark,
        host_name=machine.host_name,
        addresses=tuple(machine.addresses),
        ssh=machine.ssh,
        tools_running=machine.agent,
        own_bytes=own,
        shared_bytes=shared,
        log_bytes=measure_logs(vm.folder / RUN_FOLDER),
        created=_find_birth(vm),
        macs=record.machine.macs,
        # What its NoCloud seed says, see ``clones``; an image's parent has none.
        instance_id=(record.machine.instance_id or record.uuid) if record.machine.seed else "",
        customization=machine.customization,
        customization_error=machine.customization_error,
        cpus=record.machine.cpus,
        memory_bytes=record.machine.memory_bytes,
        booted=machine.booted,
        trouble="" if is_waiting(record, machine) else tell_trouble(record.name, machine),
    )


def is_waiting(record: VmRecord, machine: MachineState) -> bool:
    """Say whether a VM is a spare that stands still, as it should."""
    return record.spare and machine.power is Power.PAUSED


def tell_trouble(name: str, machine: MachineState) -> str:
    """Say why a machine does not run as it should, and what to do; empty if nothing is wrong."""
    start = f"``start`` {name}"
    match machine.power:
        case Power.PAUSED:
            first = "free some space" if "full" in machine.reason else "when that is mended"
            return f"paused: {machine.reason}; {first}, then continue it with: {start}"
        case Power.OFF if machine.last_words:
            return f"ended without having been stopped: {machine.last_words}"
        case Power.UNKNOWN:
            return machine.reason
        case _:
            return ""


def build_unreadable(state: StateFolder, vm: VmId, why: HypervisorError) -> Vm:
    """Build what can be said of a VM whose record cannot be read: that it is there, and why not.

    Its disk files say what they depend on, whatever the record said of them. Of a
    folder that is missing it is known that it holds nothing: such a VM is broken,
    but nothing of it is hidden.
    """
    name, folder = state.link(vm).name, state.folder(vm)
    links = (link for link in state.uuids.iterdir() if read_vm_link(link) == vm)
    uuid = next((link.name for link in links), "")
    # Where nothing is left, there is nothing that was not made here.
    gone = bool(uuid) and not os.path.lexists(folder)
    return Vm(
        id=vm,
        name=name,
        uuid=uuid,
        path=f"{FOLDER_PATH}/{name}",
        home=(state.store, f"{VMS}/{vm}"),
        power=Power.OFF if gone else Power.UNKNOWN,
        disks=_find_disks(state, folder),
        mark=Mark(owner=DEFAULT_OWNER, uuid=uuid) if gone else None,
        trouble=f"{why}; {why.hint}",
        unreadable="" if not os.path.lexists(folder) else str(why),
        remedy=why.hint if why.kind == NEWER else "",
    )


def _find_disks(state: StateFolder, folder: Path) -> tuple[Disk, ...]:
    """Read the ends of all chains of ours in a folder, as far as they can be read."""
    reader, chains = build_chain_reader(), dict[Path, Chain]()
    for path in sorted(folder.glob("disk-*")):
        if is_disk_name(path.name):
            with suppress(HypervisorError, OSError):
                chains[path] = reader(path)
    below = {file.path for chain in chains.values() for file in chain[:-1]}
    return tuple(
        _build_disk(state, path.name, chain) for path, chain in chains.items() if path not in below
    )


def _find_birth(vm: StoredVm) -> datetime | None:
    """Return when a VM was made; for older records when its seed or first snapshot was."""
    record = vm.record
    if record.created is not None or not record.machine.seed:
        return record.created or min((s.created for s in record.snapshots), default=None)
    with suppress(OSError):
        written = (vm.folder / record.machine.seed).stat().st_mtime
        return datetime.fromtimestamp(written, tz=UTC)
    return None


def _build_disks(
    state: StateFolder, vm: StoredVm, disks: Sequence[DiskRecord], seen: Seen
) -> tuple[Disk, ...]:
    return tuple(
        _build_disk(state, disk.label, seen.chains[vm.folder / disk.file]) for disk in disks
    )


def _build_disk(state: StateFolder, label: str, chain: Chain) -> Disk:
    return Disk(
        label=label,
        chain=build_layers(state, chain),
        capacity_bytes=chain[-1].virtual_bytes,
        hidden=chain[0].missing,  # what was below is not known
    )


def build_layers(state: StateFolder, chain: Chain) -> tuple[Layer, ...]:
    """Build what is seen of a chain; a file outside of the state folder has its absolute path."""
    return tuple(
        Layer(store=state.store, path=state.relative(file.path), store_name=STORE_NAME)
        for file in chain
    )


def _build_snapshots(state: StateFolder, vm: StoredVm, seen: Seen) -> tuple[Snapshot, ...]:
    """Build the tree from the first disk's chains: a snapshot follows those below its own."""
    ends = {vm.folder / record.files[0]: record for record in vm.record.snapshots}
    below_top = [file.path for file in seen.chains[vm.top][:-1] if file.path in ends]
    ordered = sorted(ends, key=lambda end: (len(seen.chains[end]), ends[end].created))
    return tuple(
        Snapshot(
            id=ends[end].id,
            name=ends[end].name,
            path="/".join(record.name for record in _ancestry(seen.chains[end], ends)),
            created=ends[end].created,
            current=below_top[-1:] == [end],
            disks=_build_disks(state, vm, ends[end].disks, seen)
            if seen.with_snapshot_disks
            else None,
            description=ends[end].description,
            memory=_build_memory(vm, ends[end]),
        )
        for end in ordered
    )


def _build_memory(vm: StoredVm, snapshot: SnapshotRecord) -> SnapshotMemory | None:
    if snapshot.memory is None:
        return None
    used = sum(allocated_bytes(vm.folder / file) or 0 for file in snapshot.memory.files)
    return SnapshotMemory(size_bytes=used, stale=find_stale(vm, snapshot))


def _ancestry(chain: Chain, ends: Mapping[Path, SnapshotRecord]) -> tuple[SnapshotRecord, ...]:
    return tuple(ends[file.path] for file in chain if file.path in ends)


def _measure(vm: StoredVm, seen: Seen) -> tuple[int, int]:
    """Return the bytes on disk that this VM alone reads, and those that others read too."""
    own = shared = 0
    files = {file.path for end in vm.tops for file in seen.chains[end] if not file.missing}
    for path in files:
        used = allocated_bytes(path) or 0
        if path in seen.foreign or seen.users.get(path, set()) - {vm.id}:
            shared += used
        else:
            own += used
    own += sum(allocated_bytes(path) or 0 for path in vm.memory)
    return own, shared


def allocated_bytes(path: Path) -> int | None:
    """Return what a file occupies; None if it is missing or not readable."""
    try:
        return path.stat().st_blocks * _BLOCK_BYTES
    except OSError:
        return None


def needs_survey(state: StateFolder, vm: StoredVm, chains: Mapping[Path, Chain]) -> bool:
    """Say whether only a look at all VMs tells what this one shares.

    Not for the usual clone: the layers below its own belong to VMs that exist.
    """
    folders = {file.path.parent for top in vm.disk_tops for file in chains[top][:-1]}
    if vm.record.snapshots or vm.folder in folders:
        return True
    return not all(state.exists(VmId(folder.name)) for folder in folders)


def assume_shared(vm: StoredVm, chains: Mapping[Path, Chain]) -> dict[Path, set[VmId]]:
    """Return the users of a usual clone's layers: those below belong to others too."""
    below = (file.path for top in vm.disk_tops for file in chains[top][:-1])
    users = {path: {vm.id, VmId(path.parent.name)} for path in below}
    return {**users, **{top: {vm.id} for top in vm.disk_tops}}
