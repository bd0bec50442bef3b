"""Get into a running guest: by SSH, or at its serial console."""

from collections.abc import Sequence

from linkedclone.drivers.local.layout import StateFolder
from linkedclone.drivers.local.machines import OpenMachine, open_machine
from linkedclone.drivers.local.seeds import private_key
from linkedclone.drivers.local.store import load_vm
from linkedclone.errors import HypervisorError
from linkedclone.model.ids import VmId

KNOWN_HOSTS = "known_hosts"
DEFAULT_USER = "root"


def build_ssh(
    state: StateFolder, machines: OpenMachine, vm: VmId, command: Sequence[str] = ()
) -> tuple[str, ...]:
    """Build the argument list of ``ssh`` for a VM.

    Raises:
        GoneError: The VM does not exist.
        HypervisorError: It does not run.
    """
    from linkedclone.drivers.local.machine.ssh import build_ssh_command

    stored = load_vm(state, vm)
    address = machines(stored).observe().ssh
    if address is None:
        raise HypervisorError(
            f"{stored.record.name} cannot be reached by SSH",
            hint=f"start it first: linkedclone start {stored.record.name}",
            kind="power",
        )
    return build_ssh_command(
        address,
        user=stored.record.machine.user or DEFAULT_USER,
        key=private_key(state),
        known_hosts=stored.folder / KNOWN_HOSTS,
        command=tuple(command),
    )


def attach_console(
    state: StateFolder, vm: VmId, *, input_descriptor: int, output_descriptor: int
) -> None:
    """Join a terminal to a VM's serial console until Ctrl-] is typed or it stops.

    Raises:
        GoneError: The VM does not exist, or does not run.
        BusyError: Somebody else is attached.
    """
    open_machine(load_vm(state, vm)).attach_console(
        input_descriptor=input_descriptor, output_descriptor=output_descriptor
    )
