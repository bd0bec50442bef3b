"""The NoCloud documents, and the disk that carries them."""

import io
import json
import shlex
import subprocess
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from pycdlib import PyCdlib
from ruamel.yaml import YAML

from linkedclone.guest.cloud_config import CLOUD_CONFIG
from linkedclone.guest.nocloud import (
    admit_key,
    as_cloud_init,
    build_documents,
    build_seed_iso,
    plain_guest,
)
from linkedclone.model.customization import (
    CloudInit,
    Customization,
    GuestOs,
    GuestUser,
    LinuxGuest,
    SecretSource,
)
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.values.secret import Secret

KEY = "ssh-ed25519 AAAAC3Nza somebody@example"
MAC = "52:54:00:AA:BB:CC"
PLAIN = plain_guest(host_name="desk-001", instance_id="i-1")
PASSWORD = SecretSource(env="ROOT_PASSWORD")


def guest_of(cloud_init: CloudInit) -> Guest:
    customization = Customization(os=GuestOs.CLOUD_INIT, cloud_init=cloud_init)
    return Guest(customization=customization, host_name="h", instance_id="i")


def user_data_of(guest: Guest, user: str = "") -> dict[str, Any]:
    content = build_documents(guest, (MAC,), user=user)["user-data"]
    assert content.startswith(CLOUD_CONFIG)
    document: dict[str, Any] = json.loads(content.removeprefix(CLOUD_CONFIG))
    return document


def test_the_documents_are_cloud_init_s_three() -> None:
    documents = build_documents(PLAIN, (MAC,))
    assert set(documents) == {"meta-data", "user-data", "network-config"}
    assert json.loads(documents["meta-data"]) == {
        "instance-id": "i-1",
        "local-hostname": "desk-001",
    }
    assert documents["user-data"].startswith(b"#cloud-config\n")


def test_the_vendor_s_document_is_a_fourth() -> None:
    guest = guest_of(CloudInit(vendor_data="#!/bin/sh\ntrue\n"))
    assert build_documents(guest, ())["vendor-data"] == b"#!/bin/sh\ntrue\n"


@pytest.mark.parametrize("text", ['a"b: [c', "ümläut: #x", "\\ ' \t", "line\nline"])
def test_any_text_survives_a_yaml_reader(text: str) -> None:
    guest = admit_key(plain_guest(host_name="x", instance_id=text), user=text, key=text)
    documents = build_documents(guest, ())
    reader = YAML(typ="safe")
    assert reader.load(documents["meta-data"])["instance-id"] == text
    users = reader.load(documents["user-data"].removeprefix(CLOUD_CONFIG))["users"]
    assert users[1]["name"] == text
    assert users[1]["ssh_authorized_keys"] == [text]


@pytest.mark.parametrize("user", ["", "root"])
def test_the_key_goes_to_the_default_user_or_to_root(user: str) -> None:
    data = user_data_of(admit_key(PLAIN, user=user, key=KEY), user)
    assert data["ssh_authorized_keys"] == [KEY]
    assert data["users"] == ["default"]
    assert data.get("disable_root", True) is (user != "root")


def test_a_user_that_is_logged_in_as_is_made() -> None:
    users = user_data_of(admit_key(PLAIN, user="ops", key=KEY), "ops")["users"]
    assert users[0] == "default"
    assert (users[1]["name"], users[1]["ssh_authorized_keys"]) == ("ops", [KEY])
    assert users[1]["sudo"]


def test_a_user_that_the_file_names_too_is_made_once_and_lets_both_keys_in() -> None:
    wanted = guest_of(CloudInit(users=(GuestUser(name="ops", ssh_keys=("theirs",), shell="/x"),)))
    users = user_data_of(admit_key(wanted, user="ops", key=KEY), "ops")["users"]
    assert [user["name"] for user in users[1:]] == ["ops"]
    assert users[1]["ssh_authorized_keys"] == ["theirs", KEY]
    assert "sudo" not in users[1]
    assert users[1]["shell"] == "/x"


