"""State folders of others, or open to others, are refused or closed (issue 13, item 6)."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.local.diagnosis.host import check_permissions
from linkedclone.drivers.local.driver import LocalDriver, open_local
from linkedclone.errors import PermissionDeniedError
from linkedclone.model.findings import Verdict

OTHER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to give files away")


@pytest.fixture
def base() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lc-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def root(base: Path) -> Path:
    open_at(base / "way" / "state").close()
    return base / "way" / "state"


def open_at(root: Path) -> LocalDriver:
    return open_local(Endpoint(kind="local", path=str(root)))


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_state_folder_is_its_user_s_alone(root: Path) -> None:
    folders = [root, *(path for path in root.iterdir() if path.is_dir())]
    assert {mode_of(folder) for folder in folders} == {0o700}


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o775, 0o777, 0o2775, 0o711])
def test_an_own_folder_open_to_others_is_closed_with_a_notice(root: Path, mode: int) -> None:
    for path in (root, root / "vms"):
        path.chmod(mode)
    with closing(open_at(root)) as driver:
        assert any("was open to others" in note for note in driver.notes)
    assert not any(mode_of(path) & 0o077 for path in (root, root / "vms"))
    with closing(open_at(root)) as driver:
        assert driver.notes == ()


def test_a_folder_that_holds_more_than_ours_keeps_its_mode_and_ours_is_closed(base: Path) -> None:
    base.chmod(0o755)
    (base / "precious").mkdir(mode=0o755)
    open_at(base).close()
    (base / "vms").chmod(0o755)
    open_at(base).close()
    assert mode_of(base) == 0o755
    assert mode_of(base / "precious") == 0o755
    assert mode_of(base / "vms") == 0o700


OPEN_READ_ONLY = """
mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" || exit 77
exec "$1" -c '
import sys
from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.local.driver import open_local
open_local(Endpoint(kind="local", path=sys.argv[1])).close()
' "$0"
"""
"""Ends with 77 where nothing can be mounted."""


def test_an_open_vm_folder_on_a_read_only_file_system_is_accepted(root: Path) -> None:
    (root / "vms" / "desk.00000000").mkdir()
    (root / "vms" / "desk.00000000").chmod(0o755)
    apart = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("takes a mount namespace")
    done = subprocess.run(
        [*apart, "sh", "-c", OPEN_READ_ONLY, str(root), sys.executable], check=False
    )
    if done.returncode == 77:
        pytest.skip("takes a mount of its own")
    assert done.returncode == 0


def give(path: Path) -> None:
    os.chown(path, OTHER, OTHER, follow_symlinks=False)


def give_all(root: Path) -> None:
    give(root)


def give_records(root: Path) -> None:
    give(root / "vms")


def plant_note(root: Path) -> None:
    (root / "moving").write_text('{"target": "/", "id": ""}')
    give(root / "moving")


def plant_link(root: Path) -> None:
    (root / "names").rmdir()
    (root / "names").symlink_to("/tmp")
    give(root / "names")


def plant_vm(root: Path) -> None:
    (root / "vms").chmod(0o777)
    (root / "vms" / "desk.00000000").mkdir()
    give(root / "vms" / "desk.00000000")


def open_way(root: Path) -> None:
    root.parent.chmod(0o777)


def open_way_to_group(root: Path) -> None:
    os.chown(root.parent, -1, OTHER)
    root.parent.chmod(0o775)


def give_way(root: Path) -> None:
    give(root.parent)


SPOILS = [
    give_all,
    give_records,
    plant_note,
    plant_link,
    plant_vm,
    open_way,
    open_way_to_group,
    give_way,
]


@as_root
@pytest.mark.parametrize("linked", [False, True], ids=["", "behind a link"])
@pytest.mark.parametrize("spoil", SPOILS)
def test_files_that_another_user_owns_or_could_replace_are_refused(
    root: Path, base: Path, spoil: Callable[[Path], None], linked: bool
) -> None:
    spoil(root)
    (base / "link").symlink_to(root)
    way = base / "link" if linked else root
    with pytest.raises(PermissionDeniedError) as caught:
        open_at(way)
    assert caught.value.hint
    (found,) = check_permissions(way)
    assert found.verdict is Verdict.FAILED
    assert found.text == caught.value.brief
    assert found.remedy == caught.value.hint
    if found.remedy.startswith("chmod"):
        subprocess.run(["bash", "-c", found.remedy], check=True)
        open_at(way).close()


def test_a_sticky_folder_on_the_path_is_accepted(root: Path) -> None:
    root.parent.chmod(0o1777)
    open_at(root).close()
