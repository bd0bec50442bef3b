"""What tests of the contract do with a driver, in one line each."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from linkedclone.drivers.contract import Driver
from linkedclone.errors import LinkedCloneError
from linkedclone.model.findings import Finding
from linkedclone.model.jobs import Job, JobState, JobStatus
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest, Placement, Target
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Mark, Power, Snapshot, Vm
from tests import do
from tests.contract.rigs.base import Rig

PATIENCE_SECONDS = 240.0


def finish(driver: Driver, jobs: Sequence[Job]) -> list[JobState]:
    """Wait for all of these jobs; return their last states, in the same order."""
    ended: dict[str, JobState] = {}
    while left := [job for job in jobs if job.id not in ended]:
        finished = [s for s in driver.wait(left, PATIENCE_SECONDS) if s.finished]
        assert finished, f"nothing of {left} finished"
        ended |= {state.job.id: state for state in finished}
    return [ended[job.id] for job in jobs]


def result_of(driver: Driver, job: Job) -> str | None:
    """Wait for a job that has to succeed; return what it made."""
    (state,) = finish(driver, [job])
    assert state.error is None, state.error
    assert state.status is JobStatus.DONE
    return state.result


def error_of(driver: Driver, start: Callable[[], Job]) -> LinkedCloneError:
    """Start a job that has to fail, at once or later; return its error."""
    try:
        job = start()
    except LinkedCloneError as error:
        return error
    (state,) = finish(driver, [job])
    assert state.status is JobStatus.FAILED
    assert state.error is not None
    return state.error


def find(driver: Driver, ref: str) -> Vm:
    (vm,) = driver.find_vms([ref])
    return vm


def read(driver: Driver, vm: VmId) -> Vm:
    """Read a VM whole."""
    (found,) = [seen for seen in driver.observe().vms if seen.id == vm]
    return found


def current(vm: Vm) -> Snapshot:
    (snapshot,) = [snapshot for snapshot in vm.snapshots if snapshot.current]
    return snapshot


def target_of(driver: Driver, source: Vm, *, folder: str = "") -> Target:
    request = CloneRequest(parent=source.name, names=("any",), placement=Placement(folder=folder))
    return driver.resolve_target(source, request)


def step_for(driver: Driver, source: Vm, name: str, *, folder: str = "") -> CreateClone:
    """Return the step that makes a clone of the source's current snapshot, off."""
    target = target_of(driver, source, folder=folder)
    wanted = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{target.folder}/{name}"))
    snapshot = current(source)
    mark = Mark(
        owner="linkedclone",
        uuid=wanted,
        run="run-1",
        parent_uuid=source.uuid,
        parent_name=source.name,
        snapshot=snapshot.id,
        snapshot_name=snapshot.name,
        version="1.2.3",
    )
    return CreateClone(
        source=source,
        snapshot=snapshot,
        target=target,
        name=name,
        uuid=wanted,
        mark=mark,
        power_on=False,
    )


def renamed(step: CreateClone, name: str) -> CreateClone:
    """The same step for a clone of another name, without another look at the endpoint."""
    wanted = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{step.target.folder}/{name}"))
    return replace(step, name=name, uuid=wanted, mark=replace(step.mark, uuid=wanted))


def running(step: CreateClone) -> CreateClone:
    """The same step, but the clone is started as well."""
    return replace(step, power_on=True)


def make(driver: Driver, step: CreateClone) -> Vm:
    """Carry out a step; return the clone."""
    return read(driver, VmId(str(result_of(driver, driver.start(step)))))


def clone(driver: Driver, rig: Rig, name: str, *, folder: str = "") -> Vm:
    """Make a clone of the rig's parent, off."""
    return make(driver, step_for(driver, find(driver, rig.parent), name, folder=folder))


def take_snapshot(driver: Driver, vm: Vm, name: str, description: str = "") -> Snapshot:
    """Take a snapshot; return it with its disks."""
    made = result_of(driver, driver.start(do.create_snapshot(vm, name, description)))
    (snapshot,) = [s for s in read(driver, vm.id).snapshots if s.id == SnapshotId(str(made))]
    return snapshot


def set_power(driver: Driver, vm: Vm, power: Power) -> None:
    result_of(driver, driver.start(do.set_power(vm, power)))


def delete(driver: Driver, vm: Vm) -> None:
    result_of(driver, driver.start(do.delete_vm(vm)))


def files_of(vm: Vm) -> frozenset[str]:
    """The files that a VM or one of its snapshots reads, as rigs name them."""
    return frozenset(map(str, vm.layers))


def diagnose(driver: Driver) -> tuple[Finding, ...]:
    assert driver.services.diagnosis is not None
    return driver.services.diagnosis.diagnose()
