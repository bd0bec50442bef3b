"""Everything works for a user without any rights; run as root, the tests become one."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534
FLOW = """
import sys
from pathlib import Path
from tests.local.scenes import build_family, check_tidy, clean_up, view, ACTS, connect
from contextlib import closing

folder = Path(sys.argv[1])
build_family(folder / "family")
root = folder / "family" / "state"
acts = "clone snapshot delete-lowest-snapshot revert delete-parent delete-last"
for act in acts.split():
    with closing(connect(root)) as driver:
        ACTS[act](driver, folder / "family")
    clean_up(root)
    check_tidy(root)
print(sorted(view(root)))
"""


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder that the user owns and can reach: pytest's own is closed to others."""
    with tempfile.TemporaryDirectory(prefix="lc-") as made:
        folder = Path(made)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder


def run_as_nobody(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    prefix = become if os.geteuid() == 0 else []
    return subprocess.run(
        [*prefix, sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def interpreter_is_closed(home: Path) -> bool:
    """Say whether the Python that runs the tests is out of reach for others."""
    try:
        return run_as_nobody("-c", "import linkedclone, tests", home=home).returncode != 0
    except PermissionError:
        return True


def test_the_whole_flow_works_without_rights(own_folder: Path) -> None:
    if interpreter_is_closed(own_folder):
        pytest.skip("the Python that runs the tests lies in a folder that is closed to others")
    done = run_as_nobody("-c", FLOW, own_folder, home=own_folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['fresh', 'kept', 'solo']"
    owners = {path.lstat().st_uid for path in own_folder.rglob("*")}
    assert owners == {NOBODY if os.geteuid() == 0 else os.geteuid()}


def test_an_inaccessible_folder_is_reported(own_folder: Path) -> None:
    if interpreter_is_closed(own_folder):
        pytest.skip("the Python that runs the tests lies in a folder that is closed to others")
    closed = own_folder / "closed"
    closed.mkdir(mode=0o500)
    code = (
        "import sys\n"
        "from linkedclone.config.endpoint import Endpoint\n"
        "from linkedclone.drivers.local.driver import open_local\n"
        "from linkedclone.errors import PermissionDeniedError\n"
        "try:\n"
        "    open_local(Endpoint(kind='local', path=sys.argv[1]))\n"
        "except PermissionDeniedError as error:\n"
        "    print(error.hint)\n"
    )
    done = run_as_nobody("-c", code, closed / "state", home=own_folder)
    assert "user id" in done.stdout, done.stderr
