"""One call for each step."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, assert_never

from linkedclone.drivers.rules.marks import refuse_changed
from linkedclone.drivers.vsphere.cloning.clone_spec import build_clone_spec, check_clone_spec
from linkedclone.drivers.vsphere.cloning.fork_source import ForkSource, check_fork, read_source
from linkedclone.drivers.vsphere.cloning.fork_spec import build_fork_spec
from linkedclone.drivers.vsphere.cloning.forks import Forks
from linkedclone.drivers.vsphere.cloning.preview import render_clone, render_fork
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.guest.stored_specifications import StoredSpecs
from linkedclone.drivers.vsphere.inventory.device_shape import Shape, needs_devices
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.lone_host.directory import Directories
from linkedclone.drivers.vsphere.lone_host.examine import Host
from linkedclone.drivers.vsphere.lone_host.second_look import SecondLook
from linkedclone.drivers.vsphere.lone_host.steps import LoneHost
from linkedclone.drivers.vsphere.native import Native, NativeCall
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.errors import UnsupportedError
from linkedclone.model import plan
from linkedclone.model.jobs import Job
from linkedclone.model.plan import CreateClone, JobStep
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Power

if TYPE_CHECKING:
    from linkedclone.drivers.vsphere.lone_host.removing import Deleter
    from linkedclone.drivers.vsphere.storage.remove_file import Remover

_TPM_POLICIES: Final = (8, 0)
"""The version that knows CloneSpec.tpmProvisionPolicy first [fact: vs-tpm]."""


_SEED_BYTES: Final = 32
"""What the guest of a fork gets to reseed its random generator."""


class Steps:
    """Starts steps at one endpoint.

    Attributes:
        lone_host: What starts some of them otherwise at an ESXi host without vCenter; set
            once, before any is started.
        host: What a lone ESXi host says of itself; None at a vCenter.
    """

    def __init__(
        self,
        session: Session,
        collector: Collector,
        observer: Observer,
        specs: StoredSpecs,
        jobs: Jobs,
        forks: Forks,
    ) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer
        self._specs = specs
        self._jobs = jobs
        self._forks = forks
        self.lone_host: LoneHost | None = None
        self._second_look = SecondLook(observer, Directories(session, collector))
        self.host = None if session.is_vcenter else Host(session, collector)
        self._fork_sources: dict[VmId, ForkSource] = {}

    def start(self, step: JobStep) -> Job:
        """Send the call of a step."""
        if self.host is not None:
            self.host.check(step)
            self._second_look.check(step)
        job = self.lone_host.start(step) if self.lone_host else None
        return job or self._start(step)

    def _start(self, step: JobStep) -> Job:  # noqa: C901, PLR0912 - one case for each step
        match step:
            case CreateClone():
                return self._create_clone(step)
            case plan.AttachClone(create=create):
                job = self._jobs.attach(create.name, create.source.id, create.target)
                return self._follow_fork(job, create) if create.instant else job
            case plan.TakeSnapshot():
                return self._take_snapshot(step)
            case plan.DeleteSnapshot():
                native = self._snapshot(step.snapshot)
                call = native.RemoveSnapshot_Task
                return self._delete(step, native, call, removeChildren=False, consolidate=True)
            case plan.RevertSnapshot():
                return self._send(step, self._snapshot(step.snapshot).RevertToSnapshot_Task)
            case plan.WriteMark():
                change = plan.ReconfigureVm(
                    vm=step.vm, vm_name=step.vm_name, mark=step.mark, seen=step.seen
                )
                return self._reconfigure(change, step)
            case plan.SetPower():
                return self._set_power(step)
            case plan.RenameVm():
                return self._send(step, self._vm(step.vm).Rename_Task, newName=step.new_name)
            case plan.ReconfigureVm():
                return self._reconfigure(step, step)
            case plan.RelocateVm():
                return self._relocate(step)
            case plan.DeleteVm():
                return self._delete_vm(step)
            case plan.UnregisterVm():
                if self.host is not None:
                    return self._deleter.unregister(step)
                native = self._vm(step.vm)
                return self._delete(step, native, native.UnregisterVM)
            case plan.PromoteVm():
                return self._promote(step)
            case plan.GrowDisk():
                return self._grow(step)
            case plan.DisconnectMedia():
                return self._disconnect_media(step)
            case plan.SetTemplate():
                return self._set_template(step)
            case plan.CreateFolder():
                return self._create_folder(step)
            case plan.RemoveStray():
                return self._remover.remove(step.stray)
            case plan.DeleteMemory():
                msg = f"{step!r} was not refused: it is not a feature of this driver"
                raise TypeError(msg)
            case _:
                assert_never(step)

    def check(self, step: CreateClone) -> None:
        """Refuse a clone that the hardware which is cloned does not allow."""
        if self.lone_host:
            self.lone_host.check(step)
            return
        if step.instant:
            check_fork(step, self._read_fork_source(step.source.id))
            return
        shape, stored = self._read_parts(step)
        check_clone_spec(step, shape, stored, version=self._session.api_version)

    def preview(self, step: CreateClone) -> Mapping[str, object]:
        """Return the request of a clone, or the requests, as plain data."""
        if self.lone_host:
            return self.lone_host.preview(step)
        spec = self.build_spec(step)
        if step.instant:
            return render_fork(step.source.id, spec)
        folder = "/".join(filter(None, (step.target.folder, step.target.new_folder)))
        return render_clone(step.source.id, folder, step.name, spec)

    def build_spec(self, step: CreateClone) -> Native:
        """Build the CloneSpec of a step, or its InstantCloneSpec."""
        if step.instant:
            shape = self._fork_source(step.source.id).shape
            return build_fork_spec(step, shape, secrets.token_hex(_SEED_BYTES))
        shape, stored = self._read_parts(step)
        version = self._session.api_version
        knows_tpm = version >= _TPM_POLICIES
        return build_clone_spec(step, shape, stored, knows_tpm=knows_tpm, version=version)

    def _read_parts(self, step: CreateClone) -> tuple[Shape, Native]:
        """Read what a CloneSpec is made of beside the step, unless it was read before."""
        whole = needs_devices(step)
        if step.snapshot is not None:
            shape = self._observer.shape(step.snapshot.id, whole=whole)
        else:
            # A copy of the VM's current state, or of a snapshot that is yet to be taken.
            shape = self._observer.present_shape(step.source.id, whole=whole)
        return shape, self._specs.read(step.target.customization_spec)

    def _read_fork_source(self, vm: VmId) -> ForkSource:
        """Read a VM that is to be forked; what was read counts for the whole batch."""
        self._fork_sources[vm] = source = read_source(self._session, self._collector, vm)
        return source

    def _fork_source(self, vm: VmId) -> ForkSource:
        return self._fork_sources.get(vm) or self._read_fork_source(vm)

    def _fork(self, step: CreateClone) -> Job:
        check_fork(step, self._fork_source(step.source.id))
        call = self._vm(step.source.id).InstantClone_Task
        return self._follow_fork(self._send(step, call, spec=self.build_spec(step)), step)

    def _follow_fork(self, job: Job, step: CreateClone) -> Job:
        self._forks.add(job, step, self._fork_source(step.source.id).shape.devices)
        return job

    def _create_clone(self, step: CreateClone) -> Job:
        if step.instant:
            return self._fork(step)
        return self._send(
            step,
            self._vm(step.source.id).CloneVM_Task,
            folder=self._session.managed("Folder", step.target.folder),
            name=step.name,
            spec=self.build_spec(step),
        )

    def _take_snapshot(self, step: plan.TakeSnapshot) -> Job:
        """Take a snapshot; the options count for a running VM [fact: vs-snapshot-options]."""
        return self._send(
            step,
            self._vm(step.vm).CreateSnapshot_Task,
            name=step.name,
            description=step.description,
            memory=step.memory,
            quiesce=step.quiesce,
        )

    def _set_power(self, step: plan.SetPower) -> Job:
        native = self._vm(step.vm)
        match step.power:
            case Power.ON:
                return self._send(step, native.PowerOnVM_Task)
            case Power.OFF:
                return self._send(step, native.PowerOffVM_Task)
            case _:
                raise UnsupportedError(f"cannot put a VM into the state {step.power.value!r}")

    def _reconfigure(self, change: plan.ReconfigureVm, step: JobStep) -> Job:
        """Change a VM for a step; vCenter refuses other hardware for what runs."""
        from linkedclone.drivers.vsphere.lifecycle.reconfigure import build_changes, read_bearing

        native, marked = self._vm(change.vm), change.mark is not None
        bearing = read_bearing(self._collector, native, step.about) if marked else None
        return self._send(step, native.ReconfigVM_Task, spec=build_changes(change, bearing))

    def _delete_vm(self, step: plan.DeleteVm) -> Job:
        native = self._vm(step.vm)
        if step.seen is not None:
            from linkedclone.drivers.vsphere.lifecycle.reconfigure import read_bearing

            bearing = read_bearing(self._collector, native, step.about)
            if bearing is not None:
                refuse_changed(step.about, seen=step.seen, now=bearing.mark)
        if self.host is not None:
            return self._deleter.delete(step)
        return self._delete(step, native, native.Destroy_Task)

    @cached_property
    def _deleter(self) -> Deleter:
        from linkedclone.drivers.vsphere.lone_host.removing import Deleter

        parts = (self._session, self._collector, self._observer, self._jobs, self._remover)
        return Deleter(*parts)

    def _relocate(self, step: plan.RelocateVm) -> Job:
        from linkedclone.drivers.vsphere.lifecycle.relocate import build_relocation

        disks = [key for key, _ in self._observer.present_shape(step.vm).disks]
        spec = build_relocation(step, disks)
        return self._send(step, self._vm(step.vm).RelocateVM_Task, spec=spec)

    def _promote(self, step: plan.PromoteVm) -> Job:
        """Give a VM copies of all that it shares [fact: vs-promote]."""
        return self._send(step, self._vm(step.vm).PromoteDisks_Task, unlink=True, disks=[])

    def _grow(self, step: plan.GrowDisk) -> Job:
        from linkedclone.drivers.vsphere.lifecycle.reconfigure import build_growth, read_disk

        native = self._vm(step.vm)
        disk = read_disk(self._collector, native, step.about, step.disk)
        spec = build_growth(disk, step.capacity_bytes)
        return self._send(step, native.ReconfigVM_Task, spec=spec)

    def _disconnect_media(self, step: plan.DisconnectMedia) -> Job:
        from linkedclone.drivers.vsphere.diagnosis.golden_image import build_ejection, read_devices

        spec = build_ejection(read_devices(self._session, self._collector, step.vm))
        return self._send(step, self._vm(step.vm).ReconfigVM_Task, spec=spec)

    def _set_template(self, step: plan.SetTemplate) -> Job:
        from linkedclone.drivers.vsphere.lifecycle.reconfigure import set_template

        set_template(
            self._session, self._collector, step.vm, template=step.template, pool=step.pool
        )
        return self._jobs.done(step.about, step.action)

    def _create_folder(self, step: plan.CreateFolder) -> Job:
        from linkedclone.drivers.vsphere.placement.folders import create_folder

        made = create_folder(self._session, step.above, step.path)
        return self._jobs.done(step.about, step.action, made)

    @cached_property
    def _remover(self) -> Remover:
        from linkedclone.drivers.vsphere.storage.remove_file import Remover

        return Remover(self._session, self._collector, self._jobs)

    def _send(self, step: JobStep, call: NativeCall, **arguments: object) -> Job:
        return self._jobs.start(step.about, step.action, call, **arguments)

    def _delete(self, step: JobStep, native: Native, call: NativeCall, **arguments: object) -> Job:
        return self._jobs.delete(step.about, step.action, native, call, **arguments)

    def _vm(self, moid: VmId) -> Native:
        return self._session.managed("VirtualMachine", moid)

    def _snapshot(self, moid: SnapshotId) -> Native:
        return self._session.managed("VirtualMachineSnapshot", moid)
