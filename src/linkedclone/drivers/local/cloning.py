"""Make linked clones, and let them go on with the memory of a snapshot.

An instant clone is a linked clone in all that is on disk. It is loaded, not booted, and is
its parent until the guest has an identity of its own: its cards are down and its mark says
that it is not finished. A kill on the way leaves a clone that is off, or one that runs like
that and is undone by hand.

A spare is an instant clone that stands still before it is given an identity. The clone that
takes it over gives it its own name and mark first, under the spare's lock: so no two take over
the same, and a kill from then on leaves a clone that is not finished.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from linkedclone.drivers.local.guest.forked import (
    give_identity,
    make_host_key,
    plan_identity,
    remember_host_key,
)
from linkedclone.drivers.local.guest.seed import (
    build_seed,
    check_guest,
    name_guest,
    place_guest,
)
from linkedclone.drivers.local.lifecycle.naming import RENAME, give_name
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.open import OpenMachine, observe_power
from linkedclone.drivers.local.placement import check_bridges
from linkedclone.drivers.local.recovery.interrupted_merge import refuse_unsettled
from linkedclone.drivers.local.state.file_names import VARIABLES_FILE
from linkedclone.drivers.local.state.folder import StateFolder, key_of, new_disk_name, new_vm_id
from linkedclone.drivers.local.state.record import DiskRecord, SnapshotRecord, VmRecord
from linkedclone.drivers.local.state.staging import at_work, at_work_on, is_at_work
from linkedclone.drivers.local.state.store import (
    StoredVm,
    load_vm,
    locked,
    name_taken,
    publish_vm,
    save_record,
    take_uuid,
)
from linkedclone.drivers.local.storage.hanging import build_delta
from linkedclone.drivers.local.storage.memory import prepare_loading
from linkedclone.drivers.qemu.hardware import (
    UEFI,
    MachineRecord,
    build_machine,
    check_disks,
    disk_label,
)
from linkedclone.errors import GoneError, PowerOnError
from linkedclone.formats.qcow2 import build_empty, round_to_sectors
from linkedclone.guest.host_key import HostKey
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Power
from linkedclone.system.atomic_files import whole_file, write_new
from linkedclone.system.locks import hold
from linkedclone.system.private_files import PRIVATE_FOLDER

CLONE = "clone"
SEED_FILE = "seed.iso"
_POLL_SECONDS = 0.02
_SEED_ROOM = 64 << 10
"""What the seed of a spare may grow by: its guest sees a disk of the same size."""


def plan_machine(state: StateFolder, step: CreateClone) -> MachineRecord:
    """Return the hardware that a clone would get; its own MAC addresses are others."""
    source = load_vm(state, step.source.id)
    check_disks(len(source.record.disks), step.hardware)
    planned = build_machine(source.record.machine, step.hardware, step.macs, store=state.store)
    check_guest(step.guest, planned)
    if step.instant and step.snapshot is not None:
        prepare_loading(source, find_snapshot(source, step.snapshot.id))
    return planned


@contextmanager
def reserve_name(state: StateFolder, name: str) -> Iterator[Path]:
    """Keep a name for a clone while the block runs; yields a folder to build it in.

    Others that want the name are refused meanwhile, or can wait for the outcome.
    """
    key = key_of(name)
    if state.holder(key) is not None or is_at_work(state, CLONE, key):
        raise name_taken(name)
    with at_work(state, CLONE, key) as (entry, _):
        yield entry


def build_clone(state: StateFolder, step: CreateClone, entry: Path) -> VmId:
    """Make a clone, whole or not at all; return its id.

    The parent's lock is held shared: clones do not wait for each other, only
    for a change of the parent. The family lock is held shared until the clone
    names its base, so the base cannot vanish in between.

    Args:
        step: The clone that is wanted; its snapshot is set.
        entry: The folder to build in; see :func:`reserve_name`.
    """
    with (
        locked(state, step.source.id, shared=True) as source,
        hold(state.family_lock, shared=True),
    ):
        refuse_unsettled(source)
        vm = new_vm_id(step.name)
        built = entry / "vm"
        built.mkdir(mode=PRIVATE_FOLDER)
        disks = _build_disks(state, source, step, built)
        own = take_uuid(state, step.uuid, vm)
        hardware = build_machine(source.record.machine, step.hardware, step.macs, store=state.store)
        check_guest(step.guest, hardware)
        guest = step.guest or name_guest(step.name, own)
        machine = place_guest(replace(hardware, seed=SEED_FILE), guest)
        if machine.firmware == UEFI:
            _copy_variables(state, source.folder, built)
        for file in filter(None, (machine.kernel, machine.initrd)):
            # Shared with the parent, and there as long as one of the two is.
            os.link(source.folder / file, built / file)
        content = build_seed(state, guest, macs=machine.macs, user=machine.login)
        if step.mark.spare:
            content += bytes(_SEED_ROOM)
        seed = whole_file(content)
        write_new(built / machine.seed, seed, durable=state.durable)
        record = VmRecord(
            name=step.name,
            uuid=own,
            disks=disks,
            machine=machine,
            mark=step.born,
            annotation=source.record.annotation if step.annotation is None else step.annotation,
            created=datetime.now(UTC),
        )
        publish_vm(state, built, vm, record)
        return vm


def build_fork(state: StateFolder, machines: OpenMachine, step: CreateClone, entry: Path) -> VmId:
    """Make an instant clone; return its id when it runs with an identity of its own.

    The parent's lock is held shared until the memory is loaded: nothing removes it meanwhile.
    A spare stands still then, and is complete.

    Args:
        step: The clone that is wanted; its snapshot is set, and holds memory.
        entry: The folder to build in; see :func:`reserve_name`.
    """
    with ExitStack() as loading:
        source = loading.enter_context(locked(state, step.source.id, shared=True))
        snapshot = find_snapshot(source, _snapshot_of(step))
        memory = prepare_loading(source, snapshot)
        key = make_host_key(entry)
        vm = build_clone(state, step, entry)
        with locked(state, vm) as clone:
            check_bridges(clone.record.machine)
            machine = _open_like(machines, source, clone)
            try:
                machine.load(memory)
            except PowerOnError as error:
                # The folder with its log goes with a clone that is not kept.
                hint = "clone with ``keep_failed`` to keep all that QEMU said"
                raise PowerOnError(
                    error.brief, details=error.details, hint=hint, kind=error.kind
                ) from error
            loading.close()
            if not step.mark.spare:
                _go_on_as(state, machine, source, clone, step, key)
            save_record(state, clone, replace(clone.record, mark=step.mark))
    return vm


def claim_spare(
    state: StateFolder, machines: OpenMachine, step: CreateClone, entry: Path
) -> VmId | None:
    """Let a spare go on as the clone that is wanted; None if it is a spare no more, or another.

    Args:
        step: The clone that is wanted, with the spare that it takes over.
        entry: The folder of the clone's name; see :func:`reserve_name`.
    """
    vm = step.spare
    if vm is None or not state.exists(vm):
        return None
    with (
        locked(state, step.source.id, shared=True) as source,
        at_work_on(state, RENAME, vm),
        locked(state, vm) as spare,
    ):
        wanted = _plan_claim(state, source, spare, step)
        if wanted is None or observe_power(machines, spare) is not Power.PAUSED:
            return None
        machine = wanted.machine
        guest = step.guest or name_guest(step.name, machine.instance_id)
        seed = build_seed(state, guest, macs=machine.macs, user=machine.login)
        if len(seed) > (spare.folder / machine.seed).stat().st_size:
            return None
        key = make_host_key(entry)
        clone = give_name(state, save_record(state, spare, wanted), step.name, reserved=True)
        # In place: its QEMU has the file open, and the guest reads it again when it boots.
        with (spare.folder / machine.seed).open("r+b") as file:
            file.write(seed)
        _go_on_as(state, _open_like(machines, source, clone), source, clone, step, key)
        mark = replace(step.mark, uuid=clone.record.uuid)
        save_record(state, clone, replace(clone.record, mark=mark))
    return vm


def _plan_claim(
    state: StateFolder, source: StoredVm, spare: StoredVm, step: CreateClone
) -> VmRecord | None:
    """Return what a spare's record is to be from the claim on; None if it does not fit."""
    record, mark = spare.record, spare.record.mark
    if mark is None or not record.spare or record.snapshots or record.unsettled:
        return None
    if (mark.parent_uuid, mark.snapshot) != (step.mark.parent_uuid, step.mark.snapshot):
        return None
    macs = step.macs or record.machine.macs
    hardware = build_machine(source.record.machine, step.hardware, macs, store=state.store)
    guest = step.guest or name_guest(step.name, record.uuid)
    machine = place_guest(replace(hardware, seed=record.machine.seed), guest)
    if machine != replace(record.machine, instance_id=machine.instance_id):
        return None
    return replace(
        record,
        machine=machine,
        mark=replace(step.born, uuid=record.uuid),
        annotation=source.record.annotation if step.annotation is None else step.annotation,
        created=datetime.now(UTC),
    )


