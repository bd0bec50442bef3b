"""Machines that a killed command was just starting: QEMU lives, but does not listen yet.

Such a machine looks as if it were off. To start it once more would take the
sockets away from the first QEMU, and to delete it would leave a QEMU behind
that nobody can reach. So whoever is about to change a machine that looks off
makes sure first that no QEMU is coming up in its folder, which is QEMU's
working directory; one that does listens after 50 to 90 ms.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from linkedclone.drivers.local.machine.config import MachineState
from linkedclone.drivers.local.machines import RUN_FOLDER, OpenMachine
from linkedclone.drivers.local.store import StoredVm
from linkedclone.errors import BusyError
from linkedclone.model.observed import Power

DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.02
_PROCESSES = Path("/proc")


def observe_surely(machines: OpenMachine, vm: StoredVm) -> MachineState:
    """Look at a machine; one that is coming up is waited for.

    Raises:
        BusyError: It neither answers nor ends.
    """
    machine, deadline = machines(vm), time.monotonic() + DEADLINE_SECONDS
    while (state := machine.observe()).power is Power.OFF and runs_in(vm.folder / RUN_FOLDER):
        if time.monotonic() >= deadline:
            raise BusyError(
                f"QEMU runs for {vm.record.name}, but does not answer",
                details=f"its working directory is {vm.folder / RUN_FOLDER}",
                hint="end that process",
                kind="QMP",
            )
        time.sleep(_POLL_SECONDS)
    return state


def observe_power(machines: OpenMachine, vm: StoredVm) -> Power:
    """Say whether a VM runs, or is coming up."""
    return observe_surely(machines, vm).power


def runs_in(folder: Path) -> bool:
    """Say whether a QEMU of this user has its working directory there."""
    return next(find_processes(folder), None) is not None


def find_processes(folder: Path) -> Iterator[int]:
    """Find the QEMUs of this user that have their working directory there."""
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return
    for entry in _PROCESSES.iterdir():
        if entry.name.isdigit() and _is_qemu_in(entry, wanted):
            yield int(entry.name)


def _is_qemu_in(process: Path, wanted: os.stat_result) -> bool:
    try:
        seen = (process / "cwd").stat()
        if not os.path.samestat(seen, wanted):
            return False
        return (process / "comm").read_text().startswith("qemu-system")
    except OSError:  # another user's, or ended meanwhile
        return False
