"""Runs the tools that are compared, each as a whole process, as a person would."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOVC = ROOT / ".build" / "bin" / "govc"
LINKEDCLONE = Path(sys.executable).with_name("linkedclone")
PYTHON = Path(sys.executable)


class BenchError(Exception):
    """A tool that is measured failed, or did something else than it was asked for."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without anything that points at an endpoint."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOVC_", "LINKEDCLONE_"))}
    home = Path(tempfile.gettempdir()) / f"linkedclone-bench-{os.getuid()}"
    return {**kept, "XDG_CONFIG_HOME": str(home / "config"), **(extra or {})}


def run(environment: Mapping[str, str], *command: str | Path, told: str = "") -> str:
    """Run a command to its end and return what it printed.

    Args:
        environment: Its environment.
        command: The program and its arguments.
        told: What it reads from its standard input.

    Raises:
        BenchError: It is not installed, or exited with anything but 0.
    """
    shown = " ".join(str(word) for word in command[:4])
    try:
        done = subprocess.run(  # noqa: S603 - the commands are our own
            [str(word) for word in command],
            env=dict(environment),
            cwd=ROOT,
            input=told,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BenchError(f"{command[0]} is not installed; script/bootstrap sets it up") from error
    if done.returncode:
        raise BenchError(f"{shown} … exited with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def time_run(environment: Mapping[str, str], *command: str | Path) -> float:
    """Run a command and return how many seconds it took."""
    begun = time.perf_counter()
    run(environment, *command)
    return time.perf_counter() - begun
