"""QEMU is killed in the middle of what it does for a command: nothing is lost, nothing is left.

Real QEMUs, with nothing to boot: no guest is waited for.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.memory_admission import OVERCOMMIT_VARIABLE
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.machine.process import ProcessHandle, find_processes
from linkedclone.drivers.local.qmp.answers import Answer
from linkedclone.drivers.local.qmp.monitor import Monitor
from linkedclone.model.images import ImageImport
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import delete, find, make, result_of, set_power, step_for, take_snapshot
from tests.local.scenes import check_tidy, connect, make_image, top_of

SECONDS = 240.0


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalDriver]:
    monkeypatch.setenv(OVERCOMMIT_VARIABLE, "yes")
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state", partial(open_machine, accel="tcg"))) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden", memory_bytes=64 << 20))
        make(opened, step_for(opened, find(opened, "golden"), "desk"))
        take_snapshot(opened, find(opened, "desk"), "one")
        yield opened


def take(driver: LocalDriver) -> None:
    take_snapshot(driver, find(driver, "desk"), "two")


def merge(driver: LocalDriver) -> None:
    vm = find(driver, "desk")
    for snapshot in vm.snapshots:
        result_of(driver, driver.start(do.delete_snapshot(vm, snapshot.id)))


def promote(driver: LocalDriver) -> None:
    merge(driver)
    result_of(driver, driver.start(do.promote_vm(find(driver, "desk"))))


ACTS = {"take": take, "merge": merge, "promote": promote}


@pytest.mark.parametrize(
    ("act", "at"),
    [
        ("take", "transaction"),
        ("merge", "block-commit"),
        ("merge", "job-complete"),
        ("merge", "cont"),
        ("promote", "blockdev-mirror"),
        ("promote", "job-complete"),
        ("promote", "job-dismiss"),
    ],
)
def test_a_vm_is_whole_and_goes_on_whenever_its_qemu_is_killed(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch, act: str, at: str
) -> None:
    folder = driver.state.folder(find(driver, "desk").id) / "run"
    killed: list[int] = []
    ask = Monitor.execute

    async def kill_and_ask(self: Monitor, command: str, /, **arguments: object) -> Answer:
        if command == at and not killed:
            killed.extend(find_processes(folder))
            for pid in killed:
                handle = ProcessHandle(pid)
                os.kill(pid, signal.SIGKILL)
                assert handle.wait(SECONDS)
                handle.close()
        return await ask(self, command, **arguments)

    set_power(driver, find(driver, "desk"), Power.ON)
    with monkeypatch.context() as patch:
        patch.setattr(Monitor, "execute", kill_and_ask)
        with suppress(AssertionError):  # some acts are carried out all the same, without QEMU
            ACTS[act](driver)
    assert killed
    assert find(driver, "desk").power is Power.OFF
    set_power(driver, find(driver, "desk"), Power.ON)
    ACTS[act](driver)
    set_power(driver, find(driver, "desk"), Power.OFF)
    top, golden = (top_of(driver.state, find(driver, name)) for name in ("desk", "golden"))
    subprocess.run(["qemu-img", "compare", "-q", str(golden), str(top)], check=True)
    check_tidy(driver.state.root)
    delete(driver, find(driver, "desk"))
    check_tidy(driver.state.root)
