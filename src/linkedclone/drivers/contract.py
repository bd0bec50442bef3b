"""The contract that every hypervisor driver keeps.

Promises, held by one contract test suite that runs against every driver:

1. **Never degrade to a full clone.** What cannot be linked is refused, with
   what would help.
2. **The mark is there from birth.** :meth:`Driver.create_clone` writes the
   step's mark and instance UUID in the same call that makes the clone, so that
   a later run finds even a half-made one. The lock against two clones of one
   name is the name in its folder: the second is refused with
   :class:`~linkedclone.errors.DuplicateNameError`, also while the first is
   still being made. A reassigned instance UUID is written back into the mark.
3. **Long calls return a** :class:`~linkedclone.model.jobs.Job` **at once** and
   go on by themselves, also when the process that asked for them dies.
   :meth:`Driver.wait` is the only place that waits, for many at once.
4. **Deleting what is absent counts as done**, and deleting never touches a
   layer that anything else uses. The guards that look at lineage first live in
   ``planning``; a driver that cannot rely on its hypervisor for the reference
   count keeps it itself.
5. **Undo is the caller's** (``execution``): a driver reports a failed job and
   leaves the rest as the hypervisor left it.
6. **Native errors never escape.** They are translated by their type, never by
   their text, into :mod:`linkedclone.errors`, with the server's own words kept
   in ``details``.
7. **A clone never inherits** the parent's MAC addresses, instance-id or UUID.

Order of calls: a driver is ready when made, every method may be called from
several threads at once, and nothing may be called after :meth:`Driver.close`.
Reads are batched: no method makes one call per VM, except where its docstring
says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

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
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone, ReconfigureVm, RelocateVm
from linkedclone.model.request import CloneRequest, Placement, Scan, Target
from linkedclone.model.values.ids import FolderId, SnapshotId, VmId
from linkedclone.model.vm import CustomizationNews, Identity, Mark, Power, Vm

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from socket import socket

    from linkedclone.errors import LinkedCloneError
    from linkedclone.model.access import ConsoleAddress, GuestLogin, SshLogin
    from linkedclone.model.inventory import Inventory, Stray
    from linkedclone.model.server_check import HostCheck


class Driver(Protocol):
    """One open connection to one endpoint."""

    @property
    def default_parallel(self) -> int:
        """How many clones may be in flight at once unless the user says otherwise."""

    @property
    def patience_seconds(self) -> float:
        """How long a run waits for the endpoint to come back; 0 where it cannot go away."""

    @property
    def customizes_always(self) -> bool:
        """Whether every clone's guest is told who it is, asked for or not.

        Such a driver reports ``Vm.customization`` of all its clones, whatever
        the way that the documents take.
        """

    def identify(self) -> Identity:
        """Say what the endpoint is. Costs no call: it was read when connecting."""

    # -- read -------------------------------------------------------------------------

    def observe(self, *, sizes: bool = False, scan: Scan | None = None) -> Inventory:
        """Read all VMs with their disk chains and the disks of their snapshots.

        Everything that the guards and the lineage need. Pages are followed.

        Args:
            sizes: Whether the sizes of files and datastores are wanted too.
            scan: Where to look for disk files of no VM; None looks only where
                it costs nothing. What is not looked at is told in ``unscanned``.

        Raises:
            NotFoundError: A place to scan does not exist.
        """

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        """Read these VMs again, in one batch; those that are gone are left out.

        ``snapshots`` come without disks.
        """

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Find VMs by name, inventory path or UUID, one for each ref, in order.

        The result is whole: with the disks of their snapshots.

        Raises:
            NotFoundError: Some do not exist; ``missing`` names all of them.
            AmbiguousError: A name fits several; the candidates are listed by path.
        """

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        """Look up where the clones of this request go, once for all of them.

        Defaults are the source's own folder, datastore and resource pool (for
        a template: the root pool of its cluster). Reads the stored
        customization specification if the request names one. Nothing that the
        request says of source and place is left out in silence: what the
        driver has no counterpart for is refused by name.

        Raises:
            NotFoundError: A named object does not exist.
            AmbiguousError: A name fits several.
            UnsupportedError: There is no such thing at this endpoint.
            RefusedError: The place cannot run clones of this source.
        """

    def observe_names(self, target: Target, names: Sequence[str]) -> tuple[Vm, ...]:
        """Read the VMs that stand in the target's folder under these names.

        Half-made ones too. ``snapshots`` come without disks.
        """

    def observe_sources(self, ids: Sequence[VmId]) -> frozenset[VmId]:
        """Say from which of these VMs clones are being made right now, by anybody.

        Such clones do not stand in the inventory yet, so the guards cannot see
        them there.
        """

    # -- act --------------------------------------------------------------------------

    def preview_clone(self, step: CreateClone) -> Mapping[str, object]:
        """Return the request that :meth:`create_clone` would send, as plain data.

        Raises:
            InputError: The parent's hardware does not go with what is wanted.
            RefusedError: It has no room for what is to be added.
        """

    def create_clone(self, step: CreateClone) -> Job:
        """Start to make one clone as ``disk_move`` says; the job's result is its VmId.

        ``step.snapshot`` is set, unless a parent without snapshots is to be
        copied. A clone that was made but could not be
        started ends as a failed job, and the VM is there.
        """

    def attach_clone(self, step: CreateClone) -> Job:
        """Wait for the clone of this name that somebody else is making.

        To be called after a DuplicateNameError. The job is done, with the VmId
        as result, when the VM stands there whole; it fails with a
        :class:`~linkedclone.errors.GoneError` when neither the VM nor a
        running clone task of the same source is left, as when the other
        one's clone fails while it is waited for.
        """

    def write_mark(self, vm: VmId, mark: Mark, seen: Mark | None) -> Job:
        """Start to put a mark on a VM that was made of the one that was ``seen`` there.

        What others have changed in it since is kept. Where they changed the same,
        the job or the call fails with a :class:`~linkedclone.errors.ChangedError`.
        A mark that is so already counts as written.

        For a clone of ours whose instance UUID the hypervisor has reassigned,
        and for clones of other tools that are adopted.
        """

    def create_snapshot(
        self,
        vm: VmId,
        name: str,
        description: str,
        *,
        quiesce: bool = False,
        memory: bool = False,
    ) -> Job:
        """Start to take a snapshot; the job's result is its SnapshotId.

        Args:
            vm: Of which VM.
            name: What it is called.
            description: More words.
            quiesce: Whether the guest's file systems are brought to rest first;
                means nothing for a VM that does not run.
            memory: Whether the memory is kept too; means nothing for a VM that
                does not run.

        Raises:
            UnsupportedError: ``quiesce`` or ``memory``, where there is no such thing.
        """

    def delete_snapshot(self, vm: VmId, snapshot: SnapshotId) -> Job:
        """Start to delete one snapshot; its children stay. An absent one counts as deleted."""

    def revert_snapshot(self, vm: VmId, snapshot: SnapshotId) -> Job:
        """Start to put the VM back to the snapshot; what came after is lost."""

    def promote_vm(self, vm: VmId) -> Job:
        """Start to make a VM independent: what it shares is copied into it.

        Nobody else's layers change. One that shares nothing counts as done.
        Where the hypervisor cannot do it while the VM runs, or while it has
        snapshots, the job or the call fails with a RefusedError or a
        HypervisorError, and the VM is as it was.
        """

    @property
    def grows_linked(self) -> bool:
        """Whether :meth:`grow_disk` works on a disk that hangs from another file."""

    def grow_disk(self, vm: VmId, disk: str, capacity_bytes: int) -> Job:
        """Start to make the disk of this label larger; the layers below it stay as they are."""

    def remove_stray(self, stray: Stray) -> Job:
        """Start to delete a disk file of no VM; an absent one counts as deleted.

        The job fails with an :class:`~linkedclone.errors.InUseError` if
        something reads the file by then, as far as the hypervisor can tell.
        """

    def delete_vm(self, vm: VmId, seen: Mark | None = None) -> Job:
        """Start to delete a powered-off VM with the files that it alone uses.

        If a mark is given and the VM bears another by then, the job or the call
        fails with a :class:`~linkedclone.errors.ChangedError`.
        """

    def set_power(self, vm: VmId, power: Power) -> Job:
        """Start (``Power.ON``) or stop hard (``Power.OFF``); already there counts as done."""

    @property
    def section(self) -> str:
        """The part of a pool's file that is about this hypervisor: ``vsphere`` or ``local``."""

    def reconfigure_vm(self, step: ReconfigureVm) -> Job:
        """Start to change processors, memory, notes or mark of a VM that is off.

        The mark is changed as by :meth:`write_mark`.
        Where it runs, and more than notes and mark is to change, the job or the
        call fails with a RefusedError or a HypervisorError, and the VM is as it was.
        """

    def rename_vm(self, vm: VmId, name: str) -> Job:
        """Start to give a VM another name; its UUID, its files and what hangs from it stay.

        The job or the call fails with a
        :class:`~linkedclone.errors.DuplicateNameError` where the name is taken.
        """

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        """Wait until one of the jobs has finished, or for so long; return the states of all.

        One batched read each time. Returns at once if a job has finished already.
        """

    # -- the rest ---------------------------------------------------------------------

    def diagnose(self) -> tuple[Finding, ...]:
        """Check what linked clones need of this endpoint, for ``doctor``."""

    def close(self) -> None:
        """End the connection; never raises. Jobs go on at the endpoint."""


