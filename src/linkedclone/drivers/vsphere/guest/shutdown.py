"""Asking a guest to shut itself down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyVmomi import vim

from linkedclone.errors import HypervisorError, LinkedCloneError, RefusedError

if TYPE_CHECKING:
    from linkedclone.drivers.vsphere.connection.session import Session
    from linkedclone.model.values.ids import VmId

_HARD = "stop it hard: ``stop`` without ``guest``, or with ``then_off``"


def shut_down_guest(session: Session, vm: VmId, name: str) -> None:
    """Send ShutdownGuest [fact: vs-shutdown-guest]; a VM that is off counts as done."""
    native = session.managed("VirtualMachine", vm)
    try:
        session.call(f"shut down the guest of {name}", native.ShutdownGuest)
    except LinkedCloneError as error:
        fault = error.__cause__
        if isinstance(fault, vim.fault.ToolsUnavailable):
            raise RefusedError(
                f"the guest of {name} cannot be asked: VMware Tools do not run in it",
                details=error.details,
                hint=f"wait for them if it is just booting; else {_HARD}",
            ) from fault
        if not isinstance(error, HypervisorError) or not isinstance(
            fault, vim.fault.InvalidPowerState
        ):
            raise
        if str(fault.existingState) != "poweredOff":
            raise RefusedError(
                f"the guest of {name} cannot be asked: the VM is {fault.existingState}",
                details=error.details,
                hint=f"start it, then ask again; or {_HARD}",
            ) from fault
