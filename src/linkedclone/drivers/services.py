"""What an endpoint may offer that is neither a look nor a step, each with its own interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from socket import socket
from typing import Protocol

from linkedclone.errors import LinkedCloneError
from linkedclone.model.access import ConsoleAddress, GuestLogin, SshLogin
from linkedclone.model.findings import Finding, HostCheck
from linkedclone.model.images import (
    DiskExport,
    Image,
    ImageBuild,
    ImageImport,
    Rebased,
    TellBytes,
    tell_nobody,
)
from linkedclone.model.jobs import Job
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationNews, Vm


class GuestService(Protocol):
    """Reaches the systems inside of VMs."""

    def shut_down_guest(self, vm: VmId) -> None:
        """Ask the guest to shut down, and return at once; one that is off counts as done.

        Raises:
            RefusedError: Its tools or agent do not answer, so the guest would not receive it.
        """

    def run_in_guest(
        self, vm: VmId, command: Sequence[str], *, login: GuestLogin | None, seconds: float
    ) -> int:
        """Run a command inside a guest, without a terminal; return its exit status. Waits.

        Args:
            vm: A running VM.
            command: Program and arguments; found on the guest's path.
            login: The guest user who runs it, where the hypervisor needs one.
            seconds: How long it may take.

        Raises:
            BusyError: The guest does not answer, or the command takes too long.
            AuthenticationError: The guest does not let that user in.
            HypervisorError: There is no such program.
        """

    def find_places(self, vm: Vm, port: int) -> Sequence[tuple[str, int]]:
        """Return hosts and ports at which a port of a guest may be reached from here."""

    def describe_logins(self, vms: Sequence[Vm]) -> Mapping[VmId, SshLogin]:
        """Say how one logs in by SSH from here; VMs that cannot be reached so are left out.

        Costs no look at the machines: what was seen of them is given.
        """


class CustomizationEvents(Protocol):
    """Tells more of a customization than the VM itself does."""

    def read_clock(self) -> datetime:
        """Return what time it is at the endpoint. One call."""

    def observe_customization(
        self, ids: Sequence[VmId], since: datetime
    ) -> Mapping[VmId, CustomizationNews]:
        """Read what became of the customization of VMs since a moment of the endpoint's clock.

        One batched read. VMs without news are left out.
        """


class BatchPower(Protocol):
    """Starts many VMs with one call."""

    def start_vms(self, ids: Sequence[VmId]) -> Mapping[VmId, Job | LinkedCloneError]:
        """Start to start VMs: for each a job, or why it was not even tried.

        Waits until the hypervisor has decided which it admits.
        """


class ConsoleService(Protocol):
    """Says how a VM's screen can be looked at."""

    def describe_console(self, vm: VmId) -> ConsoleAddress:
        """Say where the screen of a running VM is.

        Raises:
            RefusedError: It does not run, or has no screen.
        """


class GuestAccess(Protocol):
    """Gets into a guest from this machine."""

    def build_ssh(self, vm: VmId, command: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the argument list of ``ssh`` for a running VM."""

    def attach_console(self, vm: VmId, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to the serial console until Ctrl-] is typed or the VM stops."""

    def connect_ssh(self, vm: VmId) -> socket:
        """Return a connection to the SSH server of a running VM."""


class ImageStore(Protocol):
    """Makes parents from image files."""

    def import_image(self, wanted: ImageImport, tell: TellBytes = tell_nobody) -> VmId:
        """Make a parent VM with the snapshot ``base`` of an image; waits.

        An image that has the name already becomes an older version of it.
        ``tell`` receives the progress.
        """

    def build_image(self, wanted: ImageBuild, tell: TellBytes = tell_nobody) -> VmId:
        """Make a parent VM with the snapshot ``base`` of a distribution's packages; waits."""

    def list_images(self) -> tuple[Image, ...]:
        """Return all imported images, by name."""

    def remove_image(self, name: str) -> None:
        """Delete an image.

        Raises:
            InUseError: Clones depend on it.
            NotFoundError: There is none of that name.
        """


class DiskFiles(Protocol):
    """Hands out the disks of VMs as files."""

    def export_disk(self, wanted: DiskExport, tell: TellBytes = tell_nobody) -> None:
        """Write a disk of a VM that is off, or of a snapshot, to one file; waits.

        The file is there whole or not at all, and is never written over.

        Raises:
            InUseError: The VM runs, and no snapshot was named.
        """


class StateFolderService(Protocol):
    """Looks after the folder of this machine that the endpoint consists of."""

    def move_state(self, target: Path, tell: TellBytes = tell_nobody) -> None:
        """Move everything that the endpoint keeps to another path; waits.

        The connection is of no use after that.

        Raises:
            InUseError: VMs run.
        """

    def rebase_layers(self, file: Path) -> Rebased:
        """Let all that miss a layer depend on the file that it is now; waits.

        Raises:
            InputError: It is not a missing layer.
            InUseError: VMs that read it run.
        """

    def accept_layer(self, file: Path) -> None:
        """Take a layer for unchanged of which a copy changed the time alone; waits.

        Raises:
            RefusedError: Its content was changed.
        """

    def relink_vms(self) -> tuple[str, ...]:
        """Make VMs exist again whose files are there without their names; return the names."""

    def write_ssh_config(self) -> Path:
        """Write what plain ``ssh NAME`` needs of all VMs; return the file to include."""

    def build_unit(self) -> str:
        """Return a systemd unit, a template, that starts the VM that its instance names."""


class GoldenImages(Protocol):
    """Looks at what only a parent's own hypervisor knows of it."""

    def examine_parent(self, vm: VmId) -> tuple[Finding, ...]:
        """Check devices, tools and guest of a VM that is to be cloned from. Changes nothing.

        What is known from a :class:`~linkedclone.model.vm.Vm` is not
        looked at here.
        """


class ServerCheck(Protocol):
    """Asks the hypervisor itself whether it would carry a clone out."""

    def check_clone(self, step: CreateClone) -> tuple[HostCheck, ...]:
        """Let the hypervisor look at the request of a step, without carrying it out; waits.

        Raises:
            UnsupportedError: This version has no such check.
        """


class Diagnosis(Protocol):
    """Checks what linked clones need of the endpoint, for ``doctor``."""

    def diagnose(self) -> tuple[Finding, ...]:
        """Return what was found, good and bad. Changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What one endpoint offers; None where there is no such thing."""

    guests: GuestService | None = None
    events: CustomizationEvents | None = None
    batch_power: BatchPower | None = None
    console: ConsoleService | None = None
    access: GuestAccess | None = None
    images: ImageStore | None = None
    disks: DiskFiles | None = None
    state_folder: StateFolderService | None = None
    golden_images: GoldenImages | None = None
    checker: ServerCheck | None = None
    diagnosis: Diagnosis | None = None
