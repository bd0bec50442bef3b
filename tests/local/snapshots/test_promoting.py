"""A promoted clone reads nothing of others and holds the same, off or running, killed or not."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.qmp import block_jobs, monitor
from linkedclone.drivers.local.qmp.monitor import Monitor
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.drivers.local.recovery.garbage import sweep
from linkedclone.drivers.local.snapshots.promote import promote_vm
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.errors import BusyError, HypervisorError, NoSpaceError, RefusedError
from linkedclone.model.images import ImageImport
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.command import FORKED
from tests.contract.acts import (
    error_of,
    find,
    make,
    read,
    result_of,
    set_power,
    step_for,
    take_snapshot,
)
from tests.local.recovery.test_full_disk import as_root, fill, small_filesystem
from tests.local.scenes import (
    check_tidy,
    clean_up,
    connect,
    make_image,
    top_of,
    write,
)

MEMORY_BYTES = 64 << 20


def open_family(root: Path, image: Path) -> LocalDriver:
    """A state folder with a parent, and a clone that holds data of its own."""
    driver = connect(root, open_machine)
    driver.images.import_image(ImageImport(file=image, name="golden", memory_bytes=MEMORY_BYTES))
    made = make(driver, step_for(driver, find(driver, "golden"), "desk"))
    write(top_of(driver.state, made), at=200_000, length=70_000, fill=6)
    write(top_of(driver.state, made), at=1 << 20, length=(1 << 20) - 4096, fill=7)
    return driver


def stop_all(driver: LocalDriver) -> None:
    for vm in driver.observe().vms:
        open_machine(load_vm(driver.state, vm.id)).stop()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(open_family(tmp_path / "state", make_image(tmp_path / "image.qcow2"))) as opened:
        yield opened
        stop_all(opened)


def promote(driver: LocalDriver, name: str) -> Vm:
    vm = find(driver, name)
    result_of(driver, driver.start(do.promote_vm(vm)))
    return read(driver, vm.id)


def disk_of(driver: LocalDriver, name: str) -> Path:
    return top_of(driver.state, find(driver, name))


def keep(driver: LocalDriver, name: str, to: Path) -> Path:
    """Keep what a disk holds, as a file that stands alone."""
    convert = ("qemu-img", "convert", "-U", "-O", "qcow2", disk_of(driver, name), to)
    subprocess.run(convert, check=True)
    return to


def compare(kept: Path, disk: Path) -> None:
    subprocess.run(["qemu-img", "compare", "-U", kept, disk], check=True, stdout=subprocess.DEVNULL)


# -- off ------------------------------------------------------------------------------


def test_a_promoted_clone_holds_what_it_held(driver: LocalDriver, tmp_path: Path) -> None:
    before = keep(driver, "desk", tmp_path / "before.qcow2")
    promoted = promote(driver, "desk")
    assert len(promoted.disks[0].chain) == 1
    assert promoted.disks[0].top.folder == f"vms/{promoted.id}"
    compare(before, disk_of(driver, "desk"))
    check_tidy(driver.state.root)


def test_the_copy_is_made_like_a_delta(driver: LocalDriver) -> None:
    promote(driver, "desk")
    command = ("qemu-img", "info", disk_of(driver, "desk"))
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "extended l2: true" in told
    assert "cluster_size: 65536" in told


def test_a_promoted_clone_lives_on_when_its_parent_is_deleted(
    driver: LocalDriver, tmp_path: Path
) -> None:
    before = keep(driver, "desk", tmp_path / "before.qcow2")
    promote(driver, "desk")
    result_of(driver, driver.start(do.delete_vm(find(driver, "golden"))))
    compare(before, disk_of(driver, "desk"))
    check_tidy(driver.state.root)
    set_power(driver, find(driver, "desk"), Power.ON)
    take_snapshot(driver, find(driver, "desk"), "mine")


def test_the_base_of_a_deleted_parent_goes_with_the_last_that_is_promoted(
    driver: LocalDriver,
) -> None:
    golden = find(driver, "golden")
    result_of(driver, driver.start(do.delete_vm(golden)))
    assert driver.state.folder(golden.id).exists()
    promote(driver, "desk")
    assert not driver.state.folder(golden.id).exists()
    check_tidy(driver.state.root)


def test_layers_of_deleted_snapshots_that_clones_read_stay(
    driver: LocalDriver, tmp_path: Path
) -> None:
    take_snapshot(driver, find(driver, "desk"), "mine")
    grand = make(driver, step_for(driver, find(driver, "desk"), "grand"))
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.delete_snapshot(desk, desk.snapshots[0].id)))
    before = keep(driver, "grand", tmp_path / "grand.qcow2")
    assert len(promote(driver, "desk").disks[0].chain) == 1
    compare(before, top_of(driver.state, read(driver, grand.id)))
    check_tidy(driver.state.root)


def test_one_that_runs_and_has_snapshots_is_refused(driver: LocalDriver) -> None:
    take_snapshot(driver, find(driver, "desk"), "mine")
    set_power(driver, find(driver, "desk"), Power.ON)
    before = find(driver, "desk")
    error = error_of(driver, lambda: driver.start(do.promote_vm(before)))
    assert isinstance(error, RefusedError)
    assert "mine" in error.brief
    assert "stop it first" in error.hint
    assert "``snapshot delete`` desk" in error.hint
    assert find(driver, "desk").disks == before.disks
    set_power(driver, before, Power.OFF)
    check_tidy(driver.state.root)


def test_an_image_shares_nothing_and_keeps_its_snapshot(driver: LocalDriver) -> None:
    before = find(driver, "golden")
    assert promote(driver, "golden") == before


def test_one_whose_base_was_changed_is_refused(driver: LocalDriver) -> None:
    before = find(driver, "desk")
    base = driver.state.root / before.disks[0].chain[0].path
    base.chmod(0o644)
    with base.open("ab") as file:
        file.write(bytes(512))
    error = error_of(driver, lambda: driver.start(do.promote_vm(before)))
    assert isinstance(error, RefusedError)
    assert find(driver, "desk").disks == before.disks


# -- running --------------------------------------------------------------------------


def test_a_running_clone_is_promoted_where_it_writes(driver: LocalDriver, tmp_path: Path) -> None:
    before = keep(driver, "desk", tmp_path / "before.qcow2")
    set_power(driver, find(driver, "desk"), Power.ON)
    promoted = promote(driver, "desk")
    assert promoted.power is Power.ON
    assert len(promoted.disks[0].chain) == 1
    assert promoted.disks[0].top.folder == f"vms/{promoted.id}"
    assert open_machine(load_vm(driver.state, promoted.id)).read_chains()[0][0] == disk_of(
        driver, "desk"
    )
    compare(before, disk_of(driver, "desk"))
    result_of(driver, driver.start(do.delete_vm(find(driver, "golden"))))
    set_power(driver, promoted, Power.OFF)
    compare(before, disk_of(driver, "desk"))
    check_tidy(driver.state.root)
    set_power(driver, promoted, Power.ON)


def test_the_base_goes_also_from_below_a_running_clone(driver: LocalDriver) -> None:
    set_power(driver, find(driver, "desk"), Power.ON)
    golden = find(driver, "golden")
    result_of(driver, driver.start(do.delete_vm(golden)))
    assert promote(driver, "desk").power is Power.ON
    assert not driver.state.folder(golden.id).exists()
    set_power(driver, find(driver, "desk"), Power.OFF)
    check_tidy(driver.state.root)


def copy_and_die(root: Path, vm: VmId, *, after: str) -> None:
    """Promote a running VM in a process that dies at a step of the job."""

    class Deadly(Machine):
        def _demand(self, work, **options):  # type: ignore[no-untyped-def]  # as the original
            answer = super()._demand(work, **options)
            if getattr(work, "func", work).__name__ == after:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        def copy_disks(self, targets: Mapping[int, Path], commit: Callable[[bool], None]) -> None:
            def commit_and_die(ran: bool) -> None:
                commit(ran)
                if after == "commit":
                    os.kill(os.getpid(), signal.SIGKILL)

            super().copy_disks(targets, commit_and_die)

    with closing(connect(root)) as driver:
        machine = open_machine(load_vm(driver.state, vm))
        promote_vm(driver.state, lambda _: Deadly(machine.folder, machine.config), vm)


@pytest.mark.parametrize("after", ["start_copies", "observe_jobs", "move_guest", "commit", "go_on"])
@pytest.mark.parametrize("ended", [False, True], ids=["and it runs on", "then it ended"])
def test_a_command_that_is_killed_while_qemu_copies_loses_nothing(
    driver: LocalDriver, tmp_path: Path, after: str, ended: bool
) -> None:
    before = keep(driver, "desk", tmp_path / "before.qcow2")
    desk = find(driver, "desk")
    set_power(driver, desk, Power.ON)
    root = driver.state.root
    process = FORKED.Process(target=copy_and_die, args=(root, desk.id), kwargs={"after": after})
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    if ended:
        open_machine(load_vm(driver.state, desk.id)).stop()
    clean_up(root)
    seen = read(driver, desk.id)
    assert not load_vm(driver.state, desk.id).record.unsettled
    compare(before, disk_of(driver, "desk"))
    if ended:
        assert seen.power is Power.OFF
    else:
        assert seen.power is Power.ON
        assert open_machine(load_vm(driver.state, desk.id)).read_chains()[0][0] == disk_of(
            driver, "desk"
        )
        set_power(driver, desk, Power.ON)
    promoted = promote(driver, "desk")
    assert len(promoted.disks[0].chain) == 1
    set_power(driver, promoted, Power.OFF)
    compare(before, disk_of(driver, "desk"))
    check_tidy(root)


def forge_header(disk: Path) -> None:
    other = make_image(disk.with_name("other.qcow2"))
    command = ("qemu-img", "rebase", "-u", "-b", other.name, "-F", "qcow2", disk)
    subprocess.run(command, check=True)


class ForgingMonitor(Monitor):
    """Lets the header of a copy name another file, right before QEMU opens it."""

    async def execute(self, command: str, /, **arguments: object) -> Any:
        if command == "blockdev-add":
            assert isinstance(arguments["file"], dict)
            forge_header(Path(arguments["file"]["filename"]))
        return await super().execute(command, **arguments)


def test_qemu_follows_no_header_of_a_copy(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = find(driver, "desk")
    set_power(driver, desk, Power.ON)
    with monkeypatch.context() as patch:
        patch.setattr(monitor, "Monitor", ForgingMonitor)
        result_of(driver, driver.start(do.promote_vm(desk)))
    stored = load_vm(driver.state, desk.id)
    assert open_machine(stored).read_chains() == {0: (stored.top,)}


class SlowMonitor(Monitor):
    """Begins copies that come to nothing while a test looks, as on a slow disk."""

    async def execute(self, command: str, /, **arguments: object) -> Any:
        if command == "blockdev-mirror":
            arguments["speed"] = 1
        return await super().execute(command, **arguments)


LARGE_BYTES = 64 << 20
"""More than QEMU copies before it looks at the speed."""


def make_large(driver: LocalDriver) -> Vm:
    """Let the clone have much data."""
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.grow_disk(desk, desk.disks[0].label, LARGE_BYTES)))
    write(disk_of(driver, "desk"), at=4 << 20, length=LARGE_BYTES - (4 << 20), fill=8)
    set_power(driver, desk, Power.ON)
    return find(driver, "desk")


def slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "Monitor", SlowMonitor)
    monkeypatch.setattr(block_jobs, "NEARLY_BYTES", -1)


def wait_for_copy(driver: LocalDriver, vm: Vm) -> None:
    deadline = time.monotonic() + 120
    while not load_vm(driver.state, vm.id).record.unsettled:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)  # the job is begun right after


def test_a_machine_that_ends_while_it_is_copied_keeps_its_disk(
    driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_large(driver)
    before = keep(driver, "desk", tmp_path / "before.qcow2")
    with monkeypatch.context() as patch:
        slow_down(patch)
        job = driver.start(do.promote_vm(desk))
        wait_for_copy(driver, desk)
        assert read(driver, desk.id).power is Power.ON  # others get at it meanwhile
        clean_up(driver.state.root)
        open_machine(load_vm(driver.state, desk.id)).stop()
        assert isinstance(error_of(driver, lambda: job), HypervisorError)
    assert read(driver, desk.id).disks == desk.disks
    compare(before, disk_of(driver, "desk"))
    check_tidy(driver.state.root)
    assert len(promote(driver, "desk").disks[0].chain) == 1
    compare(before, disk_of(driver, "desk"))


def test_a_copy_that_does_not_get_on_is_given_up(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_large(driver)
    with monkeypatch.context() as patch:
        slow_down(patch)
        patch.setattr("linkedclone.drivers.local.qmp.disks.STILL_SECONDS", 0.5)
        error = error_of(driver, lambda: driver.start(do.promote_vm(desk)))
    assert "makes no progress" in str(error)
    assert not isinstance(error, BusyError)  # that would be waited for all over again
    seen = read(driver, desk.id)
    assert (seen.disks, seen.power) == (desk.disks, Power.ON)
    assert len(promote(driver, "desk").disks[0].chain) == 1


def test_a_copy_goes_on_while_a_sweep_comes_by(
    driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has no VM's name in its header, and no command has the family lock."""
    desk = make_large(driver)
    before = keep(driver, "desk", tmp_path / "before.qcow2")
    with monkeypatch.context() as patch:
        slow_down(patch)
        job = driver.start(do.promote_vm(desk))
        wait_for_copy(driver, desk)
        sweep(driver.state)
        assert driver.observe().strays == ()
        assert not driver.wait([job], 0.2)[0].finished
    machine = open_machine(load_vm(driver.state, desk.id))

    async def speed_up(session: Session) -> bool:
        await session.monitor.execute("block-job-set-speed", device=block_jobs.copy_job(0), speed=0)
        return True

    machine._demand(speed_up)
    result_of(driver, job)
    assert len(read(driver, desk.id).disks[0].chain) == 1
    compare(before, disk_of(driver, "desk"))
    set_power(driver, desk, Power.OFF)
    check_tidy(driver.state.root)


