"""What is started and stopped."""

from dataclasses import replace

import pytest

from linkedclone.errors import NotOursError, RefusedError
from linkedclone.model.plan import SetPower, ShutDownGuest
from linkedclone.model.request import AskGuests
from linkedclone.model.vm import Power
from linkedclone.planning.vms.power import plan_power, plan_restart
from tests.unit.planning.scene import GOLD, ONE, TWO

RUNNING = replace(TWO, power=Power.ON)


def test_power_skips_vms_already_in_that_state() -> None:
    plan = plan_power([ONE, RUNNING], Power.ON)
    assert [step.vm_name for step in plan.steps if isinstance(step, SetPower)] == ["one"]
    assert plan.existing == (RUNNING,)


def test_nothing_to_start_makes_an_empty_plan() -> None:
    plan = plan_power([RUNNING], Power.ON)
    assert plan.stages == ()
    assert plan.existing == (RUNNING,)


@pytest.mark.parametrize("power", [Power.SUSPENDED, Power.PAUSED, Power.UNKNOWN])
def test_a_suspended_vm_can_be_started_and_stopped(power: Power) -> None:
    between = replace(ONE, power=power)
    assert len(plan_power([between], Power.ON).steps) == 1
    assert len(plan_power([between], Power.OFF).steps) == 1


def test_a_template_is_not_started() -> None:
    with pytest.raises(RefusedError, match="template"):
        plan_power([replace(ONE, template=True)], Power.ON)


def test_a_foreign_vm_is_started_and_stopped_only_with_force() -> None:
    for power in (Power.ON, Power.OFF):
        with pytest.raises(NotOursError, match="gold"):
            plan_power([GOLD, ONE], power)
        plan_power([GOLD, ONE], power, force=True)


def test_restart_stops_what_runs_and_starts_all() -> None:
    plan = plan_restart([ONE, RUNNING])
    assert [
        [(step.vm_name, step.power) for step in stage if isinstance(step, SetPower)]
        for stage in plan.stages
    ] == [[("two", Power.OFF)], [("one", Power.ON), ("two", Power.ON)]]


def test_guests_are_asked_only_where_the_vm_is_not_off() -> None:
    guests = AskGuests(deadline_seconds=90, then_off=True)
    plan = plan_power([ONE, RUNNING], Power.OFF, guests=guests)
    assert plan.steps == (
        ShutDownGuest(vm=RUNNING.id, vm_name="two", deadline_seconds=90, then_off=True),
    )
    assert plan.existing == (ONE,)


def test_starting_asks_no_guest() -> None:
    plan = plan_power([ONE], Power.ON, guests=AskGuests())
    assert [type(step) for step in plan.steps] == [SetPower]


def test_restart_asks_what_runs_and_starts_all() -> None:
    stop, start = plan_restart([ONE, RUNNING], guests=AskGuests()).stages
    assert [type(step) for step in stop] == [ShutDownGuest]
    assert [type(step) for step in start] == [SetPower, SetPower]
