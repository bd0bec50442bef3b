"""How far guests are: what was seen and a clock's value in, stages and failures out."""

from dataclasses import replace

import pytest

from linkedclone.model.customization import GuestOs
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationNews, CustomizationStatus, Power, Vm
from linkedclone.planning.guests.progress import Course, Evidence, Followed, GuestStage
from linkedclone.planning.guests.timeouts import advance, begin, excuse

TOOLS, CUSTOMIZED, ADDRESS = GuestStage.TOOLS, GuestStage.CUSTOMIZED, GuestStage.ADDRESS
ALL = Course(stages=(TOOLS, CUSTOMIZED, ADDRESS))
IP = Course(stages=(TOOLS, ADDRESS))
VM = Vm(id=VmId("vm-1"), name="desk-1", uuid="u", power=Power.ON)
PENDING = replace(VM, customization=CustomizationStatus.PENDING)
RUNNING = replace(VM, tools_running=True, customization=CustomizationStatus.RUNNING)
DONE = replace(VM, tools_running=True, customization=CustomizationStatus.SUCCEEDED)
FAILED = replace(
    VM, tools_running=True, customization=CustomizationStatus.FAILED, customization_error="no Perl"
)
UP = replace(DONE, addresses=("10.0.0.5",))


def follow(course: Course, *looks: tuple[float, Vm | None]) -> Followed:
    guest = begin(course, VM, since=0.0, now=0.0)
    for now, vm in looks:
        guest = advance(guest, vm, now=now)
    return guest


def test_each_stage_takes_from_the_one_before_until_it_is_seen() -> None:
    guest = follow(ALL, (1, PENDING), (20, RUNNING), (50, DONE), (53, UP))
    assert guest.finished
    assert guest.failure is None
    assert guest.passed == ((TOOLS, 20), (CUSTOMIZED, 30), (ADDRESS, 3))


def test_what_was_passed_unseen_takes_no_time_of_its_own() -> None:
    assert follow(ALL, (9, UP)).passed == ((TOOLS, 9), (CUSTOMIZED, 0), (ADDRESS, 0))


READY = [
    (Course(stages=(TOOLS,)), VM, None),
    (Course(stages=(TOOLS,)), replace(VM, tools_running=True), TOOLS),
    # An address of before says nothing of the tools where only those are asked for.
    (Course(stages=(TOOLS,)), replace(VM, addresses=("10.0.0.5",)), None),
    (IP, replace(VM, addresses=("10.0.0.5",)), ADDRESS),
    (IP, replace(VM, tools_running=True), TOOLS),
    # Customized comes before the address, whatever address there is by then.
    (ALL, replace(RUNNING, addresses=("10.0.0.5",)), TOOLS),
    (ALL, replace(DONE, tools_running=False), CUSTOMIZED),
    (ALL, UP, ADDRESS),
    (replace(IP, networks=("10.0.0.0/8",)), replace(VM, addresses=("192.168.0.4",)), None),
    (replace(IP, networks=("10.0.0.0/8",)), replace(VM, addresses=("fd00::1",)), None),
    (replace(IP, networks=("fd00::/8",)), replace(VM, addresses=("fd00::1",)), ADDRESS),
    # With a fixed address any other is still the one of before.
    (replace(ALL, fixed=("10.0.0.7",)), UP, CUSTOMIZED),
    (replace(ALL, fixed=("10.0.0.7", "10.0.0.5")), UP, ADDRESS),
    (replace(ALL, fixed=("10.0.0.7",), networks=("10.0.0.0/30",)), UP, CUSTOMIZED),
    (replace(IP, fixed=("fd00:0::1",)), replace(VM, addresses=("fd00::1",)), ADDRESS),
]  # fmt: skip


@pytest.mark.parametrize(("course", "vm", "last"), READY)
def test_what_a_guest_has_to_show(course: Course, vm: Vm, last: GuestStage | None) -> None:
    passed = follow(course, (1, vm)).passed
    assert (passed[-1][0] if passed else None) is last


