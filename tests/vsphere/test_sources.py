"""What clones are made of: snapshots by current, name, path and id; new ones; templates."""

import re
import signal
import time
from pathlib import Path

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.model.vm import Power, Snapshot, Vm
from tests import command
from tests.contract.acts import current, find, set_power, take_snapshot
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, prepare

NAME = PARENT.rpartition("/")[2]


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    return command.environment(simulator, tmp_path)


def clone(env: dict[str, str], *more: str) -> tuple[int, dict[str, object]]:
    return command.run_json("clone", PARENT, "desk-1", *more, env=env)


def frozen(snapshot: Snapshot) -> str:
    (disk,) = snapshot.disks or ()
    return str(disk.top)


def base_of(vm: Vm) -> str:
    """The file that a clone depends on."""
    return str(vm.disks[0].chain[-2])


# -- snapshots ----------------------------------------------------------------------------


@pytest.fixture
def tree(driver: Driver) -> Vm:
    """A parent with snapshots in a row, two of which share a name."""
    vm = prepare(driver)
    for name in ("b", "c", "c"):
        take_snapshot(driver, vm, name)
    return find(driver, PARENT)


@pytest.mark.parametrize(
    ("choice", "path"),
    [
        ("current", "base/b/c/c"),
        ("b", "base/b"),
        ("base/b/c", "base/b/c"),
        ("/base/b", "base/b"),
        ("base", "base"),
    ],
)
def test_a_snapshot_by(
    env: dict[str, str], driver: Driver, tree: Vm, choice: str, path: str
) -> None:
    code, report = clone(env, "--snapshot", choice)
    assert code == 0, report
    (wanted,) = [one for one in tree.snapshots if one.path == path]
    assert base_of(find(driver, "desk-1")) == frozen(wanted)


def test_a_snapshot_by_its_id(env: dict[str, str], driver: Driver, tree: Vm) -> None:
    wanted = tree.snapshots[1]
    assert clone(env, "--snapshot", wanted.id)[0] == 0
    assert base_of(find(driver, "desk-1")) == frozen(wanted)


def test_an_ambiguous_snapshot_is_listed_with_paths_dates_and_ids(
    simulator: Simulator, env: dict[str, str], tree: Vm
) -> None:
    done = command.run("clone", PARENT, "desk-1", "--snapshot", "c", env=env)
    assert done.returncode == 2
    for one in tree.snapshots[2:]:
        assert f"{one.path}  {one.created:%Y-%m-%d %H:%M}  {one.id}" in done.stderr
    assert "CloneVM_Task" not in simulator.calls()


# -- new ones -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("power", "options", "sent"),
    [
        (Power.OFF, (), {"quiesce": "false", "memory": "false"}),
        (Power.ON, (), {"quiesce": "false", "memory": "false"}),
        (Power.ON, ("--quiesce",), {"quiesce": "true", "memory": "false"}),
        (Power.ON, ("--snapshot-memory",), {"quiesce": "false", "memory": "true"}),
        (Power.OFF, ("--quiesce",), {"quiesce": "true", "memory": "false"}),
    ],
    ids=["off", "on", "on, quiesced", "on, with memory", "off, quiesced"],
)
def test_a_new_snapshot_of_a_parent_that_is(
    simulator: Simulator,
    env: dict[str, str],
    driver: Driver,
    power: Power,
    options: tuple[str, ...],
    sent: dict[str, str],
) -> None:
    set_power(driver, find(driver, PARENT), power)
    code, report = clone(env, "--snapshot", "new:2026-11", *options)
    assert (code, report["snapshot"]) == (0, "2026-11")
    (request,) = simulator.requests("CreateSnapshot_Task")
    assert dict(re.findall(r"<(quiesce|memory)[^>]*>(\w+)<", request)) == sent
    parent = find(driver, PARENT)
    assert parent.power is power
    assert base_of(find(driver, "desk-1")) == frozen(current(parent))


@pytest.mark.parametrize(
    "options",
    [
        ("--quiesce",),
        ("--snapshot-memory",),
        ("--snapshot", "new", "--quiesce", "--snapshot-memory"),
    ],
    ids=["quiesce without new", "memory without new", "both"],
)
def test_options_of_a_new_snapshot_without_sense_are_wrong_input(
    env: dict[str, str], options: tuple[str, ...]
) -> None:
    done = command.run("clone", PARENT, "desk-1", *options, env=env)
    assert done.returncode == 2
    assert "leave" in done.stderr


# -- templates ----------------------------------------------------------------------------

MARKS = ("MarkAsVirtualMachine", "CreateSnapshot_Task", "MarkAsTemplate")


def marks(simulator: Simulator) -> list[str]:
    return [entry["method"] for entry in simulator.log() if entry["method"] in MARKS]


