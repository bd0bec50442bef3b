"""What tests leave can be removed, whatever they did with it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from linkedclone.drivers.local.storage.seals import set_immutable
from tests.folders import free

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave such things")


def test_an_immutable_file_can_be_removed_once_it_is_freed(tmp_path: Path) -> None:
    folder = tmp_path / "left" / "deeper"
    folder.mkdir(parents=True)
    file = folder / "disk.qcow2"
    file.touch()
    os.mkfifo(folder / "pipe")
    (folder / "gone").symlink_to("nowhere")
    if not set_immutable(file, on=True):
        pytest.skip("this file system has no immutable flag")
    with pytest.raises(PermissionError):
        file.unlink()
    free(tmp_path)
    shutil.rmtree(folder.parent)


def test_a_file_system_that_is_still_mounted_is_taken_away(tmp_path: Path) -> None:
    outer = tmp_path / "left over"
    for place in (outer, outer / "inner"):
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=False)
        if done.returncode:
            pytest.skip("nothing can be mounted here")
    free(tmp_path)
    shutil.rmtree(outer)
