"""Delete VMs, and keep the layers that others read."""

from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.machines import OpenMachine
from linkedclone.drivers.local.staging import at_work
from linkedclone.drivers.local.starting import observe_power
from linkedclone.drivers.local.store import locked, withdraw_vm
from linkedclone.drivers.local.sweep import remove_withdrawn
from linkedclone.errors import GoneError, HypervisorError
from linkedclone.model.ids import VmId
from linkedclone.model.observed import Power


def delete_vm(state: StateFolder, machines: OpenMachine, vm: VmId) -> None:
    """Delete a VM that is off; one that is absent counts as deleted.

    Its name is free from the moment it is withdrawn; what remains of its files
    after a kill is removed by the next command.

    Raises:
        HypervisorError: It runs.
        BusyError: Another command works on it.
    """
    try:
        with at_work(state, "delete", state.link(vm).name), locked(state, vm) as stored:
            power = observe_power(machines, stored)
            if power is not Power.OFF:
                raise HypervisorError(
                    f"{stored.record.name} is {power.value}",
                    hint="stop it first",
                    kind="InvalidPowerState",
                )
            withdraw_vm(state, stored)
            remove_withdrawn(state, stored)
    except GoneError:
        return
