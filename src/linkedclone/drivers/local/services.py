"""What this machine offers beside looks and steps; what few commands need is imported late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from linkedclone.drivers.local.guest import access
from linkedclone.drivers.local.inventory.unlinked_vms import relink_vms
from linkedclone.drivers.local.lifecycle.power import shut_down_guest
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.store import load_vm, write_ssh_config
from linkedclone.drivers.local.storage.hanging import accept_layer
from linkedclone.errors import HypervisorError
from linkedclone.model.access import ConsoleAddress, GuestLogin, SshLogin
from linkedclone.model.findings import Finding
from linkedclone.model.images import (
    DiskExport,
    Image,
    ImageBuild,
    ImageImport,
    Rebased,
    TellBytes,
    tell_nobody,
)
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm
from linkedclone.system.os_errors import translated


@dataclass(frozen=True, slots=True)
class _Service:
    state: StateFolder
    machines: OpenMachine


class Guests(_Service):
    """The guests of machines, by their agent and their power button."""

    def shut_down_guest(self, vm: VmId) -> None:
        with translated(f"cannot shut down the guest of {self._name(vm)}"):
            shut_down_guest(self.state, self.machines, vm)

    def run_in_guest(
        self,
        vm: VmId,
        command: Sequence[str],
        *,
        login: GuestLogin | None,  # noqa: ARG002 - the agent is root, and needs no login
        seconds: float,
    ) -> int:
        with translated(f"cannot run {command[0]} in the guest of {self._name(vm)}"):
            return self.machines(load_vm(self.state, vm)).run_command(command, seconds)

    def find_places(self, vm: Vm, port: int) -> Sequence[tuple[str, int]]:
        with translated("cannot read the VM"):
            found = access.find_port(self.state, vm, port)
        return (found,) if found else ()

    def describe_logins(self, vms: Sequence[Vm]) -> Mapping[VmId, SshLogin]:
        with translated("cannot read the VMs"):
            return access.describe_logins(self.state, vms)

    def _name(self, vm: VmId) -> str:
        try:
            return load_vm(self.state, vm).record.name
        except (HypervisorError, OSError):
            return vm


class Access(_Service):
    """Screens, serial consoles and SSH of machines."""

    def describe_console(self, vm: VmId) -> ConsoleAddress:
        with translated("cannot read the VM"):
            return access.describe_console(self.state, vm)

    def build_ssh(self, vm: VmId, command: Sequence[str] = ()) -> tuple[str, ...]:
        with translated("cannot read the VM"):
            return access.build_ssh(self.state, self.machines, vm, command)

    def attach_console(self, vm: VmId, *, input_descriptor: int, output_descriptor: int) -> None:
        with translated("cannot attach to the console"):
            access.attach_console(
                self.state,
                vm,
                input_descriptor=input_descriptor,
                output_descriptor=output_descriptor,
            )

    def connect_ssh(self, vm: VmId) -> socket:
        with translated("cannot read the VM"):
            return access.connect_ssh(self.state, vm)


class Images(_Service):
    """Parents that are made of image files."""

    def import_image(self, wanted: ImageImport, tell: TellBytes = tell_nobody) -> VmId:
        from linkedclone.drivers.local.images.images import import_image

        with translated(f"cannot import {wanted.file or 'the image'}"):
            return import_image(self.state, wanted, tell)

    def build_image(self, wanted: ImageBuild, tell: TellBytes = tell_nobody) -> VmId:
        from linkedclone.drivers.local.images.build import build_image

        with translated(f"cannot build {wanted.name}"):
            return build_image(self.state, wanted, tell)

    def list_images(self) -> tuple[Image, ...]:
        from linkedclone.drivers.local.images.images import list_images

        with translated("cannot read the images"):
            return list_images(self.state)

    def remove_image(self, name: str) -> None:
        from linkedclone.drivers.local.images.images import remove_image

        with translated(f"cannot remove {name}"):
            remove_image(self.state, self.machines, name)


class Folder(_Service):
    """The state folder itself, and the files in it."""

    def export_disk(self, wanted: DiskExport, tell: TellBytes = tell_nobody) -> None:
        from linkedclone.drivers.local.images.export import export_disk

        with translated(f"cannot export to {wanted.file}"):
            export_disk(self.state, self.machines, wanted, tell)

    def move_state(self, target: Path, tell: TellBytes = tell_nobody) -> None:
        from linkedclone.drivers.local.recovery.move_state import move_state

        with translated(f"cannot move to {target}"):
            move_state(self.state, self.machines, target, tell)

    def rebase_layers(self, file: Path) -> Rebased:
        from linkedclone.drivers.local.recovery.rebase import rebase_layers

        with translated(f"cannot link anything to {file}"):
            return rebase_layers(self.state, self.machines, file)

    def accept_layer(self, file: Path) -> None:
        with translated(f"cannot accept {file}"):
            accept_layer(self.state, file)

    def relink_vms(self) -> tuple[str, ...]:
        with translated("cannot link VMs again"):
            return relink_vms(self.state)

    def write_ssh_config(self) -> Path:
        with translated("cannot write the SSH configuration"):
            return write_ssh_config(self.state)

    def build_unit(self) -> str:
        from linkedclone.drivers.local.guest.systemd_unit import render_unit

        return render_unit(self.state.root)

    def diagnose(self) -> tuple[Finding, ...]:
        from linkedclone.drivers.local.diagnosis.doctor import diagnose

        return diagnose(self.state.root, self.machines)
