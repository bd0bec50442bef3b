"""vCenter is stopped and started, with what it has kept, in the middle of what we do."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.registry import open_driver
from linkedclone.model.report import Status
from linkedclone.model.request import CloneRequest
from tests import command
from tests.simulator import Simulator

PARENT = "DC0_H0_VM0"
CLONES = 50
RANGE = f"desk-{{01..{CLONES}}}"
WANTED = {f"desk-{n:02}" for n in range(1, CLONES + 1)}
DEADLINE_SECONDS = 240.0
AWAY_SECONDS = 7.0  # longer than the driver itself puts up with in silence


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start_kept() as kept:
        yield kept


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    env = command.environment(simulator, tmp_path)
    done = command.run("snapshot", "create", PARENT, "base", env=env)
    assert done.returncode == 0, done.stderr
    return env


def listed(env: dict[str, str]) -> list[str]:
    _, listing = command.run_json("list", env=env)
    return sorted(vm["name"] for vm in listing["vms"] if vm["owner"])


def await_that(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(process: command.Command) -> tuple[int, dict[str, Any], str]:
    import json

    out, err = process.communicate()
    assert "Traceback" not in err, err
    return process.wait(), json.loads(out), err


def restart(simulator: Simulator, *, away_seconds: float) -> None:
    simulator.stop_process()
    time.sleep(away_seconds)  # so that the run does meet a closed door
    simulator.restart()


def test_a_restarted_simulator_gives_the_same_answers(
    simulator: Simulator, env: dict[str, str]
) -> None:
    code, _ = command.run_json("clone", PARENT, "desk-{1..3}", env=env)
    assert code == 0
    command.run("snapshot", "create", "desk-1", "mine", env=env)
    before = command.run_json("tree", env=env), command.run_json("show", "desk-1", env=env)
    files = simulator.files()
    restart(simulator, away_seconds=0.0)
    after = command.run_json("tree", env=env), command.run_json("show", "desk-1", env=env)
    assert after == before
    assert simulator.files() == files


@pytest.mark.parametrize(
    ("moment", "task_ms"),
    [("while calls are sent", 1500), ("when most are done", 900)],
)
def test_a_batch_goes_on_after_a_restart_or_a_second_run_completes_it(
    simulator: Simulator, env: dict[str, str], moment: str, task_ms: int
) -> None:
    simulator.delays(call_ms=10, task_ms={"CloneVM_Task": task_ms})
    simulator.reset_calls()
    process = command.start("-v", "-o", "json", "clone", PARENT, RANGE, env=env)
    sent = {"while calls are sent": 12}.get(moment, CLONES)
    await_that(lambda: simulator.calls().get("CloneVM_Task", 0) >= sent)
    if moment == "when most are done":
        time.sleep(task_ms / 1000)
    restart(simulator, away_seconds=AWAY_SECONDS)
    code, report, told = finish(process)
    states = {clone["name"]: clone["status"] for clone in report["clones"]}
    assert states.keys() == WANTED
    there = listed(env)
    assert len(there) == len(set(there))
    # True: what the report calls made is there, and what is there it does not call failed.
    made = {name for name, status in states.items() if status in {"created", "existing"}}
    assert made == set(there)
    assert code == (0 if made == WANTED else 4 if made else 1)
    assert "it does not answer; waiting for it" in told
    code, report = command.run_json("clone", PARENT, RANGE, env=env)
    assert code == 0, report
    assert all(clone["linked"] is True for clone in report["clones"])
    assert listed(env) == sorted(WANTED)


def test_a_vcenter_that_stays_away_ends_the_run_in_time_with_a_true_report(
    simulator: Simulator, env: dict[str, str]
) -> None:
    simulator.delays(call_ms=10, task_ms={"CloneVM_Task": 200_000})
    simulator.reset_calls()
    impatient = env | {"LINKEDCLONE_PATIENCE": "3"}
    process = command.start("-v", "-o", "json", "clone", PARENT, RANGE, env=impatient)
    await_that(lambda: simulator.calls().get("CloneVM_Task", 0) >= CLONES // 2)
    simulator.stop_process()
    code, report, told = finish(process)
    assert code == 1
    assert {clone["status"] for clone in report["clones"]} == {"failed"}
    assert all(clone["error"]["hint"] for clone in report["clones"])
    assert "at most 3 s" in told
    simulator.restart()
    code, report = command.run_json("clone", PARENT, RANGE, env=env)
    assert code == 0, report
    assert listed(env) == sorted(WANTED)


def test_ctrl_c_ends_the_waiting(simulator: Simulator, env: dict[str, str]) -> None:
    import signal

    simulator.delays(task_ms={"CloneVM_Task": 200_000})
    simulator.reset_calls()
    process = command.start("-v", "clone", PARENT, RANGE, env=env)
    await_that(lambda: simulator.calls().get("CloneVM_Task", 0) >= CLONES)
    simulator.stop_process()
    told = ""
    assert process.stderr is not None
    while "waiting for it" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in rest


def test_a_restart_between_plan_and_execution_is_not_noticed(
    simulator: Simulator, env: dict[str, str]
) -> None:
    driver = open_driver(simulator.endpoint())
    connection = Connection(driver, address="sim")
    proposal = connection.propose_clone(CloneRequest(parent=PARENT, names=("desk-{1..5}",)))
    restart(simulator, away_seconds=0.0)
    report = proposal.carry_out()
    assert {clone.status for clone in report.clones} == {Status.CREATED}
    connection.close()


def test_a_vcenter_that_is_away_when_a_plan_is_carried_out_is_waited_for(
    simulator: Simulator, env: dict[str, str]
) -> None:
    driver = open_driver(simulator.endpoint())
    connection = Connection(driver, address="sim")
    proposal = connection.propose_clone(CloneRequest(parent=PARENT, names=("desk-{1..5}",)))
    simulator.stop_process()
    late = threading.Timer(2.0, simulator.restart)
    late.start()
    report = proposal.carry_out()
    late.join()
    assert {clone.status for clone in report.clones} == {Status.CREATED}
    connection.close()


def test_a_deletion_goes_on_after_a_restart(simulator: Simulator, env: dict[str, str]) -> None:
    code, report = command.run_json("clone", PARENT, "desk-{01..20}", "--power", "off", env=env)
    assert code == 0, report
    simulator.delays(call_ms=10, task_ms={"Destroy_Task": 1500})
    simulator.reset_calls()
    process = command.start("-v", "-o", "json", "delete", "desk-{01..20}", "--yes", env=env)
    await_that(lambda: simulator.calls().get("Destroy_Task", 0) >= 20)
    restart(simulator, away_seconds=1.0)
    code, report, _ = finish(process)
    assert code == 0, report
    assert {result["status"] for result in report["results"]} == {"done"}
    assert listed(env) == []
