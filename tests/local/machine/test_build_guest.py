"""The script that builds the demo guest."""

import os
import subprocess
from pathlib import Path

from tests.local.machine.guest import BUILD, OUT, DemoGuest


def test_an_existing_build_is_reused(demo_guest: DemoGuest) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in OUT.iterdir()}
    done = subprocess.run((BUILD, OUT), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(OUT / "guest.json")
    after = {path.name: path.stat().st_mtime_ns for path in OUT.iterdir()}
    assert after == before


def test_everything_in_the_guest_belongs_to_root(demo_guest: DemoGuest, tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    subprocess.run(("qemu-img", "convert", "-O", "raw", demo_guest.disk, raw), check=True)
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    for file in ("/etc/rc", "/root/.ssh", "/bin/ls", "/usr/sbin/dropbear"):
        shown = subprocess.run(
            ("debugfs", "-R", f"stat {file}", raw),
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert " ".join(shown.split()).find("User: 0 Group: 0") > 0, shown
