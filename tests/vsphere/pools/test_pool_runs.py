"""Pools over SOAP, by the command line: killed, at the same time, and onto a broken image."""

import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import command
from tests.simulator import Simulator

PARENT = "DC0_H0_VM0"
BYSTANDERS = {"DC0_H0_VM0", "DC0_H0_VM1", "DC0_C0_RP0_VM0", "DC0_C0_RP0_VM1"}

FILE = """\
pool: desks
parent: /DC0/vm/DC0_H0_VM0
snapshot: {snapshot}
size: {size}
name: "desk-{{n:02}}"
customization: {{os: linux}}
rollout: {{{rollout}}}
"""


def write_pool(
    folder: Path, *, snapshot: str = "old", size: int = 6, rollout: str = "max_unavailable: 2"
) -> str:
    file = folder / "desks.yaml"
    file.write_text(FILE.format(snapshot=snapshot, size=size, rollout=rollout))
    return str(file)


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    env = command.environment(simulator, tmp_path)
    for name in ("old", "new"):
        done = command.run("snapshot", "create", PARENT, name, env=env)
        assert done.returncode == 0, done.stderr
    simulator.control("POST", "guest", {"tools_ms": 20, "ip_ms": 40, "customize_ms": 30})
    return env


def apply(file: str, env: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    return command.run_json("pool", "apply", file, "--yes", env=env)


def standing(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    code, listing = command.run_json("list", env=env)
    assert code == 0
    names = [vm["name"] for vm in listing["vms"]]
    assert len(set(names)) == len(names)
    return {vm["name"]: vm for vm in listing["vms"]}


def rows(file: str, env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    _, status = command.run_json("pool", "status", file, env=env)
    return {row["name"]: row for row in status["vms"]}


def check_at_spec(file: str, env: Mapping[str, str], size: int) -> None:
    """Exactly the clones that the file wants, on its image and healthy, and nothing else."""
    wanted = {f"desk-{n:02}" for n in range(1, size + 1)}
    assert set(standing(env)) - BYSTANDERS == wanted
    found = rows(file, env)
    assert set(found) == wanted
    assert all(row["current"] and row["health"] == "healthy" for row in found.values()), found
    code, plan = command.run_json("pool", "plan", file, "--check", env=env)
    assert (code, plan["changes"]) == (0, []), plan


def check_killed(env: Mapping[str, str], simulator: Simulator, folder: Path, seed: int) -> None:
    """Kill a run that recomposes, grows and refreshes a pool; the next one ends at the file."""
    chance = random.Random(seed)
    rollout = chance.choice(
        ("max_unavailable: 2", "max_unavailable: 2, canary: 1", "max_unavailable: 0, max_surge: 2")
    )
    file = write_pool(folder, snapshot="old", size=4, rollout=rollout)
    assert apply(file, env)[0] == 0
    simulator.delays(call_ms=2, task_ms={"CloneVM_Task": 150, "Destroy_Task": 80})
    file = write_pool(folder, snapshot="new", size=5, rollout=rollout)
    process = command.start("pool", "apply", file, "--yes", env=env)
    time.sleep(chance.uniform(0.3, 4.0))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    code, report = apply(file, env)
    if code != 0:  # a task of the killed run may have been under way still
        code, report = apply(file, env)
    assert code == 0, report
    check_at_spec(file, env, 5)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_a_random_point_is_gone_on_with(
    env: dict[str, str], simulator: Simulator, tmp_path: Path, seed: int
) -> None:
    check_killed(env, simulator, tmp_path, seed)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 150))
def test_a_run_killed_at_fifty_random_points_is_gone_on_with(
    env: dict[str, str], simulator: Simulator, tmp_path: Path, seed: int
) -> None:
    check_killed(env, simulator, tmp_path, seed)


def test_sigterm_ends_a_run_with_130_as_ctrl_c_does_and_the_next_one_goes_on(
    env: dict[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    simulator.delays(task_ms={"CloneVM_Task": 200_000})
    file = write_pool(tmp_path)
    process = command.start("pool", "apply", file, "--yes", env=env)
    while not simulator.calls().get("CloneVM_Task"):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    simulator.delays()
    assert apply(file, env)[0] == 0
    check_at_spec(file, env, 6)


def test_of_two_runs_one_goes_on_and_the_other_says_so(
    env: dict[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    assert apply(write_pool(tmp_path), env)[0] == 0
    simulator.delays(task_ms={"CloneVM_Task": 200_000})
    simulator.reset_calls()
    file = write_pool(tmp_path, snapshot="new")
    first = command.start("pool", "apply", file, "--yes", env=env)
    while not simulator.calls().get("CloneVM_Task"):
        time.sleep(0.05)
    second = command.run("pool", "apply", file, "--yes", env=env)
    assert (second.returncode, "another run works on the pool desks" in second.stderr) == (1, True)
    simulator.delays()
    _, err = first.communicate()
    assert first.wait() == 0, err
    check_at_spec(file, env, 6)


def test_a_broken_image_stops_after_the_canary_and_rollback_restores_it(
    env: dict[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    file = write_pool(tmp_path, size=20, rollout="max_unavailable: 5, canary: 1")
    assert apply(file, env)[0] == 0
    before = {name: row["id"] for name, row in rows(file, env).items()}
    broken = {"event": "CustomizationLinuxIdentityFailed", "text": "no perl in it", "count": -1}
    simulator.control("POST", "guest/customization", broken)
    recompose = ("pool", "recompose", file, "--snapshot", "new", "--yes")
    code, report = command.run_json(*recompose, env=env)
    assert code not in (0, 130)
    assert "desk-01 was made but did not become healthy" in report["stopped"]
    assert "no perl in it" in report["stopped"]
    found = rows(file, env)
    canary = found.pop("desk-01")
    assert (canary["health"], canary["snapshot"]) == ("unhealthy", "new")
    assert {(row["health"], row["snapshot"]) for row in found.values()} == {("healthy", "old")}
    assert len(found) == 19
    assert {name: row["id"] for name, row in found.items()} == {
        name: vm_id for name, vm_id in before.items() if name != "desk-01"
    }
    simulator.control("DELETE", "guest/customization")
    code, report = command.run_json("pool", "rollback", file, "--yes", env=env)
    assert code == 0, report
    assert [result["name"] for result in report["results"]] == ["desk-01"]
    assert "snapshot: old" in Path(file).read_text()
    check_at_spec(file, env, 20)
    after = {name: row["id"] for name, row in rows(file, env).items()}
    assert {name for name in after if after[name] != before[name]} == {"desk-01"}
