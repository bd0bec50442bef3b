"""Guests of one endpoint: their SSH servers, consoles and screens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from linkedclone.drivers.contract import GraphicalConsole, GuestAccess
from linkedclone.errors import UnsupportedError

if TYPE_CHECKING:
    from socket import socket

    from linkedclone.app.proposal import Acting
    from linkedclone.model.access import ConsoleAddress


class Guests:
    """Guests of one endpoint."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting
        self._driver = acting.driver

    def build_ssh(self, ref: str, command: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the argument list of ``ssh`` for a running VM."""
        access = self._access()
        (vm,) = self._driver.find_vms([ref])
        return access.build_ssh(vm.id, command)

    def connect_ssh(self, ref: str) -> socket:
        """Return a connection to the SSH server of a running VM."""
        access = self._access()
        (vm,) = self._driver.find_vms([ref])
        return access.connect_ssh(vm.id)

    def write_ssh_config(self) -> Path:
        """Write what plain ``ssh NAME`` needs of all VMs; return the file to include."""
        return self._access().write_ssh_config()

    def build_unit(self) -> str:
        """Return a systemd unit, a template, that starts the VM that its instance names."""
        return self._access().build_unit()

    @property
    def has_serial_consoles(self) -> bool:
        """Whether :meth:`attach_console` works here."""
        return isinstance(self._driver, GuestAccess)

    def attach_console(self, ref: str, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to a VM's serial console until Ctrl-] is typed."""
        access = self._access()
        (vm,) = self._driver.find_vms([ref])
        access.attach_console(
            vm.id, input_descriptor=input_descriptor, output_descriptor=output_descriptor
        )

    def describe_console(self, ref: str) -> ConsoleAddress:
        """Say where the screen of a running VM is; on vSphere this gets a ticket for it."""
        if not isinstance(self._driver, GraphicalConsole):
            brief = f"{self._acting.address} has no screens to look at"
            raise UnsupportedError(brief, hint="vsphere: and local: have", kind="NotSupported")
        (vm,) = self._driver.find_vms([ref])
        return self._driver.describe_console(vm.id)

    def _access(self) -> GuestAccess:
        if isinstance(self._driver, GuestAccess):
            return self._driver
        raise self._acting.cannot("reach into guests")