@pytest.mark.parametrize("user", ["", "root", "ops"])
def test_the_key_is_let_in_beside_a_document_that_is_passed_on(user: str) -> None:
    passed_on = "#cloud-config\nusers: []\nssh_authorized_keys: []\ndisable_root: true\n"
    wanted = guest_of(CloudInit(user_data=passed_on))
    content = build_documents(admit_key(wanted, user=user, key=KEY), (), user=user)["user-data"]
    own, other = list(message_from_bytes(content).walk())[1:]
    text = own.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert KEY in text.decode()
    assert "default" in json.loads(text.removeprefix(CLOUD_CONFIG))["users"]
    # Ours stands first, and what is told already stays.
    assert "no_replace" in str(other["Merge-Type"])
    assert other.get_payload(decode=True) == passed_on.encode()


def test_each_card_is_known_by_its_mac_address() -> None:
    fixed = GuestCard(dhcp=False, addresses=("10.0.0.10/24",), gateways=("10.0.0.1",))
    cards = (fixed, GuestCard())
    wanted = Guest(customization=Customization(), host_name="h", instance_id="i", cards=cards)
    document = json.loads(build_documents(wanted, (MAC, "02:00:00:00:00:01"))["network-config"])
    found = list(document["ethernets"].values())
    assert [card["match"]["macaddress"] for card in found] == [MAC.lower(), "02:00:00:00:00:01"]
    assert found[0]["addresses"] == ["10.0.0.10/24"]
    assert found[0]["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]
    assert (found[0]["dhcp4"], found[1]["dhcp4"]) == (False, True)


def linux_guest(linux: LinuxGuest) -> Guest:
    customization = Customization(os=GuestOs.LINUX, domain="example.test", linux=linux)
    secrets = ((PASSWORD, Secret("s3cret")),)
    return Guest(customization=customization, host_name="h", instance_id="i", secrets=secrets)


def test_what_linux_says_is_said_to_cloud_init() -> None:
    wanted = as_cloud_init(linux_guest(LinuxGuest(password=PASSWORD)))
    data = user_data_of(admit_key(wanted, user="root", key=KEY), "root")
    assert data["fqdn"] == "h.example.test"
    assert data["chpasswd"]["users"] == [{"name": "root", "password": "s3cret", "type": "text"}]
    assert data["ssh_authorized_keys"] == [KEY]


def test_a_linux_script_runs_before_and_after_all_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f"#!/bin/sh\necho \"it's $1\" >>'{out}'\n"
    data = user_data_of(as_cloud_init(linux_guest(LinuxGuest(script=script))))
    (before,) = data["bootcmd"]
    assert before[:3] == ["cloud-init-per", "instance", "precustomization"]
    subprocess.run(before[3:], check=True)
    (after,) = data["runcmd"]
    subprocess.run(("sh", "-c", after), check=True)
    assert out.read_text() == "it's precustomization\nit's postcustomization\n"


def test_a_failing_linux_script_is_reported() -> None:
    data = user_data_of(as_cloud_init(linux_guest(LinuxGuest(script="#!/bin/sh\nexit 3\n"))))
    done = subprocess.run(shlex.split(data["runcmd"][0]), check=False)
    assert done.returncode == 3


def test_the_disk_carries_the_documents_under_the_label_that_cloud_init_looks_for() -> None:
    documents = build_documents(PLAIN, (MAC,))
    image = PyCdlib()
    image.open_fp(io.BytesIO(build_seed_iso(documents)))
    assert image.pvd.volume_identifier.decode().strip() == "cidata"
    for name, data in documents.items():
        for kind in ("rr_path", "joliet_path"):
            read = io.BytesIO()
            image.get_file_from_iso_fp(read, **{kind: f"/{name}"})
            assert read.getvalue() == data
    image.close()


def test_another_generation_differs_by_its_instance_id_alone() -> None:
    first = build_documents(PLAIN, ())
    second = build_documents(plain_guest(host_name="desk-001", instance_id="i-2"), ())
    assert first["meta-data"] != second["meta-data"]
    assert first["user-data"] == second["user-data"]
