"""The folders of tests, and what is left in them that nobody could remove."""

import os
import subprocess
from pathlib import Path

import pytest


def folders_of(config: pytest.Config) -> pytest.TempPathFactory:
    """Return what makes the folders of a session's tests."""
    folders: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    return folders


def free(folder: Path) -> None:
    """Take away what keeps a folder from being removed: file systems, and immutable flags."""
    from linkedclone.drivers.local.storage.seals import set_immutable

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
