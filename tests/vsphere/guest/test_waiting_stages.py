"""Guests followed through their stages over real SOAP: what is told, and at how many calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.contract import Driver
from linkedclone.execution.guest_watch import GuestWatch
from linkedclone.execution.outage import Outage, Pace
from linkedclone.execution.progress import Silent
from linkedclone.model.report import CloneResult, Failure, Status
from linkedclone.model.request import CloneRequest, Wait
from linkedclone.model.vm import CustomizationStatus, Power, Vm
from linkedclone.planning.guests.progress import Course, Followed, GuestStage
from linkedclone.planning.guests.timeouts import begin
from tests import command, do
from tests.contract.acts import find, result_of
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, Start, opened, prepare

TOOLS, CUSTOMIZED, ADDRESS = GuestStage.TOOLS, GuestStage.CUSTOMIZED, GuestStage.ADDRESS
REQUEST = CloneRequest(
    parent=PARENT, names=("desk-1",), customization_spec="vcsim-linux", wait=Wait.IP
)
PLAIN = replace(REQUEST, customization_spec="")
MADE = ["submitted", "cloned", "powered_on"]
KINDS = (
    "CustomizationFailed",
    "CustomizationUnknownFailure",
    "CustomizationLinuxIdentityFailed",
    "CustomizationNetworkSetupFailed",
    "CustomizationSysprepFailed",
)


@pytest.fixture
def sim(simulator: Simulator) -> Simulator:
    """A vCenter with a parent, whose guests come up within a blink."""
    with opened(simulator) as driver:
        prepare(driver)
    simulator.control("POST", "guest", {"tools_ms": 20, "ip_ms": 60, "customize_ms": 40})
    return simulator


@contextmanager
def connected(simulator: Simulator) -> Iterator[Connection]:
    with opened(simulator) as driver:
        yield Connection(driver, address="vsphere://sim")


def clone(simulator: Simulator, request: CloneRequest) -> tuple[CloneResult, ...]:
    with connected(simulator) as here:
        return here.clone(request).clones


def failure_of(result: CloneResult) -> Failure:
    assert result.status is Status.FAILED
    assert result.error is not None
    return result.error


def stages_of(result: CloneResult) -> list[str]:
    return [name for name, _ in result.stages]


# -- success --------------------------------------------------------------------------


def test_a_guest_goes_through_all_stages_and_each_is_timed(sim: Simulator) -> None:
    (result,) = clone(sim, REQUEST)
    assert (result.status, result.error) == (Status.CREATED, None)
    assert stages_of(result) == [*MADE, "tools", "customized", "address"]
    assert all(seconds >= 0 for _, seconds in result.stages)
    assert result.seconds == pytest.approx(sum(seconds for _, seconds in result.stages), abs=0.05)
    assert result.addresses


def test_without_a_customization_its_stage_is_passed_over(sim: Simulator) -> None:
    (result,) = clone(sim, PLAIN)
    assert stages_of(result) == [*MADE, "tools", "address"]


def test_customized_alone_waits_for_no_address(sim: Simulator) -> None:
    sim.control("POST", "guest", {"tools_ms": 20, "customize_ms": 40})
    (result,) = clone(sim, replace(REQUEST, wait=Wait.CUSTOMIZED))
    assert stages_of(result) == [*MADE, "tools", "customized"]


def test_a_batch_is_read_in_one_call_a_look_and_no_event_is_asked_for(sim: Simulator) -> None:
    sim.control("POST", "guest", {"tools_ms": 400, "ip_ms": 900, "customize_ms": 700})
    with connected(sim) as here:
        proposal = here.propose_clone(replace(REQUEST, names=tuple(f"d-{n}" for n in range(20))))
        sim.reset_calls()
        report = proposal.carry_out()
    assert report.exit_code == 0
    calls = sim.calls()
    assert calls["CloneVM_Task"] == 20
    assert "CreateCollectorForEvents" not in calls
    assert calls["RetrievePropertiesEx"] < 30


def test_clones_that_are_taken_up_are_waited_for_too(sim: Simulator) -> None:
    clone(sim, replace(REQUEST, wait=Wait.TASK))
    (result,) = clone(sim, REQUEST)
    assert result.status is Status.EXISTING
    assert stages_of(result) == ["tools", "customized", "address"]


def test_a_clone_that_is_off_is_started_and_waited_for(sim: Simulator) -> None:
    clone(sim, replace(PLAIN, wait=Wait.TASK, power_on=False))
    (result,) = clone(sim, PLAIN)
    assert result.status is Status.EXISTING
    assert stages_of(result) == ["powered_on", "tools", "address"]


# -- failures of the customization ----------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_customization_is_reported_with_its_event_and_keeps_the_clone(
    sim: Simulator, kind: str
) -> None:
    text = "An error occurred  <while> customizing desk-1."
    sim.control("POST", "guest/customization", {"event": kind, "text": text})
    result, good = clone(sim, replace(REQUEST, names=("desk-1", "desk-2"), parallel=1))
    error = failure_of(result)
    assert error.stage == "customize"
    assert error.details == f"{kind}: {text}\n{text}"
    assert "the clone is kept" in error.brief
    assert "/var/log/vmware-imc/toolsDeployPkg.log" in error.hint
    assert good.status is Status.CREATED
    with opened(sim) as driver:
        assert find(driver, "desk-1").power is Power.ON


def test_the_log_that_the_event_names_is_what_to_look_at(sim: Simulator) -> None:
    log = r"C:\Windows\TEMP\vmware-imc\guestcust.log"
    sim.control("POST", "guest/customization", {"event": "CustomizationSysprepFailed", "log": log})
    (result,) = clone(sim, REQUEST)
    assert log in failure_of(result).hint


def test_the_same_again_tells_the_failure_again(sim: Simulator) -> None:
    sim.control("POST", "guest/customization", {"event": "CustomizationFailed"})
    first, second = clone(sim, REQUEST), clone(sim, REQUEST)
    assert failure_of(second[0]).details == failure_of(first[0]).details


def test_one_that_never_ends_is_given_up_for_want_of_progress(sim: Simulator) -> None:
    sim.control("POST", "guest/customization", {"never": True})
    (result,) = clone(sim, replace(REQUEST, wait_seconds=0.5))
    error = failure_of(result)
    assert error.stage == "customize"
    assert "made no progress for 0.5 s" in error.brief
    assert "the last reported state: running" in error.details
    assert stages_of(result) == [*MADE, "tools"]


def test_what_the_parents_customization_came_to_does_not_count(sim: Simulator) -> None:
    """A clone's guest info may begin with its parent's; a guestinfo one would keep it."""
    clone(sim, replace(REQUEST, names=("gold",)))
    with opened(sim) as driver:
        gold = find(driver, "gold")
        assert gold.customization is CustomizationStatus.SUCCEEDED
        result_of(driver, driver.start(do.set_power(gold, Power.OFF)))
        prepare(driver, "gold")
    sim.control("POST", "guest/customization", {"never": True})
    (plain,) = clone(sim, replace(PLAIN, parent="gold", names=("plain",), wait=Wait.TOOLS))
    with opened(sim) as driver:
        assert plain.status is Status.CREATED
        assert find(driver, "plain").customization is CustomizationStatus.NONE
    (result,) = clone(sim, replace(REQUEST, parent="gold", wait_seconds=0.5))
    assert "made no progress" in failure_of(result).brief


# -- a server that keeps no such guest info -------------------------------------------


@pytest.fixture
def old(start_simulator: Start) -> Simulator:
    simulator = start_simulator("-api-version", "6.7")
    with opened(simulator) as driver:
        prepare(driver)
    simulator.control("POST", "guest", {"tools_ms": 20, "ip_ms": 60, "customize_ms": 500})
    return simulator


def test_an_old_server_tells_by_its_events_one_call_a_look(old: Simulator) -> None:
    old.reset_calls()
    results = clone(old, replace(REQUEST, names=tuple(f"d-{n}" for n in range(5))))
    assert [stages_of(result)[-2:] for result in results] == [["customized", "address"]] * 5
    calls = old.calls()
    assert calls["CreateCollectorForEvents"] == 1
    assert calls["ReadNextEvents"] <= calls["RetrievePropertiesEx"]
    assert calls["CurrentTime"] == 1
    assert "customizationInfo" not in "".join(old.requests("RetrievePropertiesEx"))


def test_an_old_server_tells_of_failures(old: Simulator) -> None:
    text = "no such card"
    old.control(
        "POST", "guest/customization", {"event": "CustomizationNetworkSetupFailed", "text": text}
    )
    (result,) = clone(old, REQUEST)
    assert failure_of(result).details == f"CustomizationNetworkSetupFailed: {text}"


def test_events_go_on_after_another_login(old: Simulator) -> None:
    """The collector ends with its session."""
    clone(old, replace(REQUEST, wait=Wait.TASK, names=("desk-1", "desk-2")))
    with opened(old) as driver:
        events = driver.services.events
        assert events is not None
        vms = [find(driver, name) for name in ("desk-1", "desk-2")]
        since = min(vm.created for vm in vms if vm.created)
        before = events.observe_customization([vm.id for vm in vms], since)
        old.end_sessions()
        after = events.observe_customization([vm.id for vm in vms], since)
    assert set(after) == set(before) == {vm.id for vm in vms}


# -- what happens meanwhile -----------------------------------------------------------


def watch(
    driver: Driver, vm: Vm, course: Course, meanwhile: Callable[[], object]
) -> tuple[Followed, float]:
    """Follow a guest by a clock of its own; something happens once, after the first look."""
    clock = [0.0]
    acts = [meanwhile]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        if acts:
            acts.pop()()

    return follow(driver, vm, course, Pace(now=lambda: clock[0], sleep=sleep)), clock[0]


def follow(driver: Driver, vm: Vm, course: Course, pace: Pace) -> Followed:
    guest = begin(course, vm, since=0.0, now=0.0)
    outage = Outage(address="sim", patience_seconds=60, progress=Silent(), pace=pace)
    watching = GuestWatch(driver, {vm.id: guest}, Silent(), outage, pace)
    watching.follow()
    return watching.guests[vm.id]


@pytest.fixture
def running(simulator: Simulator) -> Vm:
    """A clone whose guest never reports anything."""
    with opened(simulator) as driver:
        prepare(driver)
    clone(simulator, replace(PLAIN, wait=Wait.TASK))
    with opened(simulator) as driver:
        return find(driver, "desk-1")


def test_a_power_off_is_reported_at_once(simulator: Simulator, driver: Driver, running: Vm) -> None:
    def stop() -> None:
        with opened(simulator) as other:
            result_of(other, other.start(do.set_power(running, Power.OFF)))

    guest, seconds = watch(driver, running, Course(stages=(TOOLS, ADDRESS)), stop)
    assert guest.failure is not None
    assert "powered off during the wait for its tools" in guest.failure.brief
    assert seconds < 1


def test_a_deleted_vm_is_reported_at_once(
    simulator: Simulator, driver: Driver, running: Vm
) -> None:
    def delete() -> None:
        with opened(simulator) as other:
            result_of(other, other.start(do.set_power(running, Power.OFF)))
            result_of(other, other.start(do.delete_vm(running)))

    guest, seconds = watch(driver, running, Course(stages=(TOOLS,)), delete)
    assert guest.failure is not None
    assert "disappeared" in guest.failure.brief
    assert seconds < 1


def test_a_silent_guest_has_its_whole_time_and_no_more(driver: Driver, running: Vm) -> None:
    guest, seconds = watch(driver, running, Course(stages=(TOOLS,)), lambda: None)
    assert guest.failure is not None
    assert "its tools did not answer for 300 s" in guest.failure.brief
    assert 300 < seconds < 304


def test_progress_puts_the_end_off(simulator: Simulator, driver: Driver, running: Vm) -> None:
    cards = {"name": "desk-1", "cards": [{"card": 0, "addresses": ["192.168.7.7"]}]}
    course = Course(stages=(TOOLS, ADDRESS), networks=("10.0.0.0/8",))
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        if 200 < clock[0] <= 200 + seconds:
            simulator.control("POST", "guest/cards", cards)

    ended = follow(driver, running, course, Pace(now=lambda: clock[0], sleep=sleep))
    assert ended.failure is not None
    assert 500 < clock[0] < 505


# -- addresses ------------------------------------------------------------------------


def test_only_addresses_of_the_vms_own_cards_count(
    simulator: Simulator, driver: Driver, running: Vm
) -> None:
    bridge = {"mac": "02:42:00:00:00:01", "addresses": ["172.17.0.1"]}
    own = {"card": 0, "addresses": ["fe80::1", "fd00::5", "169.254.3.4", "10.0.0.5", "0.0.0.0"]}
    for cards, expected in (
        ([bridge], ()),
        ([bridge, own], ("10.0.0.5", "fd00::5")),
        ([{**own, "mac": "02:42:00:00:00:02"}], ()),
    ):
        simulator.control("POST", "guest/cards", {"name": "desk-1", "cards": cards})
        (vm,) = driver.observe_vms([running.id])
        assert vm.addresses == expected


def test_the_filter_decides_which_addresses_count_and_are_reported(sim: Simulator) -> None:
    request = replace(PLAIN, network_filter=("10.64.0.0/10",))
    (result,) = clone(sim, request)
    assert result.status is Status.CREATED
    request = replace(
        PLAIN, names=("desk-2",), network_filter=("192.168.0.0/16",), wait_seconds=0.3
    )
    (result,) = clone(sim, request)
    error = failure_of(result)
    assert "no address that counts" in error.brief
    assert "only addresses in 192.168.0.0/16 count" in error.details
    assert result.addresses == ()


# -- the command line -----------------------------------------------------------------


def test_the_command_shows_each_stage(sim: Simulator, tmp_path: Path) -> None:
    env = command.environment(sim, tmp_path)
    args = ("clone", PARENT, "desk-{1..3}", "--customization-spec", "vcsim-linux", "--wait", "ip")
    done = command.run("-v", *args, env=env)
    assert done.returncode == 0, done.stderr
    for stage in ("wait for tools", "customize", "wait for address"):
        assert f"desk-2: {stage} done" in done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split()[-2:] == ["OF", "WHICH"]
    assert all("customized" in row and "address" in row for row in rows)
    assert "each took" in done.stderr
    assert "(median), the slowest" in done.stderr
    assert "saved against full copies of" in done.stderr


def test_customized_without_a_customization_is_refused_before_anything_is_sent(
    sim: Simulator, tmp_path: Path
) -> None:
    sim.reset_calls()
    env = command.environment(sim, tmp_path)
    done = command.run("clone", PARENT, "desk-1", "--wait", "customized", env=env)
    assert done.returncode == 2
    assert "--customize" in done.stderr
    assert set(sim.calls()) <= {"RetrieveServiceContent", "Login", "Logout"}


def test_what_the_page_tells_people_to_type_works(sim: Simulator, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "waiting.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("linkedclone ")]
    assert len(lines) == 3
    file = tmp_path / "linux.yaml"
    file.write_text("os: linux\ndomain: example.com\n")
    names = {"golden": PARENT, "linux.yaml": str(file)}
    env = command.environment(sim, tmp_path)
    for line in lines:
        words = [names.get(word, word) for word in line.split()[1:]]
        done = command.run(*words, env=env)
        assert done.returncode == 0, (line, done.stderr)
