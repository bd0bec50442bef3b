"""Images of a distribution's packages, made by a stand-in for mmdebstrap; the rest is real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.images import build
from linkedclone.errors import (
    HypervisorError,
    InputError,
    LinkedCloneError,
    NoSpaceError,
    PermissionDeniedError,
    UnsupportedError,
)
from linkedclone.model.images import ImageBuild
from tests.contract.acts import find
from tests.local.scenes import check_tidy, clean_up, connect

DEBIAN = ImageBuild(
    name="debian",
    release="bookworm",
    packages=(),
    capacity_bytes=2 << 30,
    cpus=1,
    memory_bytes=512 << 20,
)

BOOTSTRAP = """\
#!/bin/sh
# A stand-in: makes what the hooks would have made.
for argument; do
  case $argument in /*/root) root=$argument ;; esac
done
echo "I: automatically chosen mode: root"
mkdir -p "$root/etc"
echo "$*" >"$root/etc/asked"
echo kernel >"$BOOT/kernel"
echo initrd >"$BOOT/initrd"
{more}
echo "I: success"
"""
WAITING = """\
trap 'kill $child; exit 1' TERM INT
sleep 600 & child=$!
echo $$ >{told}.tmp
mv {told}.tmp {told}
wait $child
"""
FAILING = "echo 'E: no such package'; exit 1"


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(connect(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is looked into first, and a user who is taken for root."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


def stand_in(programs: Path, more: str = "") -> None:
    path = programs / "mmdebstrap"
    path.write_text(BOOTSTRAP.replace("{more}", more))
    path.chmod(0o755)


def check_nothing_is_left(driver: LocalDriver) -> None:
    assert list(driver.state.staging.iterdir()) == []
    assert not driver.observe().vms
    check_tidy(driver.state.root)


def test_an_image_is_made_of_packages(driver: LocalDriver, programs: Path) -> None:
    stand_in(programs)
    told: list[str] = []
    wanted = replace(DEBIAN, packages=("htop",))
    driver.images.build_image(wanted, lambda what, *_: told.append(what))
    made = find(driver, "debian")
    assert told[:2] == ["automatically chosen mode: root", "success"]
    assert made.disks[0].capacity_bytes == 2 << 30
    folder = driver.state.folder(made.id)
    assert (folder / "kernel").read_text() == "kernel\n"
    assert (folder / "initrd").read_text() == "initrd\n"
    assert [image.source for image in driver.images.list_images()] == ["debian bookworm"]
    assert list(driver.state.staging.iterdir()) == []
    check_tidy(driver.state.root)


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (replace(DEBIAN, release="a b"), InputError),
        (replace(DEBIAN, packages=("--foo",)), InputError),
        (replace(DEBIAN, capacity_bytes=1 << 30), InputError),
        (replace(DEBIAN, capacity_bytes=100 << 40), InputError),
        (replace(DEBIAN, name="debian@1"), InputError),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is(
    driver: LocalDriver, programs: Path, wanted: ImageBuild, refusal: type[LinkedCloneError]
) -> None:
    stand_in(programs, FAILING)
    with pytest.raises(refusal):
        driver.images.build_image(wanted)
    check_nothing_is_left(driver)


def test_missing_programs_are_named_with_their_packages(
    driver: LocalDriver, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_search_path", lambda: str(programs))
    with pytest.raises(UnsupportedError) as caught:
        driver.images.build_image(DEBIAN)
    assert caught.value.hint == "apt-get install mmdebstrap e2fsprogs qemu-utils util-linux"


def test_a_user_other_than_root_is_refused_with_a_reason(
    driver: LocalDriver, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(programs)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionDeniedError):
        driver.images.build_image(DEBIAN)


def test_a_place_without_room_is_refused(
    driver: LocalDriver, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(programs)
    monkeypatch.setattr(build, "free_bytes", lambda _: 1000)
    with pytest.raises(NoSpaceError):
        driver.images.build_image(DEBIAN)


def test_a_failure_quotes_the_program(driver: LocalDriver, programs: Path) -> None:
    stand_in(programs, FAILING)
    with pytest.raises(HypervisorError) as caught:
        driver.images.build_image(DEBIAN)
    assert caught.value.details.endswith("E: no such package")
    check_nothing_is_left(driver)


BUILD = """
import os, sys
from contextlib import closing
from pathlib import Path
from tests.local.scenes import connect
from tests.local.images.test_building import DEBIAN
os.geteuid = lambda: 0
with closing(connect(Path(sys.argv[1]))) as driver:
    driver.services.images.build_image(DEBIAN)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_a_build_nothing_is_left_of_it(
    driver: LocalDriver, programs: Path, tmp_path: Path, how: signal.Signals
) -> None:
    told = tmp_path / "told"
    stand_in(programs, WAITING.replace("{told}", str(told)))
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, driver.state.root], start_new_session=True
    )
    wait_until(told.exists)
    program = int(told.read_text())
    assert is_alive(program)
    process.send_signal(how)
    process.wait(240)
    wait_until(lambda: not is_alive(program))
    wait_until(lambda: is_cleared(driver))
    check_nothing_is_left(driver)


def test_what_a_program_still_works_on_is_not_cleared_away(
    driver: LocalDriver, programs: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    stubborn = WAITING.replace("trap", "trap '' TERM\n: trap").replace("{told}", str(told))
    stand_in(programs, stubborn)
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, driver.state.root], start_new_session=True
    )
    wait_until(told.exists)
    try:
        process.kill()
        process.wait(240)
        clean_up(driver.state.root)
        assert list(driver.state.staging.glob("*/root/etc/asked"))
    finally:
        end_group_of(int(told.read_text()))
    wait_until(lambda: not is_alive(int(told.read_text())))
    wait_until(lambda: is_cleared(driver))
    check_nothing_is_left(driver)


def is_cleared(driver: LocalDriver) -> bool:
    """Clean up; what the program started may hold its lock a little longer than itself."""
    clean_up(driver.state.root)
    return not any(driver.state.staging.iterdir())


def end_group_of(program: int) -> None:
    """End a program that was started in a session of its own, with all that it started."""
    os.killpg(os.getpgid(program), signal.SIGKILL)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends while it is read
        return False
