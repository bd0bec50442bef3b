"""Power: already there counts as done."""

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.contract import Driver
from linkedclone.execution.outage import Cancellation
from linkedclone.execution.progress import Event, Silent
from linkedclone.model.jobs import JobStatus
from linkedclone.model.report import Status
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import clone, finish, read, set_power
from tests.contract.rigs.base import Rig


def test_a_vm_is_started_and_stopped(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    set_power(driver, vm, Power.ON)
    assert read(driver, vm.id).power is Power.ON
    set_power(driver, vm, Power.OFF)
    assert read(driver, vm.id).power is Power.OFF


@pytest.mark.parametrize("power", [Power.ON, Power.OFF])
def test_a_power_state_that_is_there_already_is_done(
    rig: Rig, driver: Driver, power: Power
) -> None:
    vm = clone(driver, rig, "desk-001")
    set_power(driver, vm, power)
    set_power(driver, vm, power)
    assert read(driver, vm.id).power is power


def test_two_that_start_the_same_vm_are_both_done(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    rig.delay("power-on", 0.3)
    vm = clone(driver, rig, "desk-001")
    first = driver.start(do.set_power(vm, Power.ON))
    second = other_driver.start(do.set_power(vm, Power.ON))
    assert finish(driver, [first])[0].error is None
    assert finish(other_driver, [second])[0].error is None
    assert read(driver, vm.id).power is Power.ON


def test_a_run_that_is_cancelled_sends_nothing_more_and_says_so(rig: Rig, driver: Driver) -> None:
    """Cancelled as its first step ends: another thread would do it in the same way."""
    names = ["desk-001", "desk-002", "desk-003"]
    vms = [clone(driver, rig, name) for name in names]
    for vm in vms:
        set_power(driver, vm, Power.ON)
    cancel = Cancellation()

    class Canceller(Silent):
        def update(self, event: Event) -> None:
            if event.status is JobStatus.DONE:
                cancel.cancel()

    proposal = Connection(driver, address="test").vms.propose_delete(names)
    report = proposal.apply(progress=Canceller(), cancel=cancel)
    assert (report.interrupted, report.exit_code) == (True, 130)
    assert {result.name for result in report.results} == set(names)
    assert {result.action for result in report.results if result.status is Status.DONE} <= {
        "power-off"
    }
    assert Status.FAILED not in {result.status for result in report.results}
    assert {vm.name for vm in driver.find_vms(names)} == set(names)
