"""Disks leave as one file that holds all that they shared."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.qemu import qemu_img
from linkedclone.errors import InputError, InUseError, NoSpaceError, NotFoundError
from linkedclone.model.images import DiskExport
from linkedclone.model.vm import Power, Vm
from linkedclone.system import atomic_files
from tests.contract.acts import find, set_power
from tests.local.scenes import build_family, check_tidy, connect, top_of

Format = Literal["qcow2", "raw", "vmdk"]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    build_family(tmp_path / "here")
    with closing(connect(tmp_path / "here/state")) as opened:
        yield opened


def export(
    driver: LocalDriver, vm: Vm, file: Path, kind: Format = "qcow2", *, snapshot: str = ""
) -> None:
    chosen = next((s.id for s in vm.snapshots if s.name == snapshot), None)
    driver.folder.export_disk(DiskExport(vm=vm.id, file=file, format=kind, snapshot=chosen))


def compare(one: Path, one_format: str, other: Path) -> int:
    command = [
        "qemu-img",
        "compare",
        "-U",
        "-f",
        one_format,
        "-F",
        other.suffix[1:],
        str(one),
        str(other),
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("kind", ["qcow2", "raw", "vmdk"])
def test_a_disk_leaves_whole(driver: LocalDriver, tmp_path: Path, kind: Format) -> None:
    grand, out = find(driver, "grand"), tmp_path / "out"
    export(driver, grand, out, kind)
    assert compare(out, kind, top_of(driver.state, grand)) == 0
    assert compare(out, kind, top_of(driver.state, find(driver, "golden"))) == 1
    told = subprocess.run(["qemu-img", "info", out], capture_output=True, text=True, check=True)
    assert "backing file" not in told.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "out"]
    check_tidy(driver.state.root)


def test_a_snapshot_leaves_while_the_vm_runs(driver: LocalDriver, tmp_path: Path) -> None:
    kept = find(driver, "kept")
    set_power(driver, kept, Power.ON)
    with pytest.raises(InUseError, match="runs"):
        export(driver, kept, tmp_path / "no")
    export(driver, kept, tmp_path / "out", snapshot="mine")
    frozen = next(s.disks for s in kept.snapshots if s.name == "mine")
    assert frozen is not None
    assert compare(tmp_path / "out", "qcow2", driver.state.root / frozen[0].top.path) == 0
    assert not (tmp_path / "no").exists()


def test_nothing_is_written_over(driver: LocalDriver, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(InputError, match="there already"):
        export(driver, find(driver, "grand"), out)
    with pytest.raises(InputError, match="no folder"):
        export(driver, find(driver, "grand"), tmp_path / "no/out")
    assert out.read_text() == "mine"


def test_a_file_that_appears_meanwhile_is_not_written_over(
    driver: LocalDriver, tmp_path: Path
) -> None:
    out, grand = tmp_path / "out", find(driver, "grand")

    def appear(*_: object) -> None:
        out.write_text("mine")

    with pytest.raises(InputError, match="there already"):
        driver.folder.export_disk(DiskExport(vm=grand.id, file=out, format="raw"), appear)
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "out"]


@pytest.mark.parametrize("kind", ["qcow2", "raw", "vmdk"])
def test_a_disk_without_room_is_not_begun(
    driver: LocalDriver, tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu_img, "free_bytes", lambda _: 1000)
    with pytest.raises(NoSpaceError):
        export(driver, find(driver, "grand"), tmp_path / "out", kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


def test_an_interrupt_leaves_nothing(driver: LocalDriver, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    wanted = DiskExport(vm=find(driver, "grand").id, file=tmp_path / "out", format="raw")
    with pytest.raises(KeyboardInterrupt):
        driver.folder.export_disk(wanted, interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


def test_a_missing_disk_is_reported(driver: LocalDriver, tmp_path: Path) -> None:
    vm = find(driver, "grand").id
    wanted = DiskExport(vm=vm, file=tmp_path / "out", format="raw", disk="Hard disk 9")
    with pytest.raises(NotFoundError, match="Hard disk 9") as caught:
        driver.folder.export_disk(wanted)
    assert "Hard disk 1" in caught.value.hint


@pytest.mark.parametrize("renames", [True, False])
def test_a_file_system_without_hard_links_takes_an_export(
    driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: bool
) -> None:
    """Item 30: FAT, exFAT and some network shares; not all of them rename without replacing."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    if not renames:
        monkeypatch.setattr(atomic_files, "_rename_without_replacing", lambda *_: errno.EINVAL)
    grand, out = find(driver, "grand"), tmp_path / "out"
    export(driver, grand, out)
    assert compare(out, "qcow2", top_of(driver.state, grand)) == 0
    out.write_text("mine")

    def appear(*_: object) -> None:
        (tmp_path / "late").write_text("mine")

    wanted = DiskExport(vm=grand.id, file=tmp_path / "late", format="raw")
    with pytest.raises(InputError, match="there already"):
        driver.folder.export_disk(wanted, appear)
    assert (tmp_path / "late").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "late", "out"]


def test_a_file_size_limit_is_reported_as_such(driver: LocalDriver, tmp_path: Path) -> None:
    """Item 12a, on the command line: qemu-img is ended by a signal then, and says nothing."""
    state, out = driver.state.root, tmp_path / "out"
    command = f"ulimit -f 512; exec .venv/bin/linkedclone --endpoint local:{state}"
    done = subprocess.run(
        ["bash", "-c", f"{command} export grand {out} --format raw"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no file may have more than 512 KiB here" in done.stderr
    assert "ulimit -f unlimited" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]
