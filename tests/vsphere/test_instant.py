"""Instant clones over real SOAP: forked, told who they are, and only then connected."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from linkedclone.app.clone.job import check, prepare
from linkedclone.app.connection import Connection
from linkedclone.drivers.registry import open_driver
from linkedclone.drivers.vsphere.cloning import forks
from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.errors import InputError, RefusedError, UnsupportedError
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.report import CloneReport, CloneResult, Stage, Status
from linkedclone.model.request import CloneRequest, Hardware, Mending, Nic, Placement
from linkedclone.model.vm import LEFT_FAILED, Power, Vm
from tests.contract.acts import find, set_power
from tests.simulator import Simulator
from tests.vsphere.acts import add_folder
from tests.vsphere.govc import run_govc

SOURCE = "/DC0/vm/DC0_H0_VM0"
WANTED = CloneRequest(parent=SOURCE, names=("web-1",), instant=True)


@pytest.fixture
def source(simulator: Simulator, driver: VsphereDriver) -> Vm:
    """A running VM in whose guest the script waits."""
    set_power(driver, find(driver, SOURCE), Power.ON)
    shape(simulator, ready=True)
    return find(driver, SOURCE)


def shape(simulator: Simulator, **setting: object) -> None:
    simulator.control("POST", "fork", {"name": "DC0_H0_VM0", **setting})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a guest no time at all."""
    monkeypatch.setattr(forks, "GUEST_SECONDS", 0.0)


def clone(driver: VsphereDriver, request: CloneRequest = WANTED) -> CloneReport:
    return Connection(driver, address="vsphere:").clone(request)


def only(report: CloneReport) -> CloneResult:
    (result,) = report.clones
    return result


def failure(report: CloneReport) -> str:
    error = only(report).error
    assert error is not None
    return error.brief


def cards(driver: VsphereDriver, vm: Vm) -> list[tuple[Any, bool]]:
    """Return each network card of a VM, and whether it is connected."""
    devices = driver._observer.present_shape(vm.id, whole=True).devices
    return [(one, one.connectable.connected) for one in devices if getattr(one, "macAddress", None)]


def names(driver: VsphereDriver) -> set[str]:
    return {vm.name for vm in driver.observe().vms if not vm.name.startswith("DC0_")}


@pytest.mark.parametrize("frozen", [False, True])
def test_forks_are_linked_have_an_identity_of_their_own_and_are_connected(
    simulator: Simulator, driver: VsphereDriver, source: Vm, frozen: bool
) -> None:
    shape(simulator, frozen=frozen)
    several = replace(WANTED, names=("web-{1..3}",))
    report = clone(driver, several)
    assert {one.status for one in report.clones} == {Status.CREATED}
    assert all(one.linked is True and one.power is Power.ON for one in report.clones)
    made = driver.find_vms(["web-1", "web-2", "web-3"])
    assert {vm.host_name for vm in made} == {"web-1", "web-2", "web-3"}
    assert len({vm.macs for vm in (*made, source)}) == 4
    assert all(vm.valid_mark and vm.valid_mark.instant for vm in made)
    assert all(connected for vm in made for _, connected in cards(driver, vm))
    after = find(driver, SOURCE)
    assert after.frozen is frozen
    assert len(after.disks[0].chain) == len(source.disks[0].chain) + (1 if frozen else 3)
    # A frozen source has another layer on top by now, which is nobody's but its own.
    again = clone(driver, replace(WANTED, names=("web-{1..4}",)))
    assert [one.status for one in again.clones] == [*3 * [Status.EXISTING], Status.CREATED]


def test_a_hundred_forks_take_at_most_four_calls_each(
    simulator: Simulator, driver: VsphereDriver, source: Vm
) -> None:
    simulator.reset_calls()
    report = clone(driver, replace(WANTED, names=("web-{1..100}",)))
    assert {one.status for one in report.clones} == {Status.CREATED}
    calls = simulator.calls()
    assert (calls["InstantClone_Task"], calls["ReconfigVM_Task"]) == (100, 100)
    # What is left are reads of all at once, of which a slow machine makes more.
    assert set(calls) <= {
        *("InstantClone_Task", "ReconfigVM_Task", "RetrievePropertiesEx"),
        *("ContinueRetrievePropertiesEx", "FindByInventoryPath", "FindChild"),
    }


