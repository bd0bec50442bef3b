"""The NoCloud documents, and the disk that carries them."""

import io
import json

import pytest
from pycdlib import PyCdlib
from ruamel.yaml import YAML

from linkedclone.guest.nocloud import (
    CLOUD_CONFIG,
    NoCloudSeed,
    StaticNetwork,
    build_documents,
    build_network_config,
    build_seed_iso,
    build_user_data,
)

KEY = "ssh-ed25519 AAAAC3Nza somebody@example"
SEED = NoCloudSeed(instance_id="i-1", host_name="desk-001", ssh_keys=(KEY,))


def test_the_documents_are_cloud_init_s_three() -> None:
    documents = build_documents(SEED)
    assert set(documents) == {"meta-data", "user-data", "network-config"}
    assert json.loads(documents["meta-data"]) == {
        "instance-id": "i-1",
        "local-hostname": "desk-001",
    }
    assert documents["user-data"].startswith(b"#cloud-config\n")


@pytest.mark.parametrize("text", ['a"b: [c', "ümläut: #x", "\\ ' \t", "line\nline"])
def test_any_text_survives_a_yaml_reader(text: str) -> None:
    seed = NoCloudSeed(instance_id=text, host_name="x", ssh_keys=(text,), user=text)
    documents = build_documents(seed)
    reader = YAML(typ="safe")
    assert reader.load(documents["meta-data"])["instance-id"] == text
    users = reader.load(documents["user-data"].decode().removeprefix(CLOUD_CONFIG))["users"]
    assert users[1]["name"] == text
    assert users[1]["ssh_authorized_keys"] == [text]


def test_keys_go_to_the_default_user_unless_another_is_named() -> None:
    data = build_user_data(SEED)
    assert data["ssh_authorized_keys"] == [KEY]
    assert "users" not in data
    assert "disable_root" not in data


def test_root_may_log_in_if_asked_for() -> None:
    seed = NoCloudSeed(instance_id="i", host_name="h", ssh_keys=(KEY,), user="root")
    data = build_user_data(seed)
    assert data["disable_root"] is False
    assert data["ssh_authorized_keys"] == [KEY]


def test_a_named_user_is_made_beside_the_default_one() -> None:
    seed = NoCloudSeed(instance_id="i", host_name="h", ssh_keys=(KEY,), user="ops")
    users = build_user_data(seed)["users"]
    assert isinstance(users, list)
    assert users[0] == "default"
    assert users[1]["name"] == "ops"


def test_dhcp_is_the_default_network() -> None:
    assert build_network_config(SEED) == {
        "version": 2,
        "ethernets": {"primary": {"match": {"name": "e*"}, "dhcp4": True}},
    }


def test_a_fixed_address_is_for_the_card_with_that_mac() -> None:
    network = StaticNetwork(
        address="10.0.0.10/24", gateway="10.0.0.1", dns=("10.0.0.2",), search=("example",)
    )
    seed = NoCloudSeed(instance_id="i", host_name="h", mac="52:54:00:AA:BB:CC", network=network)
    assert build_network_config(seed) == {
        "version": 2,
        "ethernets": {
            "primary": {
                "match": {"macaddress": "52:54:00:aa:bb:cc"},
                "addresses": ["10.0.0.10/24"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
                "nameservers": {"addresses": ["10.0.0.2"], "search": ["example"]},
            }
        },
    }


def test_a_gateway_of_ipv6_routes_ipv6() -> None:
    network = StaticNetwork(address="fd00::10/64", gateway="fd00::1")
    seed = NoCloudSeed(instance_id="i", host_name="h", network=network)
    ethernets = build_network_config(seed)["ethernets"]
    assert isinstance(ethernets, dict)
    assert ethernets["primary"]["routes"] == [{"to": "::/0", "via": "fd00::1"}]


def test_the_disk_carries_the_documents_under_the_label_that_cloud_init_looks_for() -> None:
    image = PyCdlib()
    image.open_fp(io.BytesIO(build_seed_iso(SEED)))
    assert image.pvd.volume_identifier.decode().strip() == "cidata"
    for name, data in build_documents(SEED).items():
        for kind in ("rr_path", "joliet_path"):
            read = io.BytesIO()
            image.get_file_from_iso_fp(read, **{kind: f"/{name}"})
            assert read.getvalue() == data
    image.close()


def test_another_generation_differs_by_its_instance_id_alone() -> None:
    first = build_documents(SEED)
    second = build_documents(
        NoCloudSeed(instance_id="i-2", host_name="desk-001", ssh_keys=(KEY,)),
    )
    assert first["meta-data"] != second["meta-data"]
    assert first["user-data"] == second["user-data"]
