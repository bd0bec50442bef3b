"""From a VM as it is kept to the machine that runs it, and whether that runs.

A machine that a killed command was just starting looks as if it were off: QEMU lives, but
does not listen yet. To start it once more would take the sockets away from the first QEMU,
and to delete it would leave a QEMU behind that no command can reach. So a command about to
change a machine that looks off makes sure first that no QEMU is coming up in its folder,
which is QEMU's working directory; one that does listens after 50 to 90 ms.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from linkedclone.drivers.local.machine.arguments import (
    MachineConfig,
    build_arguments,
    build_shape,
)
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.memory_admission import admitted
from linkedclone.drivers.local.machine.process import runs_in
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.file_names import RUN_FOLDER, VARIABLES_FILE
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.qemu.hardware import UEFI
from linkedclone.errors import HypervisorError
from linkedclone.model.vm import Power

DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.02
CONSOLE_LOG_VARIABLE = "LINKEDCLONE_LOCAL_CONSOLE_LOG"
"""Set to ``yes``, the last that guests started now write to their serial consoles is kept."""


OpenMachine = Callable[[StoredVm], Machine]
"""Gives the machine of a VM; touches nothing."""


def open_machine(vm: StoredVm, *, accel: str | None = None) -> Machine:
    """Return the machine of a VM, to be run by QEMU here; without ``accel`` with what works."""
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
        admit=partial(admitted, vm.folder.parent.parent / "starting", vm.record.name),
    )


def _optional(folder: Path, file_name: str) -> Path | None:
    return folder / file_name if file_name else None


def observe_surely(machines: OpenMachine, vm: StoredVm, *, guest: bool = False) -> MachineState:
    """Look at a machine, waiting for one that comes up; ``guest`` thaws one left frozen."""
    machine, folder = machines(vm), vm.folder / RUN_FOLDER
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (state := machine.observe(guest=guest)).power is Power.OFF and runs_in(folder):
        if time.monotonic() >= deadline:
            raise HypervisorError(
                f"QEMU runs for {vm.record.name}, but does not answer",
                details=f"its working directory is {folder}",
                hint="end that process",
                kind="QMP",
            )
        time.sleep(_POLL_SECONDS)
    return state


def stop_hard(machines: OpenMachine, vm: StoredVm) -> None:
    """Stop a machine, whatever its QEMU and its guest say; off already is done.

    One that is seen to run is not looked at first: a silent QEMU costs one patience.
    """
    machine = machines(vm)
    if runs_in(vm.folder / RUN_FOLDER) or machine.observe(guest=False).power is not Power.OFF:
        machine.stop()


def observe_runs(machines: OpenMachine, vm: StoredVm, *, guest: bool = False) -> bool:
    """Say whether a VM runs, or is coming up; ``guest`` as in :func:`observe_surely`."""
    state = observe_surely(machines, vm, guest=guest)
    if state.power is Power.UNKNOWN:
        raise HypervisorError(
            f"the QEMU of {vm.record.name} does not answer as it should",
            details=state.reason,
            hint="try again if this machine is busy, or stop the VM hard: "
            f"``stop`` {vm.record.name}",
            kind="QMP",
        )
    return state.power is not Power.OFF


def observe_power(machines: OpenMachine, vm: StoredVm) -> Power:
    return observe_surely(machines, vm).power


def find_shape(vm: StoredVm, disks: int) -> str:
    """Return the digest of a VM's hardware with so many disks; see ``arguments.build_shape``."""
    config = open_machine(vm).config
    firmware = Path("firmware") if config.variables else None
    return build_shape(build_arguments(config, [""] * disks, accel="tcg", firmware=firmware))