SHOWN = replace(ALL, evidence=Evidence.SHOWN, host_name="desk-1", fixed=("10.0.0.5",))
EVIDENCE = [
    (replace(VM, host_name="desk-1", addresses=("10.0.0.5",)), True),
    (replace(VM, host_name="DESK-1.example.com", addresses=("10.0.0.5", "10.0.9.9")), True),
    (replace(VM, host_name="golden", addresses=("10.0.0.5",)), False),
    (replace(VM, host_name="desk-1", addresses=("10.0.0.6",)), False),
    (replace(VM, host_name="desk-10", addresses=("10.0.0.5",)), False),
    (replace(VM, host_name="", addresses=("10.0.0.5",)), False),
    # What the parent's customization came to is no proof.
    (UP, False),
]


@pytest.mark.parametrize(("vm", "proven"), EVIDENCE)
def test_cloud_init_over_guestinfo_is_proven_by_what_the_guest_shows(vm: Vm, proven: bool) -> None:
    assert (CUSTOMIZED in dict(follow(SHOWN, (1, vm)).passed)) is proven


STOPPED = [
    (Power.OFF, "powered off"),
    (Power.SUSPENDED, "suspended"),
    (Power.PAUSED, "paused"),
]


@pytest.mark.parametrize(("power", "word"), STOPPED)
def test_a_stopped_guest_is_reported_at_once(power: Power, word: str) -> None:
    guest = follow(ALL, (1, PENDING), (2, replace(RUNNING, power=power)))
    assert guest.failure is not None
    assert guest.failure.brief == f"the clone was {word} during the wait for its tools"
    assert guest.seen == 2


def test_a_silent_host_is_not_a_power_off() -> None:
    assert not follow(IP, (1, replace(VM, power=Power.UNKNOWN))).finished


def test_a_vanished_vm_is_reported_at_once() -> None:
    guest = follow(ALL, (1, PENDING), (2, None))
    assert guest.failure is not None
    assert "disappeared" in guest.failure.brief


def test_a_failed_customization_is_reported_at_any_stage() -> None:
    guest = follow(ALL, (1, PENDING), (2, replace(FAILED, tools_running=False)))
    assert guest.failure is not None
    assert guest.failure.stage == "customize"
    assert "the clone is kept" in guest.failure.brief
    assert guest.failure.details == "no Perl"


def test_where_only_tools_are_waited_for_a_customization_does_not_count() -> None:
    assert follow(Course(stages=(TOOLS,)), (1, FAILED)).failure is None


def test_the_words_of_the_event_come_unedited_before_those_of_the_guest() -> None:
    news = CustomizationNews(
        status=CustomizationStatus.FAILED,
        event="CustomizationNetworkSetupFailed",
        text="An error occurred  while setting up network.",
        log=r"C:\log.txt",
    )
    guest = advance(begin(ALL, VM, since=0, now=0), FAILED, now=1, news=news)
    assert guest.failure is not None
    assert guest.failure.details == (
        "CustomizationNetworkSetupFailed: An error occurred  while setting up network.\nno Perl"
    )
    assert r"C:\log.txt" in guest.failure.hint


def test_the_event_of_a_failure_is_waited_for_a_moment() -> None:
    course = replace(ALL, has_events=True)
    begun = CustomizationNews(status=CustomizationStatus.RUNNING, event="CustomizationStarted")
    guest = advance(begin(course, VM, since=0, now=0), FAILED, now=1, news=begun)
    assert not guest.finished
    told = CustomizationNews(status=CustomizationStatus.FAILED, event="CustomizationFailed")
    assert "CustomizationFailed" in str(advance(guest, FAILED, now=2, news=told).failure)
    late = advance(guest, FAILED, now=7)
    assert late.failure is not None
    assert late.failure.stage == "customize"


LOGS = [
    (GuestOs.LINUX, "/var/log/vmware-imc/toolsDeployPkg.log"),
    (GuestOs.LINUX, "/var/log/cloud-init.log"),
    (GuestOs.WINDOWS, r"C:\Windows\Temp\vmware-imc\guestcust.log"),
    (GuestOs.WINDOWS, "Panther"),
    (GuestOs.CLOUD_INIT, "/var/log/cloud-init-output.log"),
    (None, "toolsDeployPkg.log"),
    (None, "guestcust.log"),
]


@pytest.mark.parametrize(("os", "log"), LOGS)
def test_what_to_look_at_inside_the_guest(os: GuestOs | None, log: str) -> None:
    guest = follow(replace(ALL, os=os), (1, FAILED))
    assert guest.failure is not None
    assert log in guest.failure.hint
    assert "``console`` desk-1" in guest.failure.hint


