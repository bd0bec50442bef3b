"""What vCenter offers beside looks and steps; what only some commands need is imported for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from linkedclone.drivers.services import Services
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.drivers.vsphere.property.datacenters import Datacenters
from linkedclone.drivers.vsphere.steps import Steps
from linkedclone.model.findings import Finding
from linkedclone.model.jobs import Job
from linkedclone.model.plan import CreateClone
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationNews, Vm

if TYPE_CHECKING:
    from datetime import datetime

    from linkedclone.drivers.vsphere.guest.commands import GuestCommandRunner
    from linkedclone.drivers.vsphere.guest.events import CustomizationLog
    from linkedclone.errors import LinkedCloneError
    from linkedclone.model.access import ConsoleAddress, GuestLogin, SshLogin
    from linkedclone.model.findings import HostCheck


class VsphereServices:
    """All that is offered, in one object."""

    def __init__(
        self,
        session: Session,
        collector: Collector,
        observer: Observer,
        datacenters: Datacenters,
        jobs: Jobs,
        steps: Steps,
    ) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer
        self._datacenters = datacenters
        self._jobs = jobs
        self._steps = steps

    @property
    def table(self) -> Services:
        """What of it there is at this endpoint: a lone host has no check for clones."""
        return Services(
            guests=self,
            events=self,
            batch_power=self,
            console=self,
            golden_images=self,
            checker=self if self._session.is_vcenter else None,
            diagnosis=self,
        )

    def shut_down_guest(self, vm: VmId) -> None:
        from linkedclone.drivers.vsphere.guest.commands import shut_down_guest

        shut_down_guest(self._session, vm, self._observer.name(vm))

    def run_in_guest(
        self, vm: VmId, command: Sequence[str], *, login: GuestLogin | None, seconds: float
    ) -> int:
        return self._guest_commands.run(vm, command, login=login, seconds=seconds)

    @cached_property
    def _guest_commands(self) -> GuestCommandRunner:
        from linkedclone.drivers.vsphere.guest.commands import GuestCommandRunner

        return GuestCommandRunner(self._session, self._collector, self._observer)

    def find_places(self, vm: Vm, port: int) -> Sequence[tuple[str, int]]:
        """Return the guest's own addresses: its network is reached as any other."""
        return [(address, port) for address in vm.addresses]

    def describe_logins(self, vms: Sequence[Vm]) -> Mapping[VmId, SshLogin]:  # noqa: ARG002
        """Return nothing: who may log in is the guest's own business."""
        return {}

    def read_clock(self) -> datetime:
        return self._customization_log.read_clock()

    def observe_customization(
        self, ids: Sequence[VmId], since: datetime
    ) -> Mapping[VmId, CustomizationNews]:
        return self._customization_log.observe(ids, since)

    @cached_property
    def _customization_log(self) -> CustomizationLog:
        from linkedclone.drivers.vsphere.guest.events import CustomizationLog

        return CustomizationLog(self._session)

    def start_vms(self, ids: Sequence[VmId]) -> Mapping[VmId, Job | LinkedCloneError]:
        """Start many with one call for each datacenter."""
        from linkedclone.drivers.vsphere.lifecycle.power import Powering

        return Powering(self._session, self._collector, self._observer, self._jobs).start(ids)

    def describe_console(self, vm: VmId) -> ConsoleAddress:
        """Get a ticket for the VM's screen."""
        from linkedclone.drivers.vsphere.guest.console import describe_console

        return describe_console(self._session, self._observer, vm)

    def examine_parent(self, vm: VmId) -> tuple[Finding, ...]:
        from linkedclone.drivers.vsphere.cloning.fork_source import examine_forking, read_source
        from linkedclone.drivers.vsphere.diagnosis.golden_image import read_devices, read_parent
        from linkedclone.drivers.vsphere.features import knows_forks

        found = read_parent(self._session, self._collector, vm)
        if not self._session.is_vcenter:
            from linkedclone.drivers.vsphere.lone_host.devices import examine_devices

            devices = read_devices(self._session, self._collector, vm)
            return (*found, *examine_devices(devices))
        if not knows_forks(self._session):
            return found
        return (*found, *examine_forking(read_source(self._session, self._collector, vm)))

    def check_clone(self, step: CreateClone) -> tuple[HostCheck, ...]:
        from linkedclone.drivers.vsphere.cloning.server_check import check_clone

        return check_clone(self._session, self._collector, step, self._steps.build_spec(step))

    def diagnose(self) -> tuple[Finding, ...]:
        from linkedclone.drivers.vsphere.diagnosis.datastore_access import Reach
        from linkedclone.drivers.vsphere.diagnosis.doctor import diagnose, find_vcenter

        host = self._steps.host
        reach = Reach(self._session, self._collector, self._observer)
        if host is not None:
            return diagnose(self._session, self._datacenters, host.examine, host.find_shared)
        return diagnose(self._session, self._datacenters, find_vcenter, reach.find)
