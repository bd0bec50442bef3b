"""What tests on the simulator do beside the acts of the contract."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.drivers.vsphere.jobs.tasks import pause_seconds
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest, Placement, Target
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Mark, Vm
from tests import do
from tests.contract.acts import current, find, finish, result_of
from tests.simulator import Simulator

Start = Callable[..., Simulator]

PARENT = "/DC0/vm/DC0_H0_VM0"


@contextmanager
def opened(simulator: Simulator, *, datacenter: str = "") -> Iterator[Driver]:
    driver = open_driver(simulator.endpoint(datacenter=datacenter))
    try:
        yield driver
    finally:
        driver.close()


def most_polls(begun: float) -> int:
    """Return how often many jobs may have been polled since then: on a busy machine more often."""
    age, polls, now = 0.0, 0, time.monotonic() - begun
    while age < now:
        age += pause_seconds(age, jobs=100)
        polls += 1
    return polls


def lose_patience(driver: VsphereDriver, seconds: float) -> None:
    """Wait only so long for answers on the connections that are open.

    To open one may take as long as it does: on a busy machine that is longer.
    """
    for connection, _ in driver._session._stub.pool:
        connection.timeout = seconds


def prepare(driver: Driver, ref: str = PARENT) -> Vm:
    """Give a VM a snapshot; return it whole."""
    vm = find(driver, ref)
    result_of(driver, driver.start(do.create_snapshot(vm, "base", "")))
    return find(driver, ref)


def add_folder(driver: Driver, name: str) -> None:
    """Make a folder beside the VMs; our driver has no word for it."""
    assert isinstance(driver, VsphereDriver)
    driver._session.managed("Folder", _vm_folder(driver)).CreateFolder(name)


def _vm_folder(driver: Driver) -> str:
    return target_for(driver, find(driver, PARENT)).folder


def target_for(driver: Driver, parent: Vm, placement: Placement | None = None) -> Target:
    request = CloneRequest(parent=parent.name, names=("any",), placement=placement or Placement())
    return driver.resolve_target(parent, request)


def steps_for(parent: Vm, target: Target, names: Sequence[str]) -> list[CreateClone]:
    """Return the steps that make running clones of the parent's current snapshot."""
    steps = []
    for name in names:
        wanted = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        mark = Mark(owner="linkedclone", uuid=wanted, parent_uuid=parent.uuid)
        steps.append(
            CreateClone(
                source=parent,
                snapshot=current(parent),
                target=target,
                name=name,
                uuid=wanted,
                mark=mark,
            )
        )
    return steps


def make_all(driver: Driver, steps: Sequence[CreateClone]) -> tuple[Vm, ...]:
    """Send all steps at once and wait for all; return the clones."""
    with ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(driver.start, steps))
    states = finish(driver, jobs)
    assert [state.error for state in states] == [None] * len(steps)
    return driver.observe_vms([VmId(str(state.result)) for state in states])


def main_job(driver: Driver, ref: str, names: Sequence[str]) -> tuple[Vm, tuple[Vm, ...]]:
    """Do what the main job asks of a driver; return the parent and its clones."""
    parent = find(driver, ref)
    target = target_for(driver, parent)
    assert driver.observe_names(target, names) == ()
    return parent, make_all(driver, steps_for(parent, target, names))
