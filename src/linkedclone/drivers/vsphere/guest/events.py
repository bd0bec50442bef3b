"""What vCenter's event log tells of customizations, for many VMs in one call."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.native import Native, kind_of, moid_of
from linkedclone.errors import GoneError
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import CustomizationNews, CustomizationStatus

_STARTED: Final = "CustomizationStartedEvent"
_SUCCEEDED: Final = "CustomizationSucceeded"
_KINDS: Final = (
    _STARTED,
    _SUCCEEDED,
    "CustomizationFailed",
    "CustomizationUnknownFailure",
    "CustomizationLinuxIdentityFailed",
    "CustomizationNetworkSetupFailed",
    "CustomizationSysprepFailed",
)
"""The events of a customization; each kind of failure is named [fact: vs-cust-events]."""

_PAGE: Final = 1000
"""The most events that one call returns [fact: vs-event-collector]."""

_ABOUT: Final = "read the events of customizations"


class CustomizationLog:
    """Follows the events of customizations through one EventHistoryCollector.

    The collector is on the server, begins with the oldest event that fits
    and goes on with those that come later: after the first, each look is one
    call, and brings only what is new. It ends with the session, so it is made
    anew after another login, and whenever an answer was lost: reading moves it
    on. QueryEvents returns a page of no certain place [fact: vs-event-collector].
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._collector: Native = None
        self._since: datetime | None = None
        self._news: dict[VmId, CustomizationNews] = {}

    def read_clock(self) -> datetime:
        """Return what time it is at the server."""
        server = self._session.managed("ServiceInstance", "ServiceInstance")
        now: datetime = self._session.read("read the clock", server.CurrentTime)
        return now if now.tzinfo else now.replace(tzinfo=UTC)

    def observe(self, ids: Sequence[VmId], since: datetime) -> Mapping[VmId, CustomizationNews]:
        """Return the last news of these VMs since that moment."""
        with self._lock:
            if self._since is None or since < self._since:
                self._forget()
                self._since = since
            try:
                self._read_on()
            except GoneError:
                self._forget()
                self._read_on()
            except Exception:
                self._forget()
                raise
            return {vm: self._news[vm] for vm in ids if vm in self._news}

    def _forget(self) -> None:
        self._collector = None
        self._news = {}

    def _read_on(self) -> None:
        if self._collector is None:
            content = self._session.content
            spec = build_filter(content.rootFolder, self._since)
            create = content.eventManager.CreateCollectorForEvents
            self._collector = self._session.call(_ABOUT, create, spec)
        while True:
            page = self._session.call(_ABOUT, self._collector.ReadNextEvents, _PAGE) or []
            for event in page:
                if event.vm is not None:
                    self._news[VmId(moid_of(event.vm.vm))] = read_news(event)
            if len(page) < _PAGE:
                return


def build_filter(root: Native, since: datetime | None) -> Native:
    """Return the filter for customizations of all VMs below a folder."""
    spec = vim.event.EventFilterSpec
    return spec(
        entity=spec.ByEntity(entity=root, recursion=spec.RecursionOption.all),
        time=spec.ByTime(beginTime=since),
        eventTypeId=list(_KINDS),
    )


def read_news(event: Native) -> CustomizationNews:
    """Return what an event tells, in the server's own words if it is of a failure."""
    kind = kind_of(event)
    log = event.logLocation or ""
    if kind == _STARTED:
        return CustomizationNews(status=CustomizationStatus.RUNNING, event=kind, log=log)
    if kind == _SUCCEEDED:
        return CustomizationNews(status=CustomizationStatus.SUCCEEDED, event=kind, log=log)
    return CustomizationNews(
        status=CustomizationStatus.FAILED,
        text=event.fullFormattedMessage or "",
        event=kind,
        log=log,
    )
