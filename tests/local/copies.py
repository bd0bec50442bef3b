"""State folders that are built once, and copied for each test that begins with them."""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

_BUILT: dict[str, "tempfile.TemporaryDirectory[str]"] = {}


def copy_built(name: str, build: Callable[[Path], None], to: Path) -> None:
    """Copy what ``build`` makes in the folder that it is given; it is called once for each name.

    Where records and SSH settings tell that folder's path, the copies tell their own.
    """
    if name not in _BUILT:
        built = tempfile.TemporaryDirectory(prefix=f"linkedclone-{name}-")
        build(Path(built.name) / name)
        _BUILT[name] = built
    source = Path(_BUILT[name].name) / name
    to.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--sparse=always", source, to], check=True)
    for kind in ("vm.json", "ssh_config"):
        for path in to.glob(f"state/vms/*/{kind}"):
            path.write_text(path.read_text().replace(str(source), str(to)))
