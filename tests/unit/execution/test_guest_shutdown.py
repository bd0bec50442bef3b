"""Guests that are asked: many at once, each with its own deadline."""

from dataclasses import replace

import pytest

from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.drivers.memory.services import MemoryServices
from linkedclone.drivers.services import Services
from linkedclone.errors import BusyError, EndpointError
from linkedclone.execution import guest_shutdown
from linkedclone.execution.progress import Event, Silent
from linkedclone.execution.runner import Runner
from linkedclone.model.plan import Plan, ShutDownGuest
from linkedclone.model.report import STILL_RUNNING, ActionReport, Status
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from tests import do
from tests.memory import MemoryHypervisor

NAMES = ("good", "deaf", "mute")


def scene() -> tuple[MemoryHypervisor, dict[str, VmId]]:
    hypervisor = MemoryHypervisor()
    ids = {name: hypervisor.add_vm(name, power=Power.ON) for name in NAMES}
    hypervisor.set_guest(ids["deaf"], "deaf")
    hypervisor.set_guest(ids["mute"], "mute")
    return hypervisor, ids


def ask(
    hypervisor: MemoryHypervisor,
    *names: str,
    deadline: float = 0.2,
    then_off: bool = False,
    runner: Runner | None = None,
) -> ActionReport:
    known = {vm.name: vm.id for vm in hypervisor.vms}
    steps = tuple(
        ShutDownGuest(vm=known[n], vm_name=n, deadline_seconds=deadline, then_off=then_off)
        for n in names
    )
    runner = runner or Runner(MemoryDriver(hypervisor), Silent())
    return runner.run(Plan(stages=(steps,)), endpoint="memory:")


def power(hypervisor: MemoryHypervisor) -> dict[str, Power]:
    return {vm.name: vm.power for vm in hypervisor.vms}


def test_each_guest_ends_in_its_own_way() -> None:
    hypervisor, _ = scene()
    report = ask(hypervisor, *NAMES)
    found = {r.name: r for r in report.results}
    assert found["good"].status is Status.DONE
    assert found["deaf"].error is not None
    assert "runs on" in found["deaf"].error.brief
    assert "``then_off``" in found["deaf"].error.hint
    assert found["mute"].error is not None
    assert "tools do not answer" in found["mute"].error.brief
    assert power(hypervisor) == {"good": Power.OFF, "deaf": Power.ON, "mute": Power.ON}
    assert hypervisor.calls["SetPower"] == 0


def test_then_off_pulls_the_plug_of_those_alone_that_run_on() -> None:
    hypervisor, _ = scene()
    report = ask(hypervisor, *NAMES, then_off=True)
    assert report.exit_code == 0
    assert set(power(hypervisor).values()) == {Power.OFF}
    assert hypervisor.calls["SetPower"] == 2
    notes = {r.name: r.note for r in report.results}
    assert notes["good"] == ""
    assert "stopped hard" in notes["deaf"]
    assert "stopped hard" in notes["mute"]
    seconds = {r.name: r.seconds or 0.0 for r in report.results}
    assert seconds["deaf"] >= 0.2, "what it took begins with the question"


def test_a_plug_that_cannot_be_pulled_is_a_failure() -> None:
    hypervisor, _ = scene()
    hypervisor.fail("power-off", "mute")
    report = ask(hypervisor, "mute", then_off=True)
    assert report.exit_code == 1
    assert report.results[0].error is not None


def test_one_that_goes_off_by_itself_is_done() -> None:
    hypervisor, ids = scene()
    driver = MemoryDriver(hypervisor)
    driver.start(do.set_power(ids["mute"], Power.OFF))
    assert ask(hypervisor, "mute").exit_code == 0


def test_a_slow_guest_is_waited_for() -> None:
    hypervisor, _ = scene()
    hypervisor.delays["shut-down"] = 0.3
    assert ask(hypervisor, "good", deadline=30.0).exit_code == 0


class Booting(MemoryServices):
    """Its guest does not listen when it is asked first: it boots yet."""

    asked = 0

    def shut_down_guest(self, vm: VmId) -> None:
        Booting.asked += 1
        if self.asked == 2:
            raise BusyError("somebody works on it")
        if self.asked == 3:
            super().shut_down_guest(vm)


