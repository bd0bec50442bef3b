"""A layer that was moved is missed; what depended on it depends on its new place afterwards."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.cli.main import main
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.inventory.layer_users import take_survey
from linkedclone.drivers.local.state.folder import StateFolder, open_state
from linkedclone.drivers.local.storage.seals import is_sealed
from linkedclone.errors import BusyError, InputError, InUseError, RefusedError
from linkedclone.formats.chain import read_chain
from linkedclone.model.images import ImageImport
from linkedclone.model.vm import Power
from linkedclone.system.locks import hold
from tests import do
from tests.contract.acts import find, make, result_of, set_power, step_for, take_snapshot
from tests.local.scenes import (
    View,
    build_family,
    clean_up,
    connect,
    make_image,
    top_of,
    view,
    write,
)
from tests.local.victim import run_killed


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    build_family(tmp_path / "here")
    return open_state(tmp_path / "here/state", immutable=False)


@pytest.fixture
def driver(state: StateFolder) -> Iterator[LocalDriver]:
    with closing(connect(state.root)) as opened:
        yield opened


def base_of(driver: LocalDriver, name: str, index: int = 0) -> Path:
    """Return a layer below a VM's disk, counted from its base."""
    return read_chain(top_of(driver.state, find(driver, name)))[index].path


def move_away(layer: Path, name: str = "") -> Path:
    """Move a layer out of the state folder, as a person without room would."""
    away = layer.parents[3] / "large"
    away.mkdir(exist_ok=True)
    there = away / (name or layer.name)
    shutil.move(layer, there)
    return there


def check_sound(state: StateFolder, before: dict[str, View]) -> None:
    assert view(state.root) == before
    with closing(connect(state.root)) as driver:
        assert [f.text for f in driver.folder.diagnose() if f.check == "leftovers"] == [
            "there are none"
        ]
        (layers,) = [f.text for f in driver.folder.diagnose() if f.check == "layers"]
        assert layers.endswith("all sound")
    assert list(state.staging.iterdir()) == []


def test_clones_of_clones_depend_on_the_new_place(state: StateFolder, driver: LocalDriver) -> None:
    before, layer = view(state.root), base_of(driver, "grand")
    there = move_away(layer)
    there.chmod(0o644)
    done = driver.folder.rebase_layers(there)
    assert there.stat().st_mode & 0o777 == 0o400
    assert set(done.vms) == {"golden", "grand", "kept"}
    check_sound(state, before_without_independence(before, state))
    assert is_sealed(there)
    assert not layer.exists()
    for name in done.vms:
        assert there in [f.path for f in read_chain(top_of(state, find(driver, name)))]
    with pytest.raises(InputError):
        driver.folder.rebase_layers(there)


@pytest.mark.parametrize("index", [1, 2], ids=["middle", "of the clone"])
def test_a_layer_that_hangs_from_another_stays_where_that_is_found(
    state: StateFolder, driver: LocalDriver, index: int
) -> None:
    before, layer = view(state.root), base_of(driver, "grand", index)
    there = move_away(layer)
    with pytest.raises(RefusedError) as caught:
        driver.folder.rebase_layers(there)
    assert f"mv -n {there} {layer}" in caught.value.hint
    folder = state.vms / "elsewhere.00000000"
    folder.mkdir()
    there = Path(shutil.move(there, folder / "disk-00000000.qcow2"))
    driver.folder.rebase_layers(there)
    check_sound(state, before_without_independence(before, state))


def before_without_independence(before: dict[str, View], state: StateFolder) -> dict[str, View]:
    """Take what was seen before; only whether a VM is independent is another matter by now."""
    now = view(state.root)
    return {
        name: View(
            content=one.content,
            snapshots=one.snapshots,
            current=one.current,
            independent=now[name].independent,
        )
        for name, one in before.items()
    }


def test_clones_keep_depending_on_their_snapshot(state: StateFolder, driver: LocalDriver) -> None:
    driver.folder.rebase_layers(move_away(base_of(driver, "grand")))
    golden, kept = find(driver, "golden"), find(driver, "kept")
    frozen = {snapshot.disks[0].top for snapshot in golden.snapshots if snapshot.disks}
    assert frozen & set(kept.disks[0].chain)
    made = make(driver, step_for(driver, golden, "new"))
    set_power(driver, made, Power.ON)
    set_power(driver, made, Power.OFF)
    for name in ("new", "grand", "kept"):
        result_of(driver, driver.start(do.delete_vm(find(driver, name))))
    for snapshot in find(driver, "golden").snapshots:
        result_of(driver, driver.start(do.delete_snapshot(golden, snapshot.id)))
    assert take_survey(state).doubts == ()


def test_a_layer_whose_vm_was_deleted_becomes_the_backing_file(
    state: StateFolder, driver: LocalDriver
) -> None:
    base = base_of(driver, "grand")
    result_of(driver, driver.start(do.delete_vm(find(driver, "golden"))))
    before = view(state.root)
    there = move_away(base, "renamed.img")
    driver.folder.rebase_layers(there)
    assert base_of(driver, "grand") == there
    check_sound(state, before)


def test_a_raw_base_that_was_moved_with_its_seal(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bytes(range(256)) * 4096)
    with closing(connect(tmp_path / "here/state")) as driver:
        driver.images.import_image(ImageImport(file=raw, name="golden", format="raw"))
        make(driver, step_for(driver, find(driver, "golden"), "desk"))
        before, base = view(driver.state.root), base_of(driver, "desk")
        seal = base.with_name(base.name + ".seal")
        there = move_away(base)
        shutil.move(seal, there.parent)
        there.chmod(0o644)
        driver.folder.rebase_layers(there)
        assert base_of(driver, "desk") == there
        assert there.stat().st_mode & 0o777 == 0o400
        check_sound(driver.state, before_without_independence(before, driver.state))


