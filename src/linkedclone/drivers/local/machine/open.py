"""From a VM as it is kept to the machine that runs it."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from linkedclone.drivers.local.machine.memory_admission import admitted
from linkedclone.drivers.local.state.file_names import RUN_FOLDER, VARIABLES_FILE
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.qemu.hardware import UEFI

if TYPE_CHECKING:
    from linkedclone.drivers.local.machine.machine import Machine
    from linkedclone.drivers.local.qmp.merge import LayerMerge
    from linkedclone.drivers.local.qmp.status import MachineState

CONSOLE_LOG_VARIABLE = "LINKEDCLONE_LOCAL_CONSOLE_LOG"
"""Set to ``yes``, the last that guests started now write to their serial consoles is kept."""


class VmMachine(Protocol):
    """What the driver needs of a machine; see ``machine.Machine``."""

    def start(self, deadline_seconds: float) -> None: ...

    def resume(self) -> None: ...

    def snapshot_disks(self, overlays: Mapping[int, Path], *, quiesce: bool = False) -> bool: ...

    def copy_disks(self, targets: Mapping[int, Path], commit: Callable[[bool], None]) -> None: ...

    def merge_layers(self, merge: "LayerMerge", commit: Callable[[bool], None]) -> None: ...

    def read_chains(self) -> Mapping[int, tuple[Path, ...]]: ...

    def cancel_jobs(self) -> None: ...

    def grow_disk(self, capacity_bytes: int, number: int = 0) -> None: ...

    def stop(self) -> None: ...

    def ask_to_stop(self) -> bool: ...

    def observe(self, *, guest: bool = True) -> "MachineState": ...

    def run_command(self, command: Sequence[str], seconds: float) -> int: ...

    def read_files(self, files: Mapping[str, str]) -> Mapping[str, str]: ...


OpenMachine = Callable[[StoredVm], VmMachine]
"""Gives the machine of a VM; touches nothing."""


def open_machine(vm: StoredVm, *, accel: str | None = None) -> "Machine":
    """Return the machine of a VM, to be run by QEMU on this host.

    Args:
        accel: ``kvm`` or ``tcg``, if it is started; None finds out what works.
    """
    from linkedclone.drivers.local.machine.config import MachineConfig
    from linkedclone.drivers.local.machine.machine import Machine

    machine = vm.record.machine
    return Machine(
        vm.folder / RUN_FOLDER,
        MachineConfig(
            name=vm.record.name,
            uuid=vm.record.uuid,
            cpus=machine.cpus,
            memory_bytes=machine.memory_bytes,
            disks=vm.disk_tops,
            cards=machine.cards,
            seed=_optional(vm.folder, machine.seed),
            kernel=_optional(vm.folder, machine.kernel),
            initrd=_optional(vm.folder, machine.initrd),
            append=machine.append,
            variables=vm.folder / VARIABLES_FILE if machine.firmware == UEFI else None,
            display=machine.display,
            console_log=os.environ.get(CONSOLE_LOG_VARIABLE, "no") == "yes",
            accel=accel,
        ),
        # One gate for all VMs of a state folder.
        admit=partial(
            admitted, vm.folder.parent.parent / "starting", vm.record.name, machine.memory_bytes
        ),
    )


def _optional(folder: Path, file_name: str) -> Path | None:
    return folder / file_name if file_name else None
