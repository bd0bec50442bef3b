"""Where results cannot be written: full, or closed. Run as processes, since streams are theirs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "linkedclone"


def _run(line: str, home: Path) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "HOME": str(home), "LINKEDCLONE": str(COMMAND)}
    return subprocess.run(
        ["sh", "-c", f'"$LINKEDCLONE" {line}'],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=240,
    )


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "-o json list",
        "-o yaml usage",
        "tree",
        "-o json show nope",
        "-o json clone golden a --dry-run",
        "--help",
        "list --help",
        "--version",
        "completion bash",
    ],
)
def test_a_full_disk_is_explained(home: Path, command: str) -> None:
    done = _run(f"{command} > /dev/full", home)
    assert done.returncode == (2 if "nope" in command else 1)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "nope" not in command:
        assert "No space left on device" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["list", "-o json list", "tree", "-e memory:family usage", "-o json clone golden a", "--help"],
)
def test_a_closed_output_is_explained(home: Path, command: str) -> None:
    done = _run(f"{command} >&-", home)
    assert done.returncode == 1
    assert "standard output is closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_any_output_the_exit_code_reports_the_failure(home: Path) -> None:
    assert _run("list >&- 2>&-", home).returncode == 1
    assert _run("show nope 2>&-", home).returncode == 2
    assert _run("list 2> /dev/full", home).returncode == 0
    assert _run("show nope 2> /dev/full", home).returncode == 2


def test_a_reader_that_stops_early_causes_no_message(home: Path) -> None:
    done = _run("-o json list | head -1", home)
    assert (done.stdout, done.stderr) == ("{\n", "")