def test_a_layer_elsewhere_in_the_state_folder_moves_with_it(
    state: StateFolder, driver: LocalDriver
) -> None:
    before, base = view(state.root), base_of(driver, "grand")
    (state.root / "large").mkdir()
    there = state.root / "large" / base.name
    shutil.move(base, there)
    driver.folder.rebase_layers(there)
    driver.folder.move_state(state.root.parent / "there")
    after = open_state(state.root.parent / "there", immutable=False)
    check_sound(after, before_without_independence(before, after))


def test_another_file_is_refused(state: StateFolder, driver: LocalDriver, tmp_path: Path) -> None:
    base = base_of(driver, "grand")
    there = move_away(base)
    changed = make_image(tmp_path / "changed.qcow2")
    for file in (changed, tmp_path, tmp_path / "none", state.root / "id"):
        with pytest.raises(InputError):
            driver.folder.rebase_layers(file)
    times = there.stat()
    write(there, at=0, length=512, fill=9) if os.geteuid() else None
    there.chmod(0o644)
    write(there, at=0, length=512, fill=9)
    os.utime(there, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(InputError):
        driver.folder.rebase_layers(there)
    assert read_chain(top_of(state, find(driver, "grand")))[0].missing


def test_two_files_that_differ_where_no_sample_is_taken_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(64 << 20)
    with closing(connect(tmp_path / "here/state")) as driver:
        driver.images.import_image(ImageImport(file=raw, name="golden", format="raw"))
        base = base_of(driver, "golden")
        one, other = tmp_path / "here/one", tmp_path / "here/other"
        shutil.move(base, one)
        shutil.copy2(one, other)
        seen = one.stat()
        other.chmod(0o644)
        with other.open("r+b") as file:
            file.seek(100_000)
            file.write(b"other")
        os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        with pytest.raises(RefusedError, match="more than one file"):
            driver.folder.rebase_layers(one)
        main(["doctor", "--endpoint", f"local:{driver.state.root}"])
        assert "several files look like it, and differ" in capsys.readouterr().out
        shutil.copy2(one, other)
        driver.folder.rebase_layers(one)
        assert base_of(driver, "golden") == one


def test_vms_that_run_or_are_worked_on_are_left_alone(
    state: StateFolder, driver: LocalDriver
) -> None:
    base = base_of(driver, "grand")
    set_power(driver, find(driver, "grand"), Power.ON)
    there = move_away(base)
    with pytest.raises(InUseError) as caught:
        driver.folder.rebase_layers(there)
    assert caught.value.dependants == ("grand",)
    set_power(driver, find(driver, "grand"), Power.OFF)
    lock = next(state.root.glob("vms/kept*/lock"))
    with hold(lock, shared=True), pytest.raises(BusyError):
        driver.folder.rebase_layers(there)
    with hold(state.family_lock, shared=True), pytest.raises(BusyError):
        driver.folder.rebase_layers(there)
    assert read_chain(top_of(state, find(driver, "kept")))[0].missing


def test_doctor_offers_both_ways_and_takes_one(
    state: StateFolder,
    driver: LocalDriver,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    base = base_of(driver, "grand")
    there = state.root.parent / "moved.img"
    shutil.move(base, there)
    endpoint = ("--endpoint", f"local:{state.root}")
    assert main(["-o", "json", "doctor", *endpoint]) == 1
    found = [f for f in json.loads(capsys.readouterr().out)["findings"] if f["check"] == "layers"]
    assert f"mv -n {there} {base}" in found[0]["remedy"]
    assert f"linkedclone doctor --rebase {there} --endpoint" in found[0]["remedy"]
    assert main(["doctor", "--rebase", str(there), *endpoint]) == 0
    told = capsys.readouterr()
    assert f"now on {there}: golden, grand, kept" in told.err
    assert "all sound" in told.out


def rebase_there(root: Path, there: Path) -> None:
    with closing(connect(root)) as driver:
        driver.folder.rebase_layers(there)


@pytest.mark.timeout(600)
def test_a_kill_at_any_step_loses_nothing_and_the_same_command_ends_it(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Every third step, and with ``--soak`` each."""
    build_family(tmp_path / "family")
    with closing(connect(tmp_path / "family/state")) as driver:
        take_snapshot(driver, find(driver, "grand"), "top")
        before, base = view(driver.state.root), base_of(driver, "grand")
    there = move_away(base)
    assert there.is_relative_to(tmp_path / "family")

    def copied(name: str) -> tuple[Path, Path]:
        folder = tmp_path / name
        shutil.copytree(tmp_path / "family", folder, symlinks=True)
        return folder / "state", folder / there.relative_to(tmp_path / "family")

    steps = run_killed(rebase_there, copied("whole"), 0)
    assert steps > 10
    for step in range(1, steps + 1, 1 if request.config.getoption("--soak") else 3):
        root, layer = copied(f"kill-{step}")
        run_killed(rebase_there, (root, layer), step)
        clean_up(root)
        if take_survey(open_state(root)).doubts:
            rebase_there(root, layer)
        clean_up(root)
        after = open_state(root, immutable=False)
        check_sound(after, before_without_independence(before, after))
        shutil.rmtree(root.parent)
