"""The commands of a VM's life, on the hypervisor in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linkedclone.model.vm import Power
from tests.memory import MemoryHypervisor
from tests.unit.cli.conftest import Run

BIN = Path(sys.executable).parent


def power(hypervisor: MemoryHypervisor, name: str) -> Power:
    return next(vm.power for vm in hypervisor.vms if vm.name == name)


# -- stop, restart --------------------------------------------------------------------


def test_stop_pulls_the_plug_unless_the_guest_is_asked(run: Run, family: MemoryHypervisor) -> None:
    assert run("stop", "desk-1").code == 0
    assert family.calls["shut_down_guest"] == 0
    assert run("stop", "--guest", "desk-2").code == 0
    assert family.calls["shut_down_guest"] == 1
    assert power(family, "desk-2") is Power.OFF


def test_an_unresponsive_guest_is_asked_and_then_stopped(
    run: Run, family: MemoryHypervisor
) -> None:
    (desk,) = [vm.id for vm in family.vms if vm.name == "desk-1"]
    family.set_guest(desk, "deaf")
    outcome = run("stop", "--guest", "--deadline", "0.2", "desk-1")
    assert outcome.code == 1
    assert "runs on after" in outcome.err
    outcome = run("stop", "--guest", "--deadline", "0.2", "--then-off", "desk-1", "-o", "json")
    assert outcome.code == 0
    (result,) = outcome.document["results"]
    assert result["action"] == "shut-down"
    assert "stopped hard" in result["note"]


def test_restart_asks_and_starts_again(run: Run, family: MemoryHypervisor) -> None:
    assert run("restart", "--guest", "desk-{1..3}").code == 0
    assert family.calls["shut_down_guest"] == 3
    assert {power(family, f"desk-{n}") for n in (1, 2, 3)} == {Power.ON}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stop", "--deadline", "5m", "desk-1"), "--guest"),
        (("restart", "--then-off", "desk-1"), "--guest"),
        (("stop", "--guest", "--deadline", "soon", "desk-1"), "is not a duration"),
        (("rename", "desk-1", "a/b"), "characters"),
        (("relocate", "desk-1"), "no destination is given"),
        (("inventory", "--list", "--host", "x"), "contradict"),
        (("inventory", "--host", "nobody"), "no host"),
    ],
)
@pytest.mark.usefixtures("family")
def test_wrong_input_is_reported_before_anything_is_done(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    outcome = run(*words)
    assert outcome.code == 2
    assert said in outcome.err


# -- rename, relocate -----------------------------------------------------------------


def test_a_renamed_vm_is_shown_by_its_new_name(run: Run, family: MemoryHypervisor) -> None:
    outcome = run("rename", "desk-1", "front-desk")
    assert outcome.code == 0
    assert "now called front-desk" in outcome.out
    assert "are not affected" in outcome.err
    listed = run("list", "-o", "json").document["vms"]
    assert "front-desk" in {vm["name"] for vm in listed}
    assert {vm["parent"] for vm in listed if vm["name"].startswith("kiosk")} == {"front-desk"}
    assert "front-desk" in run("tree", "golden").out
    assert family.calls["RenameVm"] == 1


@pytest.mark.usefixtures("family")
def test_a_name_in_use_is_reported(run: Run) -> None:
    outcome = run("rename", "desk-1", "desk-2")
    assert outcome.code == 1
    assert "taken" in outcome.err


@pytest.mark.usefixtures("family")
def test_the_old_name_can_be_cloned_anew_and_taken_up(run: Run) -> None:
    clone = ("clone", "golden", "desk-9", "--snapshot", "base", "-o", "json")
    (first,) = run(*clone).document["clones"]
    assert run("rename", "desk-9", "desk-old").code == 0
    (second,) = run(*clone).document["clones"]
    assert second["status"] == "created"
    assert second["uuid"] != first["uuid"]
    (third,) = run(*clone).document["clones"]
    assert (third["status"], third["uuid"]) == ("existing", second["uuid"])
    owners = {vm["name"]: vm["owner"] for vm in run("list", "-o", "json").document["vms"]}
    assert owners["desk-9"] == owners["desk-old"] == "linkedclone"


def test_relocate_keeps_the_link(run: Run, family: MemoryHypervisor) -> None:
    outcome = run("relocate", "desk-{2..3}", "--datastore", "ssd2")
    assert outcome.code == 0, outcome.err
    moved = [vm for vm in family.vms if vm.name in {"desk-2", "desk-3"}]
    assert {vm.disks[0].top.store_name for vm in moved} == {"ssd2"}
    assert {vm.disks[0].chain[0].store_name for vm in moved} == {"ssd1"}
    assert "already" in run("relocate", "desk-2", "--datastore", "ssd2").err


@pytest.mark.usefixtures("family")
def test_a_vm_that_others_depend_on_stays(run: Run) -> None:
    outcome = run("relocate", "desk-1", "--datastore", "ssd2")
    assert outcome.code == 1
    assert "kiosk-1" in outcome.err


@pytest.mark.usefixtures("family")
def test_a_host_means_nothing_in_memory(run: Run) -> None:
    outcome = run("relocate", "desk-2", "--host", "esx1")
    assert outcome.code == 1
    assert "--host" in outcome.err


def test_an_unmoved_vm_that_lost_its_base_is_reported(
    run: Run, family: MemoryHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a hypervisor would that takes a full copy along."""
    from linkedclone.drivers.memory.storage import Storage

    monkeypatch.setattr(Storage, "copy_tops", Storage.copy)
    outcome = run("relocate", "desk-2", "--datastore", "ssd2", "-o", "json")
    assert outcome.code == 1
    (result,) = outcome.document["results"]
    assert result["error"]["stage"] == "proof"
    assert family.calls["RelocateVm"] == 1