@runtime_checkable
class GuestPower(Protocol):
    """The power to ask a guest to shut itself down; only some drivers have it."""

    @property
    def asks_deaf_guests(self) -> bool:
        """Whether a guest may be asked that does not hear yet, so that it has to be asked again.

        To ask once more does no harm to one that heard.
        """

    def shut_down_guest(self, vm: VmId) -> None:
        """Ask the guest to shut down, and return at once; one that is off counts as done.

        Raises:
            RefusedError: Its tools or agent do not answer, so nobody would hear it.
        """


@runtime_checkable
class BatchPower(Protocol):
    """The power to start many VMs with one call; only some drivers have it."""

    def start_vms(self, ids: Sequence[VmId]) -> Mapping[VmId, Job | LinkedCloneError]:
        """Start to start VMs: for each a job, or why it was not even tried.

        Waits until the hypervisor has decided which it admits.
        """


@runtime_checkable
class Relocation(Protocol):
    """The power to move VMs between datastores, hosts and pools; only some drivers have it."""

    def resolve_relocation(self, vm: Vm, placement: Placement) -> Target:
        """Look up where a VM is to go. What is not named stays as it is, with an empty id.

        Raises:
            NotFoundError: A named object does not exist.
            AmbiguousError: A name fits several.
            RefusedError: The place cannot run the VM: its hosts do not reach the
                datastores of its chain.
            UnsupportedError: There is no such thing at this endpoint.
        """

    def relocate_vm(self, step: RelocateVm) -> Job:
        """Start to move a VM so that it hangs from what it hung from before."""


