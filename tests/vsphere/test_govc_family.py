"""A family that another tool has a part in shows up right, is guarded, and can be adopted."""

from pathlib import Path
from typing import Any

import pytest

from tests import command, govc
from tests.simulator import Simulator

PARENT = "DC0_H0_VM0"


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    """A parent with a clone of ours, one of govc's, and a clone of govc's clone."""
    env = command.environment(simulator, tmp_path)
    govc.run(simulator, "snapshot.create", "-vm", PARENT, "base")
    govc.clone(simulator, PARENT, "other-1")
    govc.run(simulator, "snapshot.create", "-vm", "other-1", "inner")
    govc.clone(simulator, "other-1", "other-1-a", snapshot="inner")
    code, report = command.run_json("clone", PARENT, "desk-1", "--power", "off", env=env)
    assert code == 0, report
    return env


def json_of(*args: str, env: dict[str, str]) -> dict[str, Any]:
    code, document = command.run_json(*args, env=env)
    assert code == 0, document
    return document


def vms_below(node: dict[str, Any]) -> dict[str, Any]:
    """Return what depends on a node, by name: each VM with those below it."""
    found: dict[str, Any] = {}
    for child in node["children"]:
        below = vms_below(child)
        found |= {child["vm"]: below} if "vm" in child else below
    return found


def test_the_tree_shows_all_of_them_in_their_places(env: dict[str, str]) -> None:
    (root,) = json_of("tree", PARENT, env=env)["children"]
    assert root["vm"] == PARENT
    assert vms_below(root) == {"desk-1": {}, "other-1": {"other-1-a": {}}}
    assert root["owner"] is None


def test_the_usage_counts_the_base_once(simulator: Simulator, env: dict[str, str]) -> None:
    (family,) = json_of("usage", PARENT, env=env)["families"]
    assert family["parent"] == PARENT
    assert family["clones"] == 3
    assert {vm["name"] for vm in family["vms"]} == {PARENT, "desk-1", "other-1", "other-1-a"}
    assert family["unknown_layers"] == 0
    assert family["saved_bytes"] > 2 * family["base_bytes"]
    assert family["depth"] == 3


def test_a_govc_clone_protects_its_base(simulator: Simulator, env: dict[str, str]) -> None:
    before = simulator.files()
    for refused in (
        command.run("delete", PARENT, "--force", "--yes", env=env),
        command.run("delete", "other-1", "--force", "--yes", env=env),
        command.run("snapshot", "delete", PARENT, "base", "--force", "--yes", env=env),
        command.run("promote", "other-1", "--force", "--yes", env=env),
    ):
        assert refused.returncode == 1
        assert "other-1" in refused.stderr
    assert simulator.files() == before


def test_adopting_marks_what_govc_made_and_nothing_else(env: dict[str, str]) -> None:
    json_of("adopt", "other-1", env=env)
    owners = {vm["name"]: vm["owner"] for vm in json_of("list", env=env)["vms"]}
    assert owners["other-1"] == "linkedclone"
    assert owners["other-1-a"] is None
    json_of("adopt", "other-1-a", env=env)
    code, report = command.run_json("delete", "other-1", "--cascade", "--yes", env=env)
    assert code == 0, report
    left = {vm["name"] for vm in json_of("list", env=env)["vms"]}
    assert not left & {"other-1", "other-1-a"}
    assert {"desk-1", PARENT} <= left


def test_a_clone_of_govcs_that_was_unregistered_still_shows_when_scanned(
    simulator: Simulator, env: dict[str, str]
) -> None:
    govc.run(simulator, "vm.unregister", "other-1-a")
    (root,) = json_of("tree", PARENT, "--scan", "all", env=env)["children"]
    text = str(root)
    assert "other-1-a/other-1-a.vmdk" in text
    assert "of the unregistered VM other-1-a/other-1-a.vmx" in text
    refused = command.run("delete", "other-1", "--force", "--scan", "all", "--yes", env=env)
    assert refused.returncode == 1
    assert "other-1-a/other-1-a.vmdk" in refused.stderr
