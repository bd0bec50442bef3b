"""docs/pools.md, as it stands: its commands run in order on this machine, with pretended guests."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import click
import pytest

from linkedclone.app.pools.pool_file import build_form, read_pool
from linkedclone.cli.main import main
from linkedclone.drivers.local.qmp.status import MachineState
from linkedclone.drivers.local.registration import LocalPlace
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.vsphere.registration import VspherePlace
from linkedclone.model.pool import Probe, Rollout
from linkedclone.model.vm import CustomizationStatus, Power
from tests.local.pretend import PretendMachine
from tests.local.scenes import make_image

TEXT = (Path(__file__).parents[2] / "docs" / "pools.md").read_text()
COMMAND = Path(sys.executable).parent / "linkedclone"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


COMMANDS = [
    line for block in blocks("sh") for line in block.splitlines() if line.startswith("linkedclone ")
]
FILE, *PARTS = blocks("yaml")
UNITS = {unit.partition("\n")[0].removeprefix("# "): unit for unit in blocks("ini")}


class WelcomingMachine(PretendMachine):
    """A machine whose guest comes up at once, as whom it was told to be."""

    def __init__(self, vm: StoredVm) -> None:
        super().__init__(vm.folder)
        given = vm.record.mark.addresses if vm.record.mark else ()
        self._addresses = given or ("10.0.2.15",)

    def observe(self, *, guest: bool = True) -> MachineState:
        seen = super().observe(guest=guest)
        if seen.power is not Power.ON:
            return seen
        succeeded = CustomizationStatus.SUCCEEDED
        return replace(seen, agent=True, addresses=self._addresses, customization=succeeded)


def open_welcoming(vm: StoredVm, *, accel: str | None = None) -> WelcomingMachine:
    return WelcomingMachine(vm)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("GOVC_", "LINKEDCLONE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LINKEDCLONE_ENDPOINT", f"local:{tmp_path / 'vms'}")
    monkeypatch.setenv("LINKEDCLONE_LOCAL_IMMUTABLE", "no")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desktops.yaml").write_text(FILE)
    return tmp_path


@pytest.fixture
def golden(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image to begin with, guests that come up at once, and a person who says yes."""
    monkeypatch.setattr("linkedclone.drivers.local.driver.open_machine", open_welcoming)
    monkeypatch.setattr("linkedclone.cli.pool_runs.has_terminal", lambda: True)
    monkeypatch.setattr("linkedclone.cli.confirm.has_terminal", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: True)
    image = make_image(home / "image.qcow2")
    assert main(["image", "import", str(image), "--name", "golden"]) == 0
    return home


def test_the_page_is_run_from_top_to_bottom(
    golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [line for block in blocks("sh") for line in block.splitlines()]
    assert main(["snapshot", "create", "golden", "2026-11"]) == 0
    for line in steps:
        if not line.startswith("linkedclone "):
            continue
        capsys.readouterr()
        code = main(shlex.split(line)[1:])
        out, err = capsys.readouterr()
        assert code == 0, (line, out, err)
        if "pool delete" not in line:
            assert main(["pool", "plan", "--check", "desktops.yaml"]) in {0, 3}
        if line.startswith("linkedclone pool apply"):
            assert "4 done in" in err
        if line.startswith("linkedclone pool recompose"):
            assert 'snapshot: "2026-12"' in golden.joinpath("desktops.yaml").read_text() or (
                "snapshot: 2026-12" in golden.joinpath("desktops.yaml").read_text()
            )
    assert len(COMMANDS) >= 14
    capsys.readouterr()
    assert main(["list", "-o", "json"]) == 0
    assert "desk-0" not in capsys.readouterr().out


def test_the_commands_of_the_first_steps_are_right(golden: Path) -> None:
    """Those that stand within sentences."""
    for line in re.findall(r"^\d\. .*`(linkedclone [^`]+)`", TEXT, re.MULTILINE):
        assert main(shlex.split(line)[1:]) == 0, line


@pytest.mark.parametrize("part", PARTS)
def test_each_further_block_goes_into_the_file_or_is_one(home: Path, part: str) -> None:
    file = home / "desktops.yaml"
    whole = part.startswith("# ")
    file.write_text(part if whole else FILE + part)
    assert read_pool(file).pool == ("ci" if whole else "desktops")


def test_the_table_names_every_setting_and_no_other() -> None:
    table = TEXT.partition("## All settings")[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines()]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert named == {one.name for one in fields(build_form(installed=False))}
    words = dict(zip([row[0].strip(" `") for row in rows], rows, strict=True))
    for key, kind in (("vsphere", VspherePlace), ("local", LocalPlace), ("health", Probe)):
        assert re.findall(r"`(\w+)`", words[key][1]) == [one.name for one in fields(kind)]


def test_the_table_of_the_rollout_has_its_defaults() -> None:
    default = Rollout()
    for one in fields(Rollout):
        assert re.search(
            rf"^\| `{one.name}` \|.*\| {getattr(default, one.name)} \|$", TEXT, re.MULTILINE
        )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_systemd_takes_the_units(home: Path) -> None:
    installed = home / ".local" / "bin" / "linkedclone"
    installed.parent.mkdir(parents=True)
    installed.symlink_to(COMMAND)
    folder = home / "units"
    folder.mkdir()
    for name, text in UNITS.items():
        (folder / name).write_text(text.replace("%h", str(home)))
    files = [str(folder / name) for name in UNITS]
    assert sorted(UNITS) == ["desktops.service", "desktops.timer"]
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", *files],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(home)},
    )
    ours = [line for line in done.stderr.splitlines() if "desktops" in line]
    assert not ours, done.stderr


def test_the_command_of_the_timer_runs_as_it_is_written(
    golden: Path, run_line: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    """By a process of its own, on a pool that is off: nobody is there to be asked."""
    assert main(["snapshot", "create", "golden", "2026-11"]) == 0
    off = re.sub(r"customization:\n(?:  .*\n)+", 'power: "off"\n', FILE)
    (golden / "desktops.yaml").write_text(off)
    line = next(one for one in UNITS["desktops.service"].splitlines() if "ExecStart=" in one)
    for said in ("4 done in", "nothing to do"):
        done = run_line(line.removeprefix("ExecStart="))
        assert done.returncode == 0, done.stderr
        assert said in done.stderr


@pytest.fixture
def run_line(home: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    installed = home / ".local" / "bin" / "linkedclone"
    installed.parent.mkdir(parents=True)
    installed.symlink_to(COMMAND)

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            shlex.split(line.replace("%h", str(home))),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