# -- a full disk ----------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LocalDriver]:
    """The same in a filesystem with little room."""
    image = make_image(tmp_path / "image.qcow2")
    with (
        small_filesystem(tmp_path / "small", "6m") as folder,
        closing(open_family(folder / "state", image)) as driver,
    ):
        yield driver
        stop_all(driver)


def leave_room(driver: LocalDriver, size_bytes: int) -> Path:
    filler = driver.state.root / "filler"
    fill(filler)
    os.truncate(filler, filler.stat().st_size - size_bytes)
    return filler


def tell_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the space be there when it is looked at, and gone when it is needed."""
    monkeypatch.setattr("linkedclone.drivers.local.snapshots.promote._refuse_full", lambda *_: None)
    monkeypatch.setattr(block_jobs, "NEARLY_BYTES", -1)


@as_root
@pytest.mark.parametrize("late", [False, True], ids=["before", "midway"])
@pytest.mark.parametrize("on", [False, True], ids=["off", "running"])
def test_a_promotion_that_finds_no_room_changes_nothing(
    small: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool, on: bool
) -> None:
    before = keep(small, "desk", tmp_path / "before.qcow2")
    desk = find(small, "desk")
    if on:
        set_power(small, desk, Power.ON)
    filler = leave_room(small, 300_000)
    if late:
        tell_no_size(monkeypatch)
    error = error_of(small, lambda: small.start(do.promote_vm(desk)))
    assert isinstance(error, NoSpaceError)
    assert error.hint
    monkeypatch.undo()
    seen = read(small, desk.id)
    assert (seen.disks, seen.power) == (desk.disks, Power.ON if on else Power.OFF)
    compare(before, disk_of(small, "desk"))
    filler.unlink()
    promoted = promote(small, "desk")
    assert len(promoted.disks[0].chain) == 1
    assert promoted.power is seen.power
    set_power(small, promoted, Power.OFF)
    compare(before, disk_of(small, "desk"))
    check_tidy(small.state.root)


@as_root
def test_a_full_disk_does_not_stop_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of the room goes at the very moment when the guest is stopped for the move."""
    with (
        small_filesystem(tmp_path / "small", "150m") as folder,
        closing(open_family(folder / "state", make_image(tmp_path / "image.qcow2"))) as driver,
    ):
        desk = make_large(driver)
        before = keep(driver, "desk", tmp_path / "before.qcow2")
        filler = folder / "filler"

        class FillingMonitor(SlowMonitor):
            async def execute(self, command: str, /, **arguments: object) -> Any:
                answer = await super().execute(command, **arguments)
                if command == "stop":
                    fill(filler)
                    await self.execute(
                        "block-job-set-speed", device=block_jobs.copy_job(0), speed=0
                    )
                return answer

        with monkeypatch.context() as patch:
            patch.setattr(monitor, "Monitor", FillingMonitor)
            patch.setattr(block_jobs, "NEARLY_BYTES", LARGE_BYTES)
            patch.setattr("linkedclone.drivers.local.qmp.disks.MOVE_SECONDS", 15)
            error = error_of(driver, lambda: driver.start(do.promote_vm(desk)))
        assert isinstance(error, NoSpaceError)
        seen = read(driver, desk.id)
        assert (seen.disks, seen.power) == (desk.disks, Power.ON)
        compare(before, disk_of(driver, "desk"))
        filler.unlink()
        assert len(promote(driver, "desk").disks[0].chain) == 1
        set_power(driver, desk, Power.OFF)
        compare(before, disk_of(driver, "desk"))
        check_tidy(driver.state.root)


@as_root
def test_a_promotion_that_fits_nowhere_is_refused_by_the_plan(small: LocalDriver) -> None:
    leave_room(small, 300_000)
    with pytest.raises(NoSpaceError):
        Connection(small, address="local:").disks.promote(["desk"])


def test_a_record_that_cannot_be_written_leaves_the_old_disk(
    driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keep(driver, "desk", tmp_path / "before.qcow2")
    desk = find(driver, "desk")

    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("linkedclone.drivers.local.snapshots.promote.save_record", fail)
    assert isinstance(error_of(driver, lambda: driver.start(do.promote_vm(desk))), NoSpaceError)
    assert read(driver, desk.id) == desk
    compare(before, disk_of(driver, "desk"))
    check_tidy(driver.state.root)
