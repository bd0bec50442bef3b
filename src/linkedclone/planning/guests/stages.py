"""Plan what each guest of a batch is followed through."""

from linkedclone.errors import InputError
from linkedclone.guest.host_names import make_host_name
from linkedclone.model.customization import GuestOs
from linkedclone.model.guest import Guest
from linkedclone.model.request import CloneRequest, Wait
from linkedclone.model.values.networks import check_networks, read_address
from linkedclone.model.vm import Vm
from linkedclone.planning.guests.progress import Course, Evidence, GuestStage


def check_wait(request: CloneRequest, *, customizes_always: bool) -> None:
    """Refuse to wait for what will not come, before anything is sent."""
    check_networks(request.network_filter)
    if request.wait is not Wait.TASK and not request.power_on:
        raise InputError(
            f"guests are to be waited for ({request.wait.value}), and none is started",
            hint="let the clones be started, or wait for their tasks alone",
        )
    if request.wait is Wait.CUSTOMIZED and not (is_customized(request) or customizes_always):
        raise InputError(
            "``wait.customized`` waits for a customization, and none is asked for",
            hint="add ``customization`` FILE or ``customization_spec`` NAME, or wait for tools or "
            "ip",
        )


def is_customized(request: CloneRequest) -> bool:
    """Say whether a request asks for a customization."""
    return request.customization is not None or bool(request.customization_spec)


def plan_course(
    request: CloneRequest,
    vm: Vm,
    guest: Guest | None,
    *,
    customizes_always: bool,
    has_events: bool = False,
) -> Course:
    """Plan what one guest is followed through.

    Of a clone that another run has made no ``guest`` is known: its name follows from the
    request, its addresses from its mark.
    """
    customization = request.customization
    os = customization.os if customization else None
    shown = (
        not customizes_always
        and customization is not None
        and os is GuestOs.CLOUD_INIT
        and customization.cloud_init.transport == "guestinfo"
        # What is stored goes by a customization of vSphere's own, whatever the file says.
        and not request.customization_spec
    )
    mark = vm.valid_mark
    marked = tuple(one for one in mark.addresses if read_address(one)) if mark else ()
    named = make_host_name(customization, vm.name) if customization else ""
    return Course(
        stages=_choose_stages(request),
        evidence=Evidence.SHOWN if shown else Evidence.TOLD,
        host_name=guest.host_name if guest else named,
        fixed=guest.addresses if guest else marked,
        networks=request.network_filter,
        seconds=request.wait_seconds,
        os=os,
        has_events=has_events,
    )


def _choose_stages(request: CloneRequest) -> tuple[GuestStage, ...]:
    match request.wait:
        case Wait.TASK:
            return ()
        case Wait.TOOLS:
            return (GuestStage.TOOLS,)
        case Wait.CUSTOMIZED:
            return (GuestStage.TOOLS, GuestStage.CUSTOMIZED)
        case Wait.IP:
            customized = (GuestStage.CUSTOMIZED,) if is_customized(request) else ()
            return (GuestStage.TOOLS, *customized, GuestStage.ADDRESS)
