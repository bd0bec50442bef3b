"""The vSphere driver: keeps the contract by delegating to one module for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from linkedclone.drivers.rules.marks import refuse_changed
from linkedclone.drivers.vsphere.cloning.clone_spec import build_clone_spec
from linkedclone.drivers.vsphere.cloning.preview import render_clone
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.guest.stored_specifications import StoredSpecs
from linkedclone.drivers.vsphere.inventory.device_shape import needs_devices
from linkedclone.drivers.vsphere.inventory.finder import Finder
from linkedclone.drivers.vsphere.inventory.folder_children import Lookup
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.jobs.attach import Attacher
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.placement.target import Placer
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.drivers.vsphere.property.datacenters import Datacenters
from linkedclone.errors import UnsupportedError
from linkedclone.model.findings import Finding
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone, ReconfigureVm, RelocateVm
from linkedclone.model.request import CloneRequest, Placement, Scan, Target
from linkedclone.model.values.ids import FolderId, SnapshotId, VmId
from linkedclone.model.vm import CustomizationNews, Identity, Mark, Power, Vm

if TYPE_CHECKING:
    from datetime import datetime

    from linkedclone.drivers.vsphere.guest.commands import GuestCommandRunner
    from linkedclone.drivers.vsphere.guest.events import CustomizationLog
    from linkedclone.drivers.vsphere.storage.remove_file import Remover
    from linkedclone.errors import LinkedCloneError
    from linkedclone.model.access import ConsoleAddress, GuestLogin
    from linkedclone.model.server_check import HostCheck

_UNSCANNED: Final = "files of unregistered VMs were not looked for (``scan`` does)"

_TPM_POLICIES: Final = (8, 0)
"""The version that knows CloneSpec.tpmProvisionPolicy first [fact: vs-tpm]."""


class VsphereDriver:
    """One open connection to a vCenter. See :class:`linkedclone.drivers.contract.Driver`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._collector = collector = Collector(session)
        lookup = Lookup(session, collector)
        self._specs = StoredSpecs(session, collector)
        self._observer = Observer(session, collector)
        self._datacenters = Datacenters(session, collector)
        self._finder = Finder(session, collector, self._observer, self._datacenters)
        self._placer = Placer(session, collector, self._observer, self._specs)
        self._lookup = lookup
        self._attacher = Attacher(session, collector, lookup)
        self._jobs = Jobs(session, collector, self._attacher)

    @property
    def default_parallel(self) -> int:
        """128: vCenter queues what its hosts cannot take yet [fact: vs-limits]."""
        return 128

    @property
    def patience_seconds(self) -> float:
        """As long as the endpoint's settings say: a vCenter takes minutes to restart."""
        return self._session.endpoint.patience_seconds

    @property
    def customizes_always(self) -> bool:
        """No: a guest is customised only if a specification says so."""
        return False

    def identify(self) -> Identity:
        """Say what the endpoint is."""
        about, endpoint = self._session.content.about, self._session.endpoint
        port = "" if endpoint.port == 443 else f":{endpoint.port}"
        return Identity(
            instance=about.instanceUuid or "",
            product=about.name,
            version=about.version,
            address=f"{endpoint.host}{port}",
        )

    # -- read -------------------------------------------------------------------------

    def observe(self, *, sizes: bool = False, scan: Scan | None = None) -> Inventory:
        """Read all VMs of the whole endpoint: guards must see every user of a layer."""
        if scan is None:
            inventory = self._observer.observe(sizes=sizes)
            return replace(inventory, blind=(*inventory.blind, _UNSCANNED), unscanned=(_UNSCANNED,))
        from linkedclone.drivers.vsphere.storage.scan import Scanner

        scanner = Scanner(self._session, self._collector, self._observer, self._attacher)
        stores = scanner.choose(scan)
        return scanner.scan(self._observer.observe(sizes=sizes), scan, stores)

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        """Read these VMs again, in one batch."""
        return tuple(self._observer.observe_vms(ids, whole=False).values())

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Find VMs by name, inventory path or UUID."""
        return self._finder.find_vms(refs)

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        """Look up where the clones of this request go."""
        return self._placer.resolve_target(source, request)

    def observe_names(self, target: Target, names: Sequence[str]) -> tuple[Vm, ...]:
        """Read the VMs that stand in the target's folder, or its vApp, under these names."""
        found = self._lookup.check_names(target.folder, names)
        inside = self._lookup.find_in_vapp(target.pool, names)
        return self.observe_vms(tuple(dict.fromkeys((*found, *inside))))

    def observe_sources(self, ids: Sequence[VmId]) -> frozenset[VmId]:
        """Say from which of these VMs clones are being made right now: one read of their tasks."""
        return self._attacher.find_sources(ids)

    # -- act --------------------------------------------------------------------------

    def preview_clone(self, step: CreateClone) -> Mapping[str, object]:
        """Return the arguments of the CloneVM_Task, as plain data."""
        spec = self._build_spec(step)
        folder = "/".join(filter(None, (step.target.folder, step.target.new_folder)))
        return render_clone(step.source.id, folder, step.name, spec)

    def create_clone(self, step: CreateClone) -> Job:
        """Send the CloneVM_Task."""
        self._session.require_vcenter("clone VMs")
        return self._jobs.start(
            step.name,
            "clone",
            self._vm(step.source.id).CloneVM_Task,
            folder=self._session.managed("Folder", step.target.folder),
            name=step.name,
            spec=self._build_spec(step),
        )

    def check_clone(self, step: CreateClone) -> tuple[HostCheck, ...]:
        """Ask vCenter's own checker what it thinks of the request."""
        from linkedclone.drivers.vsphere.cloning.server_check import check_clone

        return check_clone(self._session, self._collector, step, self._build_spec(step))

    def _build_spec(self, step: CreateClone) -> Native:
        whole = needs_devices(step)
        if step.snapshot is not None:
            shape = self._observer.shape(step.snapshot.id, whole=whole)
        else:
            # A copy of the VM as it stands, or of a snapshot that is yet to be taken of it.
            shape = self._observer.present_shape(step.source.id, whole=whole)
        stored = self._specs.read(step.target.customization_spec)
        version = self._session.api_version
        knows_tpm = version >= _TPM_POLICIES
        return build_clone_spec(step, shape, stored, knows_tpm=knows_tpm, version=version)

    def attach_clone(self, step: CreateClone) -> Job:
        """Follow the clone of this name that somebody else is making."""
        return self._jobs.attach(step.name, step.source.id, step.target)

    def write_mark(self, vm: VmId, mark: Mark, seen: Mark | None) -> Job:
        """Write the VM's mark into its extraConfig."""
        step = ReconfigureVm(vm=vm, vm_name=self._observer.name(vm), mark=mark, seen=seen)
        return self.reconfigure_vm(step, action="mark")

    def create_snapshot(
        self,
        vm: VmId,
        name: str,
        description: str,
        *,
        quiesce: bool = False,
        memory: bool = False,
    ) -> Job:
        """Take a snapshot; the options count for a running VM [fact: vs-snapshot-options]."""
        return self._jobs.start(
            self._observer.name(vm),
            "snapshot",
            self._vm(vm).CreateSnapshot_Task,
            name=name,
            description=description,
            memory=memory,
            quiesce=quiesce,
        )

    def set_template(self, vm: VmId, *, template: bool, pool: str = "") -> None:
        """Mark a VM as template, or a template as VM."""
        from linkedclone.drivers.vsphere.lifecycle.templates import set_template

        set_template(self._session, self._collector, vm, template=template, pool=pool)

    def create_folder(self, above: FolderId, path: str) -> FolderId:
        """Make a folder with all that is missing above it."""
        from linkedclone.drivers.vsphere.placement.folders import create_folder

        return create_folder(self._session, above, path)

    def examine_parent(self, vm: VmId) -> tuple[Finding, ...]:
        """Check devices, tools and guest of a VM that is to be cloned from. One read."""
        from linkedclone.drivers.vsphere.diagnosis.golden_image import read_parent

        return read_parent(self._session, self._collector, vm)

    def disconnect_media(self, vm: VmId) -> Job:
        """Take all images and host devices out of the CD and floppy drives."""
        from linkedclone.drivers.vsphere.diagnosis.golden_image import build_ejection, read_devices

        spec = build_ejection(read_devices(self._session, self._collector, vm))
        name = self._observer.name(vm)
        return self._jobs.start(name, "disconnect-media", self._vm(vm).ReconfigVM_Task, spec=spec)

    def delete_snapshot(self, vm: VmId, snapshot: SnapshotId) -> Job:
        """Delete one snapshot; its children stay, its disks are merged where possible."""
        native = self._session.managed("VirtualMachineSnapshot", snapshot)
        return self._jobs.delete(
            self._observer.name(vm),
            "delete-snapshot",
            native,
            native.RemoveSnapshot_Task,
            removeChildren=False,
            consolidate=True,
        )

    def revert_snapshot(self, vm: VmId, snapshot: SnapshotId) -> Job:
        """Put the VM back to the snapshot."""
        native = self._session.managed("VirtualMachineSnapshot", snapshot)
        return self._jobs.start(self._observer.name(vm), "revert", native.RevertToSnapshot_Task)

    def promote_vm(self, vm: VmId) -> Job:
        """Give a VM copies of all that it shares [fact: vs-promote]."""
        self._session.require_vcenter("make clones independent")
        return self._jobs.start(
            self._observer.name(vm),
            "promote",
            self._vm(vm).PromoteDisks_Task,
            unlink=True,
            disks=[],
        )

    @property
    def grows_linked(self) -> bool:
        """No [fact: vs-linked-no-growth]."""
        return False

    def grow_disk(self, vm: VmId, disk: str, capacity_bytes: int) -> Job:
        """Make the disk of this label larger; reads the VM's devices first."""
        from linkedclone.drivers.vsphere.lifecycle.grow_disk import build_growth, read_disk

        native, name = self._vm(vm), self._observer.name(vm)
        spec = build_growth(read_disk(self._collector, native, name, disk), capacity_bytes)
        return self._jobs.start(name, "grow", native.ReconfigVM_Task, spec=spec)

    def remove_stray(self, stray: Stray) -> Job:
        """Delete a disk's descriptor and extents, once it is certain that no VM here reads it."""
        return self._remover.remove(stray)

    @cached_property
    def _remover(self) -> Remover:
        from linkedclone.drivers.vsphere.storage.remove_file import Remover

        return Remover(self._session, self._collector, self._jobs)

    def unregister_vm(self, vm: VmId) -> Job:
        """Take a VM out of the inventory at once; one that is gone already counts as done."""
        name, native = self._observer.name(vm), self._vm(vm)
        return self._jobs.delete(name, "unregister", native, native.UnregisterVM)

    def delete_vm(self, vm: VmId, seen: Mark | None = None) -> Job:
        """Delete a VM with the files that no other registered VM uses."""
        native, name = self._vm(vm), self._observer.name(vm)
        if seen is not None:
            from linkedclone.drivers.vsphere.lifecycle.reconfigure import read_bearing

            bearing = read_bearing(self._collector, native, name)
            if bearing is not None:
                refuse_changed(name, seen=seen, now=bearing.mark)
        return self._jobs.delete(name, "delete", native, native.Destroy_Task)

    def set_power(self, vm: VmId, power: Power) -> Job:
        """Start or stop hard."""
        native, name = self._vm(vm), self._observer.name(vm)
        match power:
            case Power.ON:
                return self._jobs.start(name, "power-on", native.PowerOnVM_Task)
            case Power.OFF:
                return self._jobs.start(name, "power-off", native.PowerOffVM_Task)
            case _:
                raise UnsupportedError(f"cannot put a VM into the state {power.value!r}")

    @property
    def asks_deaf_guests(self) -> bool:
        """No: only a guest whose tools run can be asked."""
        return False

    def shut_down_guest(self, vm: VmId) -> None:
        """Ask the guest through VMware Tools."""
        from linkedclone.drivers.vsphere.guest.shutdown import shut_down_guest

        shut_down_guest(self._session, vm, self._observer.name(vm))

    def start_vms(self, ids: Sequence[VmId]) -> Mapping[VmId, Job | LinkedCloneError]:
        """Start many with one call for each datacenter; see ``powering``."""
        from linkedclone.drivers.vsphere.lifecycle.power import Powering

        return Powering(self._session, self._collector, self._observer, self._jobs).start(ids)

    def resolve_relocation(self, vm: Vm, placement: Placement) -> Target:
        """Look up where a VM is to go; see ``relocation``."""
        from linkedclone.drivers.vsphere.lifecycle.relocate import resolve_relocation

        self._session.require_vcenter("move VMs")
        return resolve_relocation(self._placer, vm, placement)

    def relocate_vm(self, step: RelocateVm) -> Job:
        """Send the RelocateVM_Task; reads the VM's disks first."""
        from linkedclone.drivers.vsphere.lifecycle.relocate import build_relocation

        disks = [key for key, _ in self._observer.present_shape(step.vm).disks]
        name, spec = self._observer.name(step.vm), build_relocation(step, disks)
        return self._jobs.start(name, "relocate", self._vm(step.vm).RelocateVM_Task, spec=spec)

    def describe_console(self, vm: VmId) -> ConsoleAddress:
        """Get a ticket for the VM's screen; see ``screens``."""
        from linkedclone.drivers.vsphere.guest.console import describe_console

        return describe_console(self._session, self._observer, vm)

    @property
    def section(self) -> str:
        """The part of a pool's file that is about vSphere."""
        return "vsphere"

    def reconfigure_vm(self, step: ReconfigureVm, action: str = "reconfigure") -> Job:
        """Change processors, memory, notes or mark; vCenter refuses hardware of what runs."""
        from linkedclone.drivers.vsphere.lifecycle.reconfigure import build_changes, read_bearing

        native, name = self._vm(step.vm), self._observer.name(step.vm)
        bearing = read_bearing(self._collector, native, name) if step.mark is not None else None
        spec = build_changes(step, bearing)
        return self._jobs.start(name, action, native.ReconfigVM_Task, spec=spec)

    def run_in_guest(
        self, vm: VmId, command: Sequence[str], *, login: GuestLogin | None, seconds: float
    ) -> int:
        """Run a command inside a guest through VMware Tools; see ``guestcommands``."""
        return self._guest_commands.run(vm, command, login=login, seconds=seconds)

    @cached_property
    def _guest_commands(self) -> GuestCommandRunner:
        from linkedclone.drivers.vsphere.guest.commands import GuestCommandRunner

        return GuestCommandRunner(self._session, self._collector, self._observer)

    def rename_vm(self, vm: VmId, name: str) -> Job:
        """Send the Rename_Task: folder and files on the datastore keep their names."""
        return self._jobs.start(
            self._observer.name(vm), "rename", self._vm(vm).Rename_Task, newName=name
        )

    def read_clock(self) -> datetime:
        """Return what time it is at the server."""
        return self._customization_log.read_clock()

    def observe_customization(
        self, ids: Sequence[VmId], since: datetime
    ) -> Mapping[VmId, CustomizationNews]:
        """Read what the events since a moment tell of customizations; one call for all VMs."""
        return self._customization_log.observe(ids, since)

    @cached_property
    def _customization_log(self) -> CustomizationLog:
        from linkedclone.drivers.vsphere.guest.events import CustomizationLog

        return CustomizationLog(self._session)

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        """Wait until one of the jobs has finished, or for so long."""
        return self._jobs.wait(jobs, timeout_seconds)

    # -- the rest ---------------------------------------------------------------------

    def diagnose(self) -> tuple[Finding, ...]:
        """Check what linked clones need of this endpoint."""
        from linkedclone.drivers.vsphere.diagnosis.datastore_access import Reach
        from linkedclone.drivers.vsphere.diagnosis.doctor import diagnose

        reach = Reach(self._session, self._collector, self._observer)
        return diagnose(self._session, self._datacenters, reach.find)

    def close(self) -> None:
        """Log out; never raises."""
        self._session.close()

    def _vm(self, moid: VmId) -> Native:
        return self._session.managed("VirtualMachine", moid)
