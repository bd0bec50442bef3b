"""Machines that a killed command was just starting: QEMU lives, but does not listen yet.

Such a machine looks as if it were off. To start it once more would take the
sockets away from the first QEMU, and to delete it would leave a QEMU behind
that nobody can reach. So whoever is about to change a machine that looks off
makes sure first that no QEMU is coming up in its folder, which is QEMU's
working directory; one that does listens after 50 to 90 ms.
"""

import time

from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.machine.process import runs_in
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.state.file_names import RUN_FOLDER
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.errors import HypervisorError
from linkedclone.model.vm import Power

DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.02


def observe_surely(machines: OpenMachine, vm: StoredVm, *, guest: bool = False) -> MachineState:
    """Look at a machine; one that is coming up is waited for.

    Args:
        guest: Whether its guest is asked too, which thaws one that was left frozen.
    """
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
    """Say whether a VM runs, or is coming up."""
    return observe_surely(machines, vm).power