def test_no_card_is_connected_before_the_guest_has_told_that_it_is_another_one(
    simulator: Simulator, driver: VsphereDriver, source: Vm, hasty: None
) -> None:
    simulator.control("POST", "fork/identity", {"never": True})
    report = clone(driver, replace(WANTED, keep_failed=True))
    assert "did not take an identity of its own within" in failure(report)
    left = find(driver, "web-1")
    assert left.power is Power.ON
    assert left.mark
    assert left.mark.spec == LEFT_FAILED
    assert [connected for _, connected in cards(driver, left)] == [False]
    assert "not a usable clone" in failure(clone(driver))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("failed: no reseed", "no reseed"),
        ("failed: \x1b[31mred", "cannot be understood"),
        ("failed: " + "x" * 300, "cannot be understood"),
        ("done and more", "cannot be understood"),
    ],
)
def test_a_fork_whose_guest_fails_is_undone(
    simulator: Simulator, driver: VsphereDriver, source: Vm, answer: str, words: str
) -> None:
    simulator.control("POST", "fork/identity", {"name": "web-2", "answer": answer})
    report = clone(driver, replace(WANTED, names=("web-{1..2}",)))
    good, bad = report.clones
    assert good.status is Status.CREATED
    assert bad.error
    assert bad.error.stage is Stage.CUSTOMIZE
    assert words in bad.error.brief
    assert names(driver) == {"web-1"}


def test_place_and_networks_are_honoured_and_read_back(
    simulator: Simulator, driver: VsphereDriver, source: Vm
) -> None:
    add_folder(driver, "Desktops")
    wanted = replace(
        WANTED,
        annotation="for Ada",
        placement=Placement(folder="Desktops"),
        hardware=Hardware(nics=(Nic(action="remap", index=0, network="DC0_DVPG0"),)),
    )
    assert only(clone(driver, wanted)).status is Status.CREATED
    made = find(driver, "/DC0/vm/Desktops/web-1")
    ((card, connected),) = cards(driver, made)
    assert connected
    assert card.backing.port.portgroupKey
    assert driver._session.managed("VirtualMachine", made.id).config.annotation == "for Ada"


def test_an_answer_that_is_lost_forks_nothing_twice(
    simulator: Simulator, driver: VsphereDriver, source: Vm
) -> None:
    simulator.drop("InstantClone_Task", after=True)
    simulator.reset_calls()
    assert only(clone(driver)).status is Status.CREATED
    assert simulator.calls()["InstantClone_Task"] == 1
    made = find(driver, "web-1")
    assert made.valid_mark
    assert [connected for _, connected in cards(driver, made)] == [True]


def test_a_lost_answer_to_the_connection_of_the_cards_leaves_a_good_fork(
    simulator: Simulator, driver: VsphereDriver, source: Vm
) -> None:
    simulator.drop("ReconfigVM_Task", after=True)
    assert only(clone(driver)).status is Status.CREATED
    assert names(driver) == {"web-1"}


def test_two_at_the_same_time_fork_each_name_once(
    simulator: Simulator, driver: VsphereDriver, source: Vm
) -> None:
    simulator.delays(task_ms={"InstantClone_Task": 300})
    other = open_driver(simulator.endpoint())
    assert isinstance(other, VsphereDriver)
    several = replace(WANTED, names=("web-{1..4}",))
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda one: clone(one, several), (driver, other)))
    other.close()
    pairs = list(zip(*(report.clones for report in reports), strict=True))
    for pair in pairs:
        first, second = sorted(pair, key=lambda one: one.status is not Status.CREATED)
        assert first.status is Status.CREATED
        # Who looks while the other one's fork has no identity yet leaves it alone.
        left = second.error is not None and "not a usable clone" in second.error.brief
        assert second.status is Status.EXISTING or left
    assert names(driver) == {"web-1", "web-2", "web-3", "web-4"}


def test_a_fork_that_a_killed_run_left_is_known_by_name_and_mark(
    simulator: Simulator, driver: VsphereDriver, source: Vm
) -> None:
    killed = open_driver(simulator.endpoint())
    (step,) = prepare(killed, WANTED).creates
    killed.start(step)
    while "web-1" not in names(driver):
        pass
    killed.close()
    left = find(driver, "web-1")
    assert [connected for _, connected in cards(driver, left)] == [False]
    simulator.reset_calls()
    assert "web-1 was left" in failure(clone(driver))
    assert "InstantClone_Task" not in simulator.calls()
    assert find(driver, "web-1").id == left.id


def by_govc(simulator: Simulator, *command: str) -> None:
    done = run_govc(simulator, *command)
    assert done.returncode == 0, done.stderr


def make_template(simulator: Simulator, driver: VsphereDriver) -> None:
    set_power(driver, find(driver, SOURCE), Power.OFF)
    simulator.mark_template("DC0_H0_VM0")


