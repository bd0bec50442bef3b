"""MAC addresses that clones are given."""

from dataclasses import replace

import pytest

from linkedclone.errors import InputError, RefusedError
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.macs import parse_mac
from linkedclone.planning.clone.macs import refuse_used_macs, settle_macs
from tests.unit.building import TARGET, clone_of, gold, vm

MAC = "00:50:56:00:00:01"
REQUEST = CloneRequest(parent="gold", names=("desk-1", "desk-2"))


def given(*macs: tuple[str, tuple[str, ...]]) -> CloneRequest:
    return replace(REQUEST, macs=dict(macs))


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("00:50:56:3F:FF:FF", "00:50:56:3f:ff:ff"),
        ("00-50-56-00-00-01", MAC),
        ("02:00:00:aa:bb:cc", "02:00:00:aa:bb:cc"),
        ("aa:bb:cc:dd:ee:f0", "aa:bb:cc:dd:ee:f0"),
    ],
)
def test_an_address_is_read(text: str, mac: str) -> None:
    assert parse_mac(text) == mac


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a MAC address"),
        ("00:50:56:00:00", "not a MAC address"),
        ("00:50-56:00:00:01", "not a MAC address"),
        ("00:50:56:00:00:0g", "not a MAC address"),
        ("00:50:56:00:00:01:02", "not a MAC address"),
        ("01:00:5e:00:00:01", "group address"),
        ("ff:ff:ff:ff:ff:ff", "group address"),
        ("00:00:00:00:00:00", "all zeros"),
        ("00:50:56:40:00:00", "vCenter makes addresses"),
    ],
)
def test_what_no_card_can_have_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_mac(text)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (given(("desk-3", (MAC,))), "no clone has that name"),
        (given(("desk-1", (MAC,)), ("DESK-1", ("02:00:00:00:00:01",))), "given twice"),
        (given(("desk-1", (MAC,)), ("desk-2", (MAC.upper(),))), "to desk-1 and to desk-2"),
        (given(("desk-1", (MAC, MAC))), "to desk-1 and to desk-1"),
        (given(("desk-1", ("nonsense",))), "not a MAC address"),
    ],
)
def test_a_batch_that_contradicts_itself_is_refused(request_: CloneRequest, words: str) -> None:
    with pytest.raises(InputError, match=words):
        settle_macs(request_)


def test_names_are_compared_as_hypervisors_do() -> None:
    request = given(("DESK-1", (MAC.upper(),)))
    assert settle_macs(request).macs == {"desk-1": (MAC,)}


def step(name: str, *macs: str) -> CreateClone:
    source = gold()
    clone = clone_of(source, name)
    assert clone.mark
    return CreateClone(
        source=source,
        snapshot=source.snapshots[0],
        target=TARGET,
        name=name,
        uuid=clone.uuid,
        mark=clone.mark,
        macs=macs,
    )


def test_addresses_in_use_are_all_listed() -> None:
    vms = [replace(vm("router"), macs=(MAC,)), replace(vm("free"), macs=("02:00:00:00:00:07",))]
    creates = [step("desk-1", MAC), step("desk-2", "02:00:00:00:00:08")]
    with pytest.raises(RefusedError, match="1 MAC address is already in use") as caught:
        refuse_used_macs(creates, vms)
    assert caught.value.details == f"{MAC} for desk-1: /DC0/vm/router has it"
    refuse_used_macs(creates[1:], vms)
