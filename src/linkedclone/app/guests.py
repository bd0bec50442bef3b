"""Guests of one endpoint: their SSH servers, consoles and screens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from linkedclone.drivers.features import require_service
from linkedclone.drivers.services import GuestAccess, StateFolderService

if TYPE_CHECKING:
    from socket import socket

    from linkedclone.app.proposal import Acting
    from linkedclone.model.access import ConsoleAddress


class Guests:
    """Guests of one endpoint."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting
        self._driver = acting.driver.without_guests(machines=False)  # to find one asks none

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
        return self._state_folder().write_ssh_config()

    def build_unit(self) -> str:
        """Return a systemd unit, a template, that starts the VM that its instance names."""
        return self._state_folder().build_unit()

    @property
    def has_serial_consoles(self) -> bool:
        """Whether :meth:`attach_console` works here."""
        return self._driver.services.access is not None

    def attach_console(self, ref: str, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to a VM's serial console until Ctrl-] is typed."""
        access = self._access()
        (vm,) = self._driver.find_vms([ref])
        access.attach_console(
            vm.id, input_descriptor=input_descriptor, output_descriptor=output_descriptor
        )

    def describe_console(self, ref: str) -> ConsoleAddress:
        """Say where the screen of a running VM is; on vSphere this gets a ticket for it."""
        console = self._driver.services.console
        console = require_service(console, self._driver.features, "show screens")
        (vm,) = self._driver.find_vms([ref])
        return console.describe_console(vm.id)

    def _access(self) -> GuestAccess:
        access = self._driver.services.access
        return require_service(access, self._driver.features, "reach into guests")

    def _state_folder(self) -> StateFolderService:
        folder = self._driver.services.state_folder
        return require_service(folder, self._driver.features, "say how VMs are started or reached")
