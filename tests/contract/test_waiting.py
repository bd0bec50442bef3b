"""Long calls return at once, go on by themselves, and are waited for in one place."""

import time
from dataclasses import replace

from linkedclone.drivers.contract import Driver
from linkedclone.model.jobs import JobStatus
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationStatus, Power, Vm
from tests import do
from tests.contract.acts import clone, find, finish, result_of, step_for
from tests.contract.rigs.base import Rig

UNFINISHED = {JobStatus.QUEUED, JobStatus.RUNNING}
AN_HOUR = 3600.0
"""Longer than a test may take: what waits for it to pass is ended, and has failed."""


def test_a_long_call_returns_at_once(rig: Rig, driver: Driver) -> None:
    rig.delay("clone", AN_HOUR)
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    job = driver.start(step)
    assert job.about == "desk-001"
    assert job.action == "clone"
    (state,) = driver.wait([job], 0.0)
    assert state.status in UNFINISHED


def test_waiting_returns_the_states_of_all_once_one_has_finished(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-000")
    rig.delay("clone", AN_HOUR)
    slow = driver.start(step_for(driver, find(driver, rig.parent), "desk-001"))
    quick = driver.start(do.set_power(vm, Power.ON))
    states = driver.wait([slow, quick], AN_HOUR)
    seen = {state.job.id: state.status for state in states}
    assert seen[quick.id] is JobStatus.DONE
    assert seen[slow.id] in UNFINISHED


def test_waiting_returns_at_once_if_a_job_has_finished_already(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-000")
    rig.delay("clone", AN_HOUR)
    quick = driver.start(do.set_power(vm, Power.ON))
    result_of(driver, quick)
    slow = driver.start(step_for(driver, find(driver, rig.parent), "desk-001"))
    states = driver.wait([quick, slow], AN_HOUR)
    assert [s.job.id for s in states if s.finished] == [quick.id]


def test_waiting_ends_with_its_time(rig: Rig, driver: Driver) -> None:
    rig.delay("clone", AN_HOUR)
    job = driver.start(step_for(driver, find(driver, rig.parent), "desk-001"))
    begun = time.monotonic()
    (state,) = driver.wait([job], 0.4)
    assert time.monotonic() - begun > 0.2
    assert state.status in UNFINISHED


def test_waiting_for_nothing_ends_at_once(rig: Rig, driver: Driver) -> None:
    assert driver.wait([], AN_HOUR) == ()


def test_a_finished_job_stays_finished(rig: Rig, driver: Driver) -> None:
    job = driver.start(step_for(driver, find(driver, rig.parent), "desk-001"))
    assert finish(driver, [job]) == finish(driver, [job])


def test_jobs_go_on_after_close(rig: Rig, driver: Driver) -> None:
    rig.delay("clone", 0.3)
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    short_lived = rig.connect()
    short_lived.start(step)
    short_lived.close()
    deadline = time.monotonic() + 120.0
    while not (seen := driver.observe_names(step.target, ["desk-001"])):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert seen[0].valid_mark == step.mark


def test_jobs_of_one_connection_go_on_while_another_works(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    rig.delay("clone", 0.3)
    parent = find(driver, rig.parent)
    ours = driver.start(step_for(driver, parent, "desk-001"))
    theirs = other_driver.start(step_for(other_driver, parent, "desk-002"))
    assert result_of(other_driver, theirs) != result_of(driver, ours)


# -- guests -------------------------------------------------------------------------------


def start_clone(driver: Driver, rig: Rig, *, customization: str = "") -> Vm:
    """Make a running clone, customised by a stored specification if one is named."""
    step = step_for(driver, find(driver, rig.parent), "desk-001")
    target = replace(step.target, customization_spec=customization)
    made = result_of(driver, driver.start(replace(step, target=target, power_on=True)))
    (vm,) = driver.observe_vms([VmId(str(made))])
    return vm


def test_a_guest_without_customization_reports_none(rig: Rig, driver: Driver) -> None:
    assert start_clone(driver, rig).customization is untouched(driver)


def untouched(driver: Driver) -> CustomizationStatus:
    """What a clone tells whose guest is given nothing but what each guest gets."""
    always = driver.features.customizes_always
    return CustomizationStatus.PENDING if always else CustomizationStatus.NONE


def test_how_far_a_customization_is_shows_on_the_vm(rig: Rig, driver: Driver) -> None:
    """Where nobody in the guest answers it is never more than pending."""
    vm = start_clone(driver, rig, customization=rig.customization)
    if not rig.customization:
        assert vm.customization is untouched(driver)
        return
    deadline = time.monotonic() + 120.0
    while vm.customization is not CustomizationStatus.SUCCEEDED:
        assert vm.customization in {CustomizationStatus.PENDING, CustomizationStatus.RUNNING}
        assert time.monotonic() < deadline
        time.sleep(0.05)
        (vm,) = driver.observe_vms([vm.id])


def test_events_tell_only_of_vms_that_something_happened_to(rig: Rig, driver: Driver) -> None:
    events = driver.services.events
    if events is None:
        return  # its VMs tell all that there is to tell
    before = events.read_clock()
    assert before.tzinfo is not None
    vm = start_clone(driver, rig, customization=rig.customization)
    parent = find(driver, rig.parent)
    if not rig.customization:
        assert events.observe_customization([vm.id, parent.id], before) == {}
        return
    deadline = time.monotonic() + 120.0
    while True:
        news = events.observe_customization([vm.id, parent.id], before)
        assert set(news) <= {vm.id}
        if news and news[vm.id].status is CustomizationStatus.SUCCEEDED:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert events.observe_customization([parent.id], before) == {}


def test_a_guest_that_never_answered_has_no_address(rig: Rig, driver: Driver) -> None:
    assert start_clone(driver, rig).addresses == ()
