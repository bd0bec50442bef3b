"""Follow guests through stages: what was seen and a clock's value in, how far each is out. Pure."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Final

from linkedclone.model.values.networks import choose_addresses
from linkedclone.model.vm import CustomizationNews, CustomizationStatus, Power, Vm
from linkedclone.planning.guests import failures
from linkedclone.planning.guests.progress import Course, Evidence, Followed, GuestStage


def begin(course: Course, vm: Vm, *, since: float, now: float) -> Followed:
    """Begin to follow a VM that runs ``since`` a moment; the deadlines begin now."""
    return Followed(course=course, vm=vm, since=since, entered=since, moved=now, seen=now)


def advance(
    guest: Followed, vm: Vm | None, *, now: float, news: CustomizationNews | None = None
) -> Followed:
    """Take in what was seen of a guest, and say how far it is.

    There is no VM if it is gone, and no news of its customization unless that was asked
    for.
    """
    if guest.finished:
        return guest
    if vm is None:
        return replace(guest, seen=now, failure=failures.vanished())
    guest = replace(guest, vm=vm, seen=now, news=news or guest.news)
    if vm.power in _STOPPED:
        return replace(guest, failure=failures.stopped(guest))
    if _has_failed(guest):
        guest = replace(guest, failing=now if guest.failing is None else guest.failing)
        return guest if _may_say_more(guest) else replace(guest, failure=failures.failed(guest))
    while (stage := guest.stage) is not None and _has_reached(guest, stage):
        passed = (*guest.passed, (stage, now - guest.entered))
        guest = replace(guest, passed=passed, entered=now, moved=now)
    if guest.finished:
        return guest
    signs = _signs(guest)
    if signs not in guest.shown:
        return replace(guest, moved=now, shown=guest.shown | {signs})
    if stage is not None and now - guest.moved > guest.course.patience(stage):
        return replace(guest, failure=failures.overdue(guest, stage))
    return guest


def excuse(guest: Followed, seconds: float) -> Followed:
    """Extend a guest's deadline by the time without observation."""
    return replace(guest, moved=guest.moved + seconds)


_STOPPED: Final = {Power.OFF, Power.SUSPENDED, Power.PAUSED}


_GRACE_SECONDS: Final = 5.0
"""How long the event of a failure is waited for that the VM itself has told already."""


def _has_failed(guest: Followed) -> bool:
    return (
        GuestStage.CUSTOMIZED in guest.course.stages
        and guest.course.evidence is Evidence.TOLD
        and guest.status is CustomizationStatus.FAILED
    )


def _may_say_more(guest: Followed) -> bool:
    """Say whether the event of a failure may still be on its way."""
    waited = guest.seen - (guest.seen if guest.failing is None else guest.failing)
    heard = guest.news is not None and guest.news.status not in _UNDER_WAY
    return guest.course.has_events and not heard and waited < _GRACE_SECONDS


_UNDER_WAY: Final = {CustomizationStatus.PENDING, CustomizationStatus.RUNNING}


def _has_reached(guest: Followed, stage: GuestStage) -> bool:
    """Say whether a guest is as far as that; being further is proof of it, too."""
    match stage:
        case GuestStage.TOOLS:
            rest = guest.course.stages[1:]
            return guest.vm.tools_running or any(_has_reached(guest, later) for later in rest)
        case GuestStage.CUSTOMIZED:
            return _is_customized(guest)
        case GuestStage.ADDRESS:
            return _has_address(guest)


def _is_customized(guest: Followed) -> bool:
    if guest.course.evidence is Evidence.TOLD:
        return guest.status is CustomizationStatus.SUCCEEDED
    return guest.is_called_right and not guest.missing_addresses


def _has_address(guest: Followed) -> bool:
    """Say whether a guest has an address that counts: one that it was given, if it was given any.

    What it reports right after its customization may still be the address of before.
    """
    expected = choose_addresses(guest.course.fixed, guest.course.networks)
    if not expected:
        return bool(guest.addresses)
    reported = {ip_address(address) for address in guest.addresses}
    return any(ip_address(address) in reported for address in expected)


def _signs(guest: Followed) -> object:
    """Return what a guest shows of itself; its disks may grow for ever and mean nothing."""
    vm = guest.vm
    return (guest.stage, vm.tools_running, vm.host_name, vm.addresses, guest.status, vm.power)
