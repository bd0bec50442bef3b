"""``kill -9`` at every step: the next command finds all of it done or none, and nothing lost."""

import shutil
from pathlib import Path

import pytest

from linkedclone.drivers.local.state.folder import open_state
from linkedclone.drivers.local.state.store import load_all
from linkedclone.drivers.local.storage.seals import is_sealed
from tests.local.scenes import (
    ACTS,
    BRANCH_ACTS,
    View,
    build_branches,
    build_family,
    check_tidy,
    clean_up,
    make_image,
    view,
    write_format_1,
)
from tests.local.victim import carry_out, run_victim


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crashes") / "family"
    build_family(folder)
    check_tidy(folder / "state")
    return folder


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crashes") / "branches"
    build_branches(folder)
    check_tidy(folder / "state")
    return folder


def copy(family: Path, to: Path) -> Path:
    shutil.copytree(family, to, symlinks=True)
    return to


@pytest.mark.timeout(600)
@pytest.mark.parametrize("act", ACTS)
def test_a_command_killed_at_any_step_is_done_or_undone(
    family: Path, tmp_path: Path, act: str
) -> None:
    check_all_kills(family, tmp_path, act)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("act", BRANCH_ACTS)
def test_a_command_about_two_disks_with_branches_is_done_or_undone(
    branches: Path, tmp_path: Path, act: str
) -> None:
    check_all_kills(branches, tmp_path, act)


@pytest.mark.timeout(600)
def test_a_command_about_vms_of_an_older_version_is_done_or_undone(
    branches: Path, tmp_path: Path
) -> None:
    """Their records are of format 1, and those that it changes of the present one."""
    before = copy(branches, tmp_path / "before")
    write_format_1(before / "state")
    check_all_kills(before, tmp_path, "revert to a side branch")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("act", ["import", "snapshot"])
def test_the_same_command_after_a_kill_takes_up_what_it_left(
    family: Path, tmp_path: Path, act: str
) -> None:
    """Item 12: killed between the record and the seal, it makes no second one."""
    whole = copy(family, tmp_path / "whole")
    steps = run_victim(whole, act, 0)
    after = view(whole / "state")
    taken_up = 0
    for step in range(steps, 0, -1):
        folder = copy(family, tmp_path / f"kill-{step}")
        run_victim(folder, act, step)
        clean_up(folder / "state")
        if view(folder / "state") != after:
            break
        if unsealed(folder / "state"):
            carry_out(folder, act)
            assert view(folder / "state") == after, f"killed at {step}, then done again"
            assert not unsealed(folder / "state")
            check_tidy(folder / "state")
            taken_up += 1
    assert taken_up


@pytest.mark.timeout(600)
def test_a_killed_import_of_a_new_version_leaves_a_version_with_the_plain_name(
    family: Path, tmp_path: Path
) -> None:
    """Item 12: the older one has given its name away by then."""
    before = copy(family, tmp_path / "before")
    make_image(before / "newer.qcow2", fill=8)
    steps = run_victim(copy(before, tmp_path / "whole"), "import a version", 0)
    for step in range(steps // 3, steps + 1):  # it has a copy before it gives anything a name
        folder = copy(before, tmp_path / f"kill-{step}")
        run_victim(folder, "import a version", step)
        clean_up(folder / "state")
        names = {vm.record.name for vm in load_all(open_state(folder / "state")).vms}
        assert "solo" in names, f"killed at {step}: {names}"
        shutil.rmtree(folder)


def unsealed(root: Path) -> set[Path]:
    """Return the layers that snapshots froze and nothing sealed."""
    frozen = {
        vm.folder / file
        for vm in load_all(open_state(root)).vms
        for snapshot in vm.record.snapshots
        for file in snapshot.files
    }
    return {layer for layer in frozen if not is_sealed(layer)}


def check_all_kills(family: Path, tmp_path: Path, act: str) -> None:
    before = view(family / "state")
    whole = copy(family, tmp_path / "whole")
    steps = run_victim(whole, act, 0)
    assert steps > 5
    after = view(whole / "state")
    assert after != before
    check_tidy(whole / "state")
    for step in range(1, steps + 1):
        check_one_kill(copy(family, tmp_path / f"kill-{step}"), act, step, (before, after))


def check_one_kill(
    folder: Path, act: str, point: int, allowed: tuple[dict[str, View], dict[str, View]]
) -> None:
    before, after = allowed
    root = folder / "state"
    run_victim(folder, act, point)
    clean_up(root)
    seen = view(root)
    assert seen in (before, after), f"killed at {point}"
    check_tidy(root)
    if seen == before:
        carry_out(folder, act)
        assert view(root) == after, f"killed at {point}, then done again"
        clean_up(root)
        check_tidy(root)
    shutil.rmtree(folder)
