"""Looking at guests: how often, what is told, and what an outage or an interrupt comes to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.services import Services
from linkedclone.errors import HypervisorError, LostAnswerError, Transience
from linkedclone.execution.guest_watch import GuestWatch
from linkedclone.execution.outage import Outage, Pace
from linkedclone.execution.progress import Event, Silent
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationNews, CustomizationStatus, Power, Vm
from linkedclone.planning.guests.progress import Course, GuestStage
from linkedclone.planning.guests.timeouts import begin

TOOLS, CUSTOMIZED, ADDRESS = GuestStage.TOOLS, GuestStage.CUSTOMIZED, GuestStage.ADDRESS
BORN = datetime(2026, 11, 2, tzinfo=UTC)
VM = Vm(id=VmId("vm-1"), name="desk-1", uuid="u", power=Power.ON, created=BORN)
UP = replace(VM, tools_running=True)
READY = replace(UP, addresses=("10.0.0.5",))

Look = Callable[[], tuple[Vm, ...]] | tuple[Vm, ...]


@dataclass
class Scripted:
    """A driver that shows what it is told to, look by look; the last look stays."""

    looks: list[Look]
    asked: list[tuple[VmId, ...]] = field(default_factory=list)

    @property
    def services(self) -> Services:
        return Services()

    def observe_vms(self, ids: Sequence[VmId]) -> tuple[Vm, ...]:
        self.asked.append(tuple(ids))
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        seen = look() if callable(look) else look
        return tuple(vm for vm in seen if vm.id in ids)


@dataclass
class Telling(Scripted):
    """One that has events too."""

    news: list[CustomizationNews | Exception] = field(default_factory=list)
    since: list[datetime] = field(default_factory=list)

    @property
    def services(self) -> Services:
        return Services(events=self)

    def read_clock(self) -> datetime:
        return BORN + timedelta(days=30)

    def observe_customization(
        self, ids: Sequence[VmId], since: datetime
    ) -> Mapping[VmId, CustomizationNews]:
        self.since.append(since)
        told = self.news.pop(0) if len(self.news) > 1 else self.news[0]
        if isinstance(told, Exception):
            raise told
        return dict.fromkeys(ids, told)


class Listening(Silent):
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []

    def update(self, event: Event) -> None:
        self.heard.append((event.name, event.action, event.status.value))


class Clock:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    @property
    def pace(self) -> Pace:
        return Pace(now=lambda: self.now, sleep=self.sleep, chance=lambda: 0.5)


def watch(
    driver: Scripted,
    *vms: Vm,
    stages: tuple[GuestStage, ...] = (TOOLS, ADDRESS),
    clock: Clock | None = None,
    progress: Silent | None = None,
) -> GuestWatch:
    pace = (clock or Clock()).pace
    guests = {vm.id: begin(Course(stages=stages), vm, since=0, now=0) for vm in vms or (VM,)}
    outage = Outage(address="sim", patience_seconds=200, progress=Silent(), pace=pace)
    return GuestWatch(cast("Driver", driver), guests, progress or Silent(), outage, pace)


def test_one_look_serves_all_and_only_those_that_wait_are_looked_at() -> None:
    other = replace(READY, id=VmId("vm-2"), name="desk-2")
    driver = Scripted([(VM, other), (UP,), (READY,)])
    watch(driver, VM, other).follow()
    assert driver.asked == [("vm-1", "vm-2"), ("vm-1",), ("vm-1",)]


def test_a_guest_that_was_seen_ready_just_now_is_not_looked_at_again() -> None:
    other = replace(VM, id=VmId("vm-2"), name="desk-2")
    driver = Scripted([(replace(READY, id=other.id, name=other.name),)])
    watching = watch(driver, VM, other)
    watching.follow([READY, other])
    assert driver.asked == [("vm-2",)]
    assert watching.guests[READY.id].vm == READY
    assert all(guest.failure is None for guest in watching.guests.values())


def test_looks_get_rarer_but_never_rarer_than_every_two_seconds() -> None:
    clock = Clock()
    watch(Scripted([(VM,)]), clock=clock).follow()
    assert clock.pauses[0] == pytest.approx(0.2)
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[-1] == 2.0
    assert 300 < clock.now < 303


def test_each_stage_is_reported() -> None:
    listening = Listening()
    watch(Scripted([(VM,), (UP,), (READY,)]), progress=listening).follow()
    assert listening.heard == [
        ("desk-1", "wait for tools", "running"),
        ("desk-1", "wait for tools", "done"),
        ("desk-1", "wait for address", "running"),
        ("desk-1", "wait for address", "done"),
    ]


def test_a_failure_is_reported_at_its_stage() -> None:
    listening = Listening()
    watch(Scripted([(UP,), ()]), progress=listening).follow()
    assert listening.heard[-1] == ("desk-1", "wait for address", "failed")


def away() -> tuple[Vm, ...]:
    error = LostAnswerError("gone for a moment")
    error.transience = Transience.AWAY
    raise error


def test_an_outage_counts_against_no_guest() -> None:
    """vCenter restarts for minutes, and then the guest has its whole time."""
    clock = Clock()
    watching = watch(Scripted([(VM,), *[away] * 8, (VM,)]), clock=clock)
    watching.follow()
    assert watching.guests[VM.id].failure is not None
    quiet = sum(pause for pause in clock.pauses if pause > 2.0)
    assert quiet > 30
    # What no longer counts is the silence but for the pause that there is between two looks.
    assert clock.now > 300 + quiet - 5


def test_a_lasting_outage_ends_the_wait_and_keeps_the_known_results() -> None:
    watching = watch(Scripted([(UP,), away]))
    with pytest.raises(LostAnswerError):
        watching.follow()
    assert [stage for stage, _ in watching.guests[VM.id].passed] == [TOOLS]


def test_an_interrupt_keeps_the_known_results() -> None:
    def interrupt() -> tuple[Vm, ...]:
        raise KeyboardInterrupt

    watching = watch(Scripted([(UP,), interrupt]))
    with pytest.raises(KeyboardInterrupt):
        watching.follow()
    assert watching.guests[VM.id].vm.tools_running


# -- events ---------------------------------------------------------------------------

CUSTOMIZING = (TOOLS, CUSTOMIZED)
DONE = CustomizationNews(status=CustomizationStatus.SUCCEEDED)
BEGUN = CustomizationNews(status=CustomizationStatus.RUNNING)


def test_events_are_asked_for_where_the_vm_says_nothing() -> None:
    driver = Telling([(UP,)], news=[BEGUN, DONE])
    watching = watch(driver, stages=CUSTOMIZING)
    watching.follow()
    assert watching.guests[VM.id].failure is None
    assert driver.since == [BORN - timedelta(hours=1)] * 2


def test_a_host_whose_clock_is_ahead_hides_no_event() -> None:
    ahead = replace(VM, created=BORN + timedelta(days=400))
    driver = Telling([(ahead,)], news=[DONE])
    watch(driver, ahead, stages=CUSTOMIZING).follow()
    assert driver.since == [BORN + timedelta(days=30) - timedelta(hours=1)]


def test_events_are_not_asked_for_where_the_vm_tells_enough() -> None:
    running = replace(UP, customization=CustomizationStatus.RUNNING)
    done = replace(UP, customization=CustomizationStatus.SUCCEEDED)
    driver = Telling([(running,), (running,), (done,)], news=[DONE])
    watch(driver, stages=CUSTOMIZING).follow()
    assert driver.since == []


def test_nor_where_no_customization_is_waited_for() -> None:
    driver = Telling([(READY,)], news=[DONE])
    watch(driver).follow()
    assert driver.since == []


def test_without_an_age_of_the_vm_the_endpoints_clock_is_read() -> None:
    unaged = replace(VM, created=None)
    driver = Telling([(unaged,)], news=[DONE])
    watch(driver, unaged, stages=CUSTOMIZING).follow()
    assert driver.since == [BORN + timedelta(days=29)]


def test_events_that_cannot_be_read_do_not_end_the_wait() -> None:
    running = replace(UP, customization=CustomizationStatus.NONE)
    done = replace(UP, customization=CustomizationStatus.SUCCEEDED)
    driver = Telling([(running,), (done,)], news=[HypervisorError("no right to see events")])
    watching = watch(driver, stages=CUSTOMIZING)
    watching.follow()
    assert watching.guests[VM.id].failure is None


def test_but_they_are_reported_once_it_is_overdue() -> None:
    driver = Telling([(UP,)], news=[HypervisorError("no right to see events")])
    watching = watch(driver, stages=CUSTOMIZING)
    watching.follow()
    failure = watching.guests[VM.id].failure
    assert failure is not None
    assert "no right to see events" in failure.details
