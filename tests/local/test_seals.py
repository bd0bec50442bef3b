"""Sealed layers: changed or missing ones are found before anything reads them."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.layout import open_state
from linkedclone.drivers.local.seals import is_sealed, seal, seal_path, set_immutable, unseal
from linkedclone.errors import RefusedError
from linkedclone.model.findings import Verdict
from linkedclone.model.ids import VmId
from linkedclone.model.images import ImageImport
from linkedclone.model.jobs import Job
from linkedclone.model.observed import Power
from tests.contract.acts import (
    current,
    delete,
    error_of,
    find,
    make,
    read,
    result_of,
    set_power,
    step_for,
    take_snapshot,
)
from tests.local.scenes import check_tidy, clean_up, connect, make_image


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.import_image(ImageImport(file=image, name="golden"))
        make(opened, step_for(opened, find(opened, "golden"), "desk"))
        yield opened


def base_of(driver: LocalDriver) -> Path:
    return driver.state.root / find(driver, "desk").disks[0].chain[0].path


def start(driver: LocalDriver) -> Job:
    return driver.set_power(find(driver, "desk").id, Power.ON)


def clone_again(driver: LocalDriver) -> Job:
    return driver.create_clone(step_for(driver, find(driver, "golden"), "more"))


def test_sound_layers_let_a_clone_start(driver: LocalDriver) -> None:
    result_of(driver, start(driver))


@pytest.mark.parametrize("act", [start, clone_again])
def test_a_layer_that_was_written_to_lets_nothing_start(
    driver: LocalDriver, act: Callable[[LocalDriver], Job]
) -> None:
    base = base_of(driver)
    base.chmod(0o644)
    with base.open("r+b") as file:
        file.seek(500_000)
        file.write(b"changed")
    error = error_of(driver, lambda: act(driver))
    assert isinstance(error, RefusedError)
    assert base.name in error.brief
    assert "written to" in error.details
    assert error.hint


@pytest.mark.parametrize("act", [start, clone_again])
def test_a_missing_layer_lets_nothing_start(
    driver: LocalDriver, tmp_path: Path, act: Callable[[LocalDriver], Job]
) -> None:
    base = base_of(driver)
    base.rename(tmp_path / "away")
    error = error_of(driver, lambda: act(driver))
    assert isinstance(error, RefusedError)
    assert base.name in error.brief
    assert "missing" in error.brief
    (tmp_path / "away").rename(base)
    result_of(driver, act(driver))


def test_a_layer_that_grew_is_found(driver: LocalDriver) -> None:
    base = base_of(driver)
    base.chmod(0o644)
    before = base.stat()
    with base.open("ab") as file:
        file.write(b"more")
    os.utime(base, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "bytes" in error_of(driver, lambda: start(driver)).details


def test_a_layer_whose_time_was_set_back_is_found(driver: LocalDriver) -> None:
    base = base_of(driver)
    base.chmod(0o644)
    before = base.stat()
    with base.open("r+b") as file:
        file.write(b"QFI\xfb\0\0\0\x02")
    os.utime(base, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "content" in error_of(driver, lambda: start(driver)).details


def test_a_layer_that_was_put_back_is_accepted(driver: LocalDriver, tmp_path: Path) -> None:
    base = base_of(driver)
    shutil.copy2(base, tmp_path / "copy")
    base.unlink()
    shutil.copy2(tmp_path / "copy", base)
    result_of(driver, start(driver))


def test_a_state_folder_may_be_moved_to_another_filesystem(
    driver: LocalDriver, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(driver.state.root, moved, symlinks=True)
    shutil.rmtree(driver.state.root)
    with closing(connect(moved)) as other:
        assert other.identify().instance == driver.identify().instance
        result_of(other, start(other))
        set_power(other, find(other, "desk"), Power.OFF)
        result_of(other, clone_again(other))
    check_tidy(moved)


def test_a_vm_whose_base_is_missing_is_listed_all_the_same(
    driver: LocalDriver, tmp_path: Path
) -> None:
    seen = {vm.name: vm.disks for vm in driver.observe().vms}
    base_of(driver).rename(tmp_path / "away")
    again = driver.observe().vms
    assert {vm.name for vm in again} == set(seen)
    assert {layer for vm in again for layer in vm.layers} <= {
        layer for disks in seen.values() for disk in disks for layer in disk.chain
    }


def test_nothing_is_swept_while_a_layer_is_missing(driver: LocalDriver, tmp_path: Path) -> None:
    """What lies below the missing layer may be wanted when it is put back."""
    child = find(driver, "desk")
    take_snapshot(driver, child, "mine")
    grandchild = make(driver, step_for(driver, read(driver, child.id), "grand"))
    middle = driver.state.root / grandchild.disks[0].chain[-2].path
    middle.rename(tmp_path / "away")
    delete(driver, find(driver, "desk"))
    delete(driver, find(driver, "golden"))
    (tmp_path / "away").rename(middle)
    result_of(driver, driver.set_power(grandchild.id, Power.ON))


def test_a_clone_whose_base_is_lost_for_good_can_be_deleted(driver: LocalDriver) -> None:
    base = base_of(driver)
    base.unlink()
    delete(driver, find(driver, "desk"))
    delete(driver, find(driver, "golden"))
    clean_up(driver.state.root)
    assert driver.observe().vms == ()


def test_a_frozen_layer_without_a_seal_is_sealed_when_it_is_used(driver: LocalDriver) -> None:
    base = base_of(driver)
    unseal(base)
    assert not is_sealed(base)
    result_of(driver, start(driver))
    assert is_sealed(base)
    assert base.stat().st_mode & 0o777 == 0o444


def test_a_vm_never_runs_on_a_sealed_layer(driver: LocalDriver) -> None:
    vm = find(driver, "desk")
    seal(driver.state, driver.state.root / vm.disks[0].top.path)
    error = error_of(driver, lambda: start(driver))
    assert isinstance(error, RefusedError)
    assert "sealed" in error.brief


def test_doctor_names_a_changed_layer(driver: LocalDriver) -> None:
    assert {f.check: f.verdict for f in driver.diagnose()}["layers"] is Verdict.OK
    base = base_of(driver)
    os.utime(base)
    (finding,) = [f for f in driver.diagnose() if f.check == "layers"]
    assert finding.verdict is Verdict.FAILED
    assert base.name in finding.text


def test_a_merge_takes_the_seals_along(driver: LocalDriver) -> None:
    vm = find(driver, "desk")
    for name in ("one", "two"):
        take_snapshot(driver, vm, name)
    one = read(driver, vm.id).snapshots[0]
    result_of(driver, driver.delete_snapshot(vm.id, one.id))
    (two,) = read(driver, vm.id).snapshots
    assert two.disks is not None
    frozen = driver.state.root / two.disks[0].top.path
    assert len(two.disks[0].chain) == 2
    assert is_sealed(frozen)
    check_tidy(driver.state.root)
    result_of(driver, start(driver))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set the immutable flag")
def test_root_cannot_write_to_a_sealed_layer_and_deleting_clears_the_flag(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    root = tmp_path / "state"
    state = open_state(root, immutable=True)
    probe = tmp_path / "probe"
    probe.touch()
    if not set_immutable(probe, on=True):
        pytest.skip("this filesystem has no immutable flag")
    set_immutable(probe, on=False)
    layers: list[Path] = []
    try:
        with closing(LocalDriver(state)) as opened:
            opened.import_image(ImageImport(file=image, name="golden"))
            parent = find(opened, "golden")
            layers.append(root / parent.disks[0].chain[0].path)
            with pytest.raises(PermissionError):
                layers[0].open("r+b")
            with pytest.raises(PermissionError):
                layers[0].unlink()
            made = make(opened, step_for(opened, parent, "desk"))
            take_snapshot(opened, made, "mine")
            layers.append(root / read(opened, made.id).disks[0].chain[-2].path)
            delete(opened, parent)
            assert layers[0].exists()
            delete(opened, read(opened, VmId(made.id)))
            assert not any(layer.exists() for layer in layers)
    finally:
        for layer in layers:
            if layer.exists():
                unseal(layer)


def test_unsealing_what_is_absent_is_done(tmp_path: Path) -> None:
    unseal(tmp_path / "absent")
    assert not seal_path(tmp_path / "absent").exists()


def test_a_snapshot_freezes_what_was_there(driver: LocalDriver) -> None:
    vm = find(driver, "desk")
    top = vm.disks[0].top
    snapshot = take_snapshot(driver, vm, "mine")
    assert snapshot.disks is not None
    assert snapshot.disks[0].top == top
    assert current(read(driver, vm.id)).id == snapshot.id
