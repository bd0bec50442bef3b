"""Pools on this machine, by the command line: killed, at the same time, and always answering."""

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from linkedclone.drivers.local.driver import IMMUTABLE_VARIABLE, LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.errors import LinkedCloneError
from linkedclone.model.values.ids import VmId
from tests import command
from tests.local.machine.guest import OUT, build_import
from tests.local.scenes import check_tidy, clean_up, connect, make_image

UNBOOTED = """\
pool: desks
parent: golden
snapshot: {snapshot}
size: {size}
name: "desk-{{n}}"
power: "off"
rollout: {{{rollout}}}
"""

BOOTED = """\
pool: desks
parent: golden
snapshot: {snapshot}
size: {size}
name: "desk-{{n}}"
hardware: {{memory: 128MiB}}
health: {{tcp: 22, within: 5m}}
rollout: {{{rollout}}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def env(tmp_path: Path, root: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOVC_", "LINKEDCLONE_"))}
    return kept | {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "xdg"),
        "LINKEDCLONE_ENDPOINT": f"local:{root}",
        IMMUTABLE_VARIABLE: "no",
    }


def run(*words: str, env: Mapping[str, str]) -> dict[str, Any]:
    code, document = command.run_json(*words, env=env)
    assert code == 0, document
    return document


def write_pool(folder: Path, text: str = UNBOOTED, **settings: Any) -> str:
    settings = {"snapshot": "base", "size": 3, "rollout": "max_unavailable: 1", **settings}
    file = folder / "desks.yaml"
    file.write_text(text.format(**settings))
    return str(file)


def apply(file: str, env: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    return command.run_json("pool", "apply", file, "--yes", env=env)


def make_golden(folder: Path, env: Mapping[str, str]) -> None:
    """A golden image with two snapshots, and a clone of it that is in no pool."""
    run("image", "import", str(make_image(folder / "disk.qcow2")), "--name", "golden", env=env)
    run("snapshot", "create", "golden", "new", env=env)
    run("clone", "golden", "bystander", "--snapshot", "base", "--power", "off", env=env)


def check_at_spec(file: str, env: Mapping[str, str], root: Path, size: int) -> None:
    """Exactly the clones that the file wants, and nothing left over on the disk."""
    wanted = {f"desk-{n}" for n in range(1, size + 1)}
    names = [vm["name"] for vm in run("list", env=env)["vms"]]
    assert sorted(names) == sorted({"golden", "bystander", *wanted})
    found = run("pool", "status", file, env=env)["vms"]
    assert all(row["current"] for row in found)
    assert run("pool", "plan", file, "--check", env=env)["changes"] == []
    assert run("gc", env=env)["waste"] == []
    doctor = command.run("doctor", env=env)
    assert doctor.returncode == 0, doctor.stdout
    clean_up(root)
    check_tidy(root)


# -- killed -----------------------------------------------------------------------------


def check_killed(folder: Path, env: Mapping[str, str], root: Path, seed: int) -> None:
    chance = random.Random(seed)
    rollout = chance.choice(("max_unavailable: 2", "max_unavailable: 0, max_surge: 2"))
    make_golden(folder, env)
    bystander = run("show", "bystander", env=env)
    assert apply(write_pool(folder, size=4, rollout=rollout), env)[0] == 0
    file = write_pool(folder, size=5, snapshot="new", rollout=rollout)
    process = command.start("pool", "apply", file, "--yes", env=env)
    time.sleep(chance.uniform(0.2, 2.5))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    code, report = apply(file, env)
    assert code == 0, report
    check_at_spec(file, env, root, 5)
    assert run("show", "bystander", env=env) == bystander


@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_a_random_point_is_gone_on_with(
    tmp_path: Path, env: dict[str, str], root: Path, seed: int
) -> None:
    check_killed(tmp_path, env, root, seed)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 150))
def test_a_run_killed_at_fifty_random_points_is_gone_on_with(
    tmp_path: Path, env: dict[str, str], root: Path, seed: int
) -> None:
    check_killed(tmp_path, env, root, seed)


def test_two_pool_files_of_one_name_spare_each_other(tmp_path: Path, env: dict[str, str]) -> None:
    make_golden(tmp_path, env)
    desks = write_pool(tmp_path)
    assert apply(desks, env)[0] == 0
    run("image", "import", str(make_image(tmp_path / "other.qcow2")), "--name", "silver", env=env)
    seats = tmp_path / "seats.yaml"
    text = UNBOOTED.replace("golden", "silver").replace("desk-{{n}}", "seat-{{n}}")
    seats.write_text(text.format(snapshot="base", size=1, rollout="max_unavailable: 1"))
    code, report = apply(str(seats), env)
    assert code == 0
    assert [one["name"] for one in report["refused"]] == ["desk-1", "desk-2", "desk-3"]
    assert run("pool", "plan", desks, "--check", env=env)["changes"] == []
    run("pool", "delete", str(seats), "--yes", env=env)
    names = {vm["name"] for vm in run("list", env=env)["vms"]}
    assert {"desk-1", "desk-2", "desk-3"} <= names
    assert "seat-1" not in names
    code, document = command.run_json("pool", "delete", str(seats), "--yes", env=env)
    assert code == 1
    assert "no clone that bears the name" in document["error"]["brief"]
    # The owner of the file gives other numbers, and says so.
    renamed = write_pool(tmp_path, UNBOOTED.replace("desk-", "pc-"))
    run("pool", "adopt", renamed, "desk-{1..3}", env=env)
    assert apply(renamed, env)[0] == 0
    names = {vm["name"] for vm in run("list", env=env)["vms"]}
    assert names == {"golden", "silver", "bystander", "pc-1", "pc-2", "pc-3"}
    # A recompose onto another parent takes them along, and rollback leads back.
    run("pool", "recompose", renamed, "--parent", "silver", "--snapshot", "base", "--yes", env=env)
    assert {vm["parent"] for vm in run("list", env=env)["vms"] if "pc-" in vm["name"]} == {"silver"}
    run("pool", "rollback", renamed, "--yes", env=env)
    assert {vm["parent"] for vm in run("list", env=env)["vms"] if "pc-" in vm["name"]} == {"golden"}


def test_a_clone_whose_folder_was_removed_by_hand_is_replaced(
    tmp_path: Path, env: dict[str, str], root: Path
) -> None:
    make_golden(tmp_path, env)
    file = write_pool(tmp_path, size=2)
    assert apply(file, env)[0] == 0
    vm = run("show", "desk-1", env=env)
    shutil.rmtree(root / "vms" / vm["id"])
    (change,) = run("pool", "plan", file, env=env)["changes"]
    assert (change["name"], change["act"]) == ("desk-1", "replace")
    assert change["reasons"] == [{"why": "unhealthy", "text": "its files no longer exist"}]
    code, report = apply(file, env)
    assert code == 0, report
    check_at_spec(file, env, root, 2)


def test_of_two_runs_one_goes_on_and_the_other_says_so(
    tmp_path: Path, env: dict[str, str], root: Path
) -> None:
    make_golden(tmp_path, env)
    assert apply(write_pool(tmp_path, size=8), env)[0] == 0
    file = write_pool(tmp_path, size=8, snapshot="new")
    both = [command.start("pool", "apply", file, "--yes", env=env) for _ in range(2)]
    told = [process.communicate() for process in both]
    refused = [err for (_, err), one in zip(told, both, strict=True) if one.wait()]
    assert len(refused) <= 1, told  # none where one ended before the other began
    assert all("another run works on the pool desks" in err for err in refused), told
    check_at_spec(file, env, root, 8)


def test_clones_that_others_touch_meanwhile_are_mended_or_left_alone(
    tmp_path: Path, env: dict[str, str], root: Path
) -> None:
    make_golden(tmp_path, env)
    assert apply(write_pool(tmp_path, size=8), env)[0] == 0
    file = write_pool(tmp_path, size=8, snapshot="new")
    process = command.start("pool", "apply", file, "--yes", env=env)
    for deed in (("rename", "desk-7", "annes"), ("delete", "desk-6", "--yes")):
        assert "Traceback" not in command.run(*deed, env=env).stderr
    done = command.run("pool", "hold", file, "desk-8", "--reason", "Anne", env=env)
    assert "Traceback" not in done.stderr
    held = run("show", "desk-8", env=env) if done.returncode == 0 else None
    _, err = process.communicate()
    assert "Traceback" not in err
    for _ in range(2):
        apply(file, env)
    rows = {row["name"]: row for row in run("pool", "status", file, env=env)["vms"]}
    assert set(rows) == {f"desk-{n}" for n in range(1, 9)}
    assert rows["desk-8"]["hold"] == ("Anne" if held else None)
    assert held is None or run("show", "desk-8", env=env)["id"] == held["id"]
    assert run("pool", "plan", file, env=env)["changes"] == []
    run("pool", "release", file, "desk-8", env=env)
    assert apply(file, env)[0] == 0
    check_at_spec(file, env, root, 8)


# -- guests that run --------------------------------------------------------------------


@contextmanager
def booting(root: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Import the demo guest as the golden image; stop all machines at last."""
    with closing(connect(root, open_machine)) as driver:
        driver.images.import_image(build_import())
    try:
        yield
    finally:
        with closing(connect(root, open_machine)) as driver:
            for vm in driver.observe().vms:
                open_machine(load_vm(driver.state, vm.id)).stop()


