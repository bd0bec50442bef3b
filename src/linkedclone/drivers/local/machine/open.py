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
from linkedclone.formats.chain import format_by_suffix

if TYPE_CHECKING:
    from linkedclone.drivers.local.machine import Machine, MachineState
    from linkedclone.drivers.local.qmp.merge import LayerMerge

CONSOLE_LOG_VARIABLE = "LINKEDCLONE_LOCAL_CONSOLE_LOG"
"""Set to ``yes``, the last that guests started now write to their serial consoles is kept."""


class VmMachine(Protocol):
    """What the driver needs of a machine; see ``machine.Machine``."""

    def start(self, deadline_seconds: float) -> None:
        """Start it; return when it answers."""

    def resume(self) -> None:
        """Let it go on after it paused."""

    def snapshot_disks(self, overlays: Mapping[int, Path], *, quiesce: bool = False) -> bool:
        """Let it go on writing in overlays that exist already over its present disks."""

    def copy_disks(self, targets: Mapping[int, Path], commit: Callable[[bool], None]) -> None:
        """Copy its disks whole while it runs, and let it go on in the copies."""

    def merge_layers(self, merge: "LayerMerge", commit: Callable[[bool], None]) -> None:
        """Merge two layers of a disk while it runs."""

    def read_chains(self) -> Mapping[int, tuple[Path, ...]]:
        """Return the layers that it has open of each disk, the one it writes to first."""

    def cancel_jobs(self) -> None:
        """End copies and merges that are under way."""

    def grow_disk(self, capacity_bytes: int, number: int = 0) -> None:
        """Make one of its disks larger while it runs; they are counted from 0."""

    def stop(self, *, force: bool) -> None:
        """Stop it; return when it has stopped."""

    def ask_to_stop(self) -> bool:
        """Ask the guest to shut down, and return at once; False if it cannot hear."""

    def observe(self, *, guest: bool = True) -> "MachineState":
        """Look at it, and if wanted ask its guest too; never raises."""

    def run_command(self, command: Sequence[str], seconds: float) -> int:
        """Run a command in its guest; return its exit status."""

    def read_files(self, files: Mapping[str, str]) -> Mapping[str, str]:
        """Read small files of its guest, each by what it is called; empty if nobody answers."""


OpenMachine = Callable[[StoredVm], VmMachine]
"""Gives the machine of a VM; touches nothing."""


def open_machine(vm: StoredVm, *, accel: str | None = None) -> "Machine":
    """Return the machine of a VM, to be run by QEMU on this host.

    Args:
        vm: The VM.
        accel: ``kvm`` or ``tcg``, if it is started; None finds out what works.
    """
    from linkedclone.drivers.local.machine import Machine
    from linkedclone.drivers.local.machine.config import DataDisk, MachineConfig
    from linkedclone.drivers.qemu.networks import Card, parse_network

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
            data_disks=tuple(
                DataDisk(file=top, format=format_by_suffix(top)) for top in vm.disk_tops[1:]
            ),
            cards=tuple(
                Card(
                    mac=card.mac,
                    network=parse_network(card.network),
                    group=card.group,
                    address=card.address,
                    gateway=card.gateway,
                )
                for card in machine.cards
            ),
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
