"""Names and guests of real machines: races for a name, and a guest that is asked to shut down."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.layout import key_of
from linkedclone.drivers.local.machines import open_machine
from linkedclone.drivers.local.store import load_vm
from linkedclone.errors import DuplicateNameError, LinkedCloneError
from linkedclone.model.images import ImageImport
from linkedclone.model.observed import Power, Vm
from linkedclone.model.report import Status
from linkedclone.planning.power import AskGuests
from tests.contract.acts import (
    error_of,
    find,
    make,
    read,
    renamed,
    result_of,
    running,
    set_power,
    step_for,
)
from tests.local.machine.guest import build_import
from tests.local.scenes import check_tidy, connect, make_image

pytestmark = pytest.mark.xdist_group("life")  # one worker sets up what they share

BOOT_SECONDS = 180.0
BIN = Path(sys.executable).parent


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.import_image(ImageImport(file=image, name="golden"))
        yield opened


def test_of_many_that_want_one_name_one_gets_it(driver: LocalDriver) -> None:
    step = step_for(driver, find(driver, "golden"), "desk")
    vms = [make(driver, renamed(step, f"desk-{n}")) for n in range(8)]
    errors: list[LinkedCloneError] = []

    def rename(vm: Vm) -> None:
        with closing(connect(driver.state.root)) as own:
            try:
                result_of(own, own.rename_vm(vm.id, "the-one"))
            except AssertionError as error:
                (cause,) = error.args
                errors.append(cause)

    threads = [threading.Thread(target=rename, args=(vm,)) for vm in vms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 7
    names = sorted(vm.name for vm in driver.observe().vms)
    assert names.count("the-one") == 1
    assert len(names) == len(set(names)) == 9
    check_tidy(driver.state.root)


def test_a_vm_of_the_first_name_of_another_is_not_mistaken_for_it(driver: LocalDriver) -> None:
    """Ids begin with the first name for ever, so two of them can begin alike."""
    step = step_for(driver, find(driver, "golden"), "desk")
    first = make(driver, step)
    result_of(driver, driver.rename_vm(first.id, "other"))
    second = make(driver, step)
    assert {first.id.rpartition(".")[0], second.id.rpartition(".")[0]} == {"desk"}
    assert driver.state.link(first.id).name == "other"
    assert driver.state.link(second.id).name == "desk"
    error = error_of(driver, lambda: driver.rename_vm(first.id, "Desk"))
    assert isinstance(error, DuplicateNameError)
    result_of(driver, driver.delete_vm(second.id))
    assert read(driver, first.id).name == "other"
    result_of(driver, driver.rename_vm(first.id, "desk"))
    assert driver.state.holder(key_of("desk")) == first.id
    result_of(driver, driver.delete_vm(first.id))
    assert [vm.name for vm in driver.observe().vms] == ["golden"]
    check_tidy(driver.state.root)


# -- a guest that boots ---------------------------------------------------------------


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDriver]:
    folder = tmp_path_factory.mktemp("a life")
    with closing(connect(folder / "state", open_machine)) as opened:
        opened.import_image(build_import())
        make(opened, running(step_for(opened, find(opened, "golden"), "desk")))
        yield opened
        for vm in opened.observe().vms:
            open_machine(load_vm(opened.state, vm.id)).stop(force=True)


def wait_for(driver: LocalDriver, name: str, condition: Callable[[Vm], bool]) -> Vm:
    deadline = time.monotonic() + BOOT_SECONDS
    while not condition(seen := find(driver, name)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def run_ansible(driver: LocalDriver, folder: Path, program: str, *words: str) -> str:
    script = folder / "clones"
    script.write_text('#!/bin/sh\nexec linkedclone inventory "$@"\n')
    script.chmod(0o755)
    with TemporaryDirectory() as sockets:
        env = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LINKEDCLONE_ENDPOINT": f"local:{driver.state.root}",
            "ANSIBLE_HOME": str(folder / "ansible"),
            # Its sockets have to fit into 108 bytes, which pytest's folders may not.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
        }
        done = subprocess.run(
            [str(BIN / program), "-i", str(script), *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_a_booted_guest_is_renamed_reached_by_ansible_and_shut_down(
    booted: LocalDriver, tmp_path: Path
) -> None:
    wait_for(booted, "desk", lambda vm: vm.tools_running)
    connection = Connection(booted, address="local:")
    assert connection.rename("desk", "front desk").exit_code == 0
    assert find(booted, "front desk").power is Power.ON

    listed = json.loads(run_ansible(booted, tmp_path, "ansible-inventory", "--list"))
    variables = listed["_meta"]["hostvars"]["front desk"]
    assert variables["ansible_host"] == "127.0.0.1"
    assert variables["ansible_user"] == "root"
    told = run_ansible(
        booted, tmp_path, "ansible", "parent_golden", "-m", "raw", "-a", "echo from-$(hostname)"
    )
    assert "from-desk" in told  # the guest's own name stays

    asked = AskGuests(deadline_seconds=BOOT_SECONDS)
    report = connection.set_power(["front desk"], Power.OFF, guests=asked)
    assert [result.status for result in report.results] == [Status.DONE]
    assert report.results[0].note == ""
    assert find(booted, "front desk").power is Power.OFF


def test_a_machine_without_a_system_does_not_hear_and_is_stopped_hard(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state", open_machine)) as driver:
        driver.import_image(ImageImport(file=image, name="golden", memory_bytes=64 << 20))
        vm = make(driver, running(step_for(driver, find(driver, "golden"), "desk")))
        try:
            connection = Connection(driver, address="local:")
            asked = AskGuests(deadline_seconds=0.5)
            report = connection.set_power(["desk"], Power.OFF, guests=asked)
            assert report.results[0].error is not None
            assert "runs on after" in report.results[0].error.brief
            assert read(driver, vm.id).power is Power.ON
            hard = AskGuests(deadline_seconds=0.5, then_off=True)
            assert connection.restart(["desk"], guests=hard).exit_code == 0
            assert read(driver, vm.id).power is Power.ON
        finally:
            set_power(driver, vm, Power.OFF)
