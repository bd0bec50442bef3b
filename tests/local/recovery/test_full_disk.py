"""A full disk: a clear error, and nothing half-made."""

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.drivers.local.state.staging import at_work, read_register, register
from linkedclone.errors import NoSpaceError
from linkedclone.model.images import ImageImport
from linkedclone.model.jobs import JobStatus
from linkedclone.model.plan import CreateClone
from linkedclone.model.vm import Power, Vm
from linkedclone.system.os_errors import translate_os_error
from tests import do
from tests.contract.acts import (
    error_of,
    find,
    finish,
    make,
    read,
    renamed,
    result_of,
    running,
    set_power,
    step_for,
    take_snapshot,
)
from tests.local.machine.guest import build_import
from tests.local.scenes import check_tidy, connect, make_image, top_of, view, write

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small filesystem")


@contextmanager
def small_filesystem(folder: Path, size: str, inodes: int = 0) -> Iterator[Path]:
    folder.mkdir()
    options = f"size={size},nr_inodes={inodes}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LocalDriver]:
    """A state folder with a parent, in a filesystem with room for some clones."""
    image = make_image(tmp_path / "image.qcow2")
    with (
        small_filesystem(tmp_path / "small", "4m") as folder,
        closing(connect(folder / "state")) as driver,
    ):
        driver.images.import_image(ImageImport(file=image, name="golden"))
        yield driver


@as_root
def test_clones_that_find_no_room_leave_nothing(small: LocalDriver) -> None:
    first = step_for(small, find(small, "golden"), "desk")
    jobs = [small.start(renamed(first, f"desk-{n}")) for n in range(200)]
    states = finish(small, jobs)
    failed = [state for state in states if state.status is JobStatus.FAILED]
    assert failed
    assert len(failed) < len(states)
    assert {type(state.error) for state in failed} == {NoSpaceError}
    assert all(state.error and state.error.hint for state in failed)
    made = {state.result for state in states if state.result}
    assert {vm.id for vm in small.observe().vms} == made | {find(small, "golden").id}
    check_tidy(small.state.root)


@as_root
def test_once_there_is_room_the_same_name_can_be_cloned(small: LocalDriver) -> None:
    filler = small.state.root / "filler"
    step = step_for(small, find(small, "golden"), "desk")
    fill(filler)
    assert isinstance(error_of(small, lambda: small.start(step)), NoSpaceError)
    filler.unlink()
    assert make(small, step).name == "desk"
    check_tidy(small.state.root)


@as_root
def test_a_snapshot_that_finds_no_room_changes_nothing(small: LocalDriver) -> None:
    made = make(small, step_for(small, find(small, "golden"), "desk"))
    filler = small.state.root / "filler"
    fill(filler)
    error = error_of(small, lambda: small.start(do.create_snapshot(made, "mine", "")))
    assert isinstance(error, NoSpaceError)
    filler.unlink()
    assert read(small, made.id) == made
    check_tidy(small.state.root)


@as_root
def test_a_merge_that_finds_no_room_loses_nothing(small: LocalDriver) -> None:
    made = make(small, step_for(small, find(small, "golden"), "desk"))
    take_snapshot(small, made, "mine")
    write(top_of(small.state, read(small, made.id)), at=0, length=1 << 20, fill=8)
    before = view(small.state.root)["desk"].content
    filler = small.state.root / "filler"
    fill(filler)
    os.truncate(filler, filler.stat().st_size - 200_000)  # room for the record, not for the data
    (snapshot,) = read(small, made.id).snapshots
    error = error_of(small, lambda: small.start(do.delete_snapshot(made, snapshot.id)))
    assert isinstance(error, NoSpaceError)
    filler.unlink()
    assert view(small.state.root)["desk"].content == before
    assert read(small, made.id).snapshots == ()
    again = take_snapshot(small, read(small, made.id), "again")
    result_of(small, small.start(do.delete_snapshot(made, again.id)))
    assert view(small.state.root)["desk"].content == before
    assert len(read(small, made.id).disks[0].chain) == 2
    check_tidy(small.state.root)


