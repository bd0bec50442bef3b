"""The files of memory that snapshots keep, as all commands treat them; no machine runs."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.diagnosis.doctor import diagnose
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.accelerator import read_qemu_version
from linkedclone.drivers.local.machine.arguments import Loading, build_arguments
from linkedclone.drivers.local.machine.open import find_shape, open_machine
from linkedclone.drivers.local.qmp.migration import Captured
from linkedclone.drivers.local.state.folder import new_memory_names
from linkedclone.drivers.local.state.record import MemoryRecord
from linkedclone.drivers.local.state.store import StoredVm, load_vm, locked, save_record
from linkedclone.drivers.local.storage.fingerprint import sample_offsets
from linkedclone.drivers.local.storage.memory import hash_state, prepare_loading, seal_memory
from linkedclone.drivers.local.storage.seals import read_seal, seal_path
from linkedclone.errors import PowerOnError, RefusedError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.images import ImageImport
from linkedclone.model.plan import ReconfigureVm
from linkedclone.model.vm import Power, SnapshotMemory, Vm
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
from tests.local.copies import copy_built
from tests.local.pretend import PretendMachine, open_pretend_machine
from tests.local.recovery.test_full_disk import as_root, small_filesystem
from tests.local.scenes import check_tidy, collect_files, connect, make_image

MEMORY_BYTES = 64 << 20


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    """A state folder with a clone that has a snapshot with memory, as far as can be seen."""
    copy_built("memory files", build, tmp_path / "made")
    with closing(connect(tmp_path / "made/state")) as opened:
        yield opened


def build(root: Path) -> None:
    root.mkdir(parents=True)
    image = make_image(root / "image.qcow2")
    with closing(connect(root / "state")) as opened:
        wanted = ImageImport(file=image, name="golden", memory_bytes=MEMORY_BYTES)
        opened.images.import_image(wanted)
        desk = make(opened, step_for(opened, find(opened, "golden"), "desk"))
        take_snapshot(opened, desk, "plain")
        take_snapshot(opened, desk, "ready")
        keep_memory(opened, desk, "ready")


def keep_memory(driver: LocalDriver, vm: Vm, name: str) -> None:
    """Give a snapshot memory, with files as a machine's would be."""
    with locked(driver.state, vm.id) as stored:
        ram, state = new_memory_names()
        with (stored.folder / ram).open("wb") as file:
            file.truncate(MEMORY_BYTES)
            file.write(b"memory" * 4096)
        (stored.folder / state).write_bytes(b"state of devices" * 4096)
        for made in (ram, state):
            seal_memory(driver.state, stored.folder / made)
        memory = MemoryRecord(
            ram=ram,
            state=state,
            state_sha256=hash_state(stored.folder / state),
            machine="pc-q35-7.2",
            qemu=".".join(map(str, read_qemu_version())),
            accel="tcg",
            cpu="max",
            shape=find_shape(stored, 1),
            cpus=1,
            memory_bytes=MEMORY_BYTES,
        )
        snapshots = tuple(
            replace(snapshot, memory=memory) if snapshot.name == name else snapshot
            for snapshot in stored.record.snapshots
        )
        save_record(driver.state, stored, replace(stored.record, snapshots=snapshots))


def see_memory(driver: LocalDriver, name: str = "ready") -> SnapshotMemory | None:
    (snapshot,) = (s for s in find(driver, "desk").snapshots if s.name == name)
    return snapshot.memory


def find_files(driver: LocalDriver) -> tuple[Path, Path]:
    ram, state = load_vm(driver.state, find(driver, "desk").id).memory
    return ram, state


def load(driver: LocalDriver) -> None:
    stored = load_vm(driver.state, find(driver, "desk").id)
    prepare_loading(stored, stored.record.snapshots[-1])


def see_size(driver: LocalDriver) -> int:
    return sum(path.stat().st_blocks * 512 for path in find_files(driver))


def test_a_snapshot_tells_its_memory_and_what_that_takes(driver: LocalDriver) -> None:
    assert see_memory(driver, "plain") is None
    used = see_size(driver)
    assert see_memory(driver) == SnapshotMemory(size_bytes=used)
    before = find(driver, "desk").own_bytes
    load(driver)
    (snapshot,) = (s for s in find(driver, "desk").snapshots if s.name == "ready")
    result_of(driver, driver.start(do.delete_snapshot(find(driver, "desk"), snapshot.id)))
    assert before is not None
    assert (find(driver, "desk").own_bytes or 0) <= before - used
    check_tidy(driver.state.root)


def change_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"X")


def change_byte_in_secret(path: Path) -> None:
    """Change a byte, and give the file the time that it had."""
    before = path.stat()
    change_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def remove_seal(path: Path) -> None:
    seal_path(path).unlink()


