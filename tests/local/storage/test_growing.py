"""A disk grows for its VM alone: the layers below stay what they are."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.errors import InputError, NotFoundError
from linkedclone.formats.qcow2 import MAX_VIRTUAL_BYTES
from linkedclone.model.images import ImageImport
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.contract.acts import error_of, find, make, read, result_of, set_power, step_for
from tests.contract.acts import take_snapshot as take
from tests.local.scenes import CAPACITY_BYTES, check_tidy, connect, make_image, top_of, write


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state", open_machine)) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden", memory_bytes=64 << 20))
        made = make(opened, step_for(opened, find(opened, "golden"), "desk"))
        write(top_of(opened.state, made), at=200_000, length=70_000, fill=6)
        yield opened
        for vm in opened.observe().vms:
            open_machine(load_vm(opened.state, vm.id)).stop()


def grow(driver: LocalDriver, size_bytes: int, name: str = "desk") -> Vm:
    vm = find(driver, name)
    result_of(driver, driver.start(do.grow_disk(vm, vm.disks[0].label, size_bytes)))
    return read(driver, vm.id)


def flat(disk: Path, to: Path) -> bytes:
    """What a guest reads of a disk."""
    import subprocess

    subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", disk, to], check=True)
    return to.read_bytes()


@pytest.mark.parametrize("on", [False, True], ids=["off", "running"])
def test_a_linked_disk_grows_and_its_new_space_reads_as_zeros(
    driver: LocalDriver, tmp_path: Path, on: bool
) -> None:
    before = flat(top_of(driver.state, find(driver, "desk")), tmp_path / "before")
    base = driver.state.root / find(driver, "golden").disks[0].chain[0].path
    sealed = (base.read_bytes(), base.stat().st_mtime_ns)
    if on:
        set_power(driver, find(driver, "desk"), Power.ON)
    grown = grow(driver, 8 << 20)
    assert grown.disks[0].capacity_bytes == 8 << 20
    assert len(grown.disks[0].chain) == 2
    set_power(driver, grown, Power.OFF)
    after = tmp_path / "after"
    content = flat(top_of(driver.state, grown), after)
    assert content[:CAPACITY_BYTES] == before
    assert not content[CAPACITY_BYTES:].strip(b"\0")
    assert (base.read_bytes(), base.stat().st_mtime_ns) == sealed
    check_tidy(driver.state.root)
    set_power(driver, grown, Power.ON)


def test_sizes_are_rounded_up_to_sectors(driver: LocalDriver) -> None:
    wanted = CAPACITY_BYTES + 1
    assert grow(driver, wanted).disks[0].capacity_bytes == CAPACITY_BYTES + 512
    assert grow(driver, wanted).disks[0].capacity_bytes == CAPACITY_BYTES + 512


def test_a_snapshot_and_its_clones_keep_the_size_that_they_had(driver: LocalDriver) -> None:
    take(driver, find(driver, "desk"), "small")
    small = make(driver, step_for(driver, find(driver, "desk"), "small"))
    grown = grow(driver, 2 * CAPACITY_BYTES)
    assert [d.capacity_bytes for s in grown.snapshots for d in s.disks or ()] == [CAPACITY_BYTES]
    assert read(driver, small.id).disks[0].capacity_bytes == CAPACITY_BYTES
    take(driver, grown, "large")
    large = make(driver, step_for(driver, find(driver, "desk"), "large"))
    assert large.disks[0].capacity_bytes == 2 * CAPACITY_BYTES
    result_of(driver, driver.start(do.revert_snapshot(grown, grown.snapshots[0].id)))
    assert read(driver, grown.id).disks[0].capacity_bytes == CAPACITY_BYTES
    check_tidy(driver.state.root)


@pytest.mark.parametrize("size", [CAPACITY_BYTES - 512, 1, MAX_VIRTUAL_BYTES + 1])
def test_sizes_that_will_not_do_are_refused(driver: LocalDriver, size: int) -> None:
    desk = find(driver, "desk")
    error = error_of(driver, lambda: driver.start(do.grow_disk(desk, desk.disks[0].label, size)))
    assert isinstance(error, InputError)
    assert error.hint
    assert read(driver, desk.id) == desk


def test_a_disk_that_is_not_there_is_not_found(driver: LocalDriver) -> None:
    desk = find(driver, "desk")
    error = error_of(driver, lambda: driver.start(do.grow_disk(desk, "Hard disk 2", 1 << 30)))
    assert isinstance(error, NotFoundError)


def test_the_connection_grows_the_only_disk(driver: LocalDriver) -> None:
    report = Connection(driver, address="local:").disks.grow("desk", 2 * CAPACITY_BYTES)
    assert [result.error for result in report.results] == [None]
    assert find(driver, "desk").disks[0].capacity_bytes == 2 * CAPACITY_BYTES
