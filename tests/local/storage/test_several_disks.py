"""VMs with data disks: made, frozen, reverted, merged, grown, promoted and deleted as one."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.errors import InputError, NotFoundError
from linkedclone.lineage.proof import prove_linked
from linkedclone.model.images import ImageImport
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import Hardware, NewDisk
from linkedclone.model.vm import Disk, Power, Vm
from tests import do
from tests.contract.acts import (
    error_of,
    find,
    make,
    read,
    result_of,
    running,
    set_power,
    step_for,
    take_snapshot,
)
from tests.local.scenes import check_tidy, clean_up, connect, digest, make_image, write

MIB = 1 << 20
LABELS = ["Hard disk 1", "Hard disk 2", "Hard disk 3"]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden", memory_bytes=64 * MIB))
        yield opened


def with_disks(step: CreateClone, *sizes: int) -> CreateClone:
    disks = tuple(NewDisk(capacity_bytes=size) for size in sizes)
    return replace(step, hardware=Hardware(disks=disks))


@pytest.fixture
def desk(driver: LocalDriver) -> Vm:
    """A clone with two data disks, each disk with data of its own."""
    step = with_disks(step_for(driver, find(driver, "golden"), "desk"), 4 * MIB, 8 * MIB + 1024)
    made = make(driver, step)
    fill(driver, made, 0x10)
    return made


def paths(driver: LocalDriver, vm: Vm) -> list[Path]:
    return [driver.state.root / disk.top.path for disk in read(driver, vm.id).disks]


def fill(driver: LocalDriver, vm: Vm, value: int) -> None:
    for number, path in enumerate(paths(driver, vm)):
        write(path, at=64 << 10, length=70_000, fill=value + number)


def contents(driver: LocalDriver, vm: Vm) -> list[str]:
    return [digest(path) for path in paths(driver, vm)]


def test_a_clone_gets_empty_disks_beside_its_linked_one(driver: LocalDriver) -> None:
    step = with_disks(step_for(driver, find(driver, "golden"), "desk"), 4 * MIB, 1 << 30)
    made = make(driver, step)
    assert [disk.label for disk in made.disks] == LABELS
    assert [disk.capacity_bytes for disk in made.disks[1:]] == [4 * MIB, 1 << 30]
    assert [len(disk.chain) for disk in made.disks] == [2, 1, 1]
    assert step.snapshot is not None
    assert prove_linked(made.disks, step.snapshot.disks or (), added=2).linked
    first = paths(driver, made)[1]
    assert first.stat().st_blocks * 512 < 64 << 10
    command = ("qemu-io", "-r", "-f", "qcow2", "-c", f"read -P 0 0 {4 * MIB}", first)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "failed" not in done.stdout
    check_tidy(driver.state.root)


def test_a_snapshot_freezes_all_disks_and_its_clones_depend_on_all(
    driver: LocalDriver, desk: Vm
) -> None:
    before = contents(driver, desk)
    taken = take_snapshot(driver, desk, "three")
    assert [disk.label for disk in taken.disks or ()] == LABELS
    fill(driver, desk, 0x20)
    step = step_for(driver, find(driver, "desk"), "child")
    child = make(driver, replace(step, snapshot=taken))
    assert contents(driver, child) == before
    assert contents(driver, desk) != before
    assert prove_linked(child.disks, taken.disks or ()).linked
    assert [len(disk.chain) for disk in child.disks] == [3, 2, 2]
    assert [disk.capacity_bytes for disk in child.disks] == [d.capacity_bytes for d in desk.disks]
    check_tidy(driver.state.root)


def test_a_revert_takes_all_disks_back(driver: LocalDriver, desk: Vm) -> None:
    before = contents(driver, desk)
    taken = take_snapshot(driver, desk, "good")
    fill(driver, desk, 0x20)
    result_of(driver, driver.start(do.revert_snapshot(desk, taken.id)))
    assert contents(driver, desk) == before
    check_tidy(driver.state.root)


def test_a_deleted_snapshot_is_merged_in_all_disks(driver: LocalDriver, desk: Vm) -> None:
    taken = take_snapshot(driver, desk, "mine")
    fill(driver, desk, 0x20)
    before = contents(driver, desk)
    result_of(driver, driver.start(do.delete_snapshot(desk, taken.id)))
    assert contents(driver, desk) == before
    assert [len(disk.chain) for disk in read(driver, desk.id).disks] == [2, 1, 1]
    check_tidy(driver.state.root)


def test_a_snapshot_that_a_clone_uses_keeps_the_layers_of_all_disks(
    driver: LocalDriver, desk: Vm
) -> None:
    taken = take_snapshot(driver, desk, "base")
    child = make(driver, replace(step_for(driver, find(driver, "desk"), "child"), snapshot=taken))
    before = contents(driver, child)
    result_of(driver, driver.start(do.delete_vm(desk)))
    clean_up(driver.state.root)
    assert contents(driver, child) == before
    check_tidy(driver.state.root)
    result_of(driver, driver.start(do.delete_vm(child)))
    assert [vm.name for vm in driver.observe().vms] == ["golden"]
    check_tidy(driver.state.root)


def test_a_data_disk_grows_by_its_label(driver: LocalDriver, desk: Vm) -> None:
    result_of(driver, driver.start(do.grow_disk(desk, "Hard disk 2", 16 * MIB)))
    sizes = [disk.capacity_bytes for disk in read(driver, desk.id).disks]
    assert sizes == [desk.disks[0].capacity_bytes, 16 * MIB, desk.disks[2].capacity_bytes]
    error = error_of(driver, lambda: driver.start(do.grow_disk(desk, "Hard disk 4", 16 * MIB)))
    assert isinstance(error, NotFoundError)
    assert error.hint == f"it has: {', '.join(LABELS)}"


def test_promoting_leaves_no_disk_behind(driver: LocalDriver, desk: Vm) -> None:
    taken = take_snapshot(driver, desk, "base")
    child = make(driver, replace(step_for(driver, find(driver, "desk"), "child"), snapshot=taken))
    before = contents(driver, child)
    result_of(driver, driver.start(do.promote_vm(child)))
    promoted = read(driver, child.id)
    assert [len(disk.chain) for disk in promoted.disks] == [1, 1, 1]
    assert contents(driver, child) == before
    assert all(layer.folder == (promoted.home or ("", ""))[1] for layer in promoted.layers)
    check_tidy(driver.state.root)


def test_sizes_count_every_disk(driver: LocalDriver, desk: Vm) -> None:
    seen = driver.observe(sizes=True)
    files = {layer: file.used_bytes for layer, file in seen.files.items()}
    assert {disk.top for disk in desk.disks} <= set(files)
    own = sum(files[disk.top] or 0 for disk in desk.disks)
    assert read(driver, desk.id).own_bytes == own


def test_a_missing_data_disk_forbids_the_start(driver: LocalDriver, desk: Vm) -> None:
    taken = take_snapshot(driver, desk, "base")
    lost: Disk = (taken.disks or ())[2]
    (driver.state.root / lost.top.path).rename(driver.state.root / "elsewhere")
    error = error_of(driver, lambda: driver.start(do.set_power(desk, Power.ON)))
    assert lost.top.path in f"{error.brief} {error.details}"


def test_too_many_disks_are_refused_before_anything_is_made(driver: LocalDriver) -> None:
    step = with_disks(step_for(driver, find(driver, "golden"), "desk"), *([4 * MIB] * 16))
    (finding,) = driver.check([step])
    assert isinstance(finding, InputError)
    assert "cannot have 17 disks" in finding.brief
    assert "cannot have 17 disks" in error_of(driver, lambda: driver.start(step)).brief
    assert [vm.name for vm in driver.observe().vms] == ["golden"]


def test_a_running_machine_has_all_disks_and_grows_the_one_that_is_meant(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state", open_machine)) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden", memory_bytes=64 * MIB))
        step = with_disks(step_for(driver, find(driver, "golden"), "desk"), 4 * MIB, 8 * MIB)
        desk = make(driver, running(step))
        try:
            before = contents_of_running(driver, desk)
            taken = take_snapshot(driver, desk, "hot")
            result_of(driver, driver.start(do.grow_disk(desk, "Hard disk 3", 32 * MIB)))
            seen = read(driver, desk.id)
            assert seen.power is Power.ON
            assert [disk.capacity_bytes >> 20 for disk in seen.disks] == [2, 4, 32]
            assert [len(disk.chain) for disk in seen.disks] == [3, 2, 2]
            chains = open_machine(load_vm(driver.state, desk.id)).read_chains()
            assert [chain[0] for _, chain in sorted(chains.items())] == paths(driver, desk)
            assert [digest(driver.state.root / d.top.path) for d in taken.disks or ()] == before
        finally:
            set_power(driver, desk, Power.OFF)
        check_tidy(driver.state.root)


def contents_of_running(driver: LocalDriver, vm: Vm) -> list[str]:
    """Hash the disks of a machine whose guest, which has nothing to boot, writes nothing."""
    return [digest(path) for path in paths(driver, vm)]
