"""Processors, memory, notes and mark: changed while a VM is off, and read back."""

from dataclasses import replace

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.errors import GoneError, HypervisorError, RefusedError
from linkedclone.model.plan import ReconfigureVm
from linkedclone.model.vm import PoolState, Power
from tests import do
from tests.contract.acts import clone, delete, error_of, make, read, result_of, set_power, step_for
from tests.contract.acts import find as find_vm
from tests.contract.rigs.base import Rig

MIB = 1 << 20


def change(vm: str, **wanted: object) -> ReconfigureVm:
    return ReconfigureVm(vm=vm, vm_name="desk-001", **wanted)  # type: ignore[arg-type]


def test_hardware_is_seen_as_it_was_asked_for(rig: Rig, driver: Driver) -> None:
    step = step_for(driver, find_vm(driver, rig.parent), "desk-001")
    hardware = replace(step.hardware, cpus=2, memory_bytes=128 * MIB)
    made = make(driver, replace(step, hardware=hardware))
    assert (made.cpus, made.memory_bytes) == (2, 128 * MIB)
    (again,) = driver.observe_vms([made.id])
    assert (again.cpus, again.memory_bytes) == (2, 128 * MIB)


def test_processors_and_memory_are_changed_while_it_is_off(
    rig: Rig, driver: Driver, other_driver: Driver
) -> None:
    before = clone(driver, rig, "desk-001")
    result_of(driver, driver.start(change(before.id, cpus=2, memory_bytes=192 * MIB)))
    after = read(other_driver, before.id)
    assert (after.cpus, after.memory_bytes) == (2, 192 * MIB)
    assert (after.uuid, after.mark, after.disks) == (before.uuid, before.mark, before.disks)
    assert after.macs == before.macs


def test_settings_that_are_not_named_stay(rig: Rig, driver: Driver) -> None:
    before = clone(driver, rig, "desk-001")
    result_of(driver, driver.start(change(before.id, cpus=2)))
    assert read(driver, before.id).memory_bytes == before.memory_bytes
    result_of(driver, driver.start(change(before.id, memory_bytes=192 * MIB)))
    assert read(driver, before.id).cpus == 2


def test_a_mark_is_changed_together_with_the_hardware(rig: Rig, driver: Driver) -> None:
    before = clone(driver, rig, "desk-001")
    assert before.mark
    pool = PoolState(
        slot="desk-001",
        generation=3,
        failures=2,
        hold="for Anne, until Friday; a=b",
        previous_parent="some-uuid",
        previous_snapshot="snapshot-1",
        claim="run host 12 34",
        claimed=1_767_258_000,
    )
    mark = replace(before.mark, spec="cpus=1 memory=2", pool=pool)
    result_of(driver, driver.start(change(before.id, cpus=2, mark=mark, seen=before.mark)))
    assert read(driver, before.id).valid_mark == mark
    free = replace(mark, pool=replace(pool, hold="", claim="", claimed=0))
    result_of(driver, driver.start(do.write_mark(before, free, mark)))
    assert read(driver, before.id).valid_mark == free


def test_hardware_of_a_running_vm_is_refused_and_stays(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    set_power(driver, vm, Power.ON)
    for wanted in (change(vm.id, cpus=2), change(vm.id, memory_bytes=192 * MIB)):
        error = error_of(driver, lambda wanted=wanted: driver.start(wanted))  # type: ignore[misc]
        assert isinstance(error, RefusedError | HypervisorError)
        assert "stop" in error.hint
    seen = read(driver, vm.id)
    assert (seen.cpus, seen.memory_bytes) == (vm.cpus, vm.memory_bytes)
    assert seen.power is Power.ON
    set_power(driver, vm, Power.OFF)


def test_notes_and_mark_are_changed_while_it_runs(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    assert vm.mark
    set_power(driver, vm, Power.ON)
    mark = replace(vm.mark, spec="notes=1", pool=PoolState(slot="desk-001"))
    wanted = change(vm.id, annotation="for Anne", mark=mark, seen=vm.mark, cpus=vm.cpus)
    result_of(driver, driver.start(wanted))
    assert read(driver, vm.id).valid_mark == mark
    set_power(driver, vm, Power.OFF)


def test_a_vm_that_is_gone_cannot_be_changed(rig: Rig, driver: Driver) -> None:
    vm = clone(driver, rig, "desk-001")
    delete(driver, vm)
    error = error_of(driver, lambda: driver.start(change(vm.id, cpus=2)))
    assert isinstance(error, GoneError)


def test_it_is_known_when_a_running_vm_was_started(
    request: pytest.FixtureRequest, rig: Rig, driver: Driver
) -> None:
    if "memory" in request.node.name:
        pytest.skip("guests in memory are started by no clock")
    vm = clone(driver, rig, "desk-001")
    assert vm.booted is None or vm.power is Power.OFF
    set_power(driver, vm, Power.ON)
    first = read(driver, vm.id).booted
    assert first is not None
    assert first.tzinfo is not None
    assert vm.created is None or first >= vm.created
    set_power(driver, vm, Power.OFF)
    set_power(driver, vm, Power.ON)
    second = read(driver, vm.id).booted
    assert second is not None
    assert second > first
    set_power(driver, vm, Power.OFF)
