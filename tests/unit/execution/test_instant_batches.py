"""Batches of instant clones on the hypervisor in memory: made, undone, and never booted."""

from dataclasses import replace

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import CustomizationError, RefusedError
from linkedclone.model.report import CloneReport, Difference, Status
from linkedclone.model.request import CloneRequest
from linkedclone.model.vm import LEFT_FAILED, Power
from tests.memory import MemoryHypervisor

REQUEST = CloneRequest(parent="gold", names=("desk-{1..3}",), instant=True)


@pytest.fixture
def lab() -> MemoryHypervisor:
    hypervisor = MemoryHypervisor()
    gold = hypervisor.add_vm("gold", power=Power.ON)
    hypervisor.add_snapshot(gold, "base")
    return hypervisor


def connect(lab: MemoryHypervisor) -> Connection:
    return Connection(MemoryDriver(lab, "memory:"), address="memory:")


def statuses(report: CloneReport) -> dict[str, Status]:
    return {clone.name: clone.status for clone in report.clones}


def test_forks_of_a_running_parent_are_linked_to_it_marked_and_run(lab: MemoryHypervisor) -> None:
    report = connect(lab).clone(REQUEST)
    assert set(statuses(report).values()) == {Status.CREATED}
    assert all(clone.linked is True and clone.power is Power.ON for clone in report.clones)
    marks = [vm.valid_mark for vm in lab.vms if vm.name != "gold"]
    assert all(mark and mark.instant and mark.spec != LEFT_FAILED for mark in marks)


def test_the_same_command_twice_forks_nothing_new(lab: MemoryHypervisor) -> None:
    connect(lab).clone(REQUEST)
    before = lab.vms
    assert set(statuses(connect(lab).clone(REQUEST)).values()) == {Status.EXISTING}
    assert lab.vms == before


def test_a_parent_that_is_off_is_not_forked_and_nothing_boots(lab: MemoryHypervisor) -> None:
    lab.add_vm("cold")
    with pytest.raises(RefusedError, match="cold is off"):
        connect(lab).clone(replace(REQUEST, parent="cold"))
    assert {vm.name for vm in lab.vms} == {"gold", "cold"}


def test_a_fork_without_an_identity_of_its_own_is_undone(lab: MemoryHypervisor) -> None:
    lab.fail("identity", "desk-2", error=CustomizationError("no reseed"))
    report = connect(lab).clone(REQUEST)
    assert statuses(report)["desk-2"] is Status.FAILED
    assert {vm.name for vm in lab.vms} == {"gold", "desk-1", "desk-3"}


def test_a_fork_that_is_kept_without_an_identity_is_never_taken_up(lab: MemoryHypervisor) -> None:
    lab.fail("identity", "desk-2", error=CustomizationError("no reseed"))
    connect(lab).clone(replace(REQUEST, keep_failed=True))
    (again,) = connect(lab).clone(replace(REQUEST, names=("desk-2",))).clones
    assert again.status is Status.FAILED
    assert again.error
    assert "not a usable clone" in again.error.brief


def test_a_fork_that_is_off_is_told_and_not_booted(lab: MemoryHypervisor) -> None:
    connect(lab).clone(replace(REQUEST, names=("desk-1",)))
    connect(lab).vms.set_power(["desk-1"], Power.OFF)
    (clone,) = connect(lab).clone(replace(REQUEST, names=("desk-1",))).clones
    assert clone.status is Status.DIFFERS
    assert clone.differences == (Difference(field="power", wanted="on", found="off"),)
    assert {vm.name: vm.power for vm in lab.vms}["desk-1"] is Power.OFF


def test_a_linked_clone_that_is_there_is_no_instant_one(lab: MemoryHypervisor) -> None:
    connect(lab).clone(replace(REQUEST, instant=False))
    (clone, *_) = connect(lab).clone(REQUEST).clones
    assert clone.status is Status.DIFFERS
    assert [one.field for one in clone.differences] == ["mode"]