@as_root
def test_an_image_that_finds_no_room_is_not_imported(small: LocalDriver, tmp_path: Path) -> None:
    image = tmp_path / "large.raw"
    image.write_bytes(os.urandom(8 << 20))
    with pytest.raises(NoSpaceError):
        small.images.import_image(ImageImport(file=image, name="large"))
    assert [vm.name for vm in small.observe().vms] == ["golden"]
    check_tidy(small.state.root)


def fill(path: Path) -> None:
    """Take all the space that is left, but for the pages that lock files and folders need."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


WRITES = ["pwrite", "ftruncate", "fdatasync", "symlink", "fsync", "mkdir"]


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_wherever_the_space_ends_a_clone_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden"))
        step = step_for(driver, find(driver, "golden"), "desk")
        assert count_failures(driver, monkeypatch, call, number, step) > 0
        assert make(driver, step).name == "desk"
        check_tidy(tmp_path / "state")


def count_failures(
    driver: LocalDriver,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    step: CreateClone,
) -> int:
    """Let the first call fail, then the second, and so on until the clone succeeds."""
    original: Callable[..., object] = getattr(os, call)
    for nth in range(1, 100):
        passed = 0

        def fail(*args: object, nth: int = nth, **kwargs: object) -> object:
            nonlocal passed
            passed += 1
            if passed == nth:
                raise OSError(number, os.strerror(number))
            return original(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            failed = try_clone(driver, step)
        if not failed:
            (made,) = [vm for vm in driver.observe().vms if vm.name == "desk"]
            result_of(driver, driver.start(do.delete_vm(made)))
            return nth - 1
        left = [vm for vm in driver.observe().vms if vm.name == "desk"]
        check_tidy(driver.state.root)
        for vm in left:  # only the last sync may fail after the clone is there
            assert call == "fsync"
            result_of(driver, driver.start(do.delete_vm(vm)))
    raise AssertionError("the clone never succeeded")


def try_clone(driver: LocalDriver, step: CreateClone) -> bool:
    """Make a clone; return whether it failed for want of space."""
    try:
        (state,) = finish(driver, [driver.start(step)])
        error = state.error
    except NoSpaceError as raised:
        error = raised
    assert error is None or isinstance(error, NoSpaceError)
    return error is not None


# -- guests that run while the disk fills up --------------------------------------------

PAUSING = "(sleep 1; dd if=/dev/urandom of={} bs=1M count=8; sync) >/dev/null 2>&1 &"
one_guest = pytest.mark.together("a guest on a full disk")  # one worker boots it
BOOT_SECONDS = 240.0


@pytest.fixture
def booted(small_disk: LocalDriver) -> LocalDriver:
    """A clone of the demo guest that runs in a filesystem of its own, which has space."""
    (small_disk.state.root.parent / "hog").unlink(missing_ok=True)
    desks = [vm for vm in small_disk.observe().vms if vm.name == "desk"]
    golden = find(small_disk, "golden")
    desk = desks[0] if desks else make(small_disk, running(step_for(small_disk, golden, "desk")))
    set_power(small_disk, desk, Power.ON)
    wait_for(small_disk, desk, lambda seen: seen.tools_running)
    return small_disk


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDriver]:
    with (
        small_filesystem(tmp_path_factory.mktemp("booted") / "small", "128m") as folder,
        closing(connect(folder / "state", open_machine)) as driver,
    ):
        driver.images.import_image(build_import())
        try:
            yield driver
        finally:
            for vm in driver.observe().vms:
                set_power(driver, vm, Power.OFF)


def pause(driver: LocalDriver, to: str) -> Path:
    """Let the guest write a file until it pauses; return the file that is in its way."""
    hog = driver.state.root.parent / "hog"
    fill(hog)
    os.truncate(hog, hog.stat().st_size - (4 << 20))
    desk = find(driver, "desk")
    ssh(driver, desk, PAUSING.format(to))
    wait_for(driver, desk, lambda seen: seen.power is Power.PAUSED)
    return hog


@as_root
@one_guest
def test_a_guest_that_paused_goes_on_once_there_is_space(booted: LocalDriver) -> None:
    driver, hog = booted, pause(booted, "/root/data")
    desk = find(driver, "desk")
    error = error_of(driver, lambda: driver.start(do.set_power(desk, Power.ON)))
    assert isinstance(error, NoSpaceError)
    assert "full" in error.details
    assert error.hint
    seen = read(driver, desk.id)
    assert seen.power is Power.PAUSED
    assert seen.trouble == (
        "paused: the disk's file system is full; free some space, "
        "then continue it with: ``start`` desk"
    )
    (found,) = [one for one in driver.folder.diagnose() if one.check == "machines"]
    assert found.text == "paused: desk (the disk's file system is full)"
    assert "``start`` desk " in found.remedy

    hog.unlink()
    set_power(driver, desk, Power.ON)
    seen = wait_for(driver, desk, lambda seen: seen.tools_running)
    assert seen.power is Power.ON
    assert ssh(driver, desk, "sync; wc -c </root/data; dmesg | grep -c 'I/O error'; :") == [
        str(8 << 20),
        "0",
    ]


@as_root
@one_guest
def test_a_guest_that_paused_can_be_stopped_and_deleted_on_a_full_disk(
    booted: LocalDriver,
) -> None:
    driver = booted
    pause(driver, "/root/more")
    desk = find(driver, "desk")
    set_power(driver, desk, Power.OFF)
    assert read(driver, desk.id).power is Power.OFF
    result_of(driver, driver.start(do.delete_vm(desk)))
    check_tidy(driver.state.root)


def wait_for(driver: LocalDriver, vm: Vm, condition: Callable[[Vm], bool | None]) -> Vm:
    deadline = time.monotonic() + BOOT_SECONDS
    while not condition(seen := read(driver, vm.id)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def ssh(driver: LocalDriver, vm: Vm, command: str) -> list[str]:
    arguments = driver.access.build_ssh(vm.id, [command])
    done = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=True
    )
    return done.stdout.split()


@as_root
def test_a_file_system_without_inodes_is_not_reported_as_a_full_disk(tmp_path: Path) -> None:
    """Item 30."""
    image = make_image(tmp_path / "image.qcow2")
    with (
        small_filesystem(tmp_path / "small", "64m", inodes=60) as folder,
        closing(connect(folder / "state")) as driver,
    ):
        driver.images.import_image(ImageImport(file=image, name="golden"))
        step = step_for(driver, find(driver, "golden"), "desk")
        with suppress(OSError):
            for number in range(60):
                (folder / str(number)).touch()
        for act in (
            lambda: driver.start(step),
            lambda: driver.images.import_image(ImageImport(file=image, name="other")),
        ):
            with pytest.raises(NoSpaceError, match="no inodes left") as caught:
                act()
            assert "not for more files" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EFBIG, "does not take so large a file"),
    ],
)
def test_the_error_number_tells_which_resource_ran_out(number: int, said: str) -> None:
    """Item 30."""
    error = translate_os_error(OSError(number, os.strerror(number)), "cannot clone web-1")
    assert isinstance(error, NoSpaceError)
    assert said in error.brief
    assert error.hint


def test_a_register_that_was_cut_short_names_nothing_that_was_not_written(tmp_path: Path) -> None:
    """A layer's path that ends after the VM would name the whole VM."""
    state = open_state(tmp_path / "state")
    whole = state.vms / "golden.01234567/disk-01234567.qcow2"
    with at_work(state, "delete", "golden") as (entry, _):
        register(state, entry, [whole])
        (entry / "register").write_bytes((entry / "register").read_bytes() + b"vms/solo.01234567")
        assert read_register(state, entry) == {whole}
