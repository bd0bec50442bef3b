"""State folders that are built once, and copied for each test that begins with them."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path


class Built:
    """Where they are built: all workers of a run use the same.

    Attributes:
        place: A folder of the run; it is removed when that has passed.
    """

    place: Path


def copy_built(name: str, build: Callable[[Path], None], to: Path) -> None:
    """Copy what ``build`` makes in the folder that it is given; it is called once for each name.

    Where records and SSH settings tell that folder's path, the copies tell their own.
    """
    source = _build_once(name, build)
    to.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--sparse=always", source, to], check=True)
    for kind in ("vm.json", "ssh_config"):
        for path in to.glob(f"state/vms/*/{kind}"):
            path.write_text(path.read_text().replace(str(source), str(to)))


def _build_once(name: str, build: Callable[[Path], None]) -> Path:
    folder = Built.place / name
    whole = folder / "whole"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder / name, ignore_errors=True)
            build(folder / name)
            whole.touch()
    return folder / name