@pytest.mark.parametrize(("again", "status"), [(True, Status.DONE), (False, Status.FAILED)])
def test_a_guest_that_boots_yet_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, again: bool, status: Status
) -> None:
    monkeypatch.setattr(guest_shutdown, "ASK_AGAIN_SECONDS", 0.01)
    hypervisor, _ = scene()
    monkeypatch.setattr(Booting, "asked", 0)
    driver = MemoryDriver(hypervisor)
    driver.services = Services(guests=Booting(hypervisor, hypervisor.access))
    driver.features = replace(driver.features, asks_deaf_guests=again)
    runner = Runner(driver, Silent())
    report = ask(hypervisor, "good", deadline=30.0 if again else 0.5, runner=runner)
    assert report.results[0].status is status
    assert Booting.asked == (3 if again else 1)


def test_many_are_read_in_one_batch_each_time() -> None:
    hypervisor = MemoryHypervisor()
    names = [f"desk-{n}" for n in range(100)]
    for name in names:
        hypervisor.add_vm(name, power=Power.ON)
    hypervisor.delays["shut-down"] = 0.3
    assert ask(hypervisor, *names, deadline=30.0).exit_code == 0
    assert hypervisor.calls["shut_down_guest"] == 100
    assert hypervisor.calls["observe_vms"] < 20


def test_a_guest_deleted_meanwhile_is_reported() -> None:
    hypervisor, ids = scene()

    class Deleting(Silent):
        def update(self, event: Event) -> None:
            if event.name == "deaf" and event.action == "shut-down":
                driver = MemoryDriver(hypervisor)
                driver.start(do.set_power(ids["deaf"], Power.OFF))
                driver.start(do.delete_vm(ids["deaf"]))

    runner = Runner(MemoryDriver(hypervisor), Deleting())
    (result,) = ask(hypervisor, "deaf", deadline=30.0, runner=runner).results
    assert result.error is not None
    assert "deleted" in result.error.brief


class Failing(MemoryDriver):
    """Fails to read VMs, for ever or as often as is wanted."""

    times = -1
    error: Exception = EndpointError("nobody there")

    def observe_vms(self, ids):  # type: ignore[no-untyped-def]  # as inherited
        if self.times:
            self.times -= 1
            raise self.error
        return super().observe_vms(ids)


def test_an_endpoint_that_is_silent_for_a_moment_is_asked_again() -> None:
    hypervisor, _ = scene()
    driver = Failing(hypervisor)
    driver.times, driver.error = 2, BusyError("busy")
    assert ask(hypervisor, "good", deadline=30, runner=Runner(driver, Silent())).exit_code == 0


def test_an_endpoint_that_stays_silent_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkedclone.execution.guest_shutdown.SILENCE_SECONDS", 0.1)
    hypervisor, _ = scene()
    report = ask(hypervisor, "good", "deaf", runner=Runner(Failing(hypervisor), Silent()))
    assert {r.error.brief for r in report.results if r.error} == {"nobody there"}


def test_an_endpoint_that_restarts_is_waited_for_as_long_as_by_any_other_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("linkedclone.execution.guest_shutdown.SILENCE_SECONDS", 0.0)
    hypervisor, _ = scene()
    driver = Failing(hypervisor)
    driver.features = replace(driver.features, patience_seconds=60.0)
    driver.times = 3
    assert ask(hypervisor, "good", deadline=30, runner=Runner(driver, Silent())).exit_code == 0


def test_an_interrupt_leaves_those_that_were_asked_under_way() -> None:
    hypervisor, _ = scene()
    driver = Failing(hypervisor)
    driver.error = KeyboardInterrupt()  # type: ignore[assignment]  # what Ctrl-C raises
    report = ask(hypervisor, "good", "deaf", "mute", runner=Runner(driver, Silent()))
    assert report.interrupted
    found = {r.name: r for r in report.results}
    assert found["deaf"].status is Status.SKIPPED
    assert found["deaf"].note == STILL_RUNNING
    assert found["mute"].status is Status.FAILED
