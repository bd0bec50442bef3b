"""The driver of the hypervisor in memory."""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Final

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.features import ALL_STEPS, Features
from linkedclone.drivers.memory.demo import make_scene
from linkedclone.drivers.memory.guest import refuse_card_mismatch, render_guest
from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from linkedclone.drivers.memory.inventory import Estate
from linkedclone.drivers.memory.placement import ROOT
from linkedclone.drivers.memory.services import MemoryServices
from linkedclone.drivers.memory.steps import start
from linkedclone.drivers.memory.target import find_target
from linkedclone.drivers.memory.vm import Machine
from linkedclone.drivers.rules.clone_checks import check_clones
from linkedclone.drivers.rules.refusals import (
    OF_GUESTS,
    no_such_vms,
    refuse_step,
    refuse_unsupported,
)
from linkedclone.drivers.services import Services
from linkedclone.errors import (
    AmbiguousError,
    EndpointError,
    LinkedCloneError,
)
from linkedclone.model.inventory import Inventory
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone, JobStep
from linkedclone.model.request import CloneRequest, Placement, Scan, Target
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Identity, Vm

POLL_SECONDS = 0.1
"""The longest that a waiting driver goes without looking."""


def open_memory(endpoint: Endpoint) -> "MemoryDriver":
    """Connect to a fresh hypervisor with a small inventory to try things on."""
    return MemoryDriver(make_scene(endpoint.path), endpoint.address)


FEATURES: Final = Features(
    endpoint="memory:",
    steps=ALL_STEPS,
    request_fields=frozenset(
        {
            "snapshot.memory",
            "snapshot.prepare_template",
            "placement.create_folder",
            "placement.spread.datastore",
            "instant",
            "disk_move.shared",
            "disk_move",
            "hardware.disks",
            "hardware.disks.thick",
            "hardware.disk_bytes",
            "macs",
            "placement.folder",
            *OF_GUESTS,
        }
    ),
    pool_section="vsphere",
    parallel=32,
    keeps_spares=True,
)
"""It has vSphere's words, and much less of its hardware."""


class MemoryDriver:
    """One connection to a hypervisor in memory; see :mod:`linkedclone.drivers.contract`."""

    def __init__(self, hypervisor: MemoryHypervisor, address: str = "memory:") -> None:
        self._hypervisor = hypervisor
        self._address = address
        self._closed = False
        extras = MemoryServices(hypervisor, self._access)
        self.features = FEATURES
        self.notes: tuple[str, ...] = ()
        self.services = Services(guests=extras, golden_images=extras, diagnosis=extras)

    def identify(self) -> Identity:
        return Identity(
            instance=self._hypervisor.instance,
            product="hypervisor in memory",
            version="1",
            address=self._address,
        )

    def _access(self, call: str) -> AbstractContextManager[Estate]:
        if self._closed:
            raise EndpointError("this connection is closed")
        return self._hypervisor.access(call)

    # -- read -------------------------------------------------------------------------

    def observe(self, *, sizes: bool = False, scan: Scan | None = None) -> Inventory:
        with self._access("observe") as estate:
            for place in scan.places if scan else ():
                estate.places.find_store(place)
            return estate.survey(sizes=sizes, scan=scan is not None)

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        with self._access("observe_vms") as estate:
            found = [estate.machines[vm] for vm in ids if vm in estate.machines]
            return estate.view(found, with_disks=False)

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        with self._access("find_vms") as estate:
            known = _index(estate)
            found = {ref: _find(estate, known, ref) for ref in refs}
            if missing := [ref for ref, machine in found.items() if machine is None]:
                raise no_such_vms(missing)
            machines = (found[ref] for ref in refs)
            return estate.view([m for m in machines if m is not None], with_disks=True)

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        refuse_unsupported(request, self.features)
        with self._access("resolve_target") as estate:
            return find_target(estate, estate.machine(source.id), request)

    def observe_names(self, target: Target, names: Sequence[str]) -> tuple[Vm, ...]:
        with self._access("observe_names") as estate:
            there = estate.names_in(target.folder)
            found = [there[key] for name in names if (key := name.casefold()) in there]
            return estate.view(found, with_disks=False)

    def observe_sources(self, ids: Sequence[VmId]) -> frozenset[VmId]:
        with self._access("observe_sources"):
            return self._hypervisor.sources & frozenset(ids)

    # -- act --------------------------------------------------------------------------

    def check(self, steps: Sequence[CreateClone]) -> tuple[LinkedCloneError, ...]:
        return check_clones(steps, refuse_card_mismatch)

    def preview_clone(self, step: CreateClone) -> Mapping[str, object]:
        return {
            "method": "instant clone" if step.instant else "clone",
            "source": step.source.id,
            "snapshot": step.snapshot.id if step.snapshot else None,
            "name": step.name,
            "uuid": step.uuid,
            "disk_move": step.disk_move.value,
            "target": asdict(step.target),
            "hardware": asdict(step.hardware),
            "macs": list(step.macs),
            "annotation": step.annotation,
            "guest": render_guest(step.guest),
            "mark": asdict(step.mark),
            "power_on": step.power_on,
        }

    def start(self, step: JobStep) -> Job:
        refuse_step(step, self.features)
        with self._access(type(step).__name__) as estate:
            return start(self._hypervisor, estate, step)

    def resolve_relocation(self, vm: Vm, placement: Placement) -> Target:
        request = CloneRequest(parent=vm.name, names=(vm.name,), placement=placement)
        refuse_unsupported(request, self.features)
        with self._access("resolve_relocation") as estate:
            target = find_target(estate, estate.machine(vm.id), request)
        return replace(
            target,
            datastore=target.datastore if placement.datastore else "",
            pool=target.pool if placement.resource_pool else "",
        )

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        hypervisor = self._hypervisor
        deadline = hypervisor.now() + timeout_seconds
        while True:
            with self._access("wait"):
                states = hypervisor.states(jobs)
                due = hypervisor.seconds_to_next()
            left = deadline - hypervisor.now()
            if left <= 0 or not jobs or any(state.finished for state in states):
                return states
            hypervisor.sleep(min(left, POLL_SECONDS, POLL_SECONDS if due is None else due))

    def without_guests(self, *, machines: bool = True) -> "MemoryDriver":  # noqa: ARG002
        """Return this connection: no look at it is slow."""
        return self

    def close(self) -> None:
        self._closed = True


def _index(estate: Estate) -> dict[str, list[Machine]]:
    known: dict[str, list[Machine]] = defaultdict(list)
    for machine in estate.machines.values():
        path = estate.path(machine)
        for key in {machine.uuid, path, path.removeprefix(f"{ROOT}/"), machine.name}:
            known[key].append(machine)
    return known


def _find(estate: Estate, known: Mapping[str, list[Machine]], ref: str) -> Machine | None:
    found = known.get(_as_uuid(ref) or "") or known.get(ref) or []
    if len(found) > 1:
        raise AmbiguousError(
            f"{len(found)} VMs are called {ref!r}",
            candidates=tuple(sorted(estate.path(machine) for machine in found)),
            hint="give the path",
        )
    return found[0] if found else None


def _as_uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
