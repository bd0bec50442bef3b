"""Starting many VMs with one call, so that the cluster itself decides who runs where.

It is ``Datacenter.PowerOnMultiVM_Task`` [fact: vs-power-on-many].
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.jobs.task_outcome import find_fault
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.drivers.vsphere.property.inventory_path import PARTS, above_of, datacenter_of
from linkedclone.drivers.vsphere.property.traversal import UP
from linkedclone.errors import BusyError, GoneError, HypervisorError, LinkedCloneError, PowerOnError
from linkedclone.model.jobs import Job
from linkedclone.model.values.ids import VmId

_WANTED: Final = {"VirtualMachine": ("name", "parent", "parentVApp"), **PARTS}
_WAIT_SECONDS: Final = 5.0
_ACTION: Final = "power-on"

Outcome = Job | LinkedCloneError


class Powering:
    """Starts VMs of one endpoint: one call for each datacenter, and one read before."""

    def __init__(
        self, session: Session, collector: Collector, observer: Observer, jobs: Jobs
    ) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer
        self._jobs = jobs

    def start(self, ids: Sequence[VmId]) -> Mapping[VmId, Outcome]:
        """Start VMs; waits until the cluster has decided which it admits.

        Where the call does not exist (a lone ESXi host), or is refused as a
        whole for the sake of one VM, each VM is started with a call of its own.
        """
        if not self._session.is_vcenter:
            return self._start_singly(ids)
        outcomes: dict[VmId, Outcome] = {}
        for datacenter, some in self._by_datacenter(ids).items():
            outcomes |= self._start_together(datacenter, some)
        return outcomes

    def _by_datacenter(self, ids: Sequence[VmId]) -> Mapping[str, Sequence[VmId]]:
        """Return the VMs of each datacenter; those of none that can be seen under no id."""
        starts = [self._session.managed("VirtualMachine", vm) for vm in ids]
        around = self._collector.read("read the hosts of VMs", starts, _WANTED, UP)
        groups: dict[str, list[VmId]] = defaultdict(list)
        for vm in ids:
            seen = around.get(vm)
            groups[_datacenter_id(seen, around) if seen else ""].append(vm)
        return groups

    def _start_together(self, datacenter: str, ids: Sequence[VmId]) -> Mapping[VmId, Outcome]:
        if not datacenter or len(ids) < 2:
            return self._start_singly(ids)
        try:
            result = self._send(datacenter, ids)
        except (BusyError, GoneError) as error:
            # Whether it was done is not known, so it is not done again.
            return dict.fromkeys(ids, error)
        except HypervisorError:
            return self._start_singly(ids)
        outcomes = self._sort(result)
        waiting = _describe_recommendations(result)
        missing = [vm for vm in ids if vm not in outcomes]
        if not waiting:
            return {**outcomes, **self._start_singly(missing)}
        return {**outcomes, **{vm: self._recommended(vm, waiting) for vm in missing}}

    def _send(self, datacenter: str, ids: Sequence[VmId]) -> Native:
        """Send the call and wait for its task; returns a ClusterPowerOnVmResult."""
        native = self._session.managed("Datacenter", datacenter)
        vms = [self._session.managed("VirtualMachine", vm) for vm in ids]
        job = self._jobs.start(f"{len(ids)} VMs", _ACTION, native.PowerOnMultiVM_Task, vm=vms)
        while not (state := self._jobs.wait([job], _WAIT_SECONDS)[0]).finished:
            pass
        if state.error:
            raise state.error
        task = self._session.managed("Task", job.id)
        wanted = {"Task": ("info.result",)}
        seen = self._collector.read("read which VMs are started", [task], wanted).get(job.id)
        result = seen.get("info.result") if seen else None
        if result is None:
            brief = (
                f"could not read which of {len(ids)} VMs were admitted: the task no longer exists"
            )
            raise GoneError(brief, hint="run it again: those that run are left alone")
        return result

    def _sort(self, result: Native) -> dict[VmId, Outcome]:
        outcomes: dict[VmId, Outcome] = {}
        for one in result.attempted or ():
            vm = VmId(moid_of(one.vm))
            if one.task is not None:
                outcomes[vm] = self._jobs.follow(self._observer.name(vm), _ACTION, one.task)
        for one in result.notAttempted or ():
            vm = VmId(moid_of(one.vm))
            name = self._observer.name(vm)
            error = find_fault(name, _ACTION, getattr(one.fault, "fault", one.fault))
            outcomes[vm] = error or self._jobs.done(name, _ACTION)
        return outcomes

    def _start_singly(self, ids: Sequence[VmId]) -> Mapping[VmId, Outcome]:
        def start(vm: VmId) -> Outcome:
            native, name = self._session.managed("VirtualMachine", vm), self._observer.name(vm)
            try:
                return self._jobs.start(name, _ACTION, native.PowerOnVM_Task)
            except LinkedCloneError as error:
                return error

        return dict(zip(ids, self._session.map(start, ids), strict=True))

    def _recommended(self, vm: VmId, details: str) -> PowerOnError:
        name = self._observer.name(vm)
        return PowerOnError(
            f"could not start {name}: DRS is set to manual there and only recommends where",
            details=details,
            hint="apply the recommendation in the vSphere Client, or start it alone: "
            f"``start`` {name} takes the host that it is on",
            kind="ClusterRecommendation",
        )


def _datacenter_id(vm: Seen, around: Mapping[str, Seen]) -> str:
    found = datacenter_of(vm, around) if above_of(vm) else None
    return found.id if found else ""


def _describe_recommendations(result: Native) -> str:
    texts = (
        unescape(str(one.reasonText or one.reason or one.key))
        for one in result.recommendations or ()
    )
    return "\n".join(dict.fromkeys(texts))