# -- console, inventory ---------------------------------------------------------------


@pytest.mark.usefixtures("family")
def test_there_are_no_screens_in_memory(run: Run) -> None:
    for words in (("console", "desk-1"), ("console", "--graphical", "desk-1")):
        outcome = run(*words)
        assert "cannot show screens" in outcome.err
        assert "local: can" in outcome.err


@pytest.mark.usefixtures("family")
def test_the_inventory_can_be_asked_for_a_part(run: Run) -> None:
    whole = run("inventory").document
    assert run("inventory", "--list").document == whole
    assert "bare" not in whole["_meta"]["hostvars"]
    assert "bare" in run("inventory", "--all").document["_meta"]["hostvars"]
    below = run("inventory", "desk-1").document
    assert below["all"]["hosts"] == ["kiosk-1", "kiosk-2"]
    one = run("inventory", "--host", "desk-1").document
    assert one == whole["_meta"]["hostvars"]["desk-1"]
    assert run("inventory", "-o", "yaml", "--host", "desk-1").out.startswith("linkedclone_name: ")


def ansible(folder: Path, endpoint: str, *words: str) -> Any:
    """Let the real ansible-inventory read what the wrapper script of the documentation prints."""
    script = folder / "clones"
    page = (Path(__file__).parents[4] / "docs" / "second-day.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("exec linkedclone")]
    script.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    script.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LINKEDCLONE_ENDPOINT": endpoint,
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    done = subprocess.run(
        [str(BIN / "ansible-inventory"), "-i", str(script), *words],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return json.loads(done.stdout)


def test_the_real_ansible_reads_it(home: Path) -> None:
    read = ansible(home, "memory:family", "--list")
    assert read["parent_golden"]["hosts"] == ["desk-1", "desk-2", "desk-3", "web"]
    assert read["_meta"]["hostvars"]["web"]["linkedclone_snapshot"] == "2026-11"
    one = ansible(home, "memory:family", "--host", "kiosk-1")
    assert one["linkedclone_parent"] == "desk-1"
