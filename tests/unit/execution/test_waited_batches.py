"""Batches of clones whose guests are waited for, on the hypervisor in memory."""

from dataclasses import replace

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.errors import CustomizationError, InputError
from linkedclone.execution.progress import Event, Silent
from linkedclone.model.customization import Addresses, Customization, GuestOs
from linkedclone.model.report import CloneReport, CloneResult, Status
from linkedclone.model.request import CloneRequest, Wait
from linkedclone.model.vm import Power
from tests.memory import MemoryHypervisor

LINUX = Customization(os=GuestOs.LINUX, addresses=(Addresses(range="10.0.0.10-10.0.0.40/24"),))
REQUEST = CloneRequest(
    parent="gold",
    names=("desk-{1..2}",),
    customization=LINUX,
    wait=Wait.IP,
    wait_seconds=0.5,
)
MADE = ["submitted", "cloned", "powered_on"]


@pytest.fixture
def lab() -> MemoryHypervisor:
    hypervisor = MemoryHypervisor()
    gold = hypervisor.add_vm("gold")
    hypervisor.add_snapshot(gold, "base")
    return hypervisor


def connect(lab: MemoryHypervisor) -> Connection:
    return Connection(MemoryDriver(lab, "memory:"), address="memory:")


def stages(clone: CloneResult) -> list[str]:
    return [name for name, _ in clone.stages]


def by_name(report: CloneReport) -> dict[str, CloneResult]:
    return {clone.name: clone for clone in report.clones}


def test_every_clone_tells_its_stages_also_where_nothing_is_waited_for(
    lab: MemoryHypervisor,
) -> None:
    report = connect(lab).clone(replace(REQUEST, wait=Wait.TASK))
    assert [stages(clone) for clone in report.clones] == [MADE] * 2
    document = report.document()["clones"][0]  # type: ignore[index]
    assert list(document["stages"]) == MADE


def test_a_clone_that_is_not_started_was_not_powered_on(lab: MemoryHypervisor) -> None:
    request = replace(REQUEST, wait=Wait.TASK, power_on=False)
    assert stages(connect(lab).clone(request).clones[0]) == MADE[:2]


def test_a_clone_that_is_not_made_has_the_stages_that_it_came_through(
    lab: MemoryHypervisor,
) -> None:
    lab.fail("clone", "desk-1")
    lab.fail("clone", "desk-2", at="submit")
    clones = by_name(connect(lab).clone(replace(REQUEST, wait=Wait.TASK)))
    assert stages(clones["desk-1"]) == MADE[:1]
    assert stages(clones["desk-2"]) == []


def test_a_customized_batch_is_followed_to_its_addresses(lab: MemoryHypervisor) -> None:
    lab.delays["customize"] = 0.05
    report = connect(lab).clone(REQUEST)
    assert report.exit_code == 0
    for clone in report.clones:
        assert stages(clone) == [*MADE, "tools", "customized", "address"]
        assert sum(seconds for _, seconds in clone.stages) == pytest.approx(clone.seconds)
    assert [clone.addresses for clone in report.clones] == [("10.0.0.10",), ("10.0.0.11",)]


def test_one_failed_customization_fails_one_clone_and_keeps_it(lab: MemoryHypervisor) -> None:
    lab.fail("customize", "desk-1", error=CustomizationError("no Perl in the guest"))
    clones = by_name(connect(lab).clone(REQUEST))
    error = clones["desk-1"].error
    assert error is not None
    assert (error.stage, error.details) == ("customize", "no Perl in the guest")
    assert "the clone is kept" in error.brief
    assert clones["desk-1"].power is Power.ON
    assert clones["desk-2"].status is Status.CREATED
    assert "desk-1" in {vm.name for vm in lab.vms}


def test_a_clone_that_is_taken_up_is_waited_for(lab: MemoryHypervisor) -> None:
    lab.fail("power-on", "desk-1")
    connect(lab).clone(REQUEST)
    clones = by_name(connect(lab).clone(REQUEST))
    assert {clone.status for clone in clones.values()} == {Status.EXISTING}
    assert stages(clones["desk-1"]) == ["powered_on", "tools", "customized", "address"]
    assert stages(clones["desk-2"]) == ["tools", "customized", "address"]


class Interrupting(Silent):
    """Presses Ctrl-C when a guest has come as far as this."""

    def __init__(self, action: str) -> None:
        self._action = action

    def update(self, event: Event) -> None:
        if event.action == self._action:
            raise KeyboardInterrupt


def test_an_interrupted_wait_reports_the_known_results(lab: MemoryHypervisor) -> None:
    report = connect(lab).clone(REQUEST, Interrupting("customize"))
    assert report.exit_code == 130
    assert {clone.status for clone in report.clones} == {Status.CREATED}
    assert stages(report.clones[0])[:4] == [*MADE, "tools"]
    assert connect(lab).clone(REQUEST).exit_code == 0


REFUSED = [
    (replace(REQUEST, customization=None, wait=Wait.CUSTOMIZED), "none is asked for"),
    (replace(REQUEST, network_filter=("10.0.0.0/99",)), "is not a network"),
]


@pytest.mark.parametrize(("request_", "brief"), REFUSED)
def test_what_cannot_come_is_refused_before_anything_is_asked(
    lab: MemoryHypervisor, request_: CloneRequest, brief: str
) -> None:
    with pytest.raises(InputError, match=brief):
        connect(lab).propose_clone(request_)
    assert not lab.calls


def test_addresses_outside_of_the_filter_are_not_reported(lab: MemoryHypervisor) -> None:
    request = replace(REQUEST, wait=Wait.CUSTOMIZED, network_filter=("192.168.0.0/16",))
    assert [clone.addresses for clone in connect(lab).clone(request).clones] == [(), ()]