def _go_on_as(
    state: StateFolder,
    machine: Machine,
    source: StoredVm,
    clone: StoredVm,
    step: CreateClone,
    key: HostKey,
) -> None:
    """Let a fork that stands still go on, and give it an identity before its cards are up."""
    memory = find_snapshot(source, _snapshot_of(step)).memory
    guest = step.guest or name_guest(step.name, clone.record.machine.instance_id)
    machine.go_on()
    identity = plan_identity(state, source, memory.macs if memory else (), clone, guest, key)
    give_identity(machine, identity)
    remember_host_key(clone, key, durable=state.durable)
    machine.plug_in()


def _open_like(machines: OpenMachine, source: StoredVm, clone: StoredVm) -> Machine:
    """Return a fork's machine as its parent's is: without a seed until it boots, if that had none.

    Its memory would not fit a machine with one disk more.
    """
    if source.record.machine.seed:
        return machines(clone)
    bare = replace(clone.record, machine=replace(clone.record.machine, seed=""))
    return machines(replace(clone, record=bare))


def await_clone(state: StateFolder, name: str) -> VmId:
    """Wait for the clone of this name that another run is creating; return its id."""
    key = key_of(name)
    while True:
        busy = is_at_work(state, CLONE, key)
        # Looked at after that: one that ends in between has its name by now.
        found = state.holder(key)
        if found is not None:
            return found
        if not busy:
            raise GoneError(
                f"{name} does not exist, and no command is making it",
                kind="names",
                hint="repeat the command",
            )
        time.sleep(_POLL_SECONDS)


