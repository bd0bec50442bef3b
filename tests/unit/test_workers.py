"""The tests are run by several processes, and nothing that happens in one of them is lost."""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TESTS = """\
import os, warnings, pytest

@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return os.getpid(), tmp_path_factory.mktemp("shared")

@pytest.mark.together("one")
def test_first(shared): (shared[1] / "pid").write_text(str(shared[0]))
def test_dies(): os._exit(7)
def test_fails(): assert "this" == "that"
def test_warns(): warnings.warn("of something")
@pytest.mark.skip(reason="not here")
def test_skips(): pass
@pytest.mark.together("one")
def test_last(shared): assert (shared[1] / "pid").read_text() == str(os.getpid())
"""


def run_by_workers(folder: Path, *more: str) -> str:
    (folder / "test_some.py").write_text(TESTS)
    plugins = ("-p", "tests.conftest", "-p", "no:cacheprovider")
    command = [
        sys.executable,
        "-m",
        "pytest",
        *plugins,
        "--workers",
        "2",
        "-rfs",
        *more,
        str(folder),
    ]
    place = (f"--rootdir={folder}", f"--basetemp={folder / 'base'}")
    done = subprocess.run(
        [*command, *place], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return done.stdout


def test_what_happens_in_a_worker_is_told_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    told = run_by_workers(tmp_path)
    assert re.search(r"2 failed, 3 passed, 1 skipped, 1 warning in", told), told
    assert re.search(r"^worker-\d ended with 7$", told, re.MULTILINE), told
    assert "AssertionError: assert 'this' == 'that'" in told
    assert "UserWarning: of something" in told
    assert "not here" in told