def import_changed_image(root: Path, folder: Path) -> None:
    """Write into the file system of the demo guest's disk: the next golden image."""
    disk, edition = folder / "next.raw", folder / "edition"
    subprocess.run(["qemu-img", "convert", "-O", "raw", OUT / "disk.qcow2", disk], check=True)
    edition.write_text("new\n")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    written = f"write {edition} /etc/edition"
    subprocess.run(
        ["debugfs", "-w", "-R", written, disk], env={"PATH": path}, check=True, capture_output=True
    )
    with closing(connect(root, open_machine)) as driver:
        driver.images.import_image(replace(build_import(), file=disk, name="next"))


def say_to(name: str, words: str, env: Mapping[str, str]) -> str | None:
    """Run a command inside a guest by SSH; None if it does not answer, or fails."""
    done = command.run("ssh", name, words, env=env)
    return done.stdout.strip() if done.returncode == 0 else None


class Knocker:
    """Keeps asking every clone's SSH port for its banner, and counts how many answer at once.

    Args:
        root: The state folder.
        size: How many clones there are.
    """

    def __init__(self, root: Path, size: int) -> None:
        self._root = root
        self._size = size
        self._end = threading.Event()
        self._ports: list[int] = []
        self.counts: list[int] = []
        self._threads = [threading.Thread(target=one) for one in (self._look, self._knock)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        with closing(connect(self._root, open_machine)) as driver:
            while not self._end.wait(0.5):
                vms = [vm for vm in driver.state.list_vms() if vm.startswith("desk-")]
                self._ports = [port for vm in vms if (port := _find_port(driver, vm))]

    def _knock(self) -> None:
        with ThreadPoolExecutor(6) as threads:  # all at the same moment
            while not self._end.wait(0.5):
                self.counts.append(sum(threads.map(_greets, list(self._ports))))

    @property
    def fewest(self) -> int:
        """The fewest that answered at once, from when all had."""
        return min(self.counts[self.counts.index(self._size) :])


def _find_port(driver: LocalDriver, vm: VmId) -> int | None:
    """Find a machine's SSH port without asking its guest, which has other things to do."""
    with suppress(LinkedCloneError):  # it was deleted in the meantime
        ssh = open_machine(load_vm(driver.state, vm)).observe(guest=False).ssh
        return ssh.port if ssh else None
    return None


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.soak)])
def test_all_guests_but_one_always_answer_while_they_move_to_a_changed_image(
    tmp_path: Path, env: dict[str, str], root: Path, size: int
) -> None:
    with booting(root, env):
        import_changed_image(root, tmp_path)
        file = write_pool(tmp_path, BOOTED, size=size)
        assert apply(file, env)[0] == 0
        with Knocker(root, size) as knocker:
            wait_until(lambda: size in knocker.counts)
            onto = ("--parent", "next", "--snapshot", "base")
            code, report = command.run_json("pool", "recompose", file, *onto, "--yes", env=env)
            looked = len(knocker.counts)
            wait_until(lambda: len(knocker.counts) > looked + 3)
        assert code == 0, report
        assert len(report["results"]) == size
        assert knocker.fewest >= size - 1
        for number in range(1, size + 1):
            assert say_to(f"desk-{number}", "cat /etc/edition", env) == "new"


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_guests_that_run_are_moved_on_by_the_next_run_after_a_kill(
    tmp_path: Path, env: dict[str, str], root: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with booting(root, env):
        run("snapshot", "create", "golden", "new", env=env)
        file = write_pool(tmp_path, BOOTED)
        assert apply(file, env)[0] == 0
        file = write_pool(tmp_path, BOOTED, snapshot="new")
        process = command.start("pool", "apply", file, "--yes", env=env)
        time.sleep(chance.uniform(0.5, 20.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        code, report = apply(file, env)
        assert code == 0, report
        rows = run("pool", "status", file, env=env)["vms"]
        assert {row["name"] for row in rows} == {"desk-1", "desk-2", "desk-3"}
        assert all(row["current"] and row["health"] == "healthy" for row in rows), rows
        assert run("pool", "plan", file, env=env)["changes"] == []
    check_tidy(root)
    ended = subprocess.run(["pgrep", "-f", str(root)], capture_output=True, check=False)
    assert ended.stdout == b"", "a machine of no VM runs on"
