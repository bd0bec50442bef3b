"""Commands that get in each other's way: no layer goes between check and use."""

import random
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.inventory import orphans
from linkedclone.drivers.local.inventory.layer_users import Survey, take_survey
from linkedclone.drivers.local.recovery import garbage as sweeping
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.storage import remove_file
from linkedclone.errors import DuplicateNameError, GoneError
from linkedclone.model.images import ImageImport
from linkedclone.model.jobs import JobStatus
from linkedclone.system import atomic_files
from linkedclone.system.atomic_files import write_new
from tests import do
from tests.command import FORKED
from tests.contract.acts import find, finish, make, read, renamed, step_for, take_snapshot
from tests.local import crowd
from tests.local.scenes import check_tidy, clean_up, connect, make_image

ROUNDS = 10


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image.qcow2")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(connect(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def other_driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(connect(tmp_path / "state")) as opened:
        yield opened


def test_a_parent_that_is_deleted_while_it_is_cloned_leaves_whole_clones(
    driver: LocalDriver, other_driver: LocalDriver, image: Path
) -> None:
    for turn in range(ROUNDS):
        driver.images.import_image(ImageImport(file=image, name="golden"))
        parent = find(driver, "golden")
        first = step_for(driver, parent, "desk")
        steps = [renamed(first, f"desk-{turn}-{n}") for n in range(6)]
        cut = random.Random(turn).randrange(6)
        jobs = [driver.start(step) for step in steps[:cut]]
        deletion = other_driver.start(do.delete_vm(parent))
        for step in steps[cut:]:
            with suppress(GoneError):  # told at once, if it is gone by then
                jobs.append(driver.start(step))
        (deleted,) = finish(other_driver, [deletion])
        assert deleted.error is None
        states = finish(driver, jobs)
        assert {type(state.error) for state in states if state.error} <= {GoneError}
        made = {state.result for state in states if state.status is JobStatus.DONE}
        left = driver.observe().vms
        assert {vm.id for vm in left} == made
        check_tidy(driver.state.root)
        finish(driver, [driver.start(do.delete_vm(vm)) for vm in left])
        assert list(driver.state.vms.iterdir()) == []


def test_the_last_reader_that_goes_while_another_comes_keeps_the_layer(
    driver: LocalDriver, other_driver: LocalDriver, image: Path
) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    child = make(driver, step_for(driver, find(driver, "golden"), "child"))
    take_snapshot(driver, child, "mine")
    finish(driver, [driver.start(do.delete_vm(find(driver, "golden")))])
    for turn in range(ROUNDS):
        source = find(driver, "child" if turn == 0 else f"child-{turn - 1}")
        step = step_for(driver, source, f"child-{turn}")
        jobs = [driver.start(step)]
        deletions = [other_driver.start(do.delete_vm(source))]
        (made,) = finish(driver, jobs)
        finish(other_driver, deletions)
        if made.error:
            assert isinstance(made.error, GoneError)
            return
        check_tidy(driver.state.root)
        take_snapshot(driver, read(driver, find(driver, f"child-{turn}").id), "mine")


def test_snapshots_and_clones_of_one_parent_take_turns(
    driver: LocalDriver, other_driver: LocalDriver, image: Path
) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    parent = find(driver, "golden")
    base = parent.snapshots[0]
    first = step_for(driver, parent, "desk")
    jobs = [driver.start(renamed(first, f"desk-{n}")) for n in range(10)]
    others = [other_driver.start(do.create_snapshot(parent, f"s{n}", "")) for n in range(5)]
    others.append(other_driver.start(do.delete_snapshot(parent, base.id)))
    assert all(state.error is None for state in finish(other_driver, others))
    states = finish(driver, jobs)
    assert {type(state.error) for state in states if state.error} <= {GoneError}
    assert len(find(driver, "golden").snapshots) == 5
    check_tidy(driver.state.root)


