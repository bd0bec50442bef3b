"""Linked, full, and the five move types by name: from the command line, over real SOAP."""

from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.model.request import DiskMove
from tests import command, do
from tests.contract.acts import find, read, result_of
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, prepare
from tests.vsphere.govc import run_govc

BARE = "DC0_H0_VM1"


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    return command.environment(simulator, tmp_path)


def clone(env: dict[str, str], *args: str, parent: str = PARENT) -> tuple[int, dict[str, Any]]:
    return command.run_json("clone", parent, *args, "--power", "off", env=env)


def files_of(driver: Driver, name: str) -> list[list[str]]:
    return [[layer.path for layer in disk.chain] for disk in find(driver, name).disks]


def sent(simulator: Simulator) -> str:
    """Return the last clone request as it was on the wire."""
    return simulator.requests("CloneVM_Task")[-1]


def test_full_clones_are_made_judged_and_kept(
    simulator: Simulator, driver: Driver, env: dict[str, str]
) -> None:
    prepare(driver)
    code, report = clone(env, "--full", "desk-{1..3}")
    assert code == 0
    assert [c["status"] for c in report["clones"]] == ["created"] * 3
    assert {(c["mode"], c["linked"]) for c in report["clones"]} == {("full", False)}
    assert "notes" not in report
    assert "<diskMoveType>moveAllDiskBackingsAndAllowSharing</diskMoveType>" in sent(simulator)
    assert files_of(driver, "desk-1") == [["desk-1/desk-1.vmdk"]]


def test_full_clones_are_not_called_linked(driver: Driver, env: dict[str, str]) -> None:
    prepare(driver)
    done = command.run("clone", PARENT, "desk-1", "--full", env=env)
    assert done.returncode == 0
    assert "full clones of DC0_H0_VM0 at snapshot base" in done.stderr
    assert "linked clones" not in done.stderr
    assert done.stdout.splitlines()[1].split()[:3] == ["desk-1", "created", "full"]


def test_a_parent_without_snapshot_is_cloned_fully_in_its_current_state(
    simulator: Simulator, env: dict[str, str]
) -> None:
    code, report = clone(env, "--full", "desk-1", parent=BARE)
    assert (code, report["snapshot"]) == (0, None)
    assert "<snapshot" not in sent(simulator)
    assert "CreateSnapshot_Task" not in simulator.calls()
    done = command.run("clone", BARE, "desk-2", "--full", env=env)
    assert "full clones of DC0_H0_VM1 in its current state" in done.stderr


def test_a_base_that_becomes_shared_is_reported(driver: Driver, env: dict[str, str]) -> None:
    parent = prepare(driver)
    result_of(driver, driver.start(do.create_snapshot(parent, "second", "")))
    code, report = clone(env, "--full", "desk-{1..2}")
    assert code == 0
    assert {(c["mode"], c["linked"]) for c in report["clones"]} == {("shared", False)}
    (note,) = report["notes"]
    assert "2 full clones" in note
    assert "[LocalDS_0] DC0_H0_VM0/disk1.vmdk" in note
    code, report = clone(
        env, "desk-3", "--full", "--disk-move-type", "moveAllDiskBackingsAndConsolidate"
    )
    assert (code, report["clones"][0]["mode"], "notes" in report) == (0, "full", False)


def test_a_degraded_linked_clone_is_still_undone(
    simulator: Simulator, driver: Driver, env: dict[str, str]
) -> None:
    prepare(driver)
    simulator.clone_mode("degrade")
    code, report = clone(env, "desk-1")
    assert (code, report["clones"][0]["error"]["stage"]) == (1, "proof")
    simulator.clone_mode("degrade")
    code, report = clone(env, "desk-1", "--add-disk", "1GiB")
    assert (code, report["clones"][0]["error"]["stage"]) == (1, "proof")


@pytest.mark.parametrize("move", DiskMove)
def test_every_move_type_is_sent_as_it_is_named(
    simulator: Simulator, driver: Driver, env: dict[str, str], move: DiskMove
) -> None:
    prepare(driver)
    code, report = clone(env, "desk-1", "--disk-move-type", move.value)
    assert code == 0, report
    assert f"<diskMoveType>{move}</diskMoveType>" in sent(simulator)
    assert report["clones"][0]["linked"] is (move is DiskMove.LINKED)


def test_again_finds_full_clones_existing_and_tells_linked_ones(
    driver: Driver, env: dict[str, str]
) -> None:
    parent = prepare(driver)
    result_of(driver, driver.start(do.create_snapshot(parent, "second", "")))
    clone(env, "full-1", "--full")
    clone(env, "linked-1")
    code, report = clone(env, "full-1", "--full")
    assert (code, report["clones"][0]["status"]) == (0, "existing")
    code, report = clone(env, "linked-1", "--full")
    assert code == 1
    assert "is a linked clone" in report["clones"][0]["error"]["brief"]
    assert "promote" in report["clones"][0]["error"]["hint"]


def test_independent_disks_are_copied_aloud_while_the_others_link(
    simulator: Simulator, driver: Driver, env: dict[str, str]
) -> None:
    add_independent_disk(simulator)
    parent = prepare(driver)
    code, report = clone(env, "desk-1")
    assert (code, report["clones"][0]["linked"]) == (0, True)
    (note,) = report["notes"]
    assert "1.0 GiB" in note
    assert "copied for each clone" in note
    linked, copied = (disk for disk in find(driver, "desk-1").disks)
    assert (len(linked.chain), len(copied.chain)) == (2, 1)
    assert not parent.layers & set(copied.chain)
    body = sent(simulator)
    assert body.count("<diskMoveType>createNewChildDiskBacking</diskMoveType>") == 2
    assert body.count("<diskMoveType>moveAllDiskBackingsAndDisallowSharing</diskMoveType>") == 1


def test_a_clone_of_a_clone_reports_its_depth(driver: Driver, env: dict[str, str]) -> None:
    prepare(driver)
    clone(env, "middle")
    middle = find(driver, "middle")
    result_of(driver, driver.start(do.create_snapshot(middle, "base", "")))
    done = command.run("clone", "middle", "leaf", "--dry-run", env=env)
    assert "middle is a linked clone itself: chains of its clones are 3 files deep" in done.stderr
    code, report = clone(env, "leaf", parent="middle")
    assert code == 0
    assert "3 files deep" in report["notes"][0]
    assert len(read(driver, find(driver, "leaf").id).disks[0].chain) == 3


def add_independent_disk(simulator: Simulator) -> None:
    """Give the parent a second disk that snapshots leave out; our driver has no word for it."""
    done = run_govc(
        simulator,
        *("vm.disk.create", "-vm", PARENT, "-name", "data", "-size", "1G"),
        *("-mode", "independent_persistent"),
    )
    assert done.returncode == 0, done.stderr
