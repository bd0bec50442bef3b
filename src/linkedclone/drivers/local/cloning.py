"""Make linked clones."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from linkedclone.drivers.local.guest.seed import (
    build_seed,
    check_guest,
    name_guest,
    place_guest,
)
from linkedclone.drivers.local.recovery.interrupted_merge import refuse_unsettled
from linkedclone.drivers.local.state.file_names import VARIABLES_FILE
from linkedclone.drivers.local.state.folder import StateFolder, key_of, new_disk_name, new_vm_id
from linkedclone.drivers.local.state.record import DiskRecord, SnapshotRecord, VmRecord
from linkedclone.drivers.local.state.staging import at_work, is_at_work
from linkedclone.drivers.local.state.store import (
    StoredVm,
    load_vm,
    locked,
    name_taken,
    publish_vm,
    take_uuid,
)
from linkedclone.drivers.local.storage.new_layer import build_delta
from linkedclone.drivers.qemu.hardware import (
    UEFI,
    MachineRecord,
    build_machine,
    check_disks,
    disk_label,
)
from linkedclone.errors import GoneError
from linkedclone.formats.qcow2 import build_empty, round_to_sectors
from linkedclone.model.guest import Guest
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import Hardware
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Mark
from linkedclone.system.atomic_files import whole_file, write_new
from linkedclone.system.locks import hold
from linkedclone.system.private_files import PRIVATE_FOLDER

CLONE = "clone"
SEED_FILE = "seed.iso"
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClone:
    """A clone that is wanted.

    Attributes:
        source: The parent.
        snapshot: What it hangs from.
        name: Its name.
        uuid: Its UUID.
        mark: What it carries from birth.
        hardware: What differs from the parent's hardware.
        annotation: Its notes; None keeps the parent's.
        macs: The MAC addresses of its first cards, as far as they are given.
        guest: Who its guest is to be; None names it after the clone.
    """

    source: VmId
    snapshot: SnapshotId
    name: str
    uuid: str
    mark: Mark
    hardware: Hardware
    annotation: str | None = None
    macs: tuple[str, ...] = ()
    guest: Guest | None = None

    @classmethod
    def from_step(cls, step: CreateClone) -> "NewClone":
        """Take from a step what a clone here needs."""
        if step.snapshot is None:
            raise ValueError("the step's snapshot is not set")
        return cls(
            source=step.source.id,
            snapshot=step.snapshot.id,
            name=step.name,
            uuid=step.uuid,
            mark=step.mark,
            hardware=step.hardware,
            annotation=step.annotation,
            macs=step.macs,
            guest=step.guest,
        )


def plan_machine(state: StateFolder, step: CreateClone) -> MachineRecord:
    """Return the hardware that a clone would get; its own MAC addresses are others."""
    source = load_vm(state, step.source.id).record
    check_disks(len(source.disks), step.hardware)
    planned = build_machine(source.machine, step.hardware, step.macs, store=state.store)
    check_guest(step.guest, planned)
    return planned


@contextmanager
def reserve_name(state: StateFolder, name: str) -> Iterator[Path]:
    """Keep a name for a clone while the block runs; yields a folder to build it in.

    Others that want the name are refused meanwhile, or can wait for the outcome.
    """
    key = key_of(name)
    if state.holder(key) is not None or is_at_work(state, CLONE, key):
        raise name_taken(name)
    with at_work(state, CLONE, key) as entry:
        yield entry


def build_clone(state: StateFolder, wanted: NewClone, entry: Path) -> VmId:
    """Make a clone, whole or not at all; return its id.

    The parent's lock is held shared: clones do not wait for each other, only
    for a change of the parent. The family lock is held shared until the clone
    names its base, so the base cannot vanish in between.

    Args:
        state: The state folder.
        wanted: The clone.
        entry: The folder to build in; see :func:`reserve_name`.
    """
    with (
        locked(state, wanted.source, shared=True) as source,
        hold(state.family_lock, shared=True),
    ):
        refuse_unsettled(source)
        vm = new_vm_id(wanted.name)
        built = entry / "vm"
        built.mkdir(mode=PRIVATE_FOLDER)
        disks = _build_disks(state, source, wanted, built)
        own = take_uuid(state, wanted.uuid, vm)
        hardware = build_machine(
            source.record.machine, wanted.hardware, wanted.macs, store=state.store
        )
        guest = wanted.guest or name_guest(wanted.name, own)
        machine = place_guest(replace(hardware, seed=SEED_FILE), guest)
        if machine.firmware == UEFI:
            _copy_variables(state, source.folder, built)
        for file in filter(None, (machine.kernel, machine.initrd)):
            # Shared with the parent, and there as long as one of the two is.
            os.link(source.folder / file, built / file)
        seed = whole_file(build_seed(state, guest, macs=machine.macs, user=machine.login))
        write_new(built / machine.seed, seed, durable=state.durable)
        record = VmRecord(
            name=wanted.name,
            uuid=own,
            disks=disks,
            machine=machine,
            mark=wanted.mark,
            annotation=_annotation(source, wanted),
            created=datetime.now(UTC),
        )
        publish_vm(state, built, vm, record)
        return vm


def await_clone(state: StateFolder, name: str) -> VmId:
    """Wait for the clone of this name that somebody else is making; return its id."""
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


def find_snapshot(vm: StoredVm, snapshot: SnapshotId) -> SnapshotRecord:
    """Find a snapshot of a VM."""
    for record in vm.record.snapshots:
        if record.id == snapshot:
            return record
    raise GoneError(
        f"the snapshot {snapshot} of {vm.record.name} does not exist any more",
        hint=f"``snapshot list`` {vm.record.name} shows what there is",
        kind="vm.json",
    )


def _annotation(source: StoredVm, wanted: NewClone) -> str:
    return source.record.annotation if wanted.annotation is None else wanted.annotation


def _build_disks(
    state: StateFolder, source: StoredVm, wanted: NewClone, built: Path
) -> tuple[DiskRecord, ...]:
    """Make a delta over each disk that the snapshot froze, and the empty disks that are added."""
    frozen = find_snapshot(source, wanted.snapshot)
    check_disks(len(frozen.disks), wanted.hardware)
    contents = [
        *(build_delta(state, source, file) for file in frozen.files),
        *(build_empty(round_to_sectors(new.capacity_bytes)) for new in wanted.hardware.disks),
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
