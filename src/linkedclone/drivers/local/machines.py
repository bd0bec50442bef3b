"""From a VM as it is kept to the machine that runs it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from linkedclone.drivers.local.chain import format_by_suffix
from linkedclone.drivers.local.store import StoredVm
from linkedclone.errors import HypervisorError

if TYPE_CHECKING:
    from linkedclone.drivers.local.machine import Machine, MachineState

RUN_FOLDER = "run"


class VmMachine(Protocol):
    """What the driver needs of a machine; see ``machine.Machine``."""

    def start(self, deadline_seconds: float) -> None:
        """Start it; return when it answers."""

    def resume(self) -> None:
        """Let it go on after it paused."""

    def snapshot_disk(self, new_overlay: Path) -> bool:
        """Let it go on writing in an overlay that exists already over its present disk."""

    def copy_disk(self, target: Path, commit: Callable[[], None]) -> None:
        """Copy its whole disk while it runs, and let it go on in the copy."""

    def cancel_copy(self) -> None:
        """End a copy that is under way."""

    def grow_disk(self, capacity_bytes: int) -> None:
        """Make its disk larger while it runs."""

    def stop(self, *, force: bool) -> None:
        """Stop it; return when it has stopped."""

    def observe(self) -> "MachineState":
        """Look at it; never raises."""


OpenMachine = Callable[[StoredVm], VmMachine]
"""Gives the machine of a VM; touches nothing."""


def open_machine(vm: StoredVm, *, accel: str | None = None) -> "Machine":
    """Return the machine of a VM, to be run by QEMU on this host.

    Args:
        vm: The VM.
        accel: ``kvm`` or ``tcg``, if it is started; None finds out what works.
    """
    from linkedclone.drivers.local.machine import Machine
    from linkedclone.drivers.local.machine.config import MachineConfig

    machine = vm.record.machine
    return Machine(
        vm.folder / RUN_FOLDER,
        MachineConfig(
            name=vm.record.name,
            uuid=vm.record.uuid,
            cpus=machine.cpus,
            memory_bytes=machine.memory_bytes,
            disk=vm.top,
            disk_format=format_by_suffix(vm.top),
            mac=machine.mac,
            seed=_optional(vm.folder, machine.seed),
            kernel=_optional(vm.folder, machine.kernel),
            initrd=_optional(vm.folder, machine.initrd),
            append=machine.append,
            accel=accel,
        ),
    )


def _optional(folder: Path, file_name: str) -> Path | None:
    return folder / file_name if file_name else None


def read_current_disk(vm: StoredVm) -> Path | None:
    """Ask a running machine which layer it writes to; None if it does not run.

    QMP: ``query-block``, ``inserted.file`` of the disk's backend.

    Raises:
        BusyError: It does not answer in time.
        EndpointError: Another machine answers.
    """
    from linkedclone.drivers.local.machine.arguments import DISK_DEVICE
    from linkedclone.drivers.local.machine.lock import hold_lock
    from linkedclone.drivers.local.machine.machine import LOCK
    from linkedclone.drivers.local.machine.session import ANSWER_SECONDS, Session, with_session

    async def ask(session: Session) -> Path | None:
        for device in await session.monitor.execute("query-block"):
            if device["device"] == DISK_DEVICE and "inserted" in device:
                return Path(parse_file_name(device["inserted"]["file"]))
        return None

    folder = vm.folder / RUN_FOLDER
    with hold_lock(folder / LOCK, deadline_seconds=ANSWER_SECONDS):
        return with_session(folder, vm.record.uuid, ask)


def parse_file_name(told: str) -> str:
    """Return the file that QEMU means. Pure.

    After a disk was moved to another layer, QEMU 7.2 tells the whole tree as
    ``json:{…}``, because the backing file it has open and the one that the
    header names were given in different words.
    """
    if not told.startswith("json:"):
        return told
    node: object = json.loads(told.removeprefix("json:"))
    while isinstance(node, dict) and "filename" not in node:
        node = node.get("file")
    if not isinstance(node, dict):
        raise HypervisorError(
            "QEMU does not say which file it writes to",
            details=told,
            hint="stop the VM, then try again",
        )
    return str(node["filename"])
