"""Look at guests, many at once, until each is as far as was asked for."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from linkedclone.drivers.contract import Driver
from linkedclone.drivers.services import CustomizationEvents
from linkedclone.errors import LinkedCloneError, Transience
from linkedclone.execution.outage import REAL, Outage, Pace
from linkedclone.execution.progress import Event, Progress
from linkedclone.model.jobs import JobStatus
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationNews, CustomizationStatus, Vm
from linkedclone.planning.guests.progress import Followed, GuestStage
from linkedclone.planning.guests.timeouts import advance, excuse

_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 2.0

_USUAL_SILENCE: Final = 2 * _LONGEST_PAUSE_SECONDS
"""Between two looks; what goes beyond it was an outage, and no guest's fault."""

_LONGEST_CUSTOMIZATION: Final = timedelta(days=1)
"""How far back news are asked for of VMs whose age is not told (before API 6.7)."""

_CLOCKS_APART: Final = timedelta(hours=1)
"""How far a host's clock may be ahead of the one that events are dated by."""

ACTIONS: Final[Mapping[GuestStage, str]] = {
    GuestStage.TOOLS: "wait for tools",
    GuestStage.CUSTOMIZED: "customize",
    GuestStage.ADDRESS: "wait for address",
}
"""What is being done to a guest at each stage, for who wants to know."""


class GuestWatch:
    """Follows guests through one driver.

    One batched read for each look; the looks get rarer as time passes. What
    the VMs themselves do not tell of their customization is asked for in one
    more call for all of them. After an interrupt, :attr:`guests` says what is
    known.

    Attributes:
        guests: How far each guest is, by the VM's id.
    """

    def __init__(
        self,
        driver: Driver,
        guests: Mapping[VmId, Followed],
        progress: Progress,
        outage: Outage,
        pace: Pace = REAL,
    ) -> None:
        self.guests = dict(guests)
        self._driver = driver
        self._progress = progress
        self._outage = outage
        self._pace = pace
        self._since: datetime | None = None

    def follow(self, seen: Sequence[Vm] = ()) -> None:
        """Wait until every guest has got there, or will not.

        Args:
            seen: VMs that were looked at just now.
        """
        begun = heard = self._pace.now()
        for guest in self.guests.values():
            self._tell(guest, JobStatus.RUNNING)
        known = {vm.id: vm for vm in seen if not self._needs_news(vm)}
        self._take_in(known, known, {}, 0.0)
        while waiting := self._waiting():
            vms, news = self._outage.ask(partial(self._look, waiting))
            silence, heard = self._pace.now() - heard, self._pace.now()
            self._take_in(waiting, vms, news, max(0.0, silence - _USUAL_SILENCE))
            if self._waiting():
                pause = 0.1 * (heard - begun)
                self._pace.sleep(min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, pause)))

    def _waiting(self) -> list[VmId]:
        return [vm_id for vm_id, guest in self.guests.items() if not guest.finished]

    def _look(
        self, ids: Sequence[VmId]
    ) -> tuple[Mapping[VmId, Vm], Mapping[VmId, CustomizationNews]]:
        vms = {vm.id: vm for vm in self._driver.observe_vms(ids)}
        return vms, self._ask_for_news(vms)

    def _take_in(
        self,
        ids: Iterable[VmId],
        vms: Mapping[VmId, Vm],
        news: Mapping[VmId, CustomizationNews],
        outage_seconds: float,
    ) -> None:
        for vm_id in ids:
            before = excuse(self.guests[vm_id], outage_seconds)
            after = advance(before, vms.get(vm_id), now=self._pace.now(), news=news.get(vm_id))
            self.guests[vm_id] = after
            self._tell_change(before, after)

    # -- what the VMs do not tell -----------------------------------------------------

    def _ask_for_news(self, vms: Mapping[VmId, Vm]) -> Mapping[VmId, CustomizationNews]:
        """Ask the endpoint's log of events about customizations, where the VMs say too little."""
        asked = [vm for vm in vms.values() if self._needs_news(vm)]
        events = self._driver.services.events
        if not asked or events is None:
            return {}
        ids = [vm.id for vm in asked]
        try:
            if self._since is None:
                self._since = self._find_beginning(events)
            return events.observe_customization(ids, self._since)
        except LinkedCloneError as error:
            if error.transience in {Transience.AWAY, Transience.LOST}:
                raise
            # The VMs may tell enough themselves; if not, this says why more was not known.
            unheard = CustomizationNews(status=CustomizationStatus.NONE, text=str(error))
            return dict.fromkeys(ids, unheard)

    def _needs_news(self, vm: Vm) -> bool:
        return self.guests[vm.id].needs_news(vm)

    def _find_beginning(self, events: CustomizationEvents) -> datetime:
        """Return a moment before the first customization, by the endpoint's own clock.

        The host reports when a VM was created, and its clock may be ahead.
        """
        clock = events.read_clock()
        created = [guest.vm.created for guest in self.guests.values()]
        known = [moment for moment in created if moment is not None]
        if len(known) == len(created):
            return min(*known, clock) - _CLOCKS_APART
        return clock - _LONGEST_CUSTOMIZATION

    # -- telling ----------------------------------------------------------------------

    def _tell_change(self, before: Followed, after: Followed) -> None:
        for stage, seconds in after.passed[len(before.passed) :]:
            self._say(after, ACTIONS[stage], JobStatus.DONE, f"{seconds:.1f} s")
        if after.failure is not None:
            action = ACTIONS[after.stage] if after.stage else "wait"
            self._say(after, action, JobStatus.FAILED, after.failure.brief)
        elif after.stage is not before.stage:
            self._tell(after, JobStatus.RUNNING)

    def _tell(self, guest: Followed, status: JobStatus) -> None:
        if guest.stage is not None:
            self._say(guest, ACTIONS[guest.stage], status)

    def _say(self, guest: Followed, action: str, status: JobStatus, text: str = "") -> None:
        name = guest.vm.name
        self._progress.update(Event(name=name, action=action, status=status, text=text))
