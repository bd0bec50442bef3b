"""Sealed layers: changed or missing ones are found before anything reads them."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.drivers.local.storage.fingerprint import take_fingerprint, take_whole_fingerprint
from linkedclone.drivers.local.storage.seals import (
    is_sealed,
    seal,
    seal_path,
    set_immutable,
    unseal,
)
from linkedclone.errors import InputError, RefusedError
from linkedclone.lineage.family import Lineage
from linkedclone.model.findings import Verdict
from linkedclone.model.images import ImageImport
from linkedclone.model.jobs import Job
from linkedclone.model.report import Mode
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests import do
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
from tests.local.scenes import check_tidy, clean_up, connect, make_image, top_of


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden"))
        make(opened, step_for(opened, find(opened, "golden"), "desk"))
        yield opened


def base_of(driver: LocalDriver) -> Path:
    return driver.state.root / find(driver, "desk").disks[0].chain[0].path


def start(driver: LocalDriver) -> Job:
    return driver.start(do.set_power(find(driver, "desk"), Power.ON))


def clone_again(driver: LocalDriver) -> Job:
    return driver.start(step_for(driver, find(driver, "golden"), "more"))


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


def test_a_vm_is_not_deleted_while_a_clone_of_it_misses_a_layer(
    driver: LocalDriver, tmp_path: Path
) -> None:
    """The chain tells no more that the clone depends on it; the clone's mark does."""
    take_snapshot(driver, find(driver, "desk"), "mine")
    layer = driver.state.root / find(driver, "desk").disks[0].chain[-2].path
    layer.rename(tmp_path / "away")
    os.mkfifo(layer)
    for _ in range(2):  # replaced, then missing
        lineage = Lineage(driver.observe())
        assert lineage.origin(find(driver, "desk")).mode is Mode.UNKNOWN
        readers = lineage.dependants(find(driver, "golden"))
        assert "desk" in {reader.name for reader in readers}
        layer.unlink(missing_ok=True)


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
    result_of(driver, driver.start(do.set_power(grandchild, Power.ON)))


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
    assert base.stat().st_mode & 0o777 == 0o400


def test_a_vm_never_runs_on_a_sealed_layer(driver: LocalDriver) -> None:
    vm = find(driver, "desk")
    seal(driver.state, driver.state.root / vm.disks[0].top.path)
    error = error_of(driver, lambda: start(driver))
    assert isinstance(error, RefusedError)
    assert "sealed" in error.brief


def test_doctor_names_a_changed_layer(driver: LocalDriver) -> None:
    assert {f.check: f.verdict for f in driver.folder.diagnose()}["layers"] is Verdict.OK
    base = base_of(driver)
    tamper(base, at=500_000)
    base.chmod(0o444)
    (finding,) = [f for f in driver.folder.diagnose() if f.check == "layers"]
    assert finding.verdict is Verdict.FAILED
    assert base.name in finding.text


def test_a_merge_takes_the_seals_along(driver: LocalDriver) -> None:
    vm = find(driver, "desk")
    for name in ("one", "two"):
        take_snapshot(driver, vm, name)
    one = read(driver, vm.id).snapshots[0]
    result_of(driver, driver.start(do.delete_snapshot(vm, one.id)))
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
            opened.images.import_image(ImageImport(file=image, name="golden"))
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


LATE = """
import sys
from concurrent.futures import ThreadPoolExecutor, thread
from pathlib import Path
from linkedclone.drivers.local.storage.fingerprint import take_whole_fingerprint

def work():
    while not thread._shutdown:
        pass
    print(take_whole_fingerprint(Path(sys.argv[1])).full_sha256, flush=True)

ThreadPoolExecutor(1).submit(work)
"""
"""What a command does that was interrupted while it worked: it ends that, and no more."""


def test_a_layer_is_sealed_by_a_command_that_only_ends_its_work(tmp_path: Path) -> None:
    file = tmp_path / "layer"
    file.write_bytes(bytes(range(256)) * (1 << 15))
    command = (sys.executable, "-c", LATE, str(file))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == take_whole_fingerprint(file).full_sha256


def test_unsealing_an_absent_file_succeeds(tmp_path: Path) -> None:
    unseal(tmp_path / "absent")
    assert not seal_path(tmp_path / "absent").exists()


def test_a_snapshot_freezes_what_was_there(driver: LocalDriver) -> None:
    vm = find(driver, "desk")
    top = vm.disks[0].top
    snapshot = take_snapshot(driver, vm, "mine")
    assert snapshot.disks is not None
    assert snapshot.disks[0].top == top
    assert current(read(driver, vm.id)).id == snapshot.id


# -- issue 13, item 25: copies that lose times ----------------------------------------


def make_large(driver: LocalDriver, tmp_path: Path, *, digest: bool = True) -> Path:
    """Give the clone a base that is larger than what samples cover; return the base."""
    image = tmp_path / "large.raw"
    with image.open("wb") as file:
        file.truncate(16 << 20)
        file.write(bytes(range(256)) * 64)
        file.seek(9 << 20)
        file.write(b"data" * 20_000)
    driver.images.import_image(ImageImport(file=image, name="large"))
    make(driver, step_for(driver, find(driver, "large"), "on-large"))
    base = driver.state.root / find(driver, "on-large").disks[0].chain[0].path
    if not digest:
        kept = json.loads(seal_path(base).read_bytes())
        del kept["full_sha256"]  # as older versions wrote it
        seal_path(base).write_text(json.dumps(kept))
    return base


