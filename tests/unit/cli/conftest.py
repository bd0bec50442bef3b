"""Runs the command line inside the test, away from this machine's configuration."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from linkedclone.cli.main import main
from linkedclone.drivers.memory.demo import fill_family
from tests.memory import MemoryHypervisor


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


NOW = datetime(2026, 1, 4, 12, 0, tzinfo=UTC)
"""Three days after the VMs and snapshots of the hypervisor in memory were made."""

Run = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and no endpoint but the hypervisor in memory."""
    for name in list(os.environ):
        if name.startswith(("GOVC_", "LINKEDCLONE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("LINKEDCLONE_ENDPOINT", "memory:")
    return tmp_path


@pytest.fixture
def family(home: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryHypervisor:
    """One hypervisor with a family that stays from command to command, and a clock that stands."""
    hypervisor = MemoryHypervisor()
    fill_family(hypervisor)
    monkeypatch.setattr("linkedclone.drivers.memory.driver.make_scene", lambda _: hypervisor)
    monkeypatch.setattr("linkedclone.app.clock.read_clock", lambda: NOW)
    return hypervisor


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let results go to a terminal of so many columns, without colours."""

    def show(columns: int) -> None:
        size = os.terminal_size((columns, 24))
        for module in ("tables", "tree"):
            monkeypatch.setattr(f"linkedclone.cli.views.{module}.shows_on_terminal", lambda: True)
            monkeypatch.setattr(f"linkedclone.cli.views.{module}.get_terminal_size", lambda: size)
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("LC_ALL", "C.UTF-8")

    return show


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return its exit code and what it wrote."""

    def call(*args: str) -> Outcome:
        capsys.readouterr()
        code = main(args)
        out, err = capsys.readouterr()
        return Outcome(code=code, out=out, err=err)

    return call
