"""Tasks on a real wire: shared polls, attached clones, faults, and refused privileges."""

import time
from dataclasses import replace
from typing import Any

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.errors import (
    CustomizationError,
    DuplicateNameError,
    LinkedCloneError,
    NoSpaceError,
    PermissionDeniedError,
    PowerOnError,
)
from linkedclone.execution.progress import Silent
from linkedclone.execution.runner import Runner
from linkedclone.model.findings import Verdict
from linkedclone.model.jobs import Job
from linkedclone.model.plan import WriteMark
from linkedclone.model.vm import PoolState, Power
from tests import do
from tests.contract.acts import diagnose, error_of, find, finish, result_of
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, make_all, most_polls, opened, prepare, steps_for, target_for

NAMES = [f"desk-{n}" for n in range(20)]


def test_polls_are_few_however_often_one_waits(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    steps = steps_for(parent, target_for(driver, parent), NAMES)
    simulator.delays(task_ms={"CloneVM_Task": 600})
    simulator.reset_calls()
    begun = time.monotonic()
    left = [driver.start(step) for step in steps]
    while left:
        left = [state.job for state in driver.wait(left, 0.01) if not state.finished]
    assert simulator.calls()["RetrievePropertiesEx"] <= 10 + most_polls(begun)


def test_a_few_jobs_are_watched_and_not_polled(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    steps = steps_for(parent, target_for(driver, parent), NAMES[:3])
    simulator.delays(task_ms={"CloneVM_Task": 1500})
    simulator.reset_calls()
    states = finish(driver, [driver.start(step) for step in steps])
    assert all(state.result for state in states)
    calls = simulator.calls()
    assert calls["CreateFilter"] <= 3
    assert calls["WaitForUpdatesEx"] <= 20
    assert calls.get("RetrievePropertiesEx", 0) <= 3


def test_jobs_one_after_the_other_leave_one_filter_at_most(
    simulator: Simulator, driver: Driver
) -> None:
    vm = find(driver, PARENT)
    for power in (Power.ON, Power.OFF, Power.ON):
        result_of(driver, driver.start(do.set_power(vm, power)))
    calls = simulator.calls()
    assert calls["CreateFilter"] - calls["DestroyPropertyFilter"] == 1


def test_where_watching_fails_jobs_are_polled(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    steps = steps_for(parent, target_for(driver, parent), NAMES[:2])
    simulator.delays(task_ms={"CloneVM_Task": 300})
    simulator.fault("WaitForUpdatesEx", "InvalidCollectorVersion", at="call", count=-1)
    simulator.reset_calls()
    for step in steps:
        (state,) = finish(driver, [driver.start(step)])
        assert state.result
    assert simulator.calls()["WaitForUpdatesEx"] == 1


def test_watching_outlives_the_end_of_the_session(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    (step,) = steps_for(parent, target_for(driver, parent), ["desk-1"])
    simulator.delays(task_ms={"CloneVM_Task": 1500})
    job = driver.start(step)
    driver.wait([job], 1.0)
    simulator.end_sessions()
    (state,) = finish(driver, [job])
    assert state.result


def test_waiting_ends_in_time(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    simulator.delays(task_ms={"CloneVM_Task": 3_600_000})
    (step,) = steps_for(parent, target_for(driver, parent), ["desk-1"])
    job = driver.start(step)
    before = time.monotonic()
    (state,) = driver.wait([job], 0.2)
    assert time.monotonic() - before > 0.15
    assert not state.finished
    assert state.percent is None or 0 <= state.percent <= 100
    simulator.delays()
    finish(driver, [job])


def test_polling_outlives_a_moment_of_silence(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    (step,) = steps_for(parent, target_for(driver, parent), ["desk-1"])
    simulator.delays(task_ms={"CloneVM_Task": 300})
    job = driver.start(step)
    simulator.drop("RetrievePropertiesEx", count=4)
    (state,) = finish(driver, [job])
    assert state.result


def test_another_run_attaches_to_many_clones_at_once(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    steps = steps_for(parent, target_for(driver, parent), NAMES)
    simulator.delays(task_ms={"CloneVM_Task": 1500})
    made = [driver.start(step) for step in steps]
    with opened(simulator) as other:
        assert isinstance(error_of(other, lambda: other.start(steps[0])), DuplicateNameError)
        simulator.reset_calls()
        begun = time.monotonic()
        states = finish(other, [other.start(do.attach(step)) for step in steps])
        calls = simulator.calls()
    ids = [state.result for state in finish(driver, made)]
    assert [state.result for state in states] == ids
    assert calls["RetrievePropertiesEx"] + calls.get("FindChild", 0) <= 20 + 2 * most_polls(begun)


@pytest.mark.parametrize(
    ("fault", "more", "error", "words"),
    [
        ("NoDiskSpace", {"properties": {"datastore": "ssd1"}}, NoSpaceError, "datastore: ssd1"),
        (
            "NicSettingMismatch",
            {"properties": {"numberOfNicsInSpec": 2, "numberOfNicsInVM": 1}},
            CustomizationError,
            "numberOfNicsInSpec: 2",
        ),
        ("SystemError", {"message": "it broke"}, LinkedCloneError, "it broke"),
    ],
)
def test_the_servers_own_words_are_kept(
    simulator: Simulator,
    driver: Driver,
    fault: str,
    more: dict[str, Any],
    error: type[LinkedCloneError],
    words: str,
) -> None:
    parent = prepare(driver)
    (step,) = steps_for(parent, target_for(driver, parent), ["desk-1"])
    simulator.fault("CloneVM_Task", fault, name="desk-1", **more)
    found = error_of(driver, lambda: driver.start(step))
    assert isinstance(found, error)
    assert "could not clone desk-1" in found.brief
    assert words in found.details
    assert found.hint


def test_a_refused_privilege_is_named(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    (step,) = steps_for(parent, target_for(driver, parent), ["desk-1"])
    simulator.miss_privileges(["VirtualMachine.Provisioning.Clone"])
    found = error_of(driver, lambda: driver.start(step))
    assert isinstance(found, PermissionDeniedError)
    assert "VirtualMachine.Provisioning.Clone" in found.details


def test_a_start_that_fails_leaves_the_clone(simulator: Simulator, driver: Driver) -> None:
    parent = prepare(driver)
    target = target_for(driver, parent)
    (step,) = steps_for(parent, target, ["desk-1"])
    simulator.fault(
        "CloneVM_Task", "InsufficientFailoverResourcesFault", at="poweron", name="desk-1"
    )
    assert isinstance(error_of(driver, lambda: driver.start(step)), PowerOnError)
    (clone,) = driver.observe_names(target, ["desk-1"])
    assert clone.power is Power.OFF
    assert clone.owner == "linkedclone"


def test_actions_name_the_vm_and_not_its_id(simulator: Simulator, driver: Driver) -> None:
    vm = find(driver, PARENT)
    simulator.fault("PowerOnVM_Task", "SystemError")
    error = error_of(driver, lambda: driver.start(do.set_power(vm, Power.ON)))
    assert "start DC0_H0_VM0" in error.brief


def test_power_that_is_there_already_costs_no_read(simulator: Simulator, driver: Driver) -> None:
    vm = find(driver, PARENT)
    result_of(driver, driver.start(do.set_power(vm, Power.ON)))
    result_of(driver, driver.start(do.set_power(vm, Power.ON)))
    assert simulator.calls()["PowerOnVM_Task"] == 2


def test_a_mark_that_another_connection_changes_before_the_call_arrives_is_read_again(
    simulator: Simulator, driver: Driver
) -> None:
    assert isinstance(driver, VsphereDriver)
    parent = prepare(driver)
    (clone,) = make_all(driver, steps_for(parent, target_for(driver, parent), ["desk-1"]))
    assert clone.mark
    seen = replace(clone.mark, pool=PoolState(slot="desk-1"))
    result_of(driver, driver.start(do.write_mark(clone, seen, clone.mark)))
    claimed = replace(seen, pool=PoolState(slot="desk-1", claim="run", claimed=7))
    held = replace(seen, pool=PoolState(slot="desk-1", hold="Anne"))
    meanwhile = [claimed]

    def start_late(*given: Any, **named: Any) -> Job:
        while meanwhile:
            with opened(simulator) as other:
                result_of(other, other.start(do.write_mark(clone, meanwhile.pop(), seen)))
        return Jobs.start(driver._jobs, *given, **named)

    driver._jobs.start = start_late  # type: ignore[method-assign]
    step = WriteMark(vm=clone.id, vm_name=clone.name, mark=held, seen=seen)
    (landing,) = Runner(driver, Silent()).run_stage([step])
    assert landing.error is None
    (now,) = driver.observe_vms([clone.id])
    assert now.mark
    assert now.mark.pool == PoolState(slot="desk-1", hold="Anne", claim="run", claimed=7)


def test_a_reassigned_uuid_is_taken_into_the_mark(driver: Driver) -> None:
    parent = prepare(driver)
    target = target_for(driver, parent)
    first, second = steps_for(parent, target, ["desk-1", "desk-2"])
    second = replace(second, uuid=first.uuid, mark=first.mark)
    _, clone = make_all(driver, [first]) + make_all(driver, [second])
    assert clone.owner is None
    assert clone.mark is not None
    own = replace(clone.mark, uuid=clone.uuid)
    result_of(driver, driver.start(do.write_mark(clone, own, clone.mark)))
    (clone,) = driver.observe_vms([clone.id])
    assert clone.owner == "linkedclone"
    assert clone.mark is not None
    assert clone.mark.parent_uuid == parent.uuid


# -- doctor ---------------------------------------------------------------------------


def test_a_sound_endpoint_has_nothing_to_mend(simulator: Simulator, driver: Driver) -> None:
    simulator.reset_calls()
    findings = diagnose(driver)
    assert {finding.verdict for finding in findings} == {Verdict.OK}
    assert sum(simulator.calls().values()) == 2


def test_missing_privileges_are_named(simulator: Simulator, driver: Driver) -> None:
    simulator.miss_privileges(["VirtualMachine.Provisioning.Clone", "Datastore.AllocateSpace"])
    (finding,) = [f for f in diagnose(driver) if f.verdict is not Verdict.OK]
    assert finding.check == "privileges"
    assert "VirtualMachine.Provisioning.Clone, Datastore.AllocateSpace" in finding.text
    assert finding.remedy


def test_missing_privileges_of_options_are_named_with_the_option(
    simulator: Simulator, driver: Driver
) -> None:
    simulator.miss_privileges(["Folder.Create", "VirtualMachine.Provisioning.MarkAsVM"])
    (required,) = [one for one in diagnose(driver) if one.check == "privileges"]
    (optional,) = [one for one in diagnose(driver) if one.check == "privileges of options"]
    assert required.verdict is Verdict.OK
    assert optional.verdict is Verdict.WARNING
    assert "``placement.create_folder``: Folder.Create" in optional.text
    assert "``snapshot.prepare_template``: VirtualMachine.Provisioning.MarkAsVM" in optional.text
