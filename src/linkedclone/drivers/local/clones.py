"""Make linked clones."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from linkedclone.drivers.local.layers import build_delta
from linkedclone.drivers.local.layout import StateFolder, key_of, new_disk_name, new_vm_id
from linkedclone.drivers.local.locks import hold
from linkedclone.drivers.local.publish import whole_file, write_new
from linkedclone.drivers.local.record import MachineRecord, SnapshotRecord, VmRecord
from linkedclone.drivers.local.seeds import build_seed
from linkedclone.drivers.local.staging import at_work, is_at_work
from linkedclone.drivers.local.store import StoredVm, locked, name_taken, publish_vm, take_uuid
from linkedclone.errors import GoneError, InputError
from linkedclone.model.ids import SnapshotId, VmId
from linkedclone.model.observed import Mark
from linkedclone.model.plan import CreateClone
from linkedclone.model.spec import Hardware

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
        mac: The MAC address that it is given; empty for a fresh one.
    """

    source: VmId
    snapshot: SnapshotId
    name: str
    uuid: str
    mark: Mark
    hardware: Hardware
    annotation: str | None = None
    mac: str = ""

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
            mac="".join(step.macs),
        )


def check_macs(step: CreateClone) -> None:
    """Refuse more MAC addresses than a clone here has cards.

    Raises:
        InputError: There are more.
    """
    if len(step.macs) > 1:
        brief = f"{step.name} is given {len(step.macs)} MAC addresses, and has one card here"
        raise InputError(brief, hint="give one")


@contextmanager
def reserve_name(state: StateFolder, name: str) -> Iterator[Path]:
    """Keep a name for a clone while the block runs; yields a folder to build it in.

    Others that want the name are refused meanwhile, or can wait for the outcome.

    Raises:
        DuplicateNameError: The name is taken, or kept by somebody else.
        OSError: It cannot be written.
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

    Raises:
        DuplicateNameError: The name is taken.
        GoneError: The parent or the snapshot is gone.
        RefusedError: A layer below is missing or changed.
        OSError: It cannot be written.
    """
    with (
        locked(state, wanted.source, shared=True) as source,
        hold(state.family_lock, shared=True),
    ):
        vm = new_vm_id(wanted.name)
        delta = build_delta(state, source, find_snapshot(source, wanted.snapshot).file)
        built = entry / "vm"
        built.mkdir()
        disk = new_disk_name("qcow2")
        write_new(built / disk, delta, durable=state.durable)
        own = take_uuid(state, wanted.uuid, vm)
        machine = _build_machine(source, wanted)
        for file in filter(None, (machine.kernel, machine.initrd)):
            # Shared with the parent, and there as long as one of the two is.
            os.link(source.folder / file, built / file)
        seed = build_seed(state, name=wanted.name, instance_id=own, user=machine.user)
        write_new(built / machine.seed, whole_file(seed), durable=state.durable)
        record = VmRecord(
            name=wanted.name,
            uuid=own,
            disk=disk,
            machine=machine,
            mark=wanted.mark,
            annotation=_annotation(source, wanted),
            created=datetime.now(UTC),
        )
        publish_vm(state, built, vm, record)
        return vm


def await_clone(state: StateFolder, name: str) -> VmId:
    """Wait for the clone of this name that somebody else is making; return its id.

    Raises:
        GoneError: It is not there, and nobody is making it.
    """
    key = key_of(name)
    while True:
        busy = is_at_work(state, CLONE, key)
        # Looked at after that: one that ends in between has its name by now.
        found = state.holder(key)
        if found is not None:
            return found
        if not busy:
            raise GoneError(
                f"{name} is not there, and nobody is making it",
                kind="names",
                hint="repeat the command",
            )
        time.sleep(_POLL_SECONDS)


def find_snapshot(vm: StoredVm, snapshot: SnapshotId) -> SnapshotRecord:
    """Find a snapshot of a VM.

    Raises:
        GoneError: It has none of this id.
    """
    for record in vm.record.snapshots:
        if record.id == snapshot:
            return record
    raise GoneError(
        f"the snapshot {snapshot} of {vm.record.name} does not exist any more",
        hint=f"linkedclone snapshot list {vm.record.name} shows what there is",
        kind="vm.json",
    )


def _annotation(source: StoredVm, wanted: NewClone) -> str:
    return source.record.annotation if wanted.annotation is None else wanted.annotation


def _build_machine(source: StoredVm, wanted: NewClone) -> MachineRecord:
    parent = source.record.machine
    return replace(
        parent,
        cpus=wanted.hardware.cpus or parent.cpus,
        memory_bytes=wanted.hardware.memory_bytes or parent.memory_bytes,
        mac=wanted.mac or new_mac(),
        seed=SEED_FILE,
    )


def new_mac() -> str:
    """Return a MAC address that no VM anywhere has: locally administered, 40 random bits."""
    return ":".join(f"{byte:02x}" for byte in (0x02, *secrets.token_bytes(5)))