@pytest.fixture
def template(simulator: Simulator) -> str:
    simulator.mark_template(NAME)
    return PARENT


def test_a_template_without_a_snapshot_is_not_touched_unasked(
    simulator: Simulator, env: dict[str, str], template: str
) -> None:
    for options in ((), ("--snapshot", "new")):
        done = command.run("clone", template, "desk-1", *options, env=env)
        assert done.returncode == 1
        assert "--prepare-template" in done.stderr
    assert marks(simulator) == []


@pytest.mark.parametrize(
    ("options", "name"),
    [((), "linkedclone-"), (("--snapshot", "new:gold"), "gold")],
    ids=["current", "new"],
)
def test_a_template_is_prepared_and_is_a_template_again(
    simulator: Simulator,
    env: dict[str, str],
    driver: Driver,
    template: str,
    options: tuple[str, ...],
    name: str,
) -> None:
    code, report = clone(env, "--prepare-template", *options)
    assert code == 0, report
    assert marks(simulator) == list(MARKS)
    parent = find(driver, template)
    assert parent.template
    assert current(parent).name.startswith(name)
    assert base_of(find(driver, "desk-1")) == frozen(current(parent))
    simulator.reset_calls()
    code, report = clone(env, "--prepare-template")
    assert (code, report["clones"][0]["status"]) == (0, "existing")  # type: ignore[index]
    assert marks(simulator) == []


@pytest.mark.parametrize("at", ["call", "task"])
def test_a_template_whose_snapshot_fails_is_a_template_again(
    simulator: Simulator, env: dict[str, str], driver: Driver, template: str, at: str
) -> None:
    simulator.fault("CreateSnapshot_Task", "SystemError", at=at)
    done = command.run("clone", template, "desk-1", "--prepare-template", env=env)
    assert done.returncode == 1
    assert find(driver, template).template
    assert "CloneVM_Task" not in simulator.calls()


def test_a_template_of_which_the_answer_was_lost_is_a_template_again(
    simulator: Simulator, env: dict[str, str], driver: Driver, template: str
) -> None:
    simulator.drop("MarkAsVirtualMachine", after=True)
    done = command.run("clone", template, "desk-1", "--prepare-template", env=env)
    assert done.returncode == 1
    assert find(driver, template).template


def test_an_interrupted_preparation_ends_with_a_template(
    simulator: Simulator, env: dict[str, str], driver: Driver, template: str
) -> None:
    simulator.delays(task_ms={"CreateSnapshot_Task": 200_000})
    process = command.start("clone", template, "desk-1", "--prepare-template", env=env)
    # Until the answer is there and the task is followed: before that the call may be lost.
    while "WaitForUpdatesEx" not in simulator.calls():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    simulator.delays()
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "is a template as before" in errors
    parent = find(driver, template)
    assert parent.template
    assert len(parent.snapshots) == 1
    assert "CloneVM_Task" not in simulator.calls()


def test_after_a_kill_the_next_run_reports_that_it_is_not_a_template(
    simulator: Simulator, env: dict[str, str], driver: Driver, template: str, tmp_path: Path
) -> None:
    simulator.delays(task_ms={"CreateSnapshot_Task": 200_000})
    process = command.start("clone", template, "desk-1", "--prepare-template", env=env)
    while "CreateSnapshot_Task" not in simulator.calls():
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert not find(driver, template).template
    (log,) = tmp_path.rglob("*.jsonl")
    assert '"make a VM", "status": "done"' in log.read_text()
    assert "make a template" not in log.read_text()
    done = command.run("clone", template, "desk-1", "--prepare-template", env=env)
    assert done.returncode == 1
    assert "is not a template" in done.stderr
    assert "govc vm.markastemplate" in done.stderr


def test_a_template_that_cannot_be_converted_back_is_reported_with_the_remedy(
    simulator: Simulator, env: dict[str, str], driver: Driver, template: str
) -> None:
    simulator.fault("MarkAsTemplate", "SystemError", at="call", count=-1)
    done = command.run("clone", template, "desk-1", "--prepare-template", env=env)
    assert done.returncode == 1
    assert "could not be made a template again" in done.stderr
    assert "govc vm.markastemplate" in done.stderr
    assert not find(driver, template).template


def test_a_busy_template_is_tried_again(
    simulator: Simulator, env: dict[str, str], driver: Driver, template: str
) -> None:
    task = {"task": {"type": "Task", "value": "task-1"}}
    simulator.fault("MarkAsTemplate", "TaskInProgress", at="call", count=2, properties=task)
    code, report = clone(env, "--prepare-template")
    assert code == 0, report
    assert find(driver, template).template
