"""The settings of a VM that cloud-init's VMware datasource reads."""

import base64
import gzip
import json
import random
from dataclasses import replace
from typing import Any

import pytest

from linkedclone.drivers.vsphere.inventory.metadata import read_instance_id
from linkedclone.errors import InputError
from linkedclone.guest.guestinfo import (
    ENCODING,
    build_guestinfo,
    build_removal,
    unpack_document,
)
from linkedclone.model.customization import CloudInit, Customization, GuestOs, SecretSource
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.values.secret import Secret

GUEST = Guest(
    customization=Customization(os=GuestOs.CLOUD_INIT), host_name="desk-1", instance_id="i-1"
)


def with_own(**own: Any) -> Guest:
    wanted = Customization(os=GuestOs.CLOUD_INIT, cloud_init=CloudInit(**own))
    return replace(GUEST, customization=wanted)


def test_the_documents_are_packed_and_say_how() -> None:
    found = build_guestinfo(GUEST)
    raw = gzip.decompress(base64.b64decode(found["guestinfo.metadata"]))
    assert json.loads(raw)["local-hostname"] == "desk-1"
    assert found["guestinfo.metadata.encoding"] == found["guestinfo.userdata.encoding"] == ENCODING


def test_the_instance_id_is_read_back_from_what_was_written() -> None:
    found = build_guestinfo(GUEST)
    texts = (found["guestinfo.metadata"], found["guestinfo.metadata.encoding"])
    assert read_instance_id(*texts) == "i-1"


def test_what_a_clone_would_inherit_goes_even_if_nothing_takes_its_place() -> None:
    assert set(build_guestinfo(GUEST)) == set(build_removal())
    assert build_guestinfo(GUEST)["guestinfo.vendordata"] == ""
    assert build_guestinfo(with_own(vendor_data="#cloud-config\n{}"))["guestinfo.vendordata"]


def test_the_same_guest_gives_the_same_bytes_without_time_or_system_in_them() -> None:
    packed = base64.b64decode(build_guestinfo(GUEST)["guestinfo.userdata"])
    assert packed[4:8] == b"\0\0\0\0"
    assert packed[9] == 255
    assert build_guestinfo(GUEST) == build_guestinfo(GUEST)


def test_a_document_with_passwords_is_forgotten_once_it_has_been_read() -> None:
    def redacted(guest: Guest) -> Any:
        text = unpack_document(build_guestinfo(guest)["guestinfo.metadata"])
        return json.loads(text).get("redact")

    assert redacted(GUEST) is None
    secret = ((SecretSource(env="X"), Secret("x")),)
    assert redacted(replace(GUEST, secrets=secret)) == ["userdata"]


def test_the_guest_s_dns_goes_to_its_cards() -> None:
    wanted = replace(GUEST.customization, dns=("10.0.0.2",))
    guest = replace(GUEST, customization=wanted, cards=(GuestCard(),))
    text = unpack_document(build_guestinfo(guest, names=("ens192",))["guestinfo.metadata"])
    card = json.loads(text)["network"]["ethernets"]["ens192"]
    assert card["nameservers"] == {"addresses": ["10.0.0.2"]}


def test_a_document_that_is_too_large_is_refused_with_its_size() -> None:
    noise = random.Random(1).randbytes(500_000).hex()
    with pytest.raises(InputError, match=r"guestinfo.userdata would have \d{3},\d{3} bytes"):
        build_guestinfo(with_own(user_data=f"#!/bin/sh\n# {noise}\n"))


@pytest.mark.parametrize("text", ["", "plain", "aGVsbG8=", "H4sIAAAAAAAA"])
def test_what_was_not_packed_here_is_not_unpacked(text: str) -> None:
    assert unpack_document(text) == ""


def test_no_more_is_unpacked_than_a_setting_can_hold() -> None:
    bomb = base64.b64encode(gzip.compress(b"a" * (64 << 20))).decode()
    assert len(unpack_document(bomb)) == 1 << 20
