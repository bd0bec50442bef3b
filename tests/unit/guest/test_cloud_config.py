"""The documents that cloud-init reads, whichever hypervisor hands them over."""

import email
import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from linkedclone.errors import InputError
from linkedclone.guest.cloud_config import (
    CLOUD_CONFIG,
    build_cloud_config,
    build_meta_data,
    build_network,
    build_user_data,
    build_vendor_data,
    encode_document,
)
from linkedclone.model.customization import (
    CloudInit,
    Customization,
    GuestOs,
    GuestUser,
    SecretSource,
)
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.values.secret import Secret

SOURCE = SecretSource(env="PASSWORD")
FIXED = GuestCard(dhcp=False, addresses=("10.0.0.10/24",), gateways=("10.0.0.1",))


def guest(*, cards: tuple[GuestCard, ...] = (), **own: Any) -> Guest:
    return Guest(
        customization=Customization(os=GuestOs.CLOUD_INIT, cloud_init=CloudInit(**own)),
        host_name="desk-1",
        instance_id="i-1",
        cards=cards,
        secrets=((SOURCE, Secret("R")),),
    )


def parts_of(document: bytes) -> list[Any]:
    message = email.message_from_bytes(document)
    assert message.is_multipart()
    return [part for part in message.walk() if not part.is_multipart()]


@pytest.mark.parametrize(
    "text", ['a"b: [c', "ümläut: #x", "\\ ' \t", "a\x7f\x85\u2028\ufeffb", "🂡"]
)
def test_any_text_survives_a_yaml_reader(text: str) -> None:
    assert YAML(typ="safe", pure=True).load(encode_document({"key": text}))["key"] == text


def test_the_metadata_holds_identity_and_network() -> None:
    assert build_meta_data(guest()) == {"instance-id": "i-1", "local-hostname": "desk-1"}
    assert build_meta_data(guest(), {"version": 2})["network"] == {"version": 2}


def test_a_password_is_set_as_text_whatever_it_looks_like() -> None:
    """In the older list, R is a random password, and $6$ begins a hashed one."""
    found = build_cloud_config(guest(users=(GuestUser(name="ada", password=SOURCE),)))
    assert found["chpasswd"] == {
        "expire": False,
        "users": [{"name": "ada", "password": "R", "type": "text"}],
    }
    assert found["users"] == ["default", {"name": "ada", "lock_passwd": False}]


def test_a_user_without_password_is_locked_and_only_root_s_keys_open_root() -> None:
    keys = ("ssh-ed25519 AAAA",)
    ada = build_cloud_config(guest(users=(GuestUser(name="ada", ssh_keys=keys),)))
    root = build_cloud_config(guest(users=(GuestUser(name="root", ssh_keys=keys),)))
    assert ada["users"][1]["lock_passwd"] is True  # type: ignore[index]
    assert "disable_root" not in ada
    assert root["disable_root"] is False


def test_our_own_settings_alone_are_a_cloud_config() -> None:
    document = build_user_data(guest(run=("true",)))
    assert document.startswith(CLOUD_CONFIG)
    assert json.loads(document.removeprefix(CLOUD_CONFIG))["runcmd"] == ["true"]


def test_a_given_document_is_sent_alongside_ours_and_joined_to_it() -> None:
    own, other = parts_of(build_user_data(guest(user_data="#cloud-config\npackages: [ü]\n")))
    assert [own.get_content_type(), other.get_content_type()] == ["text/cloud-config"] * 2
    assert b'"hostname": "desk-1"' in own.get_payload(decode=True)
    assert other.get_payload(decode=True).decode() == "#cloud-config\npackages: [ü]\n"
    assert other["Merge-Type"] == "list(append)+dict(no_replace,recurse_list)+str()"
    assert "Merge-Type" not in own


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("#!/bin/sh\n", "text/x-shellscript"),
        ("#cloud-boothook\n", "text/cloud-boothook"),
        ("#include\nhttp://x\n", "text/x-include-url"),
        ("#include-once\nhttp://x\n", "text/x-include-once-url"),
        ("#cloud-config-archive\n[]\n", "text/cloud-config-archive"),
        ("## template: jinja\n#cloud-config\n", "text/jinja2"),
        ("Content-Type: text/x-shellscript\n\n#!/bin/sh\n", "text/x-shellscript"),
    ],
)
def test_each_kind_of_document_is_passed_on_as_what_it_is(text: str, kind: str) -> None:
    assert parts_of(build_user_data(guest(user_data=text)))[-1].get_content_type() == kind


def test_what_cloud_init_would_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="would not know"):
        build_user_data(guest(user_data="packages: [git]"))


def test_the_same_guest_gives_the_same_bytes() -> None:
    one, other = (build_user_data(guest(user_data="#!/bin/sh\n")) for _ in range(2))
    assert one == other


def test_the_vendor_s_document_is_passed_on_as_it_is() -> None:
    assert build_vendor_data(guest(vendor_data="#cloud-config\n{}")) == b"#cloud-config\n{}"
    assert build_vendor_data(guest()) == b""


def ethernets(*cards: GuestCard, **more: Any) -> Any:
    return build_network(cards, **more)["ethernets"]


def test_a_single_card_is_whatever_card_there_is() -> None:
    assert ethernets() == {"card0": {"match": {"name": "e*"}, "dhcp4": True}}
    assert ethernets(FIXED, names=("ens192",)) == {
        "ens192": {
            "match": {"name": "e*"},
            "dhcp4": False,
            "addresses": ["10.0.0.10/24"],
            "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
        }
    }


def test_several_cards_are_matched_by_address_or_by_name() -> None:
    by_mac = ethernets(FIXED, GuestCard(), macs=("00:50:56:AA:BB:CC", "00:50:56:AA:BB:CD"))
    assert [card["match"] for card in by_mac.values()] == [
        {"macaddress": "00:50:56:aa:bb:cc"},
        {"macaddress": "00:50:56:aa:bb:cd"},
    ]
    by_name = ethernets(FIXED, GuestCard(), names=("ens192", "ens224"))
    assert {key: card["match"] for key, card in by_name.items()} == {
        "ens192": {"name": "ens192"},
        "ens224": {"name": "ens224"},
    }


def test_indistinguishable_cards_are_refused_unless_configured_alike() -> None:
    with pytest.raises(InputError, match="network card 1 cannot be distinguished"):
        ethernets(FIXED, GuestCard(), names=("ens192", ""))
    assert ethernets(GuestCard(), GuestCard()) == {
        "card0": {"match": {"name": "e*"}, "dhcp4": True}
    }


def test_both_families_and_dns_of_the_card_or_else_of_the_guest() -> None:
    both = GuestCard(
        dhcp=False,
        dhcp6=True,
        addresses=("10.0.0.10/24", "fd00::10/64"),
        gateways=("10.0.0.1", "fd00::1"),
        dns=("10.0.0.2",),
    )
    found = build_network((both,), dns=("10.0.0.3",), search=("lab.example",))["ethernets"]
    card = found["card0"]  # type: ignore[index]
    assert card["dhcp6"] is True
    assert card["routes"][1] == {"to": "::/0", "via": "fd00::1"}
    assert card["nameservers"] == {"addresses": ["10.0.0.2"], "search": ["lab.example"]}
