"""The instance-id in a VM's guestinfo.metadata."""

import base64
import gzip
import json

import pytest

from linkedclone.drivers.vsphere.inventory.metadata import read_instance_id


@pytest.mark.parametrize(
    "text",
    [
        "instance-id: iid-7",
        "local-hostname: web\ninstance-id: iid-7\n",
        "  instance-id:   iid-7   # ours",
        'instance-id: "iid-7"',
        "'instance-id': 'iid-7'",
        '{"instance-id": "iid-7", "local-hostname": "web"}',
        '{"local-hostname": "web", "instance-id":"iid-7"}',
        "{local-hostname: web, instance-id: iid-7}",
        json.dumps({"local-hostname": "web", "instance-id": "iid-7"}, indent=2),
    ],
)
def test_it_is_found_in_yaml_and_json(text: str) -> None:
    assert read_instance_id(text, "") == "iid-7"


@pytest.mark.parametrize("encoding", ["base64", "b64", "gzip+base64", "gz+b64", "GZIP+Base64"])
def test_it_is_found_in_what_is_packed(encoding: str) -> None:
    raw = b"instance-id: iid-7\n"
    packed = gzip.compress(raw) if encoding.lower().startswith("gz") else raw
    assert read_instance_id(base64.b64encode(packed).decode(), encoding) == "iid-7"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("", ""),
        ("local-hostname: web", ""),
        ("old-instance-id: iid-7", ""),
        ("instance-id:", ""),
        ("instance-id: iid-7", "base64"),
        ("!!!", "gzip+base64"),
        (base64.b64encode(b"not packed").decode(), "gzip+base64"),
        (base64.b64encode(b"\xff\xfe").decode(), "base64"),
        ("instance-id: iid-7", "rot13"),
    ],
)
def test_what_cannot_be_read_is_empty(text: str, encoding: str) -> None:
    assert read_instance_id(text, encoding) == ""


def test_what_unpacks_to_very_much_is_not_unpacked_whole() -> None:
    bomb = base64.b64encode(gzip.compress(bytes(50 << 20) + b"\ninstance-id: iid-7")).decode()
    assert read_instance_id(bomb, "gzip+base64") == ""
