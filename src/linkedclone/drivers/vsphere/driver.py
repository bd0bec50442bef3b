"""The vSphere driver: keeps the contract by delegating to one module for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from linkedclone.drivers.features import require
from linkedclone.drivers.rules.clone_checks import check_clones
from linkedclone.drivers.rules.refusals import refuse_step, refuse_unsupported
from linkedclone.drivers.vsphere.cloning.fork_source import refuse_places
from linkedclone.drivers.vsphere.cloning.forks import Forks
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.features import find_features
from linkedclone.drivers.vsphere.guest.stored_specifications import StoredSpecs
from linkedclone.drivers.vsphere.inventory.finder import Finder
from linkedclone.drivers.vsphere.inventory.folder_children import Lookup
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.jobs.attach import Attacher
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.lone_host.creating import Creations
from linkedclone.drivers.vsphere.lone_host.directory import Directories
from linkedclone.drivers.vsphere.lone_host.source import Sources
from linkedclone.drivers.vsphere.lone_host.steps import LoneHost
from linkedclone.drivers.vsphere.lone_host.target import folder_of, resolve_target
from linkedclone.drivers.vsphere.placement.target import Placer
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.drivers.vsphere.property.datacenters import Datacenters
from linkedclone.drivers.vsphere.services import VsphereServices
from linkedclone.drivers.vsphere.steps import Steps
from linkedclone.errors import LinkedCloneError
from linkedclone.model.inventory import Inventory
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone, JobStep, RelocateVm
from linkedclone.model.request import CloneRequest, Placement, Scan, Target
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.model.vm import Identity, Vm

_UNSCANNED: Final = "files of unregistered VMs were not looked for (``scan`` does)"


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
        self._alone = not session.is_vcenter
        forks = Forks(session, collector)
        self._directories = Directories(session, collector)
        sources = Sources(session, collector)
        creations = Creations(
            session, sources, self._directories, self._look_up, self._observer.observe
        )
        self._jobs = jobs = Jobs(
            session, collector, self._attacher, sequel=creations if self._alone else forks
        )
        self.features = find_features(session)
        self._steps = Steps(session, collector, self._observer, self._specs, jobs, forks)
        if self._alone:
            self._steps.lone_host = LoneHost(session, jobs, sources, creations)
        self.notes: tuple[str, ...] = ()
        self.services = VsphereServices(
            session, collector, self._observer, self._datacenters, self._jobs, self._steps
        ).table

    def identify(self) -> Identity:
        about, endpoint = self._session.content.about, self._session.endpoint
        host = self._steps.host
        port = "" if endpoint.port == 443 else f":{endpoint.port}"
        return Identity(
            instance=host.id if host is not None else about.instanceUuid or "",
            product=about.name,
            version=about.version,
            address=f"{endpoint.host}{port}",
        )

    # -- read -------------------------------------------------------------------------

    def observe(self, *, sizes: bool = False, scan: Scan | None = None) -> Inventory:
        """Read all VMs of the whole endpoint: guards must see every user of a layer."""
        if scan is None:
            inventory = self._observe(sizes=sizes)
            return replace(inventory, blind=(*inventory.blind, _UNSCANNED), unscanned=(_UNSCANNED,))
        from linkedclone.drivers.vsphere.storage.scan import Scanner

        host = self._steps.host
        shared = frozenset(host.state.shared) if host is not None else frozenset[StoreId]()
        scanner = Scanner(self._session, self._collector, self._observer, self._attacher, shared)
        stores = scanner.choose(scan)
        return scanner.scan(self._observe(sizes=sizes), scan, stores)

    def _observe(self, *, sizes: bool) -> Inventory:
        """Read all VMs; a lone host does not tell of those that other hosts keep."""
        host = self._steps.host
        inventory = self._observer.observe(sizes=sizes)
        return inventory if host is None else replace(inventory, blind=host.find_blind())

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        return tuple(self._observer.observe_vms(ids, whole=False).values())

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        return self._finder.find_vms(refs)

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        require(self.features, CreateClone)
        refuse_unsupported(request, self.features)
        if self._steps.host is not None:
            self._steps.host.check_disks(request.disk_move)
        if request.instant:
            refuse_places(request)
        if self._alone:
            return resolve_target(self._session, self._collector, self._placer, source, request)
        return self._placer.resolve_target(source, request)

    def observe_names(self, target: Target, names: Sequence[str]) -> tuple[Vm, ...]:
        """Read the VMs with these names in the target's folder or vApp."""
        found = self._lookup.check_names(folder_of(target), names)
        inside = self._lookup.find_in_vapp(target.pool, names)
        return self.observe_vms(tuple(dict.fromkeys((*found, *inside))))

    def _look_up(self, steps: Sequence[CreateClone]) -> tuple[Vm, ...]:
        return self.observe_names(steps[0].target, [step.name for step in steps])

    def observe_sources(self, ids: Sequence[VmId]) -> frozenset[VmId]:
        """Say from which of these VMs clones are being made right now: one read of their tasks."""
        if self._alone:
            # A task that makes a VM does not tell from what.
            return frozenset(ids) if self._directories.is_being_filled() else frozenset()
        return self._attacher.find_sources(ids)

    # -- act --------------------------------------------------------------------------

    def check(self, steps: Sequence[CreateClone]) -> tuple[LinkedCloneError, ...]:
        return check_clones(steps, self._steps.check, plain=self._alone)

    def preview_clone(self, step: CreateClone) -> Mapping[str, object]:
        """Return the arguments of the CloneVM_Task or InstantClone_Task, or of several calls."""
        return self._steps.preview(step)

    def start(self, step: JobStep) -> Job:
        refuse_step(step, self.features)
        return self._steps.start(step)

    def resolve_relocation(self, vm: Vm, placement: Placement) -> Target:
        from linkedclone.drivers.vsphere.lifecycle.relocate import resolve_relocation

        require(self.features, RelocateVm)
        return resolve_relocation(self._placer, vm, placement)

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        return self._jobs.wait(jobs, timeout_seconds)

    def without_guests(self, *, machines: bool = True) -> VsphereDriver:  # noqa: ARG002
        """Return this connection: vCenter tells what it knows, and asks no guest for it."""
        return self

    def close(self) -> None:
        self._session.close()
