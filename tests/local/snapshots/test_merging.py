"""Deleting snapshots of VMs that run: layers are merged under the guest, and all else stays."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.arguments import MachineConfig
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.machine.process import find_processes
from linkedclone.drivers.local.qmp import block_jobs, monitor
from linkedclone.drivers.local.qmp import merge as merging
from linkedclone.drivers.local.qmp.merge import LayerMerge
from linkedclone.drivers.local.qmp.monitor import Monitor
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.drivers.local.recovery.garbage import drop_layers
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.drivers.local.storage.seals import is_sealed
from linkedclone.errors import HypervisorError, NoSpaceError, RefusedError
from linkedclone.formats.chain import read_chain
from linkedclone.formats.qcow2 import build_overlay
from linkedclone.model.images import ImageImport
from linkedclone.model.request import Hardware, NewDisk
from linkedclone.model.vm import Power, Vm
from tests import do
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
from tests.local.scenes import check_tidy, clean_up, connect, digest, make_image
from tests.local.writing import Guest

MEMORY_BYTES = 64 << 20
SECOND_BYTES = 3 << 20


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(open_two_disks(tmp_path / "state", make_image(tmp_path / "image.qcow2"))) as made:
        yield made
        stop_all(made)


def open_two_disks(root: Path, image: Path) -> LocalDriver:
    """A state folder with a parent, and a clone with a second disk."""
    driver = connect(root, open_machine)
    driver.images.import_image(ImageImport(file=image, name="golden", memory_bytes=MEMORY_BYTES))
    step = step_for(driver, find(driver, "golden"), "desk")
    disks = (NewDisk(capacity_bytes=SECOND_BYTES),)
    make(driver, replace(step, hardware=Hardware(disks=disks)))
    return driver


def stop_all(driver: LocalDriver) -> None:
    for vm in driver.observe().vms:
        open_machine(load_vm(driver.state, vm.id)).stop()


def start(driver: LocalDriver) -> Guest:
    desk = find(driver, "desk")
    guest = Guest(driver.state, desk.id)
    set_power(driver, desk, Power.ON)
    return guest


def snapshot(driver: LocalDriver, name: str) -> None:
    take_snapshot(driver, find(driver, "desk"), name)


def delete(driver: LocalDriver, name: str) -> Vm:
    desk = find(driver, "desk")
    (wanted,) = [one.id for one in desk.snapshots if one.name == name]
    result_of(driver, driver.start(do.delete_snapshot(desk, wanted)))
    return read(driver, desk.id)


def revert(driver: LocalDriver, name: str) -> None:
    desk = find(driver, "desk")
    (wanted,) = [one.id for one in desk.snapshots if one.name == name]
    result_of(driver, driver.start(do.revert_snapshot(desk, wanted)))


def depths(vm: Vm) -> list[int]:
    return [len(disk.chain) for disk in vm.disks]


def frozen(driver: LocalDriver) -> dict[str, list[str]]:
    """What each snapshot holds."""
    root = driver.state.root
    return {
        one.path.rpartition("/")[2]: [digest(root / disk.top.path) for disk in one.disks or ()]
        for one in find(driver, "desk").snapshots
    }


def check_end(driver: LocalDriver, guest: Guest, *, power: Power = Power.ON) -> None:
    seen = read(driver, guest.vm)
    assert seen.power is power
    record = load_vm(driver.state, guest.vm).record
    assert (record.merging, record.halted) == ((), False)
    folder = driver.state.folder(guest.vm)
    kept = [folder / file for snapshot in record.snapshots for file in snapshot.files]
    assert all(map(is_sealed, kept))
    set_power(driver, seen, Power.OFF)
    guest.check()
    check_tidy(driver.state.root)
    set_power(driver, seen, Power.ON)
    set_power(driver, seen, Power.OFF)


def scatter(guest: Guest, fill: int) -> None:
    """Write whole clusters, parts of some, and over what was there."""
    guest.write(4096 * fill, 4096, fill)
    guest.write((1 << 20) + 512 * fill, 70_000, fill + 1)
    guest.write(300_000, 65_536 * 2, fill + 2)
    guest.write(1024 * fill, 9000, fill + 3, disk=1)
    guest.write(2 << 20, 200_000, fill + 4, disk=1)


def test_the_layer_that_a_guest_writes_to_is_merged_under_it(driver: LocalDriver) -> None:
    guest = start(driver)
    scatter(guest, 10)
    snapshot(driver, "one")
    scatter(guest, 20)
    after = delete(driver, "one")
    assert depths(after) == [2, 1]
    scatter(guest, 30)
    check_end(driver, guest)


def test_qemu_gets_every_layer_of_a_long_chain_and_merges_in_it(tmp_path: Path) -> None:
    """What QEMU calls such layers is cut after 4,095 bytes; see ``build_open_layers``."""
    files = make_chain(tmp_path, 60)
    identity = "7c2f5c1e-55b6-5d0b-9d0a-0f5f4a1f6f10"
    config = MachineConfig(
        name="long", uuid=identity, memory_bytes=MEMORY_BYTES, disks=(files[-1],), accel="tcg"
    )
    machine = Machine(tmp_path / "run", config)
    machine.start()
    try:
        (process,) = find_processes(machine.folder)
        told = Path(f"/proc/{process}/cmdline").read_text()
        assert all(str(file) in told for file in files)
        assert machine.read_chains() == {0: tuple(reversed(files))}
        over = make_overlay(tmp_path / "over.qcow2", files[-1])
        machine.snapshot_disks({0: over})
        merge = LayerMerge(number=0, lower=files[30], upper=files[31], backing=files[30].name)
        machine.merge_layers(merge, lambda _: None)
        machine.merge_layers(LayerMerge(number=0, lower=files[-1], upper=over), lambda _: None)
        left = (*files[:31], *files[32:])
        assert machine.read_chains() == {0: tuple(reversed(left))}
    finally:
        machine.stop()
    assert tuple(file.path for file in read_chain(files[-1])) == left


def make_chain(folder: Path, length: int) -> list[Path]:
    files = [make_image(folder / "layer-000.qcow2")]
    for number in range(1, length):
        files.append(make_overlay(folder / f"layer-{number:03}.qcow2", files[-1]))
    return files


def make_overlay(path: Path, below: Path) -> Path:
    size = read_chain(below)[-1].virtual_bytes
    path.write_bytes(build_overlay(size, below.name, "qcow2").to_bytes())
    return path


def test_layers_in_the_middle_are_merged_and_the_later_snapshot_keeps_what_it_froze(
    driver: LocalDriver,
) -> None:
    guest = start(driver)
    for n, name in enumerate(("one", "two", "three")):
        scatter(guest, 10 * n + 10)
        snapshot(driver, name)
    scatter(guest, 40)
    before = frozen(driver)
    after = delete(driver, "one")
    assert depths(after) == [4, 3]
    after = delete(driver, "two")
    assert depths(after) == [3, 2]
    assert frozen(driver) == {"three": before["three"]}
    scatter(guest, 50)
    check_end(driver, guest)
    assert frozen(driver) == {"three": before["three"]}


def test_branches_stay_what_they_are(driver: LocalDriver) -> None:
    """The merged layer has two above it: what runs, and another snapshot."""
    guest = start(driver)
    for n, name in enumerate(("x", "y", "z")):
        scatter(guest, 10 * n + 10)
        snapshot(driver, name)
    revert(driver, "y")
    guest = start(driver)
    scatter(guest, 50)
    snapshot(driver, "w")
    before = frozen(driver)
    assert {one.path for one in find(driver, "desk").snapshots} == {"x", "x/y", "x/y/z", "x/y/w"}
    after = delete(driver, "x")
    assert depths(after) == [4, 3]
    del before["x"]
    assert frozen(driver) == before
    assert {one.path for one in find(driver, "desk").snapshots} == {"y", "y/z", "y/w"}
    delete(driver, "y")  # two depend on it: it stays, without a name
    del before["y"]
    assert frozen(driver) == before
    scatter(guest, 60)
    check_end(driver, guest)
    assert frozen(driver) == before


def test_a_side_branch_is_merged_while_the_vm_runs_on_another(driver: LocalDriver) -> None:
    guest = start(driver)
    for n, name in enumerate(("a", "b", "c")):
        scatter(guest, 10 * n + 10)
        snapshot(driver, name)
    revert(driver, "a")
    guest = start(driver)
    scatter(guest, 60)
    before = frozen(driver)
    delete(driver, "b")
    assert frozen(driver) == {name: before[name] for name in ("a", "c")}
    assert all(len(one.disks[0].chain) < 4 for one in find(driver, "desk").snapshots if one.disks)
    check_end(driver, guest)


def test_nothing_is_merged_into_a_layer_that_a_clone_reads(driver: LocalDriver) -> None:
    guest = start(driver)
    scatter(guest, 10)
    snapshot(driver, "one")
    scatter(guest, 20)
    snapshot(driver, "two")
    desk = find(driver, "desk")
    kept = make(driver, step_for(driver, desk, "kept"))
    layers = {driver.state.root / layer.path for layer in kept.layers}
    shared = {file for file in layers if file.parent != driver.state.folder(kept.id)}
    before = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in shared}
    content = digest(driver.state.root / kept.disks[0].top.path)
    assert depths(delete(driver, "one")) == depths(desk)
    assert {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in shared} == before
    assert digest(driver.state.root / kept.disks[0].top.path) == content
    check_end(driver, guest)


def test_a_layer_that_a_disk_depends_on_is_never_dropped(driver: LocalDriver) -> None:
    below = load_vm(driver.state, find(driver, "desk").id).disk_tops
    snapshot(driver, "one")
    drop_layers(driver.state, below)
    assert all(layer.exists() for layer in below)
    check_tidy(driver.state.root)


# -- while it lasts -------------------------------------------------------------------


class SlowMonitor(Monitor):
    """Begins merges that come to nothing while a test looks, as on a slow disk."""

    async def execute(self, command: str, /, **arguments: object) -> Any:
        if command == "block-commit":
            arguments["speed"] = 1
        return await super().execute(command, **arguments)


def slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "Monitor", SlowMonitor)
    monkeypatch.setattr(block_jobs, "NEARLY_BYTES", -1)


def wait_for_merge(driver: LocalDriver, vm: Vm) -> None:
    deadline = time.monotonic() + 120
    machine = open_machine(load_vm(driver.state, vm.id))

    async def look(session: Session) -> bool:
        jobs = await session.monitor.execute("query-jobs")
        return any(job["id"].text() == merging.JOB for job in jobs)

    while not machine._demand(look):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def speed_up(driver: LocalDriver, vm: Vm) -> None:
    async def work(session: Session) -> bool:
        await session.monitor.execute("block-job-set-speed", device=merging.JOB, speed=0)
        return True

    open_machine(load_vm(driver.state, vm.id))._demand(work)


@pytest.mark.parametrize("middle", [False, True], ids=["written to", "middle"])
def test_a_guest_writes_on_while_its_layers_are_merged(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch, middle: bool
) -> None:
    guest = start(driver)
    scatter(guest, 10)
    snapshot(driver, "one")
    scatter(guest, 20)
    if middle:
        snapshot(driver, "two")
    desk = find(driver, "desk")
    with monkeypatch.context() as patch:
        slow_down(patch)
        first = next(one.id for one in desk.snapshots if one.name == "one")
        job = driver.start(do.delete_snapshot(desk, first))
        wait_for_merge(driver, desk)
        for n in range(40):
            guest.write(30_000 * n, 5_000, 100 + n)
            guest.write(70_000 * n, 3_000, 150 + n, disk=1)
        patch.setattr(monitor, "Monitor", Monitor)
        speed_up(driver, desk)
        result_of(driver, job)
    assert depths(read(driver, desk.id)) == ([3, 2] if middle else [2, 1])
    check_end(driver, guest)


@pytest.mark.parametrize("middle", [False, True], ids=["written to", "middle"])
def test_a_machine_that_ends_while_layers_are_merged_loses_nothing(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch, middle: bool
) -> None:
    guest = start(driver)
    scatter(guest, 10)
    snapshot(driver, "one")
    scatter(guest, 20)
    if middle:
        snapshot(driver, "two")
    desk = find(driver, "desk")
    before = frozen(driver)
    with monkeypatch.context() as patch:
        slow_down(patch)
        first = next(one.id for one in desk.snapshots if one.name == "one")
        job = driver.start(do.delete_snapshot(desk, first))
        wait_for_merge(driver, desk)
        scatter(guest, 30)
        clean_up(driver.state.root)  # another command comes along
        open_machine(load_vm(driver.state, desk.id)).stop()
        result_of(driver, job)  # it is off by then, and merged as such are
    assert [one.name for one in find(driver, "desk").snapshots] == (["two"] if middle else [])
    assert frozen(driver) == ({"two": before["two"]} if middle else {})
    assert depths(find(driver, "desk")) == ([3, 2] if middle else [2, 1])
    check_end(driver, guest, power=Power.OFF)


@as_root
def test_a_merge_that_finds_no_room_leaves_the_guest_as_it_was(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with (
        small_filesystem(tmp_path / "small", "8m") as folder,
        closing(open_two_disks(folder / "state", image)) as driver,
    ):
        guest = start(driver)
        scatter(guest, 10)
        snapshot(driver, "one")
        guest.write(0, 1 << 20, 20)
        filler = folder / "filler"
        fill(filler)
        os.truncate(filler, filler.stat().st_size - 200_000)  # for the records
        desk = find(driver, "desk")
        error = error_of(
            driver, lambda: driver.start(do.delete_snapshot(desk, desk.snapshots[0].id))
        )
        assert isinstance(error, NoSpaceError)
        filler.unlink()
        assert find(driver, "desk").snapshots == ()
        set_power(driver, desk, Power.ON)  # any command about it notes that nothing is going on
        check_end(driver, guest)
        stop_all(driver)


def test_a_guest_that_cannot_be_brought_to_rest_is_not_frozen_when_that_is_asked_for(
    driver: LocalDriver,
) -> None:
    guest = start(driver)  # nothing answers in there
    before = find(driver, "desk")
    error = error_of(
        driver, lambda: driver.start(do.create_snapshot(before, "one", "", quiesce=True))
    )
    assert isinstance(error, RefusedError)
    assert "``snapshot.quiesce``" in error.hint
    after = find(driver, "desk")
    assert (after.snapshots, after.disks, after.power) == ((), before.disks, Power.ON)
    snapshot(driver, "one")
    check_end(driver, guest)
    result_of(driver, driver.start(do.create_snapshot(before, "off", "", quiesce=True)))


def test_all_disks_are_frozen_or_none(driver: LocalDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = start(driver)
    scatter(guest, 10)
    before = find(driver, "desk")

    class HalfMonitor(Monitor):
        async def execute(self, command: str, /, **arguments: Any) -> Any:
            if command == "transaction":
                arguments["actions"][1]["data"]["snapshot-file"] += ".absent"
            return await super().execute(command, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(monitor, "Monitor", HalfMonitor)
        error = error_of(driver, lambda: driver.start(do.create_snapshot(before, "one", "")))
    assert isinstance(error, HypervisorError)
    after = find(driver, "desk")
    assert (after.snapshots, after.disks, after.power) == ((), before.disks, Power.ON)
    scatter(guest, 20)
    check_end(driver, guest)
