"""Everything works for a user without any rights; run as root, the tests become one."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import find, result_of, set_power, step_for
from tests.local.machine.guest import BOOT_SECONDS, build_import
from tests.local.scenes import connect

NOBODY = 65534
SSH_SECONDS = 200
FORK = "import sys; from tests.local.state.test_unprivileged import main; main(sys.argv[1])"
FLOW = """
import sys
from pathlib import Path
from tests.local.copies import Built
from tests.local.scenes import build_family, check_tidy, clean_up, view, ACTS, connect
from contextlib import closing

folder = Path(sys.argv[1])
Built.place = folder / "built"
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


@pytest.mark.timeout(600)
def test_a_vm_without_a_seed_is_forked_by_a_user_without_rights(own_folder: Path) -> None:
    if interpreter_is_closed(own_folder):
        pytest.skip("the Python that runs the tests lies in a folder that is closed to others")
    done = run_as_nobody("-c", FORK, own_folder / "state", home=own_folder)
    assert done.returncode == 0, done.stderr
    seed, mac, *told = done.stdout.split()
    assert (seed, told) == ("''", ["desk", mac])


def main(root: str) -> None:
    """Fork the image's own VM; print its seed, the fork's MAC address, and what the fork tells."""
    with closing(connect(Path(root), open_machine)) as driver:
        driver.images.import_image(build_import())
        try:
            told = fork_golden(driver)
            seed = load_vm(driver.state, find(driver, "golden").id).record.machine.seed
            sys.stdout.write(f"{seed!r} {find(driver, 'desk').macs[0]} {told}")
        finally:
            for vm in driver.observe().vms:
                open_machine(load_vm(driver.state, vm.id)).stop()


def fork_golden(driver: LocalDriver) -> str:
    set_power(driver, find(driver, "golden"), Power.ON)
    deadline = time.monotonic() + BOOT_SECONDS
    while not find(driver, "golden").tools_running:
        assert time.monotonic() < deadline, "the guest does not come up"
        time.sleep(0.2)
    golden = find(driver, "golden")
    result_of(driver, driver.start(do.create_snapshot(golden, "ready", memory=True)))
    set_power(driver, golden, Power.OFF)
    golden = find(driver, "golden")
    step = step_for(driver, golden, "desk")
    (ready,) = (snapshot for snapshot in golden.snapshots if snapshot.name == "ready")
    mark = replace(step.mark, instant=True)
    result_of(driver, driver.start(replace(step, instant=True, snapshot=ready, mark=mark)))
    command = ["hostname; cat /sys/class/net/eth0/address"]
    arguments = driver.access.build_ssh(find(driver, "desk").id, command)
    # The key that its server shows has to be known already.
    arguments = tuple(word.replace("accept-new", "yes") for word in arguments)
    return subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SSH_SECONDS,
        check=True,
    ).stdout
