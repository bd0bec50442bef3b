"""The program that looks at a real vCenter, run against the simulator: it works and cleans up."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulator import Simulator

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-m", "tests.live"]


def environment(simulator: Simulator | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOVC_", "LINKEDCLONE_"))}
    if simulator is None:
        return kept
    return kept | {
        "LINKEDCLONE_LIVE_URL": "govc",
        "LINKEDCLONE_LIVE_PARENT": "/DC0/vm/DC0_H0_VM0",
        "GOVC_URL": simulator.url,
        "GOVC_TLS_CA_CERTS": str(simulator.certificate_file),
    }


def test_it_does_nothing_unless_it_is_asked_to(simulator: Simulator) -> None:
    half = environment(simulator)
    del half["LINKEDCLONE_LIVE_URL"]
    done = subprocess.run(PROGRAM, cwd=ROOT, env=half, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "LINKEDCLONE_LIVE_URL" in done.stderr
    assert simulator.calls() == {}


def test_the_checks_pass_on_the_simulator_and_leave_nothing_behind(
    simulator: Simulator, tmp_path: Path
) -> None:
    before = simulator.files()
    told = tmp_path / "told.json"
    done = subprocess.run(
        [*PROGRAM, "--json", str(told)],
        cwd=ROOT, env=environment(simulator), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "THIS IS A SIMULATOR" in done.stderr
    document = json.loads(told.read_text())
    assert document["simulator"] is True
    assert {c["name"] for c in document["checks"] if c["outcome"] != "held"} == {
        *("pages", "fork MAC inside", "fork memory", "frozen layers"),
    }
    assert len(document["checks"]) >= 25
    assert simulator.files() == before


def test_the_checks_of_a_lone_host_pass_on_the_simulator_and_leave_nothing_behind(
    start_simulator: Callable[..., Simulator], tmp_path: Path
) -> None:
    simulator = start_simulator("-esx")
    before, told = simulator.files(), tmp_path / "told.json"
    done = subprocess.run(
        [*PROGRAM, "--json", str(told)],
        cwd=ROOT, env=environment(simulator) | {"LINKEDCLONE_LIVE_PARENT": "ha-host_VM1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads(told.read_text())["checks"]
    assert {one["name"] for one in checks if one["outcome"] != "held"} == {"host NVRAM"}
    assert len(checks) >= 19
    assert simulator.files() == before


def test_failed_checks_are_reported_and_cleaned_up(simulator: Simulator) -> None:
    before = simulator.files()
    simulator.clone_mode("degrade", 1)
    done = subprocess.run(
        [*PROGRAM, "--only", "linked"],
        cwd=ROOT, env=environment(simulator), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "did not hold" in done.stdout
    assert simulator.files() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cleans_up(simulator: Simulator, number: signal.Signals) -> None:
    before = simulator.files()
    process = subprocess.Popen(
        PROGRAM, cwd=ROOT, env=environment(simulator), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "no snapshot" in line:
            break
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "is deleted" in err
    assert simulator.files() == before
