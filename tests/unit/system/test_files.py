"""Files that are there whole or not at all, locks, and commands at work."""

import errno
import os
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from linkedclone.drivers.local.jobs import JobBoard, Work
from linkedclone.drivers.local.recovery.garbage import recover
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.drivers.local.state.staging import at_work, is_at_work, list_dead
from linkedclone.errors import (
    BusyError,
    EndpointError,
    HypervisorError,
    NoSpaceError,
    PermissionDeniedError,
)
from linkedclone.model.jobs import JobStatus
from linkedclone.system.atomic_files import SparseFile, publish_file, replace_file, whole_file
from linkedclone.system.locks import hold, is_held
from linkedclone.system.os_errors import translate_os_error

CONTENT = SparseFile(length=200_000, extents=((0, b"head"), (150_000, b"tail")))


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture(params=[True, False], ids=["unnamed files", "no unnamed files"])
def filesystem(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds: some filesystems have no files without a name."""
    if request.param:
        return
    original = os.open

    def refuse(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return original(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.usefixtures("filesystem")
@pytest.mark.parametrize("durable", [True, False])
def test_a_published_file_has_all_its_content(tmp_path: Path, durable: bool) -> None:
    publish_file(tmp_path / "file", CONTENT, durable=durable)
    assert (tmp_path / "file").read_bytes() == CONTENT.to_bytes()
    assert (tmp_path / "file").stat().st_blocks * 512 < CONTENT.length
    assert names_in(tmp_path) == ["file"]


@pytest.mark.usefixtures("filesystem")
def test_publishing_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        publish_file(tmp_path / "file", CONTENT, durable=False)
    assert (tmp_path / "file").read_text() == "mine"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.usefixtures("filesystem")
def test_a_file_that_cannot_be_written_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(OSError, match="space"):
        publish_file(tmp_path / "file", CONTENT, durable=False)
    assert names_in(tmp_path) == []


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        replace_file(tmp_path / "file", text, durable=True)
        assert (tmp_path / "file").read_bytes() == text
    assert names_in(tmp_path) == ["file"]


def test_a_file_without_holes(tmp_path: Path) -> None:
    publish_file(tmp_path / "file", whole_file(b"all of it"), durable=False)
    assert (tmp_path / "file").read_bytes() == b"all of it"


def test_a_lock_keeps_others_out_until_their_deadline(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path), pytest.raises(BusyError) as caught, hold(path, deadline_s=0.05):
        pass
    assert caught.value.retryable
    with hold(path, deadline_s=0.0):
        assert is_held(path)
    assert not is_held(path)


def test_shared_holders_let_each_other_in(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        hold(path, shared=True),
        hold(path, shared=True, deadline_s=0.0),
        pytest.raises(BusyError),
        hold(path, deadline_s=0.05),
    ):
        pass


def test_a_waiting_thread_gets_the_lock(tmp_path: Path) -> None:
    path, got = tmp_path / "lock", threading.Event()

    def wait() -> None:
        with hold(path, deadline_s=120):
            got.set()

    with hold(path):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.1)
    assert got.wait(120)
    thread.join()


def test_a_child_that_inherits_a_lock_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path) as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], pass_fds=(descriptor,), stdin=subprocess.PIPE
        )
    assert is_held(path)
    child.communicate(b"\n")
    assert not is_held(path)


def test_a_command_at_work_is_seen_and_leaves_nothing(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    with at_work(state, "clone", "desk") as (entry, _):
        (entry / "rest").mkdir()
        assert is_at_work(state, "clone", "desk")
        assert not is_at_work(state, "clone", "other")
        assert not is_at_work(state, "delete", "desk")
        assert list_dead(state) == ()
        assert not recover(state)
        assert (entry / "rest").exists()
    assert names_in(state.staging) == []


def test_a_command_that_fails_leaves_nothing(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    with suppress(KeyError), at_work(state, "clone", "desk") as (entry, _):
        (entry / "rest").touch()
        raise KeyError
    assert names_in(state.staging) == []


def test_a_dead_command_is_cleaned_up_after(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    dead = state.staging / "00000000.clone.desk"
    (dead / "vm").mkdir(parents=True)
    (dead / "register").write_text("vms/desk.00000000\nvms\nvms/../../precious\n/etc\n")
    (state.vms / "desk.00000000").mkdir()
    (state.vms / "desk.00000000" / "vm.json").touch()
    assert not is_at_work(state, "clone", "desk")
    assert recover(state)
    assert names_in(state.staging) == names_in(state.vms) == []
    assert not recover(state)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EFBIG, NoSpaceError),
        (errno.EACCES, PermissionDeniedError),
        (errno.EPERM, PermissionDeniedError),
        (errno.EROFS, PermissionDeniedError),
        (errno.EIO, HypervisorError),
    ],
)
def test_the_systems_errors_are_translated_by_their_number(
    number: int, kind: type[HypervisorError]
) -> None:
    error = translate_os_error(OSError(number, "in any words"), "cannot clone desk")
    assert type(error) is kind
    assert error.brief.startswith("cannot clone desk")
    assert "in any words" in error.details
    assert error.kind == errno.errorcode[number]


def test_work_is_released_whether_it_succeeds_or_fails() -> None:
    released: list[str] = []

    def fail() -> str:
        raise OSError(errno.EIO, "broken")

    with closing(JobBoard()) as board:
        good = board.start(
            Work(about="a", action="x", run=lambda: "id", release=lambda: released.append("a"))
        )
        bad = board.start(
            Work(about="b", action="x", run=fail, release=lambda: released.append("b"))
        )
        while not all(state.finished for state in board.wait([good, bad], 5)):
            pass
        done, failed = board.wait([good, bad], 5)
    assert (done.status, done.result) == (JobStatus.DONE, "id")
    assert failed.status is JobStatus.FAILED
    assert isinstance(failed.error, HypervisorError)
    assert sorted(released) == ["a", "b"]


def test_a_closed_board_takes_no_work_and_releases_it() -> None:
    released: list[bool] = []
    board = JobBoard()
    board.close()
    with pytest.raises(EndpointError):
        board.start(
            Work(about="a", action="x", run=lambda: None, release=lambda: released.append(True))
        )
    assert released == [True]
