"""The driver of the hypervisor in memory."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.memory.demo import make_scene
from linkedclone.drivers.memory.faults import Action
from linkedclone.drivers.memory.guest import refuse_card_mismatch, render_guest
from linkedclone.drivers.memory.hypervisor import MemoryHypervisor
from linkedclone.drivers.memory.inventory import Estate
from linkedclone.drivers.memory.placement import ROOT
from linkedclone.drivers.memory.target import REFUSED, find_target
from linkedclone.drivers.memory.vm import Machine
from linkedclone.drivers.rules.network_cards import fill_macs
from linkedclone.drivers.rules.refusals import no_such_vms
from linkedclone.errors import (
    AmbiguousError,
    BusyError,
    EndpointError,
    HypervisorError,
    RefusedError,
    UnsupportedError,
)
from linkedclone.model.access import GuestLogin
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.jobs import Job, JobState
from linkedclone.model.plan import CreateClone, ReconfigureVm, RelocateVm
from linkedclone.model.request import CloneRequest, Placement, Scan, Target
from linkedclone.model.values.ids import FolderId, SnapshotId, VmId
from linkedclone.model.values.vm_names import render_count
from linkedclone.model.vm import Identity, Mark, Power, Vm

POLL_SECONDS = 0.1
"""The longest that a waiting driver goes without looking."""


def open_memory(endpoint: Endpoint) -> "MemoryDriver":
    """Connect to a fresh hypervisor with a small inventory to try things on."""
    return MemoryDriver(make_scene(endpoint.path), endpoint.address)


class MemoryDriver:
    """One connection to a hypervisor in memory; see :mod:`linkedclone.drivers.contract`."""

    def __init__(self, hypervisor: MemoryHypervisor, address: str = "memory:") -> None:
        self._hypervisor = hypervisor
        self._address = address
        self._closed = False

    @property
    def default_parallel(self) -> int:
        """How many clones may be in flight at once unless the user says otherwise."""
        return 32

    @property
    def patience_seconds(self) -> float:
        """Nothing is between this process and its hypervisor that could go away."""
        return 0.0

    @property
    def customizes_always(self) -> bool:
        """No, as on vSphere."""
        return False

    def identify(self) -> Identity:
        """Say what the endpoint is."""
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
        """Read all VMs with their disk chains and the disks of their snapshots."""
        with self._access("observe") as estate:
            for place in scan.places if scan else ():
                estate.places.find_store(place)
            return estate.survey(sizes=sizes, scan=scan is not None)

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        """Read these VMs again; those that are gone are left out."""
        with self._access("observe_vms") as estate:
            found = [estate.machines[vm] for vm in ids if vm in estate.machines]
            return estate.view(found, with_disks=False)

    def find_vms(self, refs: Sequence[str]) -> tuple[Vm, ...]:
        """Find VMs by name, inventory path or UUID."""
        with self._access("find_vms") as estate:
            known = _index(estate)
            found = {ref: _find(estate, known, ref) for ref in refs}
            if missing := [ref for ref, machine in found.items() if machine is None]:
                raise no_such_vms(missing)
            machines = (found[ref] for ref in refs)
            return estate.view([m for m in machines if m is not None], with_disks=True)

    def resolve_target(self, source: Vm, request: CloneRequest) -> Target:
        """Look up where the clones of this request go."""
        with self._access("resolve_target") as estate:
            return find_target(estate, estate.machine(source.id), request)

    def observe_names(self, target: Target, names: Sequence[str]) -> tuple[Vm, ...]:
        """Read the VMs that stand in the target's folder under these names."""
        with self._access("observe_names") as estate:
            there = estate.names_in(target.folder)
            found = [there[key] for name in names if (key := name.casefold()) in there]
            return estate.view(found, with_disks=False)

    def observe_sources(self, ids: Sequence[VmId]) -> frozenset[VmId]:
        """Say from which of these VMs clones are being made right now."""
        with self._access("observe_sources"):
            return self._hypervisor.sources & frozenset(ids)

    # -- act --------------------------------------------------------------------------

    def preview_clone(self, step: CreateClone) -> Mapping[str, object]:
        """Return the request that :meth:`create_clone` would send, as plain data."""
        fill_macs(step.name, step.macs, len(step.source.macs))
        refuse_card_mismatch(step)
        return {
            "method": "clone",
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

    def create_clone(self, step: CreateClone) -> Job:
        """Start to make one linked clone; the job's result is its VmId."""
        with self._access("create_clone"):
            return self._hypervisor.start_clone(step)

    def attach_clone(self, step: CreateClone) -> Job:
        """Wait for the clone of this name that somebody else is making."""
        with self._access("attach_clone"):
            return self._hypervisor.watch_clone(step)

    def create_snapshot(
        self,
        vm: VmId,
        name: str,
        description: str,
        *,
        quiesce: bool = False,
        memory: bool = False,
    ) -> Job:
        """Start to take a snapshot of the disks; the job's result is its SnapshotId."""
        if quiesce or memory:
            option = "--quiesce" if quiesce else "--snapshot-memory"
            brief = f"{option} means nothing to memory:"
            raise UnsupportedError(brief, hint=REFUSED[option], kind="NotSupported")
        with self._access("create_snapshot") as estate:
            effect = partial(estate.take_snapshot, vm, name, description)
            return self._start(estate, "snapshot", vm, effect)

    def set_template(self, vm: VmId, *, template: bool, pool: str = "") -> None:
        """Make a VM a template, or a template a VM."""
        with self._access("set_template") as estate:
            estate.set_template(vm, template=template, pool=pool)

    def examine_parent(self, vm: VmId) -> tuple[Finding, ...]:
        """Look into the CD drive."""
        with self._access("examine_parent") as estate:
            loaded = estate.machine(vm).media
        text = "an image is in the CD drive" if loaded else "no CD is connected"
        verdict = Verdict.WARNING if loaded else Verdict.OK
        remedy = "take it out with ``disconnect_media``" if loaded else ""
        return (Finding(check="media", verdict=verdict, text=text, remedy=remedy),)

    def disconnect_media(self, vm: VmId) -> Job:
        """Start to empty the CD drive."""

        def empty(estate: Estate) -> None:
            estate.machine(vm).media = False

        with self._access("disconnect_media") as estate:
            return self._start(estate, "disconnect-media", vm, partial(empty, estate))

    def create_folder(self, above: FolderId, path: str) -> FolderId:  # noqa: ARG002
        """Make a folder; paths begin at the root here."""
        with self._access("create_folder") as estate:
            return estate.places.make_folder(path)

    def delete_snapshot(self, vm: VmId, snapshot: SnapshotId) -> Job:
        """Start to delete one snapshot; its children stay."""
        with self._access("delete_snapshot") as estate:
            effect = partial(estate.delete_snapshot, vm, snapshot)
            return self._start(estate, "delete-snapshot", vm, effect)

    def revert_snapshot(self, vm: VmId, snapshot: SnapshotId) -> Job:
        """Start to put the VM back to the snapshot."""
        with self._access("revert_snapshot") as estate:
            effect = partial(estate.revert, vm, snapshot)
            return self._start(estate, "revert", vm, effect)

    def delete_vm(self, vm: VmId, seen: Mark | None = None) -> Job:
        """Start to delete a powered-off VM with the files that it alone uses."""
        with self._access("delete_vm") as estate:
            return self._start(estate, "delete", vm, partial(estate.delete, vm, seen))

    def set_power(self, vm: VmId, power: Power) -> Job:
        """Start or stop a VM; already there counts as done."""
        with self._access("set_power") as estate:
            action: Action = "power-on" if power is Power.ON else "power-off"
            return self._start(estate, action, vm, partial(estate.set_power, vm, power))

    @property
    def asks_deaf_guests(self) -> bool:
        """No: a deaf guest stays deaf."""
        return False

    def shut_down_guest(self, vm: VmId) -> None:
        """Ask the guest to shut down; it may be deaf, or have no tools."""
        with self._access("shut_down_guest") as estate:
            machine = estate.machine(vm)
            if machine.power is Power.OFF:
                return
            if machine.power is not Power.ON or machine.guest == "mute":
                raise RefusedError(
                    f"the guest of {machine.name} cannot be asked: its tools do not answer",
                    hint="stop it hard: ``stop`` without ``guest``, or with ``then_off``",
                )
            if machine.guest == "obeys":
                self._start(estate, "shut-down", vm, partial(estate.set_power, vm, Power.OFF))

    def resolve_relocation(self, vm: Vm, placement: Placement) -> Target:
        """Look up the datastore or resource pool that a VM is to go to."""
        request = CloneRequest(parent=vm.name, names=(vm.name,), placement=placement)
        with self._access("resolve_relocation") as estate:
            target = find_target(estate, estate.machine(vm.id), request)
        return replace(
            target,
            datastore=target.datastore if placement.datastore else "",
            pool=target.pool if placement.resource_pool else "",
        )

    def relocate_vm(self, step: RelocateVm) -> Job:
        """Start to move a VM; only the layers that it writes to go to another datastore."""
        with self._access("relocate_vm") as estate:
            return self._start(estate, "relocate", step.vm, partial(estate.relocate, step))

    def rename_vm(self, vm: VmId, name: str) -> Job:
        """Start to give a VM another name; its UUID, its files and what hangs from it stay."""
        with self._access("rename_vm") as estate:
            return self._start(estate, "rename", vm, partial(self._hypervisor.rename, vm, name))

    def unregister_vm(self, vm: VmId) -> Job:
        """Start to take a VM out of the inventory; its files stay."""
        with self._access("unregister_vm") as estate:
            return self._start(estate, "unregister", vm, partial(estate.unregister, vm))

    def promote_vm(self, vm: VmId) -> Job:
        """Start to make a VM independent."""
        with self._access("promote_vm") as estate:
            return self._start(estate, "promote", vm, partial(estate.promote, vm))

    @property
    def grows_linked(self) -> bool:
        """No, as on vSphere."""
        return False

    def grow_disk(self, vm: VmId, disk: str, capacity_bytes: int) -> Job:
        """Start to make a disk larger."""
        with self._access("grow_disk") as estate:
            return self._start(estate, "grow", vm, partial(estate.grow, vm, disk, capacity_bytes))

    def remove_stray(self, stray: Stray) -> Job:
        """Start to delete a file of no VM."""
        with self._access("remove_stray") as estate:
            effect = partial(estate.remove_stray, stray.layer)
            return self._hypervisor.start("remove", str(stray.layer), effect)

    @property
    def section(self) -> str:
        """The part of a pool's file that is about this hypervisor: it has vSphere's words."""
        return "vsphere"

    def reconfigure_vm(self, step: ReconfigureVm) -> Job:
        """Start to change processors, memory, notes or mark of a VM that is off."""
        with self._access("reconfigure_vm") as estate:
            return self._start(estate, "reconfigure", step.vm, partial(estate.reconfigure, step))

    def run_in_guest(
        self,
        vm: VmId,
        command: Sequence[str],
        *,
        login: GuestLogin | None,  # noqa: ARG002 - guests here let everybody in
        seconds: float,  # noqa: ARG002 - nothing takes any time
    ) -> int:
        """Say with what a program ends, as the test that set the scene has told."""
        with self._access("run_in_guest") as estate:
            machine = estate.machine(vm)
            if machine.power is not Power.ON:
                raise BusyError(f"{machine.name} does not run", hint="start it first")
            programs, program = self._hypervisor.programs, command[0]
            status = programs.get((machine.name, program), programs.get(("", program)))
        if status is None:
            brief = f"there is no program {program} in the guest of {machine.name}"
            raise HypervisorError(brief, hint="look at its path inside the guest", kind="NotFound")
        return status

    def write_mark(self, vm: VmId, mark: Mark, seen: Mark | None) -> Job:
        """Start to put a mark on a VM."""
        step = ReconfigureVm(vm=vm, vm_name=vm, mark=mark, seen=seen)
        with self._access("write_mark") as estate:
            return self._start(estate, "mark", vm, partial(estate.reconfigure, step))

    def _start(
        self, estate: Estate, action: Action, vm: VmId, effect: Callable[[], str | None]
    ) -> Job:
        machine = estate.machines.get(vm)
        return self._hypervisor.start(action, machine.name if machine else vm, effect)

    def wait(self, jobs: Sequence[Job], timeout_seconds: float) -> tuple[JobState, ...]:
        """Wait until one of the jobs has finished, or for so long; return the states of all."""
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

    # -- the rest ---------------------------------------------------------------------

    def diagnose(self) -> tuple[Finding, ...]:
        """Say that everything is at hand, and that nothing of it stays."""
        with self._access("diagnose") as estate:
            count = len(estate.machines)
        return (
            Finding(
                check="connection",
                verdict=Verdict.OK,
                text=f"{render_count(count, 'VM')} in memory",
            ),
            Finding(
                check="persistence",
                verdict=Verdict.WARNING,
                text="nothing here outlives this process",
                remedy="name a real hypervisor with ``endpoint``",
            ),
        )

    def close(self) -> None:
        """End the connection; jobs go on at the hypervisor."""
        self._closed = True


def _index(estate: Estate) -> dict[str, list[Machine]]:
    """Return the VMs by what they can be called: UUID, path, path below the root, name."""
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
