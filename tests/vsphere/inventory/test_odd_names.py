"""Names with blanks, slashes, percent signs and letters of all kinds: they work, or are refused."""

from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.contract import Driver
from tests import command
from tests.contract.acts import find
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, add_folder, prepare
from tests.vsphere.govc import run_govc

LONG = "x" * 80


@pytest.fixture
def env(simulator: Simulator, driver: Driver, tmp_path: Path) -> dict[str, str]:
    prepare(driver)
    return command.environment(simulator, tmp_path) | {"LC_ALL": "C.UTF-8"}


def clone(env: dict[str, str], *args: str) -> tuple[int, dict[str, Any]]:
    return command.run_json("clone", PARENT, *args, "--power", "off", env=env)


@pytest.mark.parametrize(
    "name", ["two words", "ünï-Ω-漢字", LONG, "a.b(c)+d'e&f<g>", 'say "hi"', "[ssd1] x"]
)
def test_a_clone_may_be_called_so_and_is_found_again(
    driver: Driver, env: dict[str, str], name: str
) -> None:
    code, report = clone(env, name)
    assert (code, report["clones"][0]["name"], report["clones"][0]["linked"]) == (0, name, True)
    code, report = clone(env, name)
    assert (code, report["clones"][0]["status"]) == (0, "existing")
    assert find(driver, name).name == name


@pytest.mark.parametrize("name", ["a/b", "50%", "a\\b", "tab\there", "x" * 81, " x", "."])
def test_an_invalid_clone_name_is_refused_and_named(
    simulator: Simulator, env: dict[str, str], name: str
) -> None:
    done = command.run("clone", PARENT, name, env=env)
    assert done.returncode == 2
    assert repr(name) in done.stderr
    assert "CloneVM_Task" not in simulator.calls()


ESCAPE = "%2f"
"""A vCenter stores it as ``%252f``; of snapshots the simulator stores names as they come."""

ODD = ["two words", "a/b", "50% off", "back\\slash", "ünï Ω 漢字", LONG, ESCAPE]
"""Names that others have given: they cannot be refused."""


@pytest.mark.parametrize("name", ODD)
def test_folders_with_any_name_are_found(driver: Driver, env: dict[str, str], name: str) -> None:
    add_folder(driver, name)
    code, report = clone(env, "desk-1", "--folder", name)
    assert code == 0, report
    code, again = clone(env, "desk-1", "--folder", name)
    assert again["clones"][0]["status"] == "existing"
    assert again["clones"][0]["id"] == report["clones"][0]["id"]


def escaped(name: str) -> str:
    """As a client has to write a name into a path (ManagedEntity.name)."""
    return name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


@pytest.mark.parametrize("name", [name for name in ODD if name != ESCAPE])
def test_snapshots_with_any_name_are_found(
    simulator: Simulator, env: dict[str, str], name: str
) -> None:
    done = run_govc(simulator, "snapshot.create", "-vm", PARENT, name)
    assert done.returncode == 0, done.stderr
    code, report = clone(env, "desk-1", "--snapshot", name)
    assert code == 0, report
    assert (report["snapshot"], report["clones"][0]["linked"]) == (name, True)


@pytest.mark.parametrize("name", ODD)
def test_networks_with_any_name_are_found(
    simulator: Simulator, env: dict[str, str], name: str
) -> None:
    done = run_govc(simulator, "dvs.portgroup.add", "-dvs", "DVS0", escaped(name))
    assert done.returncode == 0, done.stderr
    code, report = clone(env, "desk-1", "--network", f"0={name}")
    assert code == 0, report


@pytest.mark.parametrize("names", [["taken"], ["TAKEN", "b", "c", "d", "e"]])
def test_item_19_a_name_of_a_folder_is_reported_and_nothing_is_created(
    simulator: Simulator, driver: Driver, env: dict[str, str], names: list[str]
) -> None:
    add_folder(driver, "taken")
    done = command.run("clone", PARENT, *names, "--power", "off", env=env)
    assert done.returncode != 0
    assert "the folder 'taken'" in done.stderr
    assert "again" not in done.stderr
    assert "CloneVM_Task" not in simulator.calls()
