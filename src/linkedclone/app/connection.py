"""One open endpoint, and everything that can be asked of it.

What only some commands need is imported when it is asked for: making clones
has to start at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from linkedclone.app.clone.job import CloneJob, Prepared, check, planned_report, prepare, preview
from linkedclone.app.proposal import Acting, Confirm, leave_guests_alone, leave_machines_alone
from linkedclone.drivers.contract import (
    DiskFiles,
    Driver,
    GraphicalConsole,
    GuestAccess,
    ImageStore,
    OpeningNotes,
)
from linkedclone.errors import UnsupportedError
from linkedclone.execution.progress import Progress
from linkedclone.model.report import ActionReport, CloneReport
from linkedclone.model.request import DEFAULT_OWNER, CloneRequest
from linkedclone.model.vm import Identity, Power, Snapshot, Vm

if TYPE_CHECKING:
    from datetime import datetime
    from socket import socket

    from linkedclone.app.ansible_inventory import AnsibleHost
    from linkedclone.app.pools.pools import Pools
    from linkedclone.app.vms.changes import Changes
    from linkedclone.app.vms.golden_images import Mending
    from linkedclone.app.vms.life import Life
    from linkedclone.app.vms.presence import Found
    from linkedclone.lineage.tree import TreeNode
    from linkedclone.lineage.usage import Usage
    from linkedclone.lineage.vm_rows import VmRow
    from linkedclone.model.access import ConsoleAddress
    from linkedclone.model.findings import Finding, ParentReport
    from linkedclone.model.garbage import WasteKind, WasteReport
    from linkedclone.model.images import Image, ImageBuild, ImageImport, Rebased, TellBytes
    from linkedclone.model.request import Deletion, Placement, Scan
    from linkedclone.model.server_check import HostCheck
    from linkedclone.model.values.ids import VmId
    from linkedclone.planning.vms.power import AskGuests


class Connection:
    """An open endpoint. Close it, or use it as a context manager.

    Every method may raise :class:`~linkedclone.errors.LinkedCloneError`; what
    went wrong with single VMs of a batch is in the report instead.
    """

    def __init__(self, driver: Driver, *, address: str, log_folder: Path | None = None) -> None:
        self._driver = driver
        self._address = address
        self._log_folder = log_folder
        self._acting = Acting(driver, address=address, log_folder=log_folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. What was started goes on at the endpoint."""
        self._driver.close()

    @property
    def address(self) -> str:
        """The endpoint as it is shown, without a password."""
        return self._address

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person has to know of what was found when the endpoint was opened."""
        return self._driver.notes if isinstance(self._driver, OpeningNotes) else ()

    def identify(self) -> Identity:
        """Say what the endpoint is."""
        return self._driver.identify()

    def read_clock(self) -> datetime:
        """Return the time by the endpoint's clock."""
        from linkedclone.app.clock import keep_time

        return keep_time(self._driver)()

    # -- clones -----------------------------------------------------------------------

    def prepare(self, request: CloneRequest) -> Prepared:
        """Look up and plan a batch of clones without changing anything."""
        return prepare(self._driver, request)

    def preview(self, prepared: Prepared) -> tuple[Mapping[str, object], ...]:
        """Return the requests of a planned batch exactly as they would be sent."""
        return preview(self._driver, prepared)

    def check(self, prepared: Prepared) -> tuple[HostCheck, ...]:
        """Let the hypervisor itself check a planned batch; see ``app.clone.job.check``."""
        return check(self._driver, prepared)

    def planned(self, prepared: Prepared) -> CloneReport:
        """Return the report of a batch that is only planned."""
        return planned_report(prepared, self._address)

    def clone(self, request: CloneRequest, progress: Progress | None = None) -> CloneReport:
        """Make linked clones, each proven; see :class:`~linkedclone.model.request.CloneRequest`.

        Running it again makes nothing new: what is there is reported as
        existing, and what an earlier run left unfinished is finished.
        """
        return self.carry_out(self.prepare(request), progress)

    def carry_out(self, prepared: Prepared, progress: Progress | None = None) -> CloneReport:
        """Make the clones of a batch that was looked up and planned."""
        with self._acting.log(prepared.scene.run.id, progress) as log:
            return CloneJob(self._driver, prepared, log).run(self._address)

    def prepare_parent(
        self, ref: str, mending: Mending, *, progress: Progress | None = None
    ) -> ParentReport:
        """Check a golden image, given by name, path or UUID, after mending what is asked for."""
        from linkedclone.app.vms.golden_images import Parents

        return Parents(self._driver, self._acting).prepare(ref, mending, progress=progress)

    # -- looking ----------------------------------------------------------------------

    def list(self) -> tuple[VmRow, ...]:
        """Return every VM with where it hangs, by name."""
        from linkedclone.lineage.vm_rows import describe_vms

        return describe_vms(self._driver.observe())

    def show(self, ref: str) -> VmRow:
        """Return one VM, given by name, inventory path or UUID."""
        from linkedclone.lineage.family import Lineage
        from linkedclone.lineage.vm_rows import describe_vm

        # One look at the machine itself: one that does not answer is waited for once.
        inventory = leave_machines_alone(self._driver).observe()
        (found,) = self._driver.find_vms([ref])
        return describe_vm(found, Lineage(inventory))

    def tree(self, parent: str | None = None, *, scan: Scan | None = None) -> tuple[TreeNode, ...]:
        """Return the families, or the one below a VM.

        Args:
            parent: A name, inventory path or UUID; None stands for all.
            scan: Where to look for disk files of no VM that hang from them.
        """
        from linkedclone.lineage.tree import build_tree
        from linkedclone.lineage.vm_rows import restrict

        found = self._driver.find_vms([parent])[0] if parent else None
        return build_tree(restrict(self._driver.observe(sizes=True, scan=scan)), found)

    def usage(self, parent: str | None = None, *, scan: Scan | None = None) -> Usage:
        """Measure what the families take and save, or only the one that a VM is in."""
        from linkedclone.lineage.usage import measure
        from linkedclone.lineage.vm_rows import restrict

        found = self._driver.find_vms([parent])[0] if parent else None
        return measure(restrict(self._driver.observe(sizes=True, scan=scan)), found)

    def find(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Return VMs, given by name, inventory path or UUID."""
        return self._driver.find_vms(refs)

    def find_present(self, refs: Sequence[str]) -> Found:
        """Return those of the VMs that exist, and the references that fit none.

        Raises:
            NotFoundError: None of them exists.
        """
        from linkedclone.app.vms.presence import find_present

        return find_present(self._driver, refs)

    def snapshots(self, ref: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of a VM, parents before children."""
        (vm,) = self._driver.find_vms([ref])
        return vm.snapshots

    def diagnose(self) -> tuple[Finding, ...]:
        """Check what linked clones need of this endpoint, and the families that are there."""
        from linkedclone.planning.vms.family_checks import find_trouble

        return (*self._driver.diagnose(), *find_trouble(self._driver.observe(sizes=True)))

    # -- changing ---------------------------------------------------------------------

    def delete(
        self,
        refs: Sequence[str],
        how: Deletion | None = None,
        *,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete VMs, unless something hangs from them.

        Args:
            refs: Names, inventory paths or UUIDs.
            how: What else may go; never what others hang from.
            scan: Where to look for files of no VM that hang from them.
            confirm: Shown the plan first; None goes on without asking.
            progress: Who is told.
        """
        return self._changes.delete(refs, how, scan=scan, confirm=confirm, progress=progress)

    def set_power(
        self,
        refs: Sequence[str],
        power: Power,
        *,
        force: bool = False,
        guests: AskGuests | None = None,
        parallel: int | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Start VMs, or stop them: hard, or by asking their guests first."""
        return self._changes.set_power(
            refs, power, force=force, guests=guests, parallel=parallel, progress=progress
        )

    def restart(
        self,
        refs: Sequence[str],
        *,
        force: bool = False,
        guests: AskGuests | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Stop VMs, hard or by asking their guests first, and start them again."""
        return self._changes.restart(refs, force=force, guests=guests, progress=progress)

    def rename(
        self, ref: str, name: str, *, force: bool = False, progress: Progress | None = None
    ) -> ActionReport:
        """Give a VM another name; its UUID, its mark and what it hangs from stay."""
        return self._life.rename(ref, name, force=force, progress=progress)

    def relocate(
        self,
        refs: Sequence[str],
        placement: Placement,
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Move VMs; each is proven to hang from what it hung from before.

        Args:
            refs: Names, inventory paths or UUIDs.
            placement: Where to: a datastore, a host, a cluster or a resource pool.
            force: Also those that are not ours.
            despite_unreadable: Also those that VMs which cannot be read may hang from.
            progress: Who is told.
        """
        return self._life.relocate(
            refs,
            placement,
            force=force,
            despite_unreadable=despite_unreadable,
            progress=progress,
        )

    def create_snapshot(
        self,
        ref: str,
        name: str,
        *,
        description: str = "",
        quiesce: bool = False,
        memory: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Take a snapshot; of a running VM quiesced by its guest, or with its memory, if wanted."""
        return self._changes.create_snapshot(
            ref,
            name,
            description=description,
            quiesce=quiesce,
            memory=memory,
            progress=progress,
        )

    def delete_snapshot(  # noqa: PLR0913 - one for each option
        self,
        ref: str,
        name: str,
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Delete a snapshot by name, path or id, unless something hangs from it."""
        return self._changes.delete_snapshot(
            ref,
            name,
            force=force,
            despite_unreadable=despite_unreadable,
            scan=scan,
            confirm=confirm,
            progress=progress,
        )

    def revert_snapshot(  # noqa: PLR0913 - one for each option
        self,
        ref: str,
        name: str,
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Put a VM back to a snapshot; what it wrote since is lost."""
        return self._changes.revert_snapshot(
            ref,
            name,
            force=force,
            despite_unreadable=despite_unreadable,
            scan=scan,
            confirm=confirm,
            progress=progress,
        )

    def promote(
        self,
        refs: Sequence[str],
        *,
        force: bool = False,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Make linked clones full ones: each gets a copy of what it shares."""
        return self._changes.promote(
            refs,
            force=force,
            despite_unreadable=despite_unreadable,
            scan=scan,
            confirm=confirm,
            progress=progress,
        )

    def grow_disk(  # noqa: PLR0913 - one for each option
        self,
        ref: str,
        capacity_bytes: int,
        *,
        disk: str = "",
        force: bool = False,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Make a disk larger; the guest has to grow its file system itself."""
        return self._changes.grow_disk(
            ref,
            capacity_bytes,
            disk=disk,
            force=force,
            despite_unreadable=despite_unreadable,
            scan=scan,
            progress=progress,
        )

    def adopt(
        self,
        refs: Sequence[str],
        *,
        owner: str = DEFAULT_OWNER,
        force: bool = False,
        progress: Progress | None = None,
    ) -> ActionReport:
        """Mark linked clones of other tools as ours."""
        return self._changes.adopt(refs, owner=owner, force=force, progress=progress)

    def collect_waste(
        self,
        kinds: Collection[WasteKind] = (),
        *,
        despite_unreadable: bool = False,
        scan: Scan | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> WasteReport:
        """Find what nothing uses any more, and remove it.

        Args:
            kinds: What is removed of it; nothing unless given.
            despite_unreadable: Also what VMs that cannot be read may hang from.
            scan: Where to look for files.
            confirm: Shown the plan first; None goes on without asking.
            progress: Who is told.
        """
        return self._changes.collect_waste(
            kinds,
            despite_unreadable=despite_unreadable,
            scan=scan,
            confirm=confirm,
            progress=progress,
        )

    # -- pools ------------------------------------------------------------------------

    @cached_property
    def pools(self) -> Pools:
        """Pools of this endpoint: look at them, plan them, bring them to their spec."""
        from linkedclone.app.pools.pools import Pools

        return Pools(self._driver, self._acting)

    # -- what only some endpoints can -------------------------------------------------

    def import_image(self, wanted: ImageImport, tell: TellBytes | None = None) -> VmRow:
        """Make a parent with the snapshot ``base`` of an image; return it.

        An image that has the name already becomes an older version of it.
        ``tell`` is told how it gets on.
        """
        from linkedclone.model.images import tell_nobody

        made = self._images().import_image(wanted, tell or tell_nobody)
        return self._show_made(made)

    def build_image(self, wanted: ImageBuild, tell: TellBytes | None = None) -> VmRow:
        """Make a parent with the snapshot ``base`` of a distribution's packages; return it."""
        from linkedclone.model.images import tell_nobody

        made = self._images().build_image(wanted, tell or tell_nobody)
        return self._show_made(made)

    def _show_made(self, made: VmId) -> VmRow:
        (vm,) = self._driver.observe_vms([made])
        return self.show(vm.uuid)

    def images(self) -> tuple[Image, ...]:
        """Return the imported images, by name."""
        return self._images().list_images()

    def export_disk(
        self,
        ref: str,
        file: Path,
        file_format: Literal["qcow2", "raw", "vmdk"],
        *,
        snapshot: str = "",
        disk: str = "",
        tell: TellBytes | None = None,
    ) -> None:
        """Write a disk of a VM, or of one of its snapshots, to one file.

        Args:
            ref: The VM: name, path or UUID.
            file: Where to; nothing may be there.
            file_format: What it is to be.
            snapshot: The snapshot, by name, path or id; empty for a VM that is off.
            disk: The disk, by its label; empty for the first.
            tell: Is told how far it is.
        """
        from linkedclone.model.images import DiskExport, tell_nobody
        from linkedclone.planning.clone.snapshot_choice import find_snapshot

        files = self._disk_files()
        (vm,) = self._driver.find_vms([ref])
        wanted = DiskExport(
            vm=vm.id,
            file=file,
            format=file_format,
            snapshot=find_snapshot(vm, snapshot).id if snapshot else None,
            disk=disk,
        )
        files.export_disk(wanted, tell or tell_nobody)

    def move_state(self, target: Path, tell: TellBytes | None = None) -> None:
        """Move all that the endpoint keeps to another path; the connection ends with that."""
        from linkedclone.model.images import tell_nobody

        self._disk_files().move_state(target, tell or tell_nobody)

    def rebase_layers(self, file: Path) -> Rebased:
        """Let all that miss a layer hang from the file that it is now."""
        return self._disk_files().rebase_layers(file)

    def accept_layer(self, file: Path) -> None:
        """Take a layer for unchanged of which a copy changed the time alone."""
        self._disk_files().accept_layer(file)

    def relink_vms(self) -> tuple[str, ...]:
        """Make VMs exist again whose files are there without their names; return the names."""
        return self._disk_files().relink_vms()

    def remove_image(self, name: str) -> None:
        """Delete an image that nothing hangs from."""
        self._images().remove_image(name)

    def build_ssh(self, ref: str, command: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the argument list of ``ssh`` for a running VM."""
        access = self._access()
        (vm,) = self._driver.find_vms([ref])
        return access.build_ssh(vm.id, command)

    def attach_console(self, ref: str, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to a VM's serial console until Ctrl-] is typed."""
        access = self._access()
        (vm,) = self._driver.find_vms([ref])
        access.attach_console(
            vm.id, input_descriptor=input_descriptor, output_descriptor=output_descriptor
        )

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

    def describe_console(self, ref: str) -> ConsoleAddress:
        """Say where the screen of a running VM is; on vSphere this gets a ticket for it."""
        if not isinstance(self._driver, GraphicalConsole):
            brief = f"{self._address} has no screens to look at"
            raise UnsupportedError(brief, hint="vsphere: and local: have", kind="NotSupported")
        (vm,) = self._driver.find_vms([ref])
        return self._driver.describe_console(vm.id)

    def hosts(self, parent: str | None = None, *, every: bool = False) -> tuple[AnsibleHost, ...]:
        """Return VMs as Ansible is told of them, by name; linked clones unless ``every`` one.

        Args:
            parent: Only what hangs from this VM, directly or by way of others.
            every: Also what hangs from nothing.
        """
        from linkedclone.app.hosts import list_hosts

        found = self._driver.find_vms([parent])[0] if parent else None
        return list_hosts(self._driver, self._address, found, every=every)

    # -- inside -----------------------------------------------------------------------

    def _images(self) -> ImageStore:
        if isinstance(self._driver, ImageStore):
            return self._driver
        raise self._cannot("hold images")

    def _disk_files(self) -> DiskFiles:
        if isinstance(self._driver, DiskFiles):
            return self._driver
        raise self._cannot("export, move or rebase disk files")

    def _access(self) -> GuestAccess:
        if isinstance(self._driver, GuestAccess):
            return self._driver
        raise self._cannot("reach into guests")

    @cached_property
    def _changes(self) -> Changes:
        from linkedclone.app.vms.changes import Changes

        driver = leave_guests_alone(self._driver)
        return Changes(driver, Acting(driver, address=self._address, log_folder=self._log_folder))

    @cached_property
    def _life(self) -> Life:
        from linkedclone.app.vms.life import Life

        return Life(self._driver, self._acting)

    def _cannot(self, what: str) -> UnsupportedError:
        brief = f"{self._address} cannot {what}"
        hint = "local: can, plain QEMU on this machine"
        return UnsupportedError(brief, hint=hint, kind="NotSupported")