def test_news_count_where_the_vm_itself_says_nothing() -> None:
    news = CustomizationNews(status=CustomizationStatus.SUCCEEDED)
    guest = advance(begin(ALL, VM, since=0, now=0), VM, now=1, news=news)
    assert guest.stage is ADDRESS
    told = advance(begin(ALL, VM, since=0, now=0), RUNNING, now=1, news=news)
    assert told.stage is CUSTOMIZED


NEEDS = [
    (ALL, VM, True),
    (ALL, FAILED, True),
    (ALL, PENDING, False),
    (ALL, RUNNING, False),
    (IP, VM, False),
    (SHOWN, VM, False),
]


@pytest.mark.parametrize(("course", "vm", "needed"), NEEDS)
def test_when_more_than_the_vm_has_to_be_asked(course: Course, vm: Vm, needed: bool) -> None:
    assert begin(course, VM, since=0, now=0).needs_news(vm) is needed


# -- deadlines ------------------------------------------------------------------------

OVERDUE = [
    (IP, VM, 301, "tools did not answer for 300 s", "wait"),
    (ALL, RUNNING, 601, "customization made no progress for 600 s", "customize"),
    (IP, replace(VM, tools_running=True), 301, "reported no address for 300 s", "wait"),
    (replace(IP, seconds=7), VM, 8, "tools did not answer for 7 s", "wait"),
    (replace(ALL, seconds=7), RUNNING, 8, "made no progress for 7 s", "customize"),
]


@pytest.mark.parametrize(("course", "vm", "after", "brief", "stage"), OVERDUE)
def test_a_stage_without_progress_ends_at_its_deadline_and_no_earlier(
    course: Course, vm: Vm, after: float, brief: str, stage: str
) -> None:
    assert not follow(course, (0, vm), (after - 1, vm)).finished
    guest = follow(course, (0, vm), (after, vm))
    assert guest.failure is not None
    assert brief in guest.failure.brief
    assert guest.failure.stage == stage


def test_progress_puts_the_deadline_off_however_long_it_takes_in_all() -> None:
    guest = begin(ALL, VM, since=0, now=0)
    for minute in range(60):
        vm = replace(RUNNING, host_name=f"step-{minute}")
        guest = advance(guest, vm, now=500.0 * minute)
    assert not guest.finished
    assert advance(guest, DONE, now=30_000).stage is ADDRESS


def test_repeated_values_are_not_progress() -> None:
    guest = begin(ALL, VM, since=0, now=0)
    for turn in range(9):
        up = turn % 2 == 0
        guest = advance(guest, replace(RUNNING, tools_running=up), now=100.0 * turn)
    assert guest.failure is not None
    assert guest.seen == 800


def test_a_growing_disk_is_not_progress() -> None:
    guest = begin(IP, VM, since=0, now=0)
    for turn in range(5):
        guest = advance(guest, replace(VM, own_bytes=turn), now=100.0 * turn)
    assert guest.failure is not None


def test_time_without_observation_does_not_count() -> None:
    guest = excuse(follow(IP, (0, VM)), 400)
    assert not advance(guest, VM, now=600).finished
    assert advance(guest, VM, now=701).finished


def test_a_guest_that_got_there_stays_there() -> None:
    guest = follow(ALL, (1, UP))
    assert advance(guest, None, now=9) is guest


WORDS = [
    (SHOWN, replace(VM, host_name="golden", tools_running=True), "its host name is 'golden'"),
    (SHOWN, replace(VM, host_name="desk-1", tools_running=True), "does not report 10.0.0.5"),
    (ALL, replace(VM, tools_running=True), "no customization was reported"),
    (ALL, RUNNING, "the last reported state: running"),
    (
        replace(IP, networks=("10.0.0.0/8",)),
        replace(VM, addresses=("172.17.0.1",), tools_running=True),
        "it reports 172.17.0.1; only addresses in 10.0.0.0/8 count",
    ),
    (
        replace(IP, fixed=("10.0.0.7",)),
        replace(VM, addresses=("10.0.0.5",), tools_running=True),
        "it reports 10.0.0.5, and was given 10.0.0.7",
    ),
]


@pytest.mark.parametrize(("course", "vm", "details"), WORDS)
def test_why_a_guest_is_overdue(course: Course, vm: Vm, details: str) -> None:
    guest = follow(course, (0, vm), (1, vm), (700, vm))
    assert guest.failure is not None
    assert details in guest.failure.details