def add_port(simulator: Simulator, driver: VsphereDriver) -> None:
    by_govc(simulator, "device.serial.add", "-vm", SOURCE)
    by_govc(simulator, "device.serial.connect", "-vm", SOURCE, "telnet://:33233")


Spoil = Callable[[Simulator, VsphereDriver], None]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda _, d: set_power(d, find(d, SOURCE), Power.OFF), "is off, and an instant clone"),
        (make_template, "is a template"),
        (lambda s, _: shape(s, ready=False), "no script in the guest of DC0_H0_VM0 waits"),
        (add_port, "cannot be forked: it is not backed by a file"),
    ],
)
def test_what_cannot_be_forked_is_refused_before_any_call(
    simulator: Simulator, driver: VsphereDriver, source: Vm, spoil: Spoil, words: str
) -> None:
    spoil(simulator, driver)
    simulator.reset_calls()
    with pytest.raises(RefusedError, match=words):
        clone(driver)
    assert "InstantClone_Task" not in simulator.calls()


@pytest.mark.parametrize(
    ("field", "placement"),
    [
        ("placement.host", Placement(host="DC0_H0")),
        ("placement.cluster", Placement(cluster="DC0_C0")),
        ("placement.datastore_cluster", Placement(datastore_cluster="POD")),
        ("placement.spread.host", Placement(spread="host")),
    ],
)
def test_another_host_is_refused_by_name(
    driver: VsphereDriver, source: Vm, field: str, placement: Placement
) -> None:
    with pytest.raises(InputError, match=f"``{field}`` is not possible"):
        clone(driver, replace(WANTED, placement=placement))


def test_names_that_no_guest_can_have_and_macs_are_refused(
    driver: VsphereDriver, source: Vm
) -> None:
    with pytest.raises(InputError, match="host name 'web 1'"):
        clone(driver, replace(WANTED, names=("web 1",)))
    with pytest.raises(InputError, match="``macs`` of web-1 is not possible"):
        clone(driver, replace(WANTED, macs={"web-1": ("00:50:56:00:00:09",)}))


def test_a_server_before_6_7_and_a_lone_host_fork_nothing(
    start_simulator: Callable[..., Simulator],
) -> None:
    for flags in (("-api-version", "6.5"), ("-esx",)):
        simulator = start_simulator(*flags)
        driver = open_driver(simulator.endpoint())
        assert isinstance(driver, VsphereDriver)
        with pytest.raises(UnsupportedError, match="``instant`` means nothing"):
            clone(driver, replace(WANTED, parent=driver.observe().vms[0].uuid))
        assert "InstantClone_Task" not in simulator.calls()
        driver.close()


def test_prepare_and_doctor_tell_how_a_vm_is_forked(
    simulator: Simulator, driver: VsphereDriver, source: Vm
) -> None:
    here = Connection(driver, address="vsphere:")

    def told(findings: tuple[Finding, ...]) -> list[tuple[Verdict, str]]:
        return [(one.verdict, one.text) for one in findings if one.check == "instant clones"]

    def prepared() -> list[tuple[Verdict, str]]:
        return told(here.parents.prepare(SOURCE, Mending()).findings)

    waits = (Verdict.OK, "a script in its guest waits: instant clones can be made of it")
    assert prepared() == [waits]
    assert told(here.diagnose()) == []
    clone(driver)
    text = "DC0_H0_VM0 runs and has 2 layers: each clone adds one"
    assert told(here.diagnose()) == [(Verdict.OK, text)]
    shape(simulator, frozen=True)
    text = "DC0_H0_VM0 is frozen: all go on at the same point, and it gains no layers"
    assert told(here.diagnose()) == [(Verdict.OK, text)]
    assert prepared() == [(Verdict.OK, text), waits]
    set_power(driver, source, Power.OFF)
    (off,) = prepared()
    assert off[0] is Verdict.WARNING
    shape(simulator, ready=False)
    assert prepared() == []


def test_the_server_checks_a_fork_without_making_it(
    simulator: Simulator, driver: VsphereDriver, source: Vm
) -> None:
    prepared = prepare(driver, WANTED)
    (host,) = check(driver, prepared)
    assert (host.host, host.errors) == ("DC0_H0", ())
    set_power(driver, source, Power.OFF)
    (host,) = check(driver, prepared)
    assert host.errors
    assert simulator.calls()["CheckInstantClone_Task"] == 2
    assert "InstantClone_Task" not in simulator.calls()