@runtime_checkable
class GraphicalConsole(Protocol):
    """The power to say how a VM's screen can be looked at; only some drivers have it."""

    def describe_console(self, vm: VmId) -> ConsoleAddress:
        """Say where the screen of a running VM is.

        Raises:
            RefusedError: It does not run, or has no screen.
        """


@runtime_checkable
class CustomizationEvents(Protocol):
    """The power to tell more of a customization than the VM itself does."""

    def read_clock(self) -> datetime:
        """Return what time it is at the endpoint. One call."""

    def observe_customization(
        self, ids: Sequence[VmId], since: datetime
    ) -> Mapping[VmId, CustomizationNews]:
        """Read what became of the customization of VMs since a moment of the endpoint's clock.

        One batched read. VMs of which nothing was told are left out.
        """


@runtime_checkable
class SshLogins(Protocol):
    """The power to say how one logs in to guests; only some drivers have it."""

    def describe_logins(self, vms: Sequence[Vm]) -> Mapping[VmId, SshLogin]:
        """Say how one logs in by SSH from here; VMs that cannot be reached are left out.

        Costs no look at the machines: what was seen of them is given.
        """


@runtime_checkable
class GuestCommands(Protocol):
    """The power to run commands inside guests; only some drivers have it."""

    def run_in_guest(
        self, vm: VmId, command: Sequence[str], *, login: GuestLogin | None, seconds: float
    ) -> int:
        """Run a command inside a guest, without a terminal; return its exit status. Waits.

        Args:
            vm: A running VM.
            command: Program and arguments; found on the guest's path.
            login: Who runs it, where the hypervisor asks for somebody.
            seconds: How long it may take.

        Raises:
            BusyError: The guest does not answer, or the command takes too long.
            AuthenticationError: The guest does not let that user in.
            HypervisorError: There is no such program.
        """


@runtime_checkable
class GuestPorts(Protocol):
    """The power to say how a port of a guest is reached from here, where its address is not."""

    def find_port(self, vm: Vm, port: int) -> tuple[str, int] | None:
        """Return host and port to connect to; None if it cannot be reached from here."""


@runtime_checkable
class SilentLooks(Protocol):
    """The power to look at VMs without a question to their guests, which may be slow or hostile."""

    def without_machines(self) -> Driver:
        """Return this connection with looks that ask nothing that runs: only for lineage."""

    def without_guests(self) -> Driver:
        """Return this connection with looks that ask no guest; what guests tell is unknown then."""


@runtime_checkable
class Registration(Protocol):
    """The power to forget a VM without touching its files; only some drivers have it."""

    def unregister_vm(self, vm: VmId) -> Job:
        """Start to take a powered-off VM out of the inventory; its files stay."""


