"""The state folder is moved whole, whatever kills the command that moves it."""

import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.local.driver import LocalDriver, open_local
from linkedclone.drivers.local.recovery import move_state
from linkedclone.drivers.qemu import qemu_img
from linkedclone.errors import (
    BusyError,
    HypervisorError,
    InputError,
    InUseError,
    LinkedCloneError,
    NoSpaceError,
    NotFoundError,
)
from linkedclone.model.vm import Power
from linkedclone.system.locks import hold
from tests import do
from tests.command import FORKED
from tests.contract.acts import find, make, result_of, set_power, step_for
from tests.local.recovery.test_full_disk import as_root, small_filesystem
from tests.local.scenes import build_family, check_tidy, connect, digest, top_of

NAMES = ("golden", "grand", "kept", "solo")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    build_family(tmp_path / "here")
    return tmp_path / "here/state"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system than pytest's own."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def look(root: Path) -> dict[str, str]:
    with closing(connect(root)) as driver:
        return {vm.name: digest(top_of(driver.state, vm)) for vm in driver.observe().vms}


def seals(root: Path) -> dict[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*.seal")}


def check_works(root: Path) -> None:
    """The layers are what was sealed, so that something can depend on them and be started."""
    with closing(connect(root)) as driver:
        made = make(driver, step_for(driver, find(driver, "golden"), "new"))
        set_power(driver, made, Power.ON)
        (layers,) = [f.text for f in driver.folder.diagnose() if f.check == "layers"]
        assert layers.endswith("all sound")
    check_tidy(root)


@pytest.mark.parametrize("far", [False, True], ids=["renamed", "copied"])
def test_all_is_there_after_a_move(state: Path, elsewhere: Path, far: bool) -> None:
    before, sealed = look(state), seals(state)
    target = (elsewhere if far else state.parent) / "there"
    assert (elsewhere.stat().st_dev != state.stat().st_dev) is True
    told: list[str] = []
    with closing(connect(state)) as driver:
        driver.folder.move_state(target, lambda what, *_: told.append(what))
    assert not state.exists()
    assert ("copying" in told) is far
    assert look(target) == before
    assert seals(target) == sealed
    config = next(target.glob("vms/grand*/ssh_config")).read_text()
    assert str(target) in config
    assert str(state) not in config
    assert sorted(p.name for p in target.parent.iterdir() if ".moving" in p.name) == []
    check_works(target)


def test_files_that_share_their_content_share_it_after_a_move(state: Path, elsewhere: Path) -> None:
    one = next(state.glob("vms/golden*/")) / "kernel"
    one.write_bytes(b"kernel")
    os.link(one, next(state.glob("vms/solo*/")) / "kernel")
    with closing(connect(state)) as driver:
        driver.folder.move_state(elsewhere / "there")
    assert next((elsewhere / "there").glob("vms/golden*/kernel")).stat().st_nlink == 2


def test_a_running_machine_stays_where_it_is(state: Path) -> None:
    with closing(connect(state)) as driver:
        set_power(driver, find(driver, "grand"), Power.ON)
        with pytest.raises(InUseError) as caught:
            driver.folder.move_state(state.parent / "there")
    assert caught.value.dependants == ("grand",)
    assert state.is_dir()


def test_a_folder_that_is_worked_on_stays_where_it_is(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_state, "_DEADLINE_SECONDS", 0.0)
    lock = next(state.glob("vms/grand*/lock"))
    with closing(connect(state)) as driver:
        with hold(lock, shared=True), pytest.raises(BusyError):
            driver.folder.move_state(state.parent / "there")
        with hold(driver.state.family_lock, shared=True), pytest.raises(BusyError):
            driver.folder.move_state(state.parent / "there")
    assert look(state)


def test_a_place_that_is_taken_is_refused(state: Path) -> None:
    (state.parent / "full").mkdir()
    (state.parent / "full/file").touch()
    with closing(connect(state)) as driver:
        for target in (state.parent / "full", state / "inside", state.parent, state.parent / "a/b"):
            with pytest.raises(InputError):
                driver.folder.move_state(target)
    assert look(state)


@pytest.mark.parametrize("name", [b"b\xff", b"a\nb"])
def test_a_place_that_no_state_folder_can_be_at_is_refused(state: Path, name: bytes) -> None:
    target = state.parent / os.fsdecode(name)
    with closing(connect(state)) as driver, pytest.raises(InputError):
        driver.folder.move_state(target)
    assert not target.exists()
    assert look(state)


def test_a_place_without_room_is_refused(
    state: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu_img, "free_bytes", lambda _: 1000)
    with closing(connect(state)) as driver, pytest.raises(NoSpaceError):
        driver.folder.move_state(elsewhere / "there")
    assert look(state)
    assert list(elsewhere.iterdir()) == []
    assert not (state / "moving").exists()


def test_plain_ssh_goes_to_the_new_place_after_a_rename_that_was_killed(state: Path) -> None:
    target = state.parent / "there"
    with closing(connect(state)) as driver:
        driver.folder.write_ssh_config()
    process = FORKED.Process(target=die_while_moving, args=(state, target, "_write_ssh_entries", 1))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not state.exists()
    reopen(target)
    told = [path.read_text() for path in target.rglob("ssh_config")]
    assert len(told) == len(NAMES) + 1
    assert not [text for text in told if str(state) in text]
    assert not (target / "moved-from").exists()
    check_works(target)


def test_all_that_a_vm_has_is_the_same_after_a_move(state: Path, elsewhere: Path) -> None:
    with closing(connect(state)) as driver:
        result_of(driver, driver.start(do.rename_vm(find(driver, "kept"), "Held")))
        driver.folder.write_ssh_config()
        kept = driver.state.link(find(driver, "Held").id)
        before = driver.folder.build_unit()
        driver.folder.move_state(elsewhere / "there")
    root = elsewhere / "there"
    with closing(connect(root)) as driver:
        assert driver.state.link(find(driver, "Held").id).name == kept.name
        assert driver.folder.build_unit() == before.replace(str(state), str(root))
        result_of(driver, driver.start(do.rename_vm(find(driver, "Held"), "kept")))
    include = (root / "ssh_config").read_text()
    assert f'Include "{root}/names/*/ssh_config"' in include
    told = [path.read_text() for path in root.glob("names/*/ssh_config")]
    assert sorted(text.split()[1] for text in told) == sorted(NAMES)
    assert not [text for text in (include, *told) if str(state) in text]
    assert not list(root.glob("vms/*/run"))
    check_works(root)


@as_root
@pytest.mark.parametrize("later", [False, True], ids=["from the start", "while it is copied"])
def test_a_place_that_is_read_only_costs_nothing(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    before = look(state)
    with small_filesystem(tmp_path / "small", "64m") as folder:

        def close(*_: object) -> None:
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            if later:
                raise OSError(errno.EROFS, "read-only")

        if later:
            monkeypatch.setattr(move_state, "_sync_tree", close)
        else:
            close()
        with closing(connect(state)) as driver, pytest.raises(LinkedCloneError) as caught:
            driver.folder.move_state(folder / "there")
        assert "read-only" in caught.value.hint
        reopen(state)
        assert look(state) == before
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        reopen(state)
        assert [p.name for p in folder.iterdir() if p.name != "lost+found"] == []
    assert not (state / "moving").exists()
    check_works(state)


STEPS = {
    "before the copy": ("_copy_tree", 1),
    "at the first file": ("_copy_file", 1),
    "while files are copied": ("_copy_file", 3),
    "when all is copied": ("_sync_tree", 1),
    "when the new one has its name": ("_guard_seals", 1),
    "before the old one goes": ("_remove_old", 1),
    "when the old one begins to go": ("_remove_tree", 2),
    "while the old one goes": ("_remove_tree", 4),
}
"""A function of the move, and at which of its calls the command is killed."""


def die_while_moving(root: Path, target: Path, step: str, calls: int) -> None:
    """Move in a process that is killed at a call of one of its steps."""
    left = [calls]
    real = getattr(move_state, step)

    def die(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(move_state, step, die)
    with closing(connect(root)) as driver:
        driver.folder.move_state(target)


@pytest.mark.parametrize(("step", "calls"), STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("from_new", [False, True], ids=["old first", "new first"])
def test_a_kill_leaves_one_whole_folder(
    state: Path, elsewhere: Path, step: str, calls: int, from_new: bool
) -> None:
    before, target = look(state), elsewhere / "there"
    arguments = (state, target, step, calls)
    process = FORKED.Process(target=die_while_moving, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    if from_new and target.exists():
        reopen(target)
    if target.exists():
        if state.exists():
            with pytest.raises(NotFoundError, match="was moved"):
                reopen(state)
        reopen(target)
    else:
        reopen(state)
    good, gone = (target, state) if target.exists() else (state, target)
    assert not gone.exists()
    assert look(good) == before
    assert [p for p in elsewhere.iterdir() if p != good] == []
    assert not (good / "moving").exists()
    assert not (good / "moved-from").exists()
    check_works(good)


def reopen(root: Path) -> LocalDriver:
    opened = open_local(Endpoint(kind="local", path=str(root)))
    opened.close()
    return opened


# -- issue 13, item 27: links on the way ----------------------------------------------


@pytest.mark.parametrize("far", [False, True], ids=["renamed", "copied"])
def test_a_state_folder_behind_a_link_is_moved_and_not_the_link(
    state: Path, elsewhere: Path, far: bool
) -> None:
    before, link = look(state), state.parent / "link"
    link.symlink_to(state)
    target = (elsewhere if far else state.parent) / "there"
    with closing(connect(link)) as driver:
        driver.folder.move_state(target)
    assert target.is_dir()
    assert not target.is_symlink()
    assert not state.exists()
    assert look(target) == before
    check_works(target)
    with pytest.raises(HypervisorError, match="where nothing is"):
        open_local(Endpoint(kind="local", path=str(link)))


def test_what_a_link_would_leave_behind_is_refused(state: Path) -> None:
    before = look(state)
    inside = state.parent / "inside"
    inside.symlink_to(state / "vms")
    (state.parent / "dangling").symlink_to(state.parent / "nothing")
    with closing(connect(state)) as driver:
        for target in (inside / "there", state.parent / "dangling"):
            with pytest.raises(InputError):
                driver.folder.move_state(target)
        (state / "vms").rename(state.parent / "vms")
        (state / "vms").symlink_to("../vms")
        with pytest.raises(InputError, match="is a link to"):
            driver.folder.move_state(state.parent / "there")
    assert look(state) == before


# -- issue 13, item 6: notes that nobody can trust ------------------------------------


@pytest.mark.parametrize("store", ["own", "other", ""])
@pytest.mark.parametrize("there", ["nothing", "folder", "state"])
def test_a_planted_note_of_a_move_deletes_nothing(state: Path, there: str, store: str) -> None:
    before, precious = look(state), state.parent / "precious"
    own = (state / "id").read_text().strip()
    if there == "state":  # such as a copy for safety
        shutil.copytree(state, precious, symlinks=True)
    elif there == "folder":
        precious.mkdir()
        (precious / "moving").write_text("{}")
    files = sorted(state.parent.rglob("*"))
    note = {"target": str(precious), "copy": str(precious), "id": own if store == "own" else store}
    (state / "moving").write_text(json.dumps(note))
    (state / "moved-from").write_text(json.dumps(str(precious)))
    reopen(state)
    assert sorted(state.parent.rglob("*")) == files
    assert look(state) == before


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"target": 1, "id": []}', "[" * 100_000])
@pytest.mark.parametrize("name", ["moving", "moved-from"])
def test_a_note_that_is_not_one_is_cleared_away(state: Path, name: str, content: str) -> None:
    before = look(state)
    (state / name).write_text(content)
    reopen(state)
    assert not (state / name).exists()
    assert look(state) == before
