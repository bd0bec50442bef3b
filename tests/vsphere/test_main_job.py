"""The main job, from the command line over real SOAP, counted on the wire."""

import time
from collections import Counter
from pathlib import Path

import pytest

from tests import command
from tests.simulator import Simulator
from tests.vsphere.acts import most_polls

PARENT = "DC0_H0_VM0"

READS = frozenset(
    {
        "RetrieveServiceContent",
        "RetrieveProperties",
        "RetrievePropertiesEx",
        "ContinueRetrievePropertiesEx",
        "WaitForUpdatesEx",
        "FindByInventoryPath",
        "FindByUuid",
        "FindAllByUuid",
        "FindChild",
        "GetCustomizationSpec",
        "DoesCustomizationSpecExist",
        "CurrentTime",
    }
)


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    return command.environment(simulator, tmp_path)


@pytest.fixture
def parent(env: dict[str, str]) -> str:
    """The parent, with the snapshot that clones depend on."""
    done = command.run("snapshot", "create", PARENT, "base", env=env)
    assert done.returncode == 0, done.stderr
    return PARENT


def test_a_hundred_proven_linked_clones_with_one_login_and_few_calls(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    simulator.reset_calls()
    begun = time.monotonic()
    code, report = command.run_json("clone", parent, "desk-{001..100}", env=env)
    polls = most_polls(begun)
    calls = Counter(simulator.calls())
    assert code == 0
    clones = report["clones"]
    assert [clone["name"] for clone in clones] == [f"desk-{n:03}" for n in range(1, 101)]
    assert all(clone["linked"] is True and clone["status"] == "created" for clone in clones)
    assert all(clone["power"] == "on" for clone in clones)
    assert calls.pop("Login") == 1
    assert calls.pop("CloneVM_Task") == 100
    reads = sum(count for method, count in calls.items() if method in READS)
    others = {method: count for method, count in calls.items() if method not in READS}
    assert reads <= 40 + polls, calls
    assert sum(others.values()) <= 10, others


def test_one_clone_costs_few_calls(simulator: Simulator, env: dict[str, str], parent: str) -> None:
    simulator.delays(task_ms={"CloneVM_Task": 1000})
    simulator.reset_calls()
    code, report = command.run_json("clone", f"/DC0/vm/{parent}", "desk-1", env=env)
    calls = [entry["method"] for entry in simulator.log()]
    assert code == 0
    assert report["clones"][0]["linked"] is True
    assert calls[: calls.index("CloneVM_Task")] == [
        "RetrieveServiceContent",
        "Login",
        "FindByInventoryPath",
        "RetrievePropertiesEx",
        "FindChild",
    ]
    assert calls[-1] == "Logout"
    assert len([method for method in calls if method != "WaitForUpdatesEx"]) <= 16, calls


def test_again_makes_nothing_new_and_reports_existing(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    command.run("clone", parent, "desk-{1..5}", env=env)
    simulator.reset_calls()
    code, report = command.run_json("clone", parent, "desk-{1..5}", env=env)
    assert code == 0
    assert {clone["status"] for clone in report["clones"]} == {"existing"}
    assert all(clone["linked"] is True for clone in report["clones"])
    assert "CloneVM_Task" not in simulator.calls()


def test_an_existing_clone_that_differs_from_the_request_is_reported(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    command.run("clone", parent, "desk-1", env=env)
    asked = ["--snapshot", "new:never", "--cpus", "3", "--annotation", "mine"]
    code, report = command.run_json("clone", parent, "desk-1", *asked, env=env)
    (clone,) = report["clones"]
    assert (code, clone["status"], clone["snapshot"]) == (4, "differs", report["snapshot"])
    assert [one["field"] for one in clone["differences"]] == ["snapshot", "cpus", "notes"]
    assert clone["snapshot"] != "never"
    assert simulator.calls()["CreateSnapshot_Task"] == 1


def test_without_a_snapshot_it_is_refused_and_nothing_is_sent(
    simulator: Simulator, env: dict[str, str]
) -> None:
    done = command.run("clone", PARENT, "desk-1", env=env)
    assert done.returncode == 1
    assert "--snapshot new" in done.stderr
    assert "Traceback" not in done.stderr
    assert "CloneVM_Task" not in simulator.calls()


def test_the_snapshot_can_be_taken_in_the_same_go(
    simulator: Simulator, env: dict[str, str]
) -> None:
    args = ("clone", PARENT, "desk-{1..3}", "--snapshot", "new:2026-11")
    code, report = command.run_json(*args, env=env)
    assert code == 0
    assert report["snapshot"] == "2026-11"
    code, again = command.run_json(*args, env=env)
    assert {clone["status"] for clone in again["clones"]} == {"existing"}
    assert simulator.calls()["CreateSnapshot_Task"] == 1


def test_a_name_that_is_not_ours_is_refused_before_anything_is_sent(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    simulator.reset_calls()
    done = command.run("clone", parent, "desk-1", "DC0_H0_VM1", env=env)
    assert done.returncode == 1
    assert "DC0_H0_VM1" in done.stderr
    assert "CloneVM_Task" not in simulator.calls()


def test_one_of_many_fails_and_leaves_nothing(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    simulator.fault("CloneVM_Task", "NicSettingMismatch", name="desk-3", leave=True)
    code, report = command.run_json("clone", parent, "desk-{1..5}", env=env)
    assert code == 4
    (failed,) = [clone for clone in report["clones"] if clone["status"] == "failed"]
    assert failed["name"] == "desk-3"
    assert failed["error"]["stage"] == "customize"
    assert failed["error"]["details"]
    assert names(env) >= {"desk-1", "desk-2", "desk-4", "desk-5"}
    assert "desk-3" not in names(env)


def test_what_did_not_power_on_is_kept_and_taken_up(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    simulator.fault("CloneVM_Task", "InsufficientMemoryResourcesFault", at="poweron", name="desk-2")
    code, report = command.run_json("clone", parent, "desk-{1..3}", env=env)
    assert code == 4
    (failed,) = [clone for clone in report["clones"] if clone["status"] == "failed"]
    assert (failed["error"]["stage"], failed["linked"], failed["power"]) == (
        "power-on",
        True,
        "off",
    )
    code, report = command.run_json("clone", parent, "desk-{1..3}", env=env)
    assert code == 0
    assert {clone["status"] for clone in report["clones"]} == {"existing"}
    assert {clone["power"] for clone in report["clones"]} == {"on"}


def test_a_full_copy_in_place_of_a_linked_clone_is_undone(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    simulator.clone_mode("degrade", 1)
    code, report = command.run_json("clone", parent, "desk-{1..2}", "--parallel", "1", env=env)
    assert code == 4
    (failed,) = [clone for clone in report["clones"] if clone["status"] == "failed"]
    assert (failed["linked"], failed["error"]["stage"]) == (False, "proof")
    assert failed["name"] not in names(env)


def test_a_native_clone_hides_its_chain_and_is_kept(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    simulator.clone_mode("native", 1)
    code, report = command.run_json("clone", parent, "desk-1", env=env)
    (clone,) = report["clones"]
    assert (code, clone["linked"], clone["proof"]) == (0, None, "hidden")
    assert "desk-1" in names(env)


def test_the_parent_is_not_deleted_while_clones_depend_on_it(
    env: dict[str, str], parent: str
) -> None:
    command.run("clone", parent, "desk-{1..3}", env=env)
    done = command.run("delete", parent, "--yes", "--force", env=env)
    assert done.returncode == 1
    assert "desk-1, desk-2, desk-3" in done.stderr
    done = command.run("snapshot", "delete", parent, "base", "--yes", "--force", env=env)
    assert done.returncode == 1
    assert "desk-1, desk-2, desk-3" in done.stderr
    assert parent in names(env)


def test_deleting_clones_leaves_the_base(
    simulator: Simulator, env: dict[str, str], parent: str
) -> None:
    before = set(simulator.files())
    command.run("clone", parent, "desk-{1..3}", env=env)
    done = command.run("delete", "desk-1", "desk-2", "desk-3", "--yes", env=env)
    assert done.returncode == 0, done.stderr
    assert set(simulator.files()) == before


def names(env: dict[str, str]) -> set[str]:
    _, listing = command.run_json("list", env=env)
    return {vm["name"] for vm in listing["vms"]}