def start_on_large(driver: LocalDriver) -> Job:
    return driver.start(do.set_power(find(driver, "on-large"), Power.ON))


def copied_as_by_tar(state: Path, copy: Path) -> None:
    archive = copy.with_suffix(".tar")
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as file:  # whole seconds
        file.add(state, arcname=".")
    with tarfile.open(archive) as file:
        file.extractall(copy, filter="fully_trusted")


def copied_without_times(state: Path, copy: Path) -> None:
    shutil.copytree(state, copy, symlinks=True, copy_function=shutil.copy)


@pytest.mark.parametrize("copy_to", [copied_as_by_tar, copied_without_times])
def test_a_copy_that_lost_its_times_is_compared_in_full_once_and_sealed_anew(
    driver: LocalDriver, tmp_path: Path, copy_to: Callable[[Path, Path], None]
) -> None:
    base = make_large(driver, tmp_path)
    copy = tmp_path / "copy"
    copy_to(driver.state.root, copy)
    there = copy / base.relative_to(driver.state.root)
    assert there.stat().st_mtime_ns != base.stat().st_mtime_ns
    before = seal_path(there).read_bytes()
    with closing(connect(copy)) as other:
        result_of(other, start_on_large(other))
        result_of(other, start(other))
        assert seal_path(there).read_bytes() != before
        assert json.loads(seal_path(there).read_bytes())["mtime_ns"] == there.stat().st_mtime_ns
        assert there.stat().st_mode & 0o777 == 0o400


def tamper(layer: Path, *, at: int, to_ns: int | None = None) -> None:
    """Change a byte that no sample covers; ``to_ns`` is what its time is set to."""
    layer.chmod(0o644)
    before = layer.stat()
    with layer.open("r+b") as file:
        file.seek(at)
        file.write(b"x")
    if to_ns is not None:
        os.utime(layer, ns=(before.st_atime_ns, to_ns))


def test_a_layer_that_was_changed_between_its_samples_is_refused_though_its_time_is_coarser(
    driver: LocalDriver, tmp_path: Path
) -> None:
    base = make_large(driver, tmp_path)
    seconds = base.stat().st_mtime_ns // 10**9 * 10**9
    tamper(base, at=(9 << 20) + 70_000, to_ns=seconds)
    sealed = json.loads(seal_path(base).read_bytes())
    assert take_fingerprint(base).sampled_sha256 == sealed["sampled_sha256"]
    error = error_of(driver, lambda: start_on_large(driver))
    assert isinstance(error, RefusedError)
    assert "``export``" in error.hint
    with pytest.raises(RefusedError, match="was changed"):
        driver.folder.accept_layer(base)


@pytest.mark.parametrize("coarse", [True, False])
def test_a_large_layer_without_a_hash_of_all_of_it_is_accepted_by_one_command(
    driver: LocalDriver, tmp_path: Path, coarse: bool
) -> None:
    base = make_large(driver, tmp_path, digest=False)
    now = base.stat().st_mtime_ns
    base.chmod(0o644)
    os.utime(base, ns=(now, now // 10**9 * 10**9 if coarse else now + 5 * 10**9 + 7))
    if not coarse:
        error = error_of(driver, lambda: start_on_large(driver))
        assert f"``doctor`` ``accept`` {base}" in error.hint
        driver.folder.accept_layer(base)
    result_of(driver, start_on_large(driver))
    assert json.loads(seal_path(base).read_bytes())["full_sha256"]


def test_only_a_sealed_layer_is_accepted_and_only_if_it_is_sound(
    driver: LocalDriver, tmp_path: Path
) -> None:
    other = shutil.copy2(base_of(driver), tmp_path / "other.qcow2")
    for file in (other, top_of(driver.state, find(driver, "desk")), tmp_path / "nothing"):
        with pytest.raises(InputError):
            driver.folder.accept_layer(Path(file))
    base = base_of(driver)
    seal_path(base).write_bytes(b"")
    assert "``accept``" in error_of(driver, lambda: start(driver)).hint
    base.chmod(0o644)
    whole = base.read_bytes()
    base.write_bytes(whole[:-70_000])
    with pytest.raises(RefusedError, match="not sound"):
        driver.folder.accept_layer(base)
    base.write_bytes(whole)
    driver.folder.accept_layer(base)
    result_of(driver, start(driver))


def test_a_move_to_a_file_system_with_coarser_times_keeps_all_seals_valid(
    driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_large(driver, tmp_path, digest=False)

    def copy_coarsely(source: Path, target: Path) -> None:
        copy_times(source, target)
        seen = source.stat()
        os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns // 10**9 * 10**9 - 10**10))

    copy_times = shutil.copystat
    target = Path(tempfile.mkdtemp(dir="/dev/shm")) / "there"
    monkeypatch.setattr(shutil, "copystat", copy_coarsely)
    try:
        driver.folder.move_state(target)
        with closing(connect(target)) as other:
            (layers,) = [f for f in other.folder.diagnose() if f.check == "layers"]
            assert layers.verdict is Verdict.OK, layers
            result_of(other, start_on_large(other))
    finally:
        shutil.rmtree(target.parent)