def clone_all(root: Path, names: list[str], outcomes: object) -> None:
    with closing(connect(root)) as driver:
        first = step_for(driver, find(driver, "golden"), "first")
        done = 0
        for name in names:
            try:
                (state,) = finish(driver, [driver.start(renamed(first, name))])
            except DuplicateNameError:
                continue
            assert state.error is None or isinstance(state.error, DuplicateNameError)
            done += state.error is None
        outcomes.put(done)  # type: ignore[attr-defined]  # SimpleQueue has no public type


def test_of_several_processes_one_makes_each_clone(driver: LocalDriver, image: Path) -> None:
    driver.images.import_image(ImageImport(file=image, name="golden"))
    names = [f"desk-{n:02}" for n in range(20)]
    outcomes = FORKED.SimpleQueue()
    processes = [
        FORKED.Process(target=clone_all, args=(driver.state.root, names, outcomes))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sum(outcomes.get() for _ in processes) == len(names)
    assert {vm.name for vm in driver.observe().vms} == {"golden", *names}
    check_tidy(driver.state.root)


def test_a_record_whose_new_version_was_swept_away_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep takes what has no name yet for the rest of a killed command."""
    written: list[Path] = []

    def write_and_lose(path: Path, *about: Any, **options: Any) -> None:
        write_new(path, *about, **options)
        written.append(path)
        if len(written) < 3:
            path.unlink()

    monkeypatch.setattr(atomic_files, "write_new", write_and_lose)
    atomic_files.replace_file(tmp_path / "vm.json", b"new", durable=True)
    assert (tmp_path / "vm.json").read_bytes() == b"new"
    assert len(set(written)) == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "vm.json"]
    with pytest.raises(FileNotFoundError):
        atomic_files.replace_file(tmp_path / "gone" / "vm.json", b"new", durable=True)


def test_an_entry_that_its_command_removes_while_a_sweep_comes_to_it_is_done(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that ends takes its entry away, the lock in it first: it looks dead then."""
    entry = driver.state.staging / "0badcafe.delete.desk"
    entry.mkdir()

    def end_meanwhile(state: StateFolder) -> Survey:
        entry.rmdir()
        return take_survey(state)

    monkeypatch.setattr(sweeping, "take_survey", end_meanwhile)
    assert sweeping.sweep(driver.state) == ()
    assert list(driver.state.staging.iterdir()) == []


def test_a_vm_deleted_during_a_listing_is_not_an_error(
    driver: LocalDriver, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look for stray files takes no lock: it would wait for every deletion."""
    driver.images.import_image(ImageImport(file=image, name="golden"))
    gone = driver.state.vms / "desk.0badcafe"
    gone.mkdir()

    def delete_and_list(folder: Path) -> list[str]:
        if gone.exists():
            gone.rmdir()
        return list_names(folder)

    list_names = remove_file.names_in
    monkeypatch.setattr(orphans, "names_in", delete_and_list)
    assert [vm.name for vm in driver.observe().vms] == ["golden"]
    assert not gone.exists()


PROCESSES = 8
SECONDS = 6.0


def check_crowd(folder: Path, *, seconds: float) -> None:
    root = folder / "state"
    crowd.build(root, folder / "base.qcow2")
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    told = FORKED.SimpleQueue()
    processes = [
        FORKED.Process(target=crowd.take_part, args=(root, seed + n, seconds, told))
        for n in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    outcomes = [told.get() for _ in processes]
    assert [problems for _, _, problems in outcomes if problems] == []
    assert sum(done for _, done, _ in outcomes) > PROCESSES
    assert crowd.check_family(root) > 1
    clean_up(root)
    check_tidy(root)


def test_many_processes_on_one_family_lose_nothing(tmp_path: Path) -> None:
    check_crowd(tmp_path, seconds=SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_processes_on_one_family_lose_nothing_for_long(tmp_path: Path) -> None:
    check_crowd(tmp_path, seconds=300.0)
