"""A batch is spread over datastores or hosts, by what they have left."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkedclone.app.clone.job import prepare
from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.model.request import CloneRequest, Placement
from linkedclone.model.vm import Vm
from tests import command
from tests.contract.acts import find
from tests.simulator import Simulator
from tests.vsphere import acts
from tests.vsphere.acts import Start, opened
from tests.vsphere.placement.test_places import HOSTS, PARENT, shape_host, shape_store

STORES = ("LocalDS_0", "LocalDS_1", "LocalDS_2")


@pytest.fixture
def simulator(start_simulator: Start) -> Simulator:
    return start_simulator("-ds", "3", "-pod", "1")


@pytest.fixture
def driver(simulator: Simulator) -> Iterator[Driver]:
    with opened(simulator) as driver:
        acts.prepare(driver, PARENT)
        for name, free in zip(STORES, (1, 2, 3), strict=True):
            shape_store(simulator, name, free_bytes=free << 30)
        yield driver


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    return command.environment(simulator, tmp_path)


def store_of(vm: Vm) -> str:
    return vm.disks[0].top.store_name


def targets(driver: Driver, placement: Placement, count: int) -> Counter[str]:
    """Count where a batch would go, without making it."""
    names = tuple(f"desk-{number}" for number in range(count))
    request = CloneRequest(parent=PARENT, names=names, placement=placement)
    steps = prepare(driver, request).creates
    over_hosts = placement.spread == "host"
    return Counter(s.target.host_name if over_hosts else s.target.datastore_name for s in steps)


def test_clones_are_spread_over_datastores_by_free_space(
    driver: Driver, env: dict[str, str]
) -> None:
    done = ("clone", PARENT, "desk-{1..6}", "--spread", "datastore")
    code, report = command.run_json(*done, env=env)
    assert code == 0
    assert all(clone["linked"] for clone in report["clones"])
    made = Counter(store_of(find(driver, f"desk-{number}")) for number in range(1, 7))
    assert made == {"LocalDS_0": 1, "LocalDS_1": 2, "LocalDS_2": 3}


def test_a_second_run_leaves_the_clones_where_they_are(
    simulator: Simulator, driver: Driver, env: dict[str, str]
) -> None:
    words = ("clone", PARENT, "desk-{1..3}", "--spread", "datastore")
    command.run_json(*words, env=env)
    before = {name: store_of(find(driver, name)) for name in ("desk-1", "desk-2", "desk-3")}
    shape_store(simulator, "LocalDS_0", free_bytes=99 << 30)
    code, report = command.run_json(*words, env=env)
    assert code == 0
    assert {clone["status"] for clone in report["clones"]} == {"existing"}
    assert {name: store_of(find(driver, name)) for name in before} == before


def test_datastores_that_a_host_does_not_see_are_left_out(
    simulator: Simulator, driver: Driver
) -> None:
    other = next(name for name in STORES if name != store_of(find(driver, PARENT)))
    shape_store(simulator, other, unseen_by=["DC0_C0_H1"])
    assert other not in targets(driver, Placement(spread="datastore"), 12)


def test_only_the_members_of_a_datastore_cluster_are_spread_over(
    simulator: Simulator, driver: Driver
) -> None:
    for name in ("LocalDS_1", "LocalDS_2"):
        shape_store(simulator, name, pod="DC0_POD0", free_bytes=1 << 30)
    placement = Placement(datastore_cluster="DC0_POD0", spread="datastore")
    assert targets(driver, placement, 6) == {"LocalDS_1": 3, "LocalDS_2": 3}


def test_clones_are_spread_over_hosts_by_free_memory(
    simulator: Simulator, driver: Driver, env: dict[str, str]
) -> None:
    total = host_memory(driver)
    for name, part in zip(HOSTS, (1, 1, 2), strict=True):
        shape_host(simulator, name, used_mib=(total - part * total // 4) >> 20)
    code, _ = command.run_json("clone", PARENT, "desk-{1..4}", "--spread", "host", env=env)
    assert code == 0
    made = Counter(host_of(driver, f"desk-{number}") for number in range(1, 5))
    assert made == {"DC0_C0_H0": 1, "DC0_C0_H1": 1, "DC0_C0_H2": 2}


def test_hosts_out_of_service_get_none(simulator: Simulator, driver: Driver) -> None:
    shape_host(simulator, "DC0_C0_H0", state="maintenance")
    shape_host(simulator, "DC0_C0_H1", state="disconnected")
    assert targets(driver, Placement(spread="host"), 3) == {"DC0_C0_H2": 3}
    request = CloneRequest(parent=PARENT, names=("a",), placement=Placement(spread="host"))
    notes = driver.resolve_target(find(driver, PARENT), request).notes
    assert "there is only DC0_C0_H2 to spread over" in notes


def host_memory(driver: Driver) -> int:
    assert isinstance(driver, VsphereDriver)
    request = CloneRequest(parent=PARENT, names=("a",), placement=Placement(spread="host"))
    spots = driver.resolve_target(find(driver, PARENT), request).spots
    host = driver._session.managed("HostSystem", spots[0].id)
    return int(host.summary.hardware.memorySize)


def host_of(driver: Driver, name: str) -> str:
    assert isinstance(driver, VsphereDriver)
    native = driver._session.managed("VirtualMachine", find(driver, name).id)
    return str(native.runtime.host.name)
