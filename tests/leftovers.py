"""What tests that were killed leave in their folders, and nobody could remove."""

import os
import subprocess
from pathlib import Path

from linkedclone.drivers.local.storage.seals import set_immutable


def free(folder: Path) -> None:
    """Take away what keeps a folder from being removed: file systems, and immutable flags."""
    for mounted in reversed(find_mounts(folder)):
        subprocess.run(["umount", "-l", mounted], check=False)
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names):
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                set_immutable(path, on=False)


def find_mounts(folder: Path) -> list[Path]:
    """Return where file systems are mounted below a folder, in the order of their mounting."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (line.split(" ")[4].encode().decode("unicode_escape") for line in lines)
    return [path for path in map(Path, points) if folder in path.parents]
