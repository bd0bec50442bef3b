"""Asks vCenter's provisioning checker about a clone, without making one.

``CheckClone_Task`` takes what CloneVM_Task takes, and ``CheckInstantClone_Task`` what
InstantClone_Task takes [fact: vs-check-clone].
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from linkedclone.drivers.vsphere.connection.errors import translate
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.jobs.tasks import pause_seconds
from linkedclone.drivers.vsphere.names import unescape
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.property.collector import Collector, Seen
from linkedclone.errors import BusyError, GoneError, HypervisorError, UnsupportedError
from linkedclone.model.findings import HostCheck
from linkedclone.model.plan import CreateClone

_TASK: Final = {"Task": ("info.state", "info.error", "info.result")}
_UNKNOWN_METHOD: Final = frozenset({"MethodNotFound", "NotImplemented", "NotSupported"})
_PATIENCE_SECONDS: Final = 120.0


def check_clone(
    session: Session, collector: Collector, step: CreateClone, spec: Native
) -> tuple[HostCheck, ...]:
    """Let vCenter check the request of a clone, host by host; waits for the answer."""
    about = f"check the clone {step.name}"
    checker = session.content.vmProvisioningChecker
    if checker is None:
        raise _absent("the endpoint names none")
    try:
        source = session.managed("VirtualMachine", step.source.id)
        if step.instant:
            task = session.call(about, checker.CheckInstantClone, vm=source, spec=spec)
        else:
            task = session.call(
                about,
                checker.CheckClone,
                vm=source,
                folder=session.managed("Folder", step.target.folder),
                name=step.name,
                spec=spec,
            )
        answer = _await(collector, task, about)
    except HypervisorError as error:
        if error.kind in _UNKNOWN_METHOD:
            raise _absent(error.details or error.brief) from error
        raise
    return tuple(_build_checks(answer, _read_hosts(session, collector, answer)))


def _absent(details: str) -> UnsupportedError:
    return UnsupportedError(
        "this endpoint has no provisioning checker for clones",
        details=details,
        hint="leave ``server_check`` out: the dry run still shows the requests",
        kind="NotSupported",
    )


def _await(collector: Collector, task: Native, about: str) -> Sequence[Native]:
    begun = time.monotonic()
    while (age := time.monotonic() - begun) < _PATIENCE_SECONDS:
        seen = collector.read(about, [task], _TASK).get(moid_of(task))
        if seen is None:
            raise GoneError(f"could not {about}: the task no longer exists", hint="run it again")
        state = str(seen.demand("info.state"))
        if state == "error":
            raise translate(seen.demand("info.error"), about)
        if state == "success":
            return tuple(seen.told("info.result") or ())
        time.sleep(pause_seconds(age, jobs=1))
    raise BusyError(f"could not {about}: no answer in {_PATIENCE_SECONDS:.0f} seconds")


def _read_hosts(
    session: Session, collector: Collector, answer: Iterable[Native]
) -> dict[str, Seen]:
    ids = dict.fromkeys(moid_of(one.host) for one in answer if one.host is not None)
    if not ids:
        return {}
    starts = [session.managed("HostSystem", moid) for moid in ids]
    return collector.read("read the hosts", starts, {"HostSystem": ("name",)})


def _build_checks(answer: Iterable[Native], hosts: dict[str, Seen]) -> Iterator[HostCheck]:
    for one in answer:
        host = hosts.get(moid_of(one.host)) if one.host is not None else None
        yield HostCheck(
            host=unescape(str(host.get("name"))) if host else "",
            errors=tuple(_say(fault) for fault in one.error or ()),
            warnings=tuple(_say(fault) for fault in one.warning or ()),
        )


def _say(fault: Native) -> str:
    error = translate(fault, "clone")
    return "; ".join((error.details or error.brief).splitlines())
