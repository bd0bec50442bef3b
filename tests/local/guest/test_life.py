"""Names of VMs: races for one; and a machine that does not hear when it is asked to shut down."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.folder import key_of
from linkedclone.errors import DuplicateNameError, LinkedCloneError
from linkedclone.model.images import ImageImport
from linkedclone.model.request import AskGuests
from linkedclone.model.vm import Power, Vm
from tests import do
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
from tests.local.scenes import check_tidy, connect, make_image


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden"))
        yield opened


def test_of_many_that_want_one_name_one_gets_it(driver: LocalDriver) -> None:
    step = step_for(driver, find(driver, "golden"), "desk")
    vms = [make(driver, renamed(step, f"desk-{n}")) for n in range(8)]
    errors: list[LinkedCloneError] = []

    def rename(vm: Vm) -> None:
        with closing(connect(driver.state.root)) as own:
            try:
                result_of(own, own.start(do.rename_vm(vm, "the-one")))
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
    result_of(driver, driver.start(do.rename_vm(first, "other")))
    second = make(driver, step)
    assert {first.id.rpartition(".")[0], second.id.rpartition(".")[0]} == {"desk"}
    assert driver.state.link(first.id).name == "other"
    assert driver.state.link(second.id).name == "desk"
    error = error_of(driver, lambda: driver.start(do.rename_vm(first, "Desk")))
    assert isinstance(error, DuplicateNameError)
    result_of(driver, driver.start(do.delete_vm(second)))
    assert read(driver, first.id).name == "other"
    result_of(driver, driver.start(do.rename_vm(first, "desk")))
    assert driver.state.holder(key_of("desk")) == first.id
    result_of(driver, driver.start(do.delete_vm(first)))
    assert [vm.name for vm in driver.observe().vms] == ["golden"]
    check_tidy(driver.state.root)


# -- a machine that runs -------------------------------------------------------------


def test_a_machine_without_a_system_does_not_hear_and_is_stopped_hard(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state", open_machine)) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden", memory_bytes=64 << 20))
        vm = make(driver, running(step_for(driver, find(driver, "golden"), "desk")))
        try:
            connection = Connection(driver, address="local:")
            asked = AskGuests(deadline_seconds=0.5)
            report = connection.vms.set_power(["desk"], Power.OFF, guests=asked)
            assert report.results[0].error is not None
            assert "runs on after" in report.results[0].error.brief
            assert read(driver, vm.id).power is Power.ON
            hard = AskGuests(deadline_seconds=0.5, then_off=True)
            assert connection.vms.restart(["desk"], guests=hard).exit_code == 0
            assert read(driver, vm.id).power is Power.ON
        finally:
            set_power(driver, vm, Power.OFF)
