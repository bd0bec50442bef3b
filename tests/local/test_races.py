"""Commands that get in each other's way: no layer goes between check and use."""

import random
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.errors import DuplicateNameError, GoneError
from linkedclone.model.images import ImageImport
from linkedclone.model.jobs import JobStatus
from tests.contract.acts import find, finish, make, read, renamed, step_for, take_snapshot
from tests.local.scenes import check_tidy, connect, make_image

ROUNDS = 10
FORKED = get_context("forkserver")


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
        driver.import_image(ImageImport(file=image, name="golden"))
        parent = find(driver, "golden")
        first = step_for(driver, parent, "desk")
        steps = [renamed(first, f"desk-{turn}-{n}") for n in range(6)]
        cut = random.Random(turn).randrange(6)
        jobs = [driver.create_clone(step) for step in steps[:cut]]
        deletion = other_driver.delete_vm(parent.id)
        jobs += [driver.create_clone(step) for step in steps[cut:]]
        (deleted,) = finish(other_driver, [deletion])
        assert deleted.error is None
        states = finish(driver, jobs)
        assert {type(state.error) for state in states if state.error} <= {GoneError}
        made = {state.result for state in states if state.status is JobStatus.DONE}
        left = driver.observe().vms
        assert {vm.id for vm in left} == made
        check_tidy(driver.state.root)
        finish(driver, [driver.delete_vm(vm.id) for vm in left])
        assert list(driver.state.vms.iterdir()) == []


def test_the_last_reader_that_goes_while_another_comes_keeps_the_layer(
    driver: LocalDriver, other_driver: LocalDriver, image: Path
) -> None:
    driver.import_image(ImageImport(file=image, name="golden"))
    child = make(driver, step_for(driver, find(driver, "golden"), "child"))
    take_snapshot(driver, child, "mine")
    finish(driver, [driver.delete_vm(find(driver, "golden").id)])
    for turn in range(ROUNDS):
        source = find(driver, "child" if turn == 0 else f"child-{turn - 1}")
        step = step_for(driver, source, f"child-{turn}")
        jobs = [driver.create_clone(step)]
        deletions = [other_driver.delete_vm(source.id)]
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
    driver.import_image(ImageImport(file=image, name="golden"))
    parent = find(driver, "golden")
    base = parent.snapshots[0]
    first = step_for(driver, parent, "desk")
    jobs = [driver.create_clone(renamed(first, f"desk-{n}")) for n in range(10)]
    others = [other_driver.create_snapshot(parent.id, f"s{n}", "") for n in range(5)]
    others.append(other_driver.delete_snapshot(parent.id, base.id))
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
                (state,) = finish(driver, [driver.create_clone(renamed(first, name))])
            except DuplicateNameError:
                continue
            assert state.error is None or isinstance(state.error, DuplicateNameError)
            done += state.error is None
        outcomes.put(done)  # type: ignore[attr-defined]  # SimpleQueue has no public type


def test_of_several_processes_one_makes_each_clone(driver: LocalDriver, image: Path) -> None:
    driver.import_image(ImageImport(file=image, name="golden"))
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
