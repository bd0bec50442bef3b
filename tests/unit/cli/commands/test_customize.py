"""``clone --customize``: what is read, asked for, and shown."""

from pathlib import Path
from typing import Any

import pytest

from linkedclone.app.connection import Connection
from linkedclone.model.customization import Addresses, Customization, GuestOs
from linkedclone.model.request import CloneRequest, Wait
from tests.memory import MemoryHypervisor
from tests.unit.cli.conftest import Run

CANARY = "c4nary-pw"
TEXT = """\
os: linux
addresses: {range: 10.0.0.10-10.0.0.40/24, gateway: 10.0.0.1}
"""


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "guests.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[CloneRequest]:
    """The requests that commands came to."""
    requests: list[CloneRequest] = []
    real = Connection.propose_clone

    def propose(self: Connection, request: CloneRequest) -> Any:
        requests.append(request)
        return real(self, request)

    monkeypatch.setattr(Connection, "propose_clone", propose)
    return requests


def test_the_file_is_read(run: Run, asked: list[CloneRequest], file: Path) -> None:
    outcome = run("clone", "golden", "x", "--customize", str(file), "--dry-run", "-o", "json")
    assert outcome.code == 0, outcome.err
    assert asked[0].customization == Customization(
        os=GuestOs.LINUX,
        addresses=(Addresses(range="10.0.0.10-10.0.0.40/24", gateway="10.0.0.1"),),
    )
    (sent,) = outcome.document["requests"]
    assert sent["guest"]["cards"][0]["addresses"] == ["10.0.0.10/24"]
    assert sent["mark"]["addresses"] == ["10.0.0.10"]


def test_the_other_options_of_guests_are_read(run: Run, asked: list[CloneRequest]) -> None:
    args = "--customization-spec linux --keep-failed --wait customized --wait-timeout 90s"
    networks = "--network-filter 10.0.0.0/24 --network-filter fd00::/8"
    run("clone", "golden", "x", "--dry-run", *args.split(), *networks.split())
    (request,) = asked
    assert request.customization_spec == "linux"
    assert request.keep_failed
    assert (request.wait, request.wait_seconds) == (Wait.CUSTOMIZED, 90.0)
    assert request.network_filter == ("10.0.0.0/24", "fd00::/8")


def test_clones_start_with_their_customization(
    run: Run, family: MemoryHypervisor, file: Path
) -> None:
    outcome = run(
        "clone",
        "golden",
        "x-{1..2}",
        "--customize",
        str(file),
        "--wait",
        "customized",
        "-o",
        "json",
    )
    assert outcome.code == 0, outcome.err
    assert [(c["host_name"], c["addresses"]) for c in outcome.document["clones"]] == [
        ("x-1", ["10.0.0.10"]),
        ("x-2", ["10.0.0.11"]),
    ]


@pytest.mark.parametrize("network", ["10.0.0.0/40", "lan", "10.0.0.1/24"])
def test_an_invalid_network_is_wrong_input(run: Run, network: str) -> None:
    outcome = run("clone", "golden", "x", "--network-filter", network)
    assert outcome.code == 2
    assert "10.0.0.0/24" in outcome.err


def test_all_errors_of_the_file_are_reported_and_nothing_is_opened(run: Run, file: Path) -> None:
    file.write_text(f"os: linux\nhost_nmae: a\nlinux: {{password: {CANARY}}}\n")
    outcome = run(
        "-e", "vsphere://nobody@nowhere.invalid", "clone", "g", "x", "--customize", str(file)
    )
    assert outcome.code == 2
    assert "line 2: host_nmae: unknown setting; did you mean host_name?" in outcome.err
    assert "line 3: linux.password: a password itself does not belong here" in outcome.err
    assert CANARY not in outcome.err + outcome.out


def test_bad_names_are_reported_before_any_prompt_or_connection(run: Run, file: Path) -> None:
    file.write_text("os: windows\nwindows: {administrator_password: {prompt: Password}}\n")
    outcome = run(
        "-e",
        "vsphere://nobody@nowhere.invalid",
        "clone",
        "g",
        "a_1",
        "a_2",
        "--customize",
        str(file),
    )
    assert outcome.code == 2
    assert "a_1: it has '_'" in outcome.err
    assert "a_2: it has '_'" in outcome.err


def test_without_a_terminal_there_is_no_prompt(run: Run, file: Path) -> None:
    file.write_text("os: linux\nlinux: {password: {prompt: Password of root}}\n")
    outcome = run("clone", "golden", "x", "--customize", str(file))
    assert outcome.code == 2
    assert "linux.password: 'Password of root' would be asked at a terminal" in outcome.err


def test_a_person_is_asked_once_and_nothing_is_shown(
    run: Run, file: Path, asked: list[CloneRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, dict[str, object]]] = []

    def prompt(text: str, **settings: object) -> str:
        shown.append((text, settings))
        return CANARY

    monkeypatch.setattr("linkedclone.cli.terminal.has_terminal", lambda: True)
    monkeypatch.setattr("linkedclone.cli.options.guest.click.prompt", prompt)
    file.write_text("os: linux\nlinux: {password: {prompt: Password of root}}\n")
    outcome = run("clone", "golden", "x", "--customize", str(file), "--dry-run", "-v", "--debug")
    assert outcome.code == 0, outcome.err
    assert shown == [("Password of root", {"hide_input": True, "err": True})]
    ((_, secret),) = asked[0].secrets
    assert secret.reveal() == CANARY
    assert CANARY not in outcome.out + outcome.err + repr(asked)


def test_two_stored_specifications_are_refused(run: Run, file: Path) -> None:
    file.write_text("stored: linux\n")
    outcome = run("clone", "golden", "x", "--customize", str(file), "--customization-spec", "other")
    assert outcome.code == 2
    assert "leave one of the two out" in outcome.err
    outcome = run("clone", "golden", "x", "--customize", str(file))
    assert outcome.code == 0, outcome.err
