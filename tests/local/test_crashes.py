"""``kill -9`` at any point: the next command finds all of it done or none, and nothing lost."""

import random
import shutil
from pathlib import Path

import pytest

from tests.local.scenes import ACTS, View, build_family, check_tidy, clean_up, view
from tests.local.victim import run_victim

KILLS_EACH = 5
SOAK_KILLS_EACH = 50


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crashes") / "family"
    build_family(folder)
    check_tidy(folder / "state")
    return folder


def copy(family: Path, to: Path) -> Path:
    shutil.copytree(family, to, symlinks=True)
    return to


def check_kills(family: Path, scratch: Path, act: str, kills: int) -> None:
    before = view(family / "state")
    whole = copy(family, scratch / "whole")
    points = run_victim(whole, act, 0)
    after = view(whole / "state")
    assert after != before
    check_tidy(whole / "state")
    chosen = list(range(1, points + 1))
    if kills < points:
        # Always the first and the last, and others that are new each day but told.
        seed = random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        chosen = sorted({1, points, *random.Random(seed).sample(chosen, kills - 2)})
    for point in chosen:
        check_one_kill(copy(family, scratch / f"kill-{point}"), act, point, (before, after))


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
        run_victim(folder, act, 0)
    assert view(root) == after, f"killed at {point}, then done again"
    clean_up(root)
    check_tidy(root)
    shutil.rmtree(folder)


@pytest.mark.parametrize("act", ACTS)
def test_a_killed_command_is_done_or_undone(family: Path, tmp_path: Path, act: str) -> None:
    check_kills(family, tmp_path, act, KILLS_EACH)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("act", ACTS)
def test_a_command_killed_often_is_done_or_undone(family: Path, tmp_path: Path, act: str) -> None:
    check_kills(family, tmp_path, act, SOAK_KILLS_EACH)
