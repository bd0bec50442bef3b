"""A killed command's tasks go on at the server; the next run ends with exactly N."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import command
from tests.simulator import Simulator

PARENT = "DC0_H0_VM0"
CLONES = 12
RANGE = f"desk-{{01..{CLONES}}}"
WANTED = {f"desk-{n:02}" for n in range(1, CLONES + 1)}


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    env = command.environment(simulator, tmp_path)
    done = command.run("snapshot", "create", PARENT, "base", env=env)
    assert done.returncode == 0, done.stderr
    simulator.delays(call_ms=10, task_ms={"CloneVM_Task": 700})
    return env


def listed(env: dict[str, str]) -> list[str]:
    _, listing = command.run_json("list", env=env)
    return sorted(vm["name"] for vm in listing["vms"] if vm["owner"])


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_a_random_point_the_next_run_ends_with_exactly_n(
    env: dict[str, str], seed: int
) -> None:
    process = command.start("clone", PARENT, RANGE, env=env)
    time.sleep(random.Random(seed).uniform(0.2, 1.6))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    code, report = command.run_json("clone", PARENT, RANGE, env=env)
    assert code == 0, report
    assert {clone["name"] for clone in report["clones"]} == WANTED
    assert all(clone["linked"] is True for clone in report["clones"])
    assert {clone["status"] for clone in report["clones"]} <= {"created", "existing"}
    assert listed(env) == sorted(WANTED)


def test_two_at_the_same_time_make_each_clone_once(env: dict[str, str]) -> None:
    both = [command.start("-o", "json", "clone", PARENT, RANGE, env=env) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert listed(env) == sorted(WANTED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_sigterm_and_sighup_say_what_goes_on_at_the_server_and_log_out(
    env: dict[str, str], simulator: Simulator, number: signal.Signals
) -> None:
    simulator.delays(call_ms=10, task_ms={"CloneVM_Task": 200_000})
    process = command.start("clone", PARENT, RANGE, env=env)
    await_call(simulator, "CloneVM_Task", CLONES)
    before = simulator.calls().get("Logout", 0)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 130
    assert simulator.calls()["Logout"] == before + 1
    assert "Traceback" not in err
    assert "the endpoint continues" in out + err
    simulator.delays()
    code, _ = command.run_json("clone", PARENT, RANGE, env=env)
    assert code == 0
    assert listed(env) == sorted(WANTED)


def await_call(simulator: Simulator, method: str, times: int = 1) -> None:
    while simulator.calls().get(method, 0) < times:
        time.sleep(0.05)


def test_a_second_signal_ends_the_command_at_once(
    env: dict[str, str], simulator: Simulator
) -> None:
    simulator.reset_calls()
    simulator.delays(call_ms=0, task_ms={"CloneVM_Task": 60_000})
    process = command.start("clone", PARENT, "desk-1", env=env)
    await_call(simulator, "CloneVM_Task")
    simulator.delays(call_ms=60_000)
    process.send_signal(signal.SIGTERM)
    await_call(simulator, "Logout")
    process.send_signal(signal.SIGTERM)
    assert process.wait(command.RUN_SECONDS) == -signal.SIGTERM


def test_nohup_keeps_sighup_ignored(env: dict[str, str], simulator: Simulator) -> None:
    simulator.reset_calls()
    simulator.delays(call_ms=0, task_ms={"CloneVM_Task": 2000})
    arguments = ["nohup", str(command.COMMAND), "clone", PARENT, "desk-1"]
    process = subprocess.Popen(
        arguments, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    await_call(simulator, "CloneVM_Task")
    process.send_signal(signal.SIGHUP)
    assert process.wait(command.RUN_SECONDS) == 0
    assert listed(env) == ["desk-1"]
