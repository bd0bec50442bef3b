import pytest

from linkedclone.config.endpoint_url import is_url, parse_bool, parse_url, redact
from linkedclone.errors import InputError

CANARY = "c4nary-pw"


@pytest.mark.parametrize(
    ("text", "user", "host", "port", "datacenter"),
    [
        ("vsphere://admin@vc.example", "admin", "vc.example", 443, ""),
        ("vsphere://admin@vc.example/", "admin", "vc.example", 443, ""),
        ("vsphere://admin@vc.example:8443/DC1", "admin", "vc.example", 8443, "DC1"),
        (
            "vsphere://admin@vsphere.local@vc.example/DC 1",
            "admin@vsphere.local",
            "vc.example",
            443,
            "DC 1",
        ),
        ("vsphere://DOMAIN\\user@vc.example", "DOMAIN\\user", "vc.example", 443, ""),
        ("vsphere://DOMAIN%5Cuser@vc.example", "DOMAIN\\user", "vc.example", 443, ""),
        ("vsphere://a%2Fb@vc.example/Folder/DC%20x", "a/b", "vc.example", 443, "Folder/DC x"),
        ("vsphere://admin@[::1]:8989/DC0", "admin", "::1", 8989, "DC0"),
        ("vsphere://admin@[fe80::1]", "admin", "fe80::1", 443, ""),
        ("vsphere://vc.example", "", "vc.example", 443, ""),
        ("https://admin@vc.example/sdk", "admin", "vc.example", 443, ""),
        ("VSPHERE://admin@vc.example", "admin", "vc.example", 443, ""),
    ],
)
def test_a_url_is_taken_apart(text: str, user: str, host: str, port: int, datacenter: str) -> None:
    address = parse_url(text)
    found = (address.user, address.host, address.port, address.datacenter)
    assert found == (user, host, port, datacenter)
    assert (address.kind, address.password, address.insecure) == ("vsphere", None, None)


def test_the_password_is_decoded_and_kept_apart() -> None:
    address = parse_url("https://user:p%40ss%3Aw%2Ford@vc.example")
    assert address.password is not None
    assert address.password.reveal() == "p@ss:w/ord"
    assert "p@ss" not in repr(address)


def test_an_at_sign_in_the_password_needs_no_encoding() -> None:
    address = parse_url("https://user:p@ss@vc.example")
    assert address.password is not None
    assert (address.user, address.password.reveal(), address.host) == ("user", "p@ss", "vc.example")


def test_a_host_that_a_vcenter_manages_is_changed_only_if_the_url_says_so() -> None:
    assert parse_url("vsphere://root@esx?despite_vcenter=true&insecure=1").despite_vcenter
    assert not parse_url("vsphere://root@esx").despite_vcenter


@pytest.mark.parametrize(("value", "insecure"), [("true", True), ("1", True), ("false", False)])
def test_insecure_is_asked_for_in_the_query(value: str, insecure: bool) -> None:
    assert parse_url(f"vsphere://a@h/DC?insecure={value}").insecure is insecure


@pytest.mark.parametrize(
    ("text", "kind", "path"), [("memory:", "memory", ""), ("local:/vms", "local", "/vms")]
)
def test_kinds_without_a_host_have_a_path(text: str, kind: str, path: str) -> None:
    address = parse_url(text)
    assert (address.kind, address.path, address.host) == (kind, path, "")


@pytest.mark.parametrize(
    "text",
    [
        f"ftp://user:{CANARY}@vc.example",
        f"ftp://user@domain:{CANARY}@vc.example",
        f"vsphere://DOMAIN/user:{CANARY}@vc.example",
        f"http://user:{CANARY}@vc.example",
        f"vsphere://user:{CANARY}/x@vc.example",
        f"vsphere://user:{CANARY}#x@vc.example",
        f"vsphere://user:{CANARY}?x@vc.example",
        f"vsphere://user:{CANARY}@vc.example:99999",
        f"vsphere://user:{CANARY}@vc.example:https",
        f"vsphere://user:{CANARY}@",
        f"vsphere://user:{CANARY}@fe80::1",
        f"vsphere://user:{CANARY}@vc.example/DC?insecure=maybe",
        f"vsphere://user:{CANARY}@vc.example/DC?password=x",
        f"vsphere://user:{CANARY}@vc.example:0",
        "vsphere://",
        "vsphere:///DC",
        "vsphere://user@vc example",
    ],
)
def test_a_malformed_url_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_url(text)
    assert CANARY not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("vsphere://u@h", "vsphere://u@h"),
        ("vsphere://u:p@h/x", "vsphere://u:********@h/x"),
        ("u:p/a@ss@h", "u:********@h"),
        ("vsphere://u@domain:p@h", "vsphere://u@domain:********@h"),
        ("vsphere://DOMAIN/u:p@h", "vsphere://DOMAIN/u:********@h"),
        ("https://u:p?#@h", "https://u:********@h"),
    ],
)
def test_redacting_keeps_all_but_the_password(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [("lab", False), ("memory:", True), ("local:x", True), ("a://b", True), ("memory", False)],
)
def test_names_and_urls_are_distinguished(text: str, expected: bool) -> None:
    assert is_url(text) is expected


def test_booleans_are_read_as_go_reads_them() -> None:
    assert [parse_bool(t, what="x") for t in ("1", "T", "true", "TRUE", "0", "f", "False", "")] == [
        *[True] * 4,
        *[False] * 4,
    ]
    with pytest.raises(InputError, match="GOVC_INSECURE is 'yes'"):
        parse_bool("yes", what="GOVC_INSECURE")
