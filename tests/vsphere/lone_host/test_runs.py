"""Whole commands at an ESXi host without vCenter: killed on the way, two at once, a pool."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.app.pools.pools import Pools
from linkedclone.app.proposal import Acting
from linkedclone.execution.outage import REAL
from linkedclone.model.pool import PoolSpec, Rollout
from linkedclone.model.vm import Power
from linkedclone.planning.pool.membership import namesakes_of
from tests import command, do
from tests.contract.acts import find, result_of
from tests.simulator import Simulator
from tests.vsphere.acts import opened

PARENT = "ha-host_VM0"
CLONES = 12
RANGE = f"web-{{01..{CLONES}}}"
WANTED = [f"web-{n:02}" for n in range(1, CLONES + 1)]


@pytest.fixture
def simulator(start_simulator: Callable[..., Simulator]) -> Simulator:
    return start_simulator("-esx")


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    env = command.environment(simulator, tmp_path)
    done = command.run("snapshot", "create", PARENT, "base", env=env)
    assert done.returncode == 0, done.stderr
    simulator.delays(call_ms=10, task_ms={"CreateVM_Task": 300, "PowerOnVM_Task": 300})
    return env


def listed(env: dict[str, str]) -> list[str]:
    _, listing = command.run_json("list", env=env)
    return sorted(vm["name"] for vm in listing["vms"] if vm["owner"])


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_a_random_point_the_next_run_ends_with_exactly_n(
    env: dict[str, str], seed: int
) -> None:
    process = command.start("clone", PARENT, RANGE, env=env)
    time.sleep(random.Random(seed).uniform(0.2, 1.6))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    code, report = command.run_json("clone", PARENT, RANGE, env=env)
    assert code == 0, report
    assert sorted(clone["name"] for clone in report["clones"]) == WANTED == listed(env)
    assert all(clone["linked"] is True for clone in report["clones"])
    assert {clone["power"] for clone in report["clones"]} == {"on"}


def test_two_at_the_same_time_make_each_clone_once(env: dict[str, str]) -> None:
    both = [command.start("-o", "json", "clone", PARENT, RANGE, env=env) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert listed(env) == WANTED


def test_a_pool_is_made_and_moved_to_the_next_snapshot(simulator: Simulator) -> None:
    simulator.control("POST", "guest", {"tools_ms": 5, "ip_ms": 10})
    first = PoolSpec(
        pool="desks",
        parent=PARENT,
        snapshot="old",
        size=3,
        name="desk-{n}",
        rollout=Rollout(max_unavailable=2),
    )
    with opened(simulator) as driver:
        parent = find(driver, PARENT)
        for name in ("old", "new"):
            result_of(driver, driver.start(do.create_snapshot(parent, name, "")))
        pools = Pools(
            Acting(driver, address="vsphere://sim", log_folder=None),
            pace=replace(REAL, sleep=lambda seconds: REAL.sleep(min(seconds, 0.02))),
        )
        for spec in (first, replace(first, snapshot="new")):
            report = pools.apply(pools.survey(spec))
            assert (report.exit_code, report.stopped) == (0, "")
            members = namesakes_of(driver.observe(), "desks")
            assert sorted(vm.name for vm in members) == sorted(spec.slots)
            assert {vm.power for vm in members} == {Power.ON}
            assert {vm.mark.snapshot_name for vm in members if vm.mark} == {spec.snapshot}
            assert pools.plan(pools.survey(spec)).plan.empty
