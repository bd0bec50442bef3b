"""Why a guest did not start as requested: the stage, the message, and where to look."""

from collections.abc import Iterator
from typing import Final, assert_never

from linkedclone.model.customization import GuestOs
from linkedclone.model.report import Failure, Stage
from linkedclone.model.vm import CustomizationStatus, Power
from linkedclone.planning.guests.progress import Evidence, Followed, GuestStage

_LINUX_LOG: Final = "/var/log/vmware-imc/toolsDeployPkg.log"
_CLOUD_INIT_LOGS: Final = "/var/log/cloud-init.log and /var/log/cloud-init-output.log"
_WINDOWS_LOGS: Final = (
    r"C:\Windows\Temp\vmware-imc\guestcust.log and "
    r"C:\Windows\System32\Sysprep\Panther\setuperr.log"
)
"""Where the guest's side writes what it did [fact: guest-logs]."""

_LOGS: Final = {
    GuestOs.LINUX: f"{_LINUX_LOG}, and {_CLOUD_INIT_LOGS} where cloud-init takes part",
    GuestOs.WINDOWS: _WINDOWS_LOGS,
    GuestOs.CLOUD_INIT: _CLOUD_INIT_LOGS,
    None: f"{_LINUX_LOG} (Linux), or {_WINDOWS_LOGS} (Windows)",
}

_AWAITED: Final = {
    GuestStage.TOOLS: "its tools",
    GuestStage.CUSTOMIZED: "its customization",
    GuestStage.ADDRESS: "its address",
}

_STOPPED: Final = {
    Power.OFF: "powered off",
    Power.SUSPENDED: "suspended",
    Power.PAUSED: "paused",
}


def vanished() -> Failure:
    """Tell of a VM that is gone."""
    return Failure(
        stage=Stage.WAIT,
        brief="the VM disappeared while linkedclone waited for its guest",
        hint="another user may have deleted it; run the same command again to make a new one",
    )


def stopped(guest: Followed) -> Failure:
    """Tell of a VM that does not run any more."""
    stage = guest.stage
    awaited = _AWAITED[stage] if stage else "its guest"
    return Failure(
        stage=_stage_of(stage),
        brief=f"the clone was {_STOPPED[guest.vm.power]} during the wait for {awaited}",
        details=guest.vm.trouble or (_last_words(guest) if stage is GuestStage.CUSTOMIZED else ""),
        hint="it is kept; find out why it stopped, then run the same command again: "
        "it is started and waited for",
    )


def failed(guest: Followed) -> Failure:
    """Tell of a customization that failed inside the guest; the clone is kept."""
    return Failure(
        stage=Stage.CUSTOMIZE,
        brief="the clone was made, but the customization of its guest failed; the clone is kept",
        details=_last_words(guest),
        hint=_where_to_look(guest),
    )


def overdue(guest: Followed, stage: GuestStage) -> Failure:
    """Tell of a stage that went too long without progress."""
    seconds = f"{guest.course.patience(stage):g} s"
    match stage:
        case GuestStage.TOOLS:
            what, details = f"its tools did not answer for {seconds}", ""
            hint = "look at its console; the guest tools must be installed in the parent"
        case GuestStage.CUSTOMIZED:
            what = f"its customization made no progress for {seconds}"
            details = "\n".join(_why_not_customized(guest))
            hint = _where_to_look(guest)
        case GuestStage.ADDRESS:
            what = f"it reported no address that counts for {seconds}"
            if not guest.vm.addresses:
                what = f"it reported no address for {seconds}"
            details = _which_addresses(guest)
            hint = (
                "look at its console; the guest tools must be installed in the parent, "
                "and a DHCP server must answer on its network unless its address is fixed"
            )
        case _:
            assert_never(stage)
    return Failure(
        stage=_stage_of(stage),
        brief=f"the clone is good and runs, but {what}",
        details=details,
        hint=hint,
    )


def _stage_of(stage: GuestStage | None) -> Stage:
    return Stage.CUSTOMIZE if stage is GuestStage.CUSTOMIZED else Stage.WAIT


def _last_words(guest: Followed) -> str:
    news, said = guest.news, []
    if news is not None and (news.event or news.text):
        said.append(": ".join(filter(None, (news.event, news.text))))
    if guest.vm.customization_error:
        said.append(guest.vm.customization_error)
    return "\n".join(said)


def _where_to_look(guest: Followed) -> str:
    log = guest.news.log if guest.news else ""
    logs = log or _LOGS[guest.course.os]
    return f"look into the guest (``console`` {guest.vm.name}): {logs}"


def _why_not_customized(guest: Followed) -> Iterator[str]:
    course, vm = guest.course, guest.vm
    if course.evidence is Evidence.SHOWN:
        if not guest.is_called_right:
            yield f"its host name is {vm.host_name!r}, and was to be {course.host_name!r}"
        if missing := guest.missing_addresses:
            yield f"it does not report {', '.join(missing)}"
        return
    if guest.status is CustomizationStatus.NONE:
        yield "no customization was reported: the guest tools may lack its engine"
    else:
        yield f"the last reported state: {guest.status.value}"
    if words := _last_words(guest):
        yield words


def _which_addresses(guest: Followed) -> str:
    course, reported = guest.course, guest.vm.addresses
    if not reported:
        return ""
    said = f"it reports {', '.join(reported)}"
    if course.fixed:
        return f"{said}, and was given {', '.join(course.fixed)}"
    return f"{said}; only addresses in {', '.join(course.networks)} count"
