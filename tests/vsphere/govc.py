"""Runs govc against a simulator, for comparisons and for what our driver has no word for."""

import os
import subprocess

from tests.simulator import BINARY, Simulator

GOVC = BINARY.parent / "govc"


def run_govc(simulator: Simulator, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; nothing of the machine's own govc settings counts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GOVC_")}
    env = kept | {
        "GOVC_URL": simulator.url,
        "GOVC_TLS_CA_CERTS": str(simulator.certificate_file),
        "GOVC_PERSIST_SESSION": "false",
    }
    return subprocess.run(
        [str(GOVC), *args], env=env, capture_output=True, text=True, timeout=240, check=False
    )