def _snapshot_of(step: CreateClone) -> SnapshotId:
    if step.snapshot is None:
        raise ValueError("the step's snapshot is not set")
    return step.snapshot.id


def find_snapshot(vm: StoredVm, snapshot: SnapshotId) -> SnapshotRecord:
    for record in vm.record.snapshots:
        if record.id == snapshot:
            return record
    raise GoneError(
        f"the snapshot {snapshot} of {vm.record.name} does not exist any more",
        hint=f"``snapshot list`` {vm.record.name} shows what there is",
        kind="vm.json",
    )


def _build_disks(
    state: StateFolder, source: StoredVm, step: CreateClone, built: Path
) -> tuple[DiskRecord, ...]:
    frozen = find_snapshot(source, _snapshot_of(step))
    check_disks(len(frozen.disks), step.hardware)
    contents = [
        *(build_delta(state, source, file) for file in frozen.files),
        *(build_empty(round_to_sectors(new.capacity_bytes)) for new in step.hardware.disks),
    ]
    disks = []
    for number, content in enumerate(contents):
        disk = DiskRecord(label=disk_label(number), file=new_disk_name("qcow2"))
        write_new(built / disk.file, content, durable=state.durable)
        disks.append(disk)
    return tuple(disks)


def _copy_variables(state: StateFolder, parent: Path, built: Path) -> None:
    """Give a clone the parent's UEFI variables: what boots may be named nowhere else.

    A parent that was never started has none; then they are made at the first start.
    """
    with suppress(FileNotFoundError):
        content = whole_file((parent / VARIABLES_FILE).read_bytes())
        write_new(built / VARIABLES_FILE, content, durable=state.durable)