def spoil_seal(path: Path) -> None:
    seal_path(path).write_bytes(b"{")


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: tuple[Callable[[Path], None], ...] = (
    Path.unlink,
    change_byte,
    cut,
    empty,
    remove_seal,
    spoil_seal,
    replace_by_link,
    replace_by_folder,
)


@pytest.mark.parametrize("number", [0, 1], ids=["ram", "state"])
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda one: str(one.__name__))
def test_damaged_memory_is_stale_and_its_disks_are_as_good_as_ever(
    driver: LocalDriver, damage: Callable[[Path], None], number: int
) -> None:
    path = find_files(driver)[number]
    damage(path)
    seen = see_memory(driver)
    assert seen is not None
    assert path.name in seen.stale
    with pytest.raises(RefusedError, match="cannot be used any more"):
        load(driver)
    step = step_for(driver, find(driver, "desk"), "web")
    assert make(driver, step).power is Power.OFF


@pytest.mark.parametrize("number", [0, 1], ids=["ram", "state"])
def test_what_was_changed_in_secret_is_found_before_it_is_loaded(
    driver: LocalDriver, number: int
) -> None:
    load(driver)
    change_byte_in_secret(find_files(driver)[number])
    with pytest.raises(RefusedError, match=find_files(driver)[number].name):
        load(driver)


def test_memory_whose_time_alone_is_another_is_compared_once_before_it_is_loaded(
    driver: LocalDriver,
) -> None:
    for path in find_files(driver):
        os.utime(path, (1, 1))
    assert see_memory(driver) == SnapshotMemory(size_bytes=see_size(driver))
    assert [path.stat().st_mtime for path in find_files(driver)] == [1, 1]
    load(driver)
    for path in find_files(driver):
        assert path.stat().st_mtime_ns == read_seal(path).mtime_ns


def test_a_listing_does_not_read_all_memory_whose_time_is_another(driver: LocalDriver) -> None:
    change_between_samples(find_files(driver)[0], later=True)
    seen = see_memory(driver)
    assert seen is not None
    assert seen.stale == ""
    with pytest.raises(RefusedError, match="was written to after it was sealed"):
        load(driver)


def test_other_hardware_than_the_memory_has_makes_it_stale(driver: LocalDriver) -> None:
    desk = find(driver, "desk")
    result_of(driver, driver.start(ReconfigureVm(vm=desk.id, vm_name="desk", cpus=2)))
    seen = see_memory(driver)
    assert seen is not None
    assert "1 CPU and 64.0 MiB" in seen.stale
    result_of(driver, driver.start(ReconfigureVm(vm=desk.id, vm_name="desk", cpus=1)))
    load(driver)


class BrokenMachine(PretendMachine):
    """A machine whose QEMU loads nothing."""

    def load(self, loading: Loading, deadline_seconds: float = 0.0) -> None:  # noqa: ARG002
        raise PowerOnError("no", hint="what it said is in a folder that goes")


def test_a_fork_that_is_undone_hints_at_no_log_of_its_own(driver: LocalDriver) -> None:
    with closing(connect(driver.state.root, lambda vm: BrokenMachine(vm.folder))) as broken:
        step = replace(step_for(broken, find(broken, "desk"), "web"), instant=True)
        error = error_of(broken, lambda: broken.start(step))
    assert (error.brief, "``keep_failed``" in error.hint) == ("no", True)


class TakenOver(PretendMachine):
    """A machine whose guest speaks for its QEMU."""

    told = Captured(machine="pc,accel=x", qemu="7.2.2")

    def __init__(self, vm: StoredVm) -> None:
        super().__init__(vm.folder)
        self._vm = vm

    def read_arguments(self) -> tuple[str, ...]:
        return build_arguments(open_machine(self._vm).config, [""], accel="tcg", firmware=None)

    def capture(self, overlays: Mapping[int, Path], stream: Path) -> Captured:  # noqa: ARG002
        return self.told

    def cancel_jobs(self) -> None:
        pass

    def read_chains(self) -> dict[int, tuple[Path, ...]]:
        return {0: (self._vm.top,)}


@pytest.mark.parametrize("told", [("pc,accel=x", "7.2.2"), ("", "7.2.2"), ("pc", "7.2.99999")])
def test_what_no_qemu_says_of_itself_is_neither_run_nor_recorded(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch, told: tuple[str, str]
) -> None:
    monkeypatch.setattr(TakenOver, "told", Captured(machine=told[0], qemu=told[1]))
    before = find(driver, "desk")
    set_power(driver, before, Power.ON)
    with closing(connect(driver.state.root, TakenOver)) as opened:
        take = replace(do.create_snapshot(before, "more", ""), memory=True)
        error = error_of(opened, lambda: opened.start(take))
    assert "QEMU does not answer" in error.brief
    assert find(driver, "desk").snapshots == before.snapshots
    check_tidy(driver.state.root)


