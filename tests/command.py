"""Runs the real command line as a process of its own, against a simulator."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.simulator import Simulator

COMMAND = Path(sys.executable).parent / "linkedclone"


def environment(simulator: Simulator, home: Path) -> dict[str, str]:
    """Return an environment in which the simulator is the endpoint, and nothing else is known."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOVC_", "LINKEDCLONE_"))}
    return kept | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "GOVC_URL": simulator.url,
        "GOVC_TLS_CA_CERTS": str(simulator.certificate_file),
    }


def start(*args: str, env: Mapping[str, str]) -> "subprocess.Popen[str]":
    """Start the command in a session of its own, so that signals reach it alone."""
    return subprocess.Popen(
        [str(COMMAND), *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(env),
        start_new_session=True,
    )


def run(*args: str, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [str(COMMAND), *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=dict(env),
        timeout=120,
        check=False,
    )


def run_json(*args: str, env: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Run the command with ``-o json``; return its exit code and document."""
    done = run("-o", "json", *args, env=env)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)
