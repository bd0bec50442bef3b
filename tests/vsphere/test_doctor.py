"""What doctor finds at a vCenter beside the connection: hosts and privileges."""

from pathlib import Path
from typing import Any

import pytest

from tests import command, govc
from tests.simulator import Simulator

PARENT = "DC0_C0_RP0_VM0"
CLUSTER = ("-pool", "/DC0/host/DC0_C0/Resources", "-ds", govc.STORE, "-on=false")


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    return command.environment(simulator, tmp_path)


def findings(env: dict[str, str], check: str) -> list[dict[str, Any]]:
    _, document = command.run_json("doctor", env=env)
    return [finding for finding in document["findings"] if finding["check"] == check]


def make_clone(simulator: Simulator) -> None:
    govc.run(simulator, "snapshot.create", "-vm", PARENT, "base")
    govc.run(simulator, "vm.clone", "-vm", PARENT, "-link", "-snapshot", "base", *CLUSTER, "desk-1")


def test_a_host_that_cannot_see_the_base_of_clones_is_named(
    simulator: Simulator, env: dict[str, str]
) -> None:
    make_clone(simulator)
    simulator.unmount("DC0_C0_H1", govc.STORE)
    (finding,) = findings(env, "datastores")
    assert finding["verdict"] == "warning"
    for name in ("DC0_C0_H1", "DC0_C0", govc.STORE, "desk-1"):
        assert name in finding["text"]
    assert PARENT not in finding["text"]
    assert finding["remedy"]


def test_where_all_hosts_see_the_datastores_all_is_well(
    simulator: Simulator, env: dict[str, str]
) -> None:
    make_clone(simulator)
    (finding,) = findings(env, "datastores")
    assert finding["verdict"] == "ok"


def test_a_datastore_without_clones_may_be_seen_by_some_only(
    simulator: Simulator, env: dict[str, str]
) -> None:
    simulator.unmount("DC0_C0_H1", govc.STORE)
    (finding,) = findings(env, "datastores")
    assert finding["verdict"] == "ok"


def test_a_host_of_another_cluster_does_not_matter(
    simulator: Simulator, env: dict[str, str]
) -> None:
    make_clone(simulator)
    simulator.unmount("DC0_H0", govc.STORE)
    (finding,) = findings(env, "datastores")
    assert finding["verdict"] == "ok"


def test_what_only_some_commands_take_is_a_warning_that_says_which(
    simulator: Simulator, env: dict[str, str]
) -> None:
    simulator.miss_privileges(["Datastore.Browse", "VirtualMachine.Provisioning.PromoteDisks"])
    (cloning,) = findings(env, "privileges")
    (further,) = findings(env, "privileges of options")
    assert cloning["verdict"] == "ok"
    assert further["verdict"] == "warning"
    assert "promote: VirtualMachine.Provisioning.PromoteDisks" in further["text"]
    assert "gc and --scan: Datastore.Browse" in further["text"]