def test_a_revert_to_stale_memory_says_before_that_the_vm_will_be_off(driver: LocalDriver) -> None:
    find_files(driver)[0].unlink()
    set_power(driver, find(driver, "desk"), Power.ON)
    with closing(Connection(driver, address="local:")) as connection:
        proposal = connection.snapshots.propose_revert("desk", "ready")
        told = [note for note in proposal.plan.notes if "will be off" in note]
        assert len(told) == 1
        assert "is missing" in told[0]
        assert proposal.carry_out().exit_code == 0
    assert find(driver, "desk").power is Power.OFF


def test_memory_is_where_it_was_after_the_vm_was_renamed_and_made_a_full_one(
    driver: LocalDriver,
) -> None:
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.rename_vm(desk, "chair")))
    result_of(driver, driver.start(do.rename_vm(desk, "desk")))
    load(driver)
    result_of(driver, driver.start(do.promote_vm(desk)))
    load(driver)
    check_tidy(driver.state.root)


@as_root
def test_memory_moves_with_the_state_folder(driver: LocalDriver, tmp_path: Path) -> None:
    used = see_memory(driver)
    driver.folder.move_state(tmp_path / "near")
    with small_filesystem(tmp_path / "small", "64m") as small:
        with closing(connect(tmp_path / "near")) as near:
            assert see_memory(near) == used
            near.folder.move_state(small / "far")
        with closing(connect(small / "far")) as far:
            seen = see_memory(far)
            assert seen is not None
            assert seen.stale == ""
            load(far)
            check_tidy(far.state.root)


def test_the_deletion_of_a_vm_takes_its_memory_with_it(driver: LocalDriver) -> None:
    folder = driver.state.folder(find(driver, "desk").id)
    result_of(driver, driver.start(do.delete_vm(find(driver, "desk"))))
    assert not folder.exists()
    check_tidy(driver.state.root)


def test_the_memory_of_a_deleted_vm_goes_though_its_layers_are_read(driver: LocalDriver) -> None:
    desk = find(driver, "desk")
    make(driver, step_for(driver, desk, "web"))
    folder = driver.state.folder(desk.id)
    result_of(driver, driver.start(do.delete_vm(desk)))
    assert {path.suffix for path in folder.iterdir() if path.is_file()} <= {".qcow2", ".seal"}
    check_tidy(driver.state.root)


def test_a_snapshot_of_the_same_layers_keeps_its_memory_when_another_goes(
    driver: LocalDriver,
) -> None:
    desk = find(driver, "desk")
    plain = next(s for s in desk.snapshots if s.name == "plain")
    result_of(driver, driver.start(do.delete_snapshot(desk, plain.id)))
    load(driver)
    assert [s.name for s in read(driver, desk.id).snapshots] == ["ready"]


def change_between_samples(path: Path, *, later: bool = False) -> None:
    """Change a byte that no sample covers; the file has the time that it had, or a later one."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(sample_offsets(before.st_size)[0] + (64 << 10) + 100)
        file.write(b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + later * 10**9))


def test_doctor_looks_at_all_of_the_memory_and_says_what_helps(driver: LocalDriver) -> None:
    def look() -> list[Finding]:
        found = diagnose(driver.state.root, open_pretend_machine)
        return [finding for finding in found if finding.check == "memory"]

    (sound,) = look()
    assert sound.verdict is Verdict.OK
    change_between_samples(find_files(driver)[0])
    load(driver)  # it is not looked at whole each time
    (stale,) = look()
    assert stale.verdict is Verdict.WARNING
    assert find_files(driver)[0].name in stale.text
    assert "desk ready" in stale.remedy


def test_files_of_memory_of_no_snapshot_are_offered_for_removal(driver: LocalDriver) -> None:
    ram, _ = find_files(driver)
    left = ram.with_name("ram-0badcafe")
    shutil.copyfile(ram, left)
    seal_memory(driver.state, left)
    assert [stray.layer.path for stray in driver.observe().strays] == [driver.state.relative(left)]
    collect_files(driver)
    assert not left.exists()
    load(driver)
    check_tidy(driver.state.root)


def test_files_of_memory_that_are_not_ours_stay(driver: LocalDriver) -> None:
    ram, _ = find_files(driver)
    copy = ram.with_name("ram-copy")
    shutil.copyfile(ram, copy)
    ready = next(s for s in find(driver, "desk").snapshots if s.name == "ready")
    result_of(driver, driver.start(do.delete_snapshot(find(driver, "desk"), ready.id)))
    assert not ram.exists()
    assert copy.exists()
