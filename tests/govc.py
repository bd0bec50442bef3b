"""Runs govc, the command line of another tool, against a simulator."""

import os
import subprocess
from pathlib import Path

from tests.simulator import Simulator

BINARY = Path(__file__).parents[1] / ".build" / "bin" / "govc"
POOL = "/DC0/host/DC0_H0/Resources"
STORE = "LocalDS_0"


def run(simulator: Simulator, *args: str) -> str:
    """Run govc to its end; it has to succeed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GOVC_")}
    env = kept | {
        "GOVC_URL": simulator.url,
        "GOVC_TLS_CA_CERTS": str(simulator.certificate_file),
        "GOVMOMI_HOME": simulator.folder.name,
    }
    done = subprocess.run(
        [str(BINARY), *args], capture_output=True, text=True, env=env, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def clone(simulator: Simulator, parent: str, name: str, *, snapshot: str = "base") -> None:
    """Make a linked clone, off."""
    place = ("-pool", POOL, "-ds", STORE, "-on=false")
    run(simulator, "vm.clone", "-vm", parent, "-link", "-snapshot", snapshot, *place, name)


def upload(simulator: Simulator, file: Path, path: str) -> None:
    """Put a file onto the datastore."""
    run(simulator, "datastore.upload", "-ds", STORE, str(file), path)


def files(simulator: Simulator, folder: str) -> set[str]:
    """Return the names of the files in a folder of the datastore, extents too."""
    return set(run(simulator, "datastore.ls", "-ds", STORE, folder).split())
