"""The first five minutes with a vCenter, against the simulator."""

import hashlib
import os
import shlex
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.simulator import Simulator
from tests.unit.cli.conftest import Run
from tests.unit.cli.terminal import run_on_terminal


@pytest.fixture
def url(simulator: Simulator) -> str:
    return f"vsphere://{simulator.user}@{simulator.host}:{simulator.port}/DC0"


@pytest.fixture
def fingerprint(simulator: Simulator) -> str:
    der = ssl.PEM_cert_to_DER_cert(simulator.certificate_pem)
    return hashlib.sha256(der).hexdigest()


@pytest.fixture(autouse=True)
def nothing_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINKEDCLONE_ENDPOINT")


@pytest.fixture
def lab(run: Run, url: str, fingerprint: str, simulator: Simulator, home: Path) -> str:
    """The simulator, configured under a name, with pin and password."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINKEDCLONE_PASSWORD", simulator.password)
        outcome = run("endpoints", "add", "lab", url, "--fingerprint", fingerprint)
    assert outcome.code == 0, outcome.err
    return "lab"


def test_adding_pins_tests_the_login_and_keeps_the_password(
    run: Run, lab: str, url: str, simulator: Simulator, home: Path
) -> None:
    assert (home / "passwords" / "lab").read_text() == f"{simulator.password}\n"
    assert (home / "passwords" / "lab").stat().st_mode & 0o777 == 0o600
    pin = (home / "certificates" / "lab.pem").read_text()
    assert pin.strip() == simulator.certificate_pem.strip()
    assert simulator.password not in (home / "config.yaml").read_text()
    (row,) = run("endpoints", "list", "-o", "json").document["endpoints"]
    assert row == {
        "name": "lab",
        "url": url,
        "default": True,
        "trust": "pinned",
        "password": "file",
    }
    assert "VMware vCenter Server" in run("endpoints", "test").out


def test_a_person_is_shown_the_fingerprint_and_asked(
    simulator: Simulator, url: str, fingerprint: str, home: Path
) -> None:
    typed = [("Pin this certificate? [y/N]", "y\n"), ("Password for", f"{simulator.password}\n")]
    env = {"TERM": "xterm", "COLUMNS": ""}
    screen = run_on_terminal("endpoints", "add", "lab", url, env=env, typed=typed, columns=200)
    assert screen.code == 0, screen.text
    pairs = ":".join(fingerprint.upper()[i : i + 2] for i in range(0, 64, 2))
    assert pairs in screen.text
    assert simulator.password not in screen.text
    assert (home / "config.yaml").exists()


def test_a_no_saves_nothing(simulator: Simulator, url: str, home: Path) -> None:
    typed = [("Pin this certificate? [y/N]", "n\n")]
    screen = run_on_terminal("endpoints", "add", "lab", url, env={"TERM": "xterm"}, typed=typed)
    assert screen.code == 1
    assert not (home / "config.yaml").exists()
    assert "Login" not in simulator.calls()


def test_without_a_terminal_the_fingerprint_has_to_be_given(
    run: Run, simulator: Simulator, url: str, fingerprint: str
) -> None:
    outcome = run("endpoints", "add", "lab", url)
    assert outcome.code == 2
    assert "--fingerprint SHA256" in outcome.err
    assert "Login" not in simulator.calls()


def test_another_fingerprint_is_refused_before_any_password(
    run: Run, simulator: Simulator, url: str, home: Path
) -> None:
    outcome = run("endpoints", "add", "lab", url, "--fingerprint", "ab" * 32)
    assert outcome.code == 1
    assert "another fingerprint" in outcome.err
    assert not (home / "config.yaml").exists()
    assert "Login" not in simulator.calls()
    assert run("endpoints", "add", "lab", url, "--fingerprint", "ab").code == 2


def test_a_wrong_password_saves_nothing(
    run: Run, url: str, fingerprint: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINKEDCLONE_PASSWORD", "c4nary-wrong")
    outcome = run("endpoints", "add", "lab", url, "--fingerprint", fingerprint, "--debug")
    assert outcome.code == 1
    assert "user name or password" in outcome.err
    assert "c4nary" not in outcome.err + outcome.out
    assert not (home / "config.yaml").exists()


def test_the_password_can_come_from_standard_input(
    url: str, fingerprint: str, simulator: Simulator, home: Path
) -> None:
    from tests.command import COMMAND

    done = subprocess.run(
        [
            str(COMMAND),
            *("endpoints", "add", "lab", url, "--password-stdin"),
            *("--fingerprint", fingerprint, "--store", "file"),
        ],
        input=f"{simulator.password}\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (home / "passwords" / "lab").exists()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<not-text", "not text in UTF-8"),
        ("</dev/null", "no password on standard input"),
        ("</dev/zero", "no password on standard input"),
        ("<&-", "no password on standard input"),
    ],
)
def test_a_password_that_cannot_be_read_from_standard_input_is_an_input_error(
    url: str, fingerprint: str, home: Path, tmp_path: Path, source: str, expected: str
) -> None:
    from tests.command import COMMAND

    (tmp_path / "not-text").write_bytes(b"c4n\xff\n")
    command = (str(COMMAND), "endpoints", "add", "lab", url, "--password-stdin")
    done = subprocess.run(
        f"{shlex.join(command)} --fingerprint {fingerprint} {source}",
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert expected in done.stderr
    assert "c4n" not in done.stderr
    assert not (home / "config.yaml").exists()


def test_a_ca_file_takes_the_place_of_a_pin(
    run: Run, simulator: Simulator, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINKEDCLONE_PASSWORD", simulator.password)
    ca_file = str(simulator.certificate_file)
    outcome = run("endpoints", "add", "lab", url, "--ca-file", ca_file, "--store", "none")
    assert outcome.code == 0, outcome.err
    (row,) = run("endpoints", "list", "-o", "json").document["endpoints"]
    assert (row["trust"], row["password"]) == ("ca", "ask")


def test_doctor_tells_certificate_and_login_apart(
    run: Run, lab: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("doctor").code == 0
    monkeypatch.setenv("LINKEDCLONE_PASSWORD", "wrong")
    findings = run("doctor", "-o", "json").document["findings"]
    assert [(f["check"], f["verdict"]) for f in findings[2:]] == [
        ("connection", "ok"),
        ("certificate", "ok"),
        ("login", "failed"),
    ]
    findings = run("doctor", "-e", url, "-o", "json").document["findings"]
    assert [(f["check"], f["verdict"]) for f in findings[2:]] == [
        ("connection", "ok"),
        ("certificate", "failed"),
    ]


def test_five_clones_come_and_go(run: Run, lab: str) -> None:
    made = run("clone", "DC0_H0_VM0", "desk-{1..5}", "--snapshot", "new:base")
    assert made.code == 0, made.err
    assert "5 created in" in made.err
    tree = run("tree", "DC0_H0_VM0", "-o", "json").document["children"][0]
    assert [vm["vm"] for vm in tree["children"][0]["children"]] == [
        f"desk-{n}" for n in range(1, 6)
    ]
    again = run("clone", "DC0_H0_VM0", "desk-{1..5}", "-o", "json").document
    assert {clone["status"] for clone in again["clones"]} == {"existing"}
    refused = run("delete", "DC0_H0_VM0", "--yes", "--force")
    assert refused.code == 1
    assert "used by: desk-1, desk-2, desk-3, desk-4, desk-5" in refused.err
    gone = run("delete", "desk-{1..5}", "--yes")
    assert gone.code == 0, gone.err


def test_ctrl_c_says_what_goes_on_at_the_server(
    run: Run, lab: str, simulator: Simulator, home: Path
) -> None:
    assert run("snapshot", "create", "DC0_H0_VM0", "base").code == 0
    simulator.delays(task_ms={"CloneVM_Task": 200_000})
    simulator.reset_calls()

    def both_are_followed() -> bool:
        calls = simulator.calls()
        return calls.get("CloneVM_Task", 0) == 2 and calls.get("WaitForUpdatesEx", 0) > 2

    screen = run_on_terminal(
        *("clone", "DC0_H0_VM0", "slow-{1..4}", "--parallel", "2"),
        env={"TERM": "xterm", "COLUMNS": ""},
        typed=[(both_are_followed, "\x03")],
        pause_seconds=0.0,
    )
    assert screen.code == 130
    assert (
        "slow-1, slow-2 (clone): interrupted: the endpoint continues to create this clone"
        in screen.text
    )
    assert "slow-3, slow-4 (clone): interrupted before it was sent" in screen.text
    simulator.delays()
    finished = run("clone", "DC0_H0_VM0", "slow-{1..4}", "-o", "json").document
    assert [clone["linked"] for clone in finished["clones"]] == [True] * 4


def test_one_failure_of_many_exits_with_4_and_tells_the_server_s_words(
    run: Run, lab: str, simulator: Simulator
) -> None:
    run("snapshot", "create", "DC0_H0_VM0", "base")
    simulator.fault("CloneVM_Task", "NoDiskSpace", name="desk-2", message="no room left")
    outcome = run("clone", "DC0_H0_VM0", "desk-{1..3}")
    assert outcome.code == 4
    assert "desk-2 (" in outcome.err
    assert "no room left" in outcome.err
    assert "2 created, 1 failed" in outcome.err
