"""What each guest of a batch is followed through."""

from dataclasses import replace

import pytest

from linkedclone.errors import InputError
from linkedclone.model.customization import CloudInit, Customization, GuestOs
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.request import CloneRequest, Wait
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Mark, Vm
from linkedclone.planning.guests.progress import Evidence, GuestStage
from linkedclone.planning.guests.stages import check_wait, plan_course

TOOLS, CUSTOMIZED, ADDRESS = GuestStage.TOOLS, GuestStage.CUSTOMIZED, GuestStage.ADDRESS
PLAIN = CloneRequest(parent="golden", names=("desk-1",))
LINUX = replace(PLAIN, customization=Customization(os=GuestOs.LINUX))
STORED = replace(PLAIN, customization_spec="linux")
CLOUD = Customization(os=GuestOs.CLOUD_INIT, host_name="{name}-x")
GUESTINFO = replace(PLAIN, customization=CLOUD)
VM = Vm(
    id=VmId("vm-1"),
    name="desk-1",
    uuid="u",
    mark=Mark(owner="linkedclone", uuid="u", addresses=("10.0.0.5",)),
)

STAGES = [
    (PLAIN, Wait.TASK, ()),
    (LINUX, Wait.TASK, ()),
    (PLAIN, Wait.TOOLS, (TOOLS,)),
    (LINUX, Wait.TOOLS, (TOOLS,)),
    (LINUX, Wait.CUSTOMIZED, (TOOLS, CUSTOMIZED)),
    (STORED, Wait.CUSTOMIZED, (TOOLS, CUSTOMIZED)),
    (PLAIN, Wait.IP, (TOOLS, ADDRESS)),
    (LINUX, Wait.IP, (TOOLS, CUSTOMIZED, ADDRESS)),
    (STORED, Wait.IP, (TOOLS, CUSTOMIZED, ADDRESS)),
]


@pytest.mark.parametrize(("request_", "wait", "stages"), STAGES)
def test_the_stages(request_: CloneRequest, wait: Wait, stages: tuple[GuestStage, ...]) -> None:
    request_ = replace(request_, wait=wait)
    assert plan_course(request_, VM, None, customizes_always=False).stages == stages


def test_an_address_of_a_mark_that_is_not_one_is_not_waited_for() -> None:
    assert VM.mark is not None
    odd = replace(VM, mark=replace(VM.mark, addresses=("10.0.0.5", "nonsense", "10.0.0.6%;x")))
    assert plan_course(PLAIN, odd, None, customizes_always=False).fixed == ("10.0.0.5",)


EVIDENCE = [
    (LINUX, False, Evidence.TOLD),
    (STORED, False, Evidence.TOLD),
    (GUESTINFO, False, Evidence.SHOWN),
    # What is stored never goes by guestinfo, so vSphere tells of it.
    (replace(GUESTINFO, customization_spec="linux"), False, Evidence.TOLD),
    # Such a driver tells of every customization itself.
    (GUESTINFO, True, Evidence.TOLD),
    (
        replace(
            PLAIN,
            customization=replace(CLOUD, cloud_init=CloudInit(transport="customization")),
        ),
        False,
        Evidence.TOLD,
    ),
]


@pytest.mark.parametrize(("request_", "always", "evidence"), EVIDENCE)
def test_what_proves_a_customization(
    request_: CloneRequest, always: bool, evidence: Evidence
) -> None:
    assert plan_course(request_, VM, None, customizes_always=always).evidence is evidence


def test_a_clone_of_this_run_is_who_it_was_made_to_be() -> None:
    card = GuestCard(dhcp=False, addresses=("10.0.0.9/24", "fd00::9/64"))
    guest = Guest(customization=CLOUD, host_name="other", instance_id="i", cards=(card,))
    course = plan_course(GUESTINFO, VM, guest, customizes_always=False)
    assert (course.host_name, course.fixed) == ("other", ("10.0.0.9", "fd00::9"))
    assert course.os is GuestOs.CLOUD_INIT


def test_a_clone_of_another_run_is_who_its_mark_and_the_request_say() -> None:
    course = plan_course(GUESTINFO, VM, None, customizes_always=False)
    assert (course.host_name, course.fixed) == ("desk-1-x", ("10.0.0.5",))
    inherited = replace(VM, uuid="other")
    assert plan_course(GUESTINFO, inherited, None, customizes_always=False).fixed == ()


REFUSED = [
    (replace(PLAIN, wait=Wait.CUSTOMIZED), False, "none is asked for"),
    (replace(PLAIN, wait=Wait.TOOLS, power_on=False), True, "none is started"),
    (replace(PLAIN, network_filter=("10.0.0.0/33", "10.0.0.0/8", "lan")), False, "'lan' are no"),
]


@pytest.mark.parametrize(("request_", "always", "brief"), REFUSED)
def test_waits_that_are_refused_before_anything_is_sent(
    request_: CloneRequest, always: bool, brief: str
) -> None:
    with pytest.raises(InputError, match=brief):
        check_wait(request_, customizes_always=always)


ALLOWED = [
    (replace(PLAIN, wait=Wait.CUSTOMIZED), True),
    (replace(LINUX, wait=Wait.CUSTOMIZED), False),
    (replace(STORED, wait=Wait.CUSTOMIZED), False),
    (replace(PLAIN, network_filter=("10.0.0.1/8", "fd00::/8")), False),
]


@pytest.mark.parametrize(("request_", "always"), ALLOWED)
def test_what_is_not(request_: CloneRequest, always: bool) -> None:
    check_wait(request_, customizes_always=always)
