"""The commands that only this machine has, as people type them."""

import os
import shlex
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.cli.main import main
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.model.images import ImageImport
from tests.local.recovery.test_full_disk import as_root, small_filesystem
from tests.local.scenes import connect, make_image


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = tmp_path / "state"
    monkeypatch.setenv("LINKEDCLONE_ENDPOINT", f"local:{root}")
    with closing(connect(root)) as driver:
        file = make_image(tmp_path / "image.qcow2")
        driver.images.import_image(ImageImport(file=file, name="golden"))
    return root


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("out.vmdk",), "vmdk"),
        (("out.VMDK",), "vmdk"),
        (("out.raw",), "raw"),
        (("out.qcow2",), "qcow2"),
        (("out",), "qcow2"),
        (("out.vmdk", "--format", "qcow2"), "qcow2"),
    ],
)
def test_a_file_is_exported_as_what_its_name_says(
    state: Path, tmp_path: Path, arguments: tuple[str, ...], kind: str
) -> None:
    name, *options = arguments
    out = tmp_path / name
    assert main(["export", "golden", str(out), *options]) == 0
    found = ("qemu-img", "compare", "-q", "-f", kind, "-F", "qcow2", out, tmp_path / "image.qcow2")
    assert subprocess.run(found, check=False).returncode == 0


def test_a_unit_of_another_state_folder_is_not_written_over(
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unit = tmp_path / "config/systemd/user/linkedclone@.service"
    assert main(["unit", "golden", "--install"]) == 0
    assert main(["unit", "golden", "--install"]) == 0
    before = unit.read_text()
    unit.write_text(before.replace("ExecStart=/", "ExecStart=/another/"))
    assert main(["unit", "golden", "--install"]) == 0
    other = ("--endpoint", f"local:{tmp_path}/other")
    assert main(["unit", "--install", *other]) == 2
    assert "--service" in capsys.readouterr().err
    assert unit.read_text() == before
    assert main(["unit", "--install", "--service", "second", *other]) == 0


def test_a_unit_for_a_vm_that_is_not_there_is_not_written(state: Path, tmp_path: Path) -> None:
    assert main(["unit", "nobody", "--install"]) == 2
    assert not (tmp_path / "config").exists()


def test_a_unit_is_enabled_for_the_vms_that_are_there(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["unit", "golden", "nobody", "--install"]) == 4
    told = capsys.readouterr()
    assert told.out.endswith("enable --now linkedclone@golden\n")
    assert "nobody (enable): there is no such VM" in told.err


def test_a_state_folder_is_its_users_own(tmp_path: Path) -> None:
    state = open_state(tmp_path / "new")
    assert state.root.stat().st_mode & 0o777 == 0o700


def test_plain_ssh_finds_its_entries_whatever_the_path_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    root = tmp_path / "o[d]d \"q' *,%h" / "state"
    root.parent.mkdir()
    with closing(connect(root)) as driver:
        file = make_image(tmp_path / "image.qcow2")
        driver.images.import_image(ImageImport(file=file, name="golden", user="ada"))
    assert main(["ssh", "--config", "--endpoint", f"local:{root}"]) == 0
    config = tmp_path / "config"
    config.write_text(capsys.readouterr().out)
    told = subprocess.run(
        ["ssh", "-F", config, "-G", "golden"], capture_output=True, text=True, check=True
    ).stdout
    assert "user ada\n" in told
    assert f"identityfile {root}/id_ed25519\n" in told.replace("%%", "%")
    proxy = next(line for line in told.splitlines() if line.startswith("proxycommand "))
    words = shlex.split(proxy.removeprefix("proxycommand ").replace("%%", "%"))
    assert f"local:{root}" in words


@as_root
def test_a_mounted_folder_is_refused_before_anything_is_copied(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_filesystem(tmp_path / "small", "64m") as folder:
        if any(folder.iterdir()):
            (folder / "lost+found").rmdir()
        assert main(["move", str(folder)]) == 2
        assert f"{folder}/linkedclone" in capsys.readouterr().err
        assert main(["move", str(folder / "there")]) == 0
        assert not state.exists()


def test_created_files_are_private_whatever_the_umask(state: Path, tmp_path: Path) -> None:
    next((state / "vms").iterdir()).chmod(0o777)  # by an older version
    image = make_image(tmp_path / "second.qcow2")
    usual = os.umask(0)
    try:
        assert main(["image", "import", str(image), "--name", "second"]) == 0
        assert main(["snapshot", "create", "golden", "more"]) == 0
        assert main(["clone", "golden", "x-{1..2}", "--power", "off"]) == 0
        assert main(["promote", "x-1", "--yes"]) == 0
        assert main(["rename", "x-2", "x-3"]) == 0
    finally:
        os.umask(usual)
    made = [state, *(path for path in state.rglob("*") if not path.is_symlink())]
    public = {path.name for path in made if path.stat().st_mode & 0o077}
    assert public <= {"id_ed25519.pub"}
