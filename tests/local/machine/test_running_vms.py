"""Real machines on real layers, also when the command that moves them is killed."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine import machine
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.machine.process import runs_in
from linkedclone.drivers.local.snapshots import snapshots
from linkedclone.drivers.local.state.file_names import RUN_FOLDER
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.errors import RefusedError
from linkedclone.model.images import ImageImport
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests import do
from tests.command import FORKED
from tests.contract.acts import (
    current,
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
from tests.local.scenes import check_tidy, clean_up, connect, make_image

MEMORY_BYTES = 64 << 20


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state", open_machine)) as opened:
        opened.images.import_image(
            ImageImport(file=image, name="golden", memory_bytes=MEMORY_BYTES)
        )
        yield opened
        for vm in opened.observe().vms:
            open_machine(load_vm(opened.state, vm.id)).stop()


def start_clone(driver: LocalDriver) -> VmId:
    step = running(step_for(driver, find(driver, "golden"), "desk"))
    return make(driver, step).id


def disk_in_use(driver: LocalDriver, vm: VmId) -> Path | None:
    return open_machine(load_vm(driver.state, vm)).read_chains()[0][0]


def test_a_clone_runs_on_its_own_layer(driver: LocalDriver) -> None:
    vm = start_clone(driver)
    assert read(driver, vm).power is Power.ON
    assert disk_in_use(driver, vm) == load_vm(driver.state, vm).top


def test_a_running_clone_outlives_the_command(driver: LocalDriver) -> None:
    vm = start_clone(driver)
    with closing(connect(driver.state.root, open_machine)) as other:
        assert read(other, vm).power is Power.ON
        assert read(other, vm).ssh is not None
        set_power(other, find(other, "desk"), Power.OFF)
    assert read(driver, vm).power is Power.OFF


def test_a_snapshot_of_a_running_vm_moves_it_to_a_new_layer(driver: LocalDriver) -> None:
    vm = start_clone(driver)
    before = read(driver, vm).disks[0].top
    snapshot = take_snapshot(driver, read(driver, vm), "mine")
    after = read(driver, vm)
    assert after.power is Power.ON
    assert [disk.top for disk in snapshot.disks or ()] == [before]
    assert disk_in_use(driver, vm) == driver.state.root / after.disks[0].top.path
    set_power(driver, after, Power.OFF)
    set_power(driver, after, Power.ON)


def test_a_snapshot_deleted_from_a_running_vm_is_merged_at_once(driver: LocalDriver) -> None:
    vm = start_clone(driver)
    take_snapshot(driver, read(driver, vm), "one")
    seen = read(driver, vm)
    assert len(seen.disks[0].chain) == 3
    result_of(driver, driver.start(do.delete_snapshot(vm, current(seen).id)))
    after = read(driver, vm)
    assert (after.snapshots, after.power) == ((), Power.ON)
    assert len(after.disks[0].chain) == 2
    assert disk_in_use(driver, vm) == driver.state.root / after.disks[0].top.path
    set_power(driver, after, Power.OFF)
    check_tidy(driver.state.root)


def test_a_clone_whose_base_changed_is_not_started_and_stays_off(driver: LocalDriver) -> None:
    made = make(driver, step_for(driver, find(driver, "golden"), "desk"))
    base = driver.state.root / made.disks[0].chain[0].path
    base.chmod(0o600)
    base.write_bytes(base.read_bytes() + b"\0")
    error = error_of(driver, lambda: driver.start(do.set_power(made, Power.ON)))
    assert isinstance(error, RefusedError)
    assert read(driver, made.id).power is Power.OFF


def kill_while_moving(root: Path, vm: VmId, *, moved: bool) -> None:
    """Take a snapshot of a running VM in a process that dies before or after the machine moved."""

    class Deadly(Machine):
        def snapshot_disks(self, overlays: Mapping[int, Path], *, quiesce: bool = False) -> bool:
            if moved:
                super().snapshot_disks(overlays, quiesce=quiesce)
            os.kill(os.getpid(), signal.SIGKILL)
            return False

    state = connect(root).state
    real = open_machine(load_vm(state, vm))
    deadly = Deadly(real.folder, real.config)
    snapshots.create_snapshot(state, lambda _: deadly, vm, "mine", "")


@pytest.mark.parametrize("moved", [True, False], ids=["after it moved", "before it moved"])
@pytest.mark.parametrize("ended", [True, False], ids=["then it ended", "and it runs on"])
def test_the_layer_of_a_machine_is_found_after_a_kill(
    driver: LocalDriver, moved: bool, ended: bool
) -> None:
    vm = start_clone(driver)
    root = driver.state.root
    process = FORKED.Process(target=kill_while_moving, args=(root, vm), kwargs={"moved": moved})
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    in_use = disk_in_use(driver, vm)
    if ended:
        open_machine(load_vm(driver.state, vm)).stop()
    clean_up(root)
    seen = read(driver, vm)
    assert seen.snapshots == ()
    assert not load_vm(driver.state, vm).record.unsettled
    if not ended:
        assert in_use == root / seen.disks[0].top.path
        check = subprocess.run(["qemu-img", "info", "-U", in_use], capture_output=True, check=False)
        assert check.returncode == 0
        set_power(driver, seen, Power.OFF)
    elif moved:
        assert in_use == root / seen.disks[0].top.path
    check_tidy(root)
    set_power(driver, seen, Power.ON)
    take_snapshot(driver, read(driver, vm), "mine")
    assert read(driver, vm).power is Power.ON


def test_a_machine_that_a_killed_command_was_starting_is_found(driver: LocalDriver) -> None:
    """QEMU was launched and does not listen yet: the VM looks as if it were off."""
    made = make(driver, step_for(driver, find(driver, "golden"), "desk"))
    process = FORKED.Process(target=die_after_launch, args=(driver.state.root, made.id))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    error = error_of(driver, lambda: driver.start(do.delete_vm(made)))
    assert error.hint == "stop it first"
    set_power(driver, made, Power.ON)
    assert read(driver, made.id).power is Power.ON
    folder = driver.state.folder(made.id) / RUN_FOLDER
    assert runs_in(folder)
    set_power(driver, made, Power.OFF)
    assert not runs_in(folder)


def die_after_launch(root: Path, vm: VmId) -> None:
    def die(*_arguments: object, **_options: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    machine.Machine._wait_for_answer = die  # type: ignore[method-assign]  # on purpose
    with closing(connect(root, open_machine)) as driver:
        result_of(driver, driver.start(do.set_power(vm, Power.ON)))


@pytest.mark.parametrize("wait", [0.02, 0.1, 0.3, 0.4, 0.5])
def test_a_command_that_is_killed_while_it_starts_a_clone_leaves_one_machine_at_most(
    driver: LocalDriver, wait: float
) -> None:
    root = driver.state.root
    process = FORKED.Process(target=start_and_linger, args=(root,))
    process.start()
    process.join(timeout=wait)
    process.kill()
    process.join()
    clean_up(root)
    for vm in driver.observe().vms:
        if vm.name == "desk":
            folder = driver.state.folder(vm.id) / RUN_FOLDER
            set_power(driver, vm, Power.ON)
            assert read(driver, vm.id).power is Power.ON
            set_power(driver, vm, Power.OFF)
            assert not runs_in(folder)
            result_of(driver, driver.start(do.delete_vm(vm)))
    assert [vm.name for vm in driver.observe().vms] == ["golden"]
    check_tidy(root)
    assert read(driver, start_clone(driver)).power is Power.ON


def start_and_linger(root: Path) -> None:
    with closing(connect(root, open_machine)) as driver:
        start_clone(driver)
        signal.pause()