@runtime_checkable
class Templates(Protocol):
    """The power to make templates of VMs and the other way round; only some drivers have it."""

    def set_template(self, vm: VmId, *, template: bool, pool: str = "") -> None:
        """Make a powered-off VM a template, or a template a VM; already so counts as done.

        Short, so there is no job.

        Args:
            vm: Which one.
            template: What it is to be.
            pool: Id of the resource pool that a template is made a VM in.
        """


@runtime_checkable
class Folders(Protocol):
    """The power to make inventory folders; only some drivers have it."""

    def create_folder(self, above: FolderId, path: str) -> FolderId:
        """Make a folder with all that is missing above it; one that is there counts as made.

        Args:
            above: The folder that it is made below.
            path: Its path from there, as in ``Target.new_folder``.
        """


@runtime_checkable
class GoldenImages(Protocol):
    """The power to look at what only a parent's own hypervisor knows of it."""

    def examine_parent(self, vm: VmId) -> tuple[Finding, ...]:
        """Check devices, tools and guest of a VM that is to be cloned from. Changes nothing.

        What can be told from a :class:`~linkedclone.model.vm.Vm` is not
        looked at here.
        """

    def disconnect_media(self, vm: VmId) -> Job:
        """Start to take all images and host devices out of the CD and floppy drives."""


@runtime_checkable
class ServerCheck(Protocol):
    """The power to ask the hypervisor itself whether it would carry a clone out."""

    def check_clone(self, step: CreateClone) -> tuple[HostCheck, ...]:
        """Let the hypervisor look at the request of a step, without carrying it out; waits.

        Raises:
            UnsupportedError: This one has no such check.
        """


@runtime_checkable
class ImageStore(Protocol):
    """The power to make parents from image files; only some drivers have it."""

    def import_image(self, wanted: ImageImport, tell: TellBytes = tell_nobody) -> VmId:
        """Make a parent VM with the snapshot ``base`` of an image; waits.

        An image that has the name already becomes an older version of it.
        ``tell`` is told how it gets on.
        """

    def build_image(self, wanted: ImageBuild, tell: TellBytes = tell_nobody) -> VmId:
        """Make a parent VM with the snapshot ``base`` of a distribution's packages; waits."""

    def list_images(self) -> tuple[Image, ...]:
        """Return all imported images, by name."""

    def remove_image(self, name: str) -> None:
        """Delete an image.

        Raises:
            InUseError: Clones hang from it.
            NotFoundError: There is none of that name.
        """


@runtime_checkable
class DiskFiles(Protocol):
    """The power over the files of VMs themselves; only some drivers have it."""

    def export_disk(self, wanted: DiskExport, tell: TellBytes = tell_nobody) -> None:
        """Write a disk of a VM that is off, or of a snapshot, to one file; waits.

        The file is there whole or not at all, and is never written over.

        Raises:
            InUseError: The VM runs, and no snapshot was named.
        """

    def move_state(self, target: Path, tell: TellBytes = tell_nobody) -> None:
        """Move everything that the endpoint keeps to another path; waits.

        The connection is of no use after that.

        Raises:
            InUseError: VMs run.
        """

    def rebase_layers(self, file: Path) -> Rebased:
        """Let all that miss a layer hang from the file that it is now; waits.

        Raises:
            InputError: It is no layer that is missed.
            InUseError: VMs that read it run.
        """

    def accept_layer(self, file: Path) -> None:
        """Take a layer for unchanged of which a copy changed the time alone; waits.

        Raises:
            RefusedError: Its content was changed.
        """

    def relink_vms(self) -> tuple[str, ...]:
        """Make VMs exist again whose files are there without their names; return the names."""


@runtime_checkable
class OpeningNotes(Protocol):
    """What a driver has to say of what it found when it was opened; only some have anything."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people: what was removed, and what has to be mended."""


@runtime_checkable
class GuestAccess(Protocol):
    """The power to get into a guest from here; only some drivers have it."""

    def build_ssh(self, vm: VmId, command: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the argument list of ``ssh`` for a running VM."""

    def attach_console(self, vm: VmId, *, input_descriptor: int, output_descriptor: int) -> None:
        """Join a terminal to the serial console until Ctrl-] is typed or the VM stops."""

    def connect_ssh(self, vm: VmId) -> socket:
        """Return a connection to the SSH server of a running VM."""

    def write_ssh_config(self) -> Path:
        """Write what plain ``ssh NAME`` needs of all VMs; return the file to include."""

    def build_unit(self) -> str:
        """Return a systemd unit, a template, that starts the VM that its instance names."""
