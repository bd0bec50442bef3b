"""The rules between the settings of a customization."""

from dataclasses import replace

import pytest

from linkedclone.guest.rules import check_customization, find_sources
from linkedclone.model.customization import (
    Addresses,
    CloudInit,
    Customization,
    DomainJoin,
    GuestOs,
    GuestUser,
    LinuxGuest,
    SecretSource,
    WindowsGuest,
)
from linkedclone.model.values.document_errors import show_place

LINUX = Customization(os=GuestOs.LINUX)
WINDOWS = Customization(os=GuestOs.WINDOWS)
CLOUD = Customization(os=GuestOs.CLOUD_INIT)
ENV = SecretSource(env="X")
JOIN = DomainJoin(domain="corp.example", user="joiner", password=ENV)
KEY = "ssh-ed25519 AAAAC3Nz ada@desk"


def windows(**settings: object) -> Customization:
    return replace(WINDOWS, windows=replace(WindowsGuest(), **settings))  # type: ignore[arg-type]


def linux(**settings: object) -> Customization:
    return replace(LINUX, linux=replace(LinuxGuest(), **settings))  # type: ignore[arg-type]


def cloud(**settings: object) -> Customization:
    return replace(CLOUD, cloud_init=replace(CloudInit(), **settings))  # type: ignore[arg-type]


def card(**settings: object) -> Customization:
    return replace(LINUX, addresses=(replace(Addresses(), **settings),))  # type: ignore[arg-type]


FINE = {
    "linux": LINUX,
    "windows": WINDOWS,
    "cloud-init": CLOUD,
    "stored": Customization(stored="a"),
    "stored with overrides": Customization(stored="a", windows=WindowsGuest(auto_logon=1)),
    "join": windows(join=JOIN),
    "ou": windows(join=replace(JOIN, ou="OU=Desks, OU=All,DC=corp,DC=example")),
    "product key": windows(product_key="AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"),
    "auto logon": windows(auto_logon=2, administrator_password=ENV),
    "script": linux(script="#!/bin/sh\n"),
    "keyring": linux(password=SecretSource(keyring="service/user/with/slashes")),
    "user data": cloud(user_data="#cloud-config\n", vendor_data="#!/bin/sh\n"),
    "mime": cloud(user_data="Content-Type: multipart/mixed\n"),
    "users": cloud(users=(GuestUser(name="ada", ssh_keys=(KEY,)), GuestUser(name="b.c"))),
    "range": card(range="10.0.0.2-10.0.0.9/24", gateway="10.0.0.1"),
    "both": card(range="10.0.0.2/24", range6="fd00::2/64", gateway6="fd00::1"),
    "link-local": card(range6="fd00::2/64", gateway6="fe80::1"),
    "dhcp and range6": card(dhcp=True, range6="fd00::2/64"),
    "dns": replace(LINUX, dns=("10.0.0.1", "fd00::1"), search=("corp.example",), domain="a.b"),
    "reserved": card(range="10.0.0.0/24", reserved=("10.0.0.1", "10.0.0.4-10.0.0.9")),
}


@pytest.mark.parametrize("name", FINE)
def test_what_fits_together_has_no_problem(name: str) -> None:
    assert check_customization(FINE[name]) == ()


WRONG: list[tuple[str, Customization, str, str]] = [
    ("no os", Customization(), "os", "missing"),
    ("other os", replace(LINUX, windows=WindowsGuest(full_name="a")), "windows", "os is linux"),
    ("cloud in linux", replace(LINUX, cloud_init=CloudInit(run=("a",))), "cloud_init", "is for"),
    (
        "two systems over stored",
        Customization(
            stored="a", linux=LinuxGuest(hwclock="local"), windows=WindowsGuest(full_name="b")
        ),
        "windows",
        "one system",
    ),
    ("template", replace(LINUX, host_name="{nmae}"), "host_name", "unknown field {nmae}"),
    ("brace", replace(LINUX, host_name="{name"), "host_name", "brace"),
    ("format", replace(LINUX, host_name="{name:>9}"), "host_name", "in this form"),
    ("attribute", replace(LINUX, host_name="{name.x}"), "host_name", "unknown field"),
    ("position", replace(LINUX, host_name="{}"), "host_name", "unknown field"),
    ("empty", replace(LINUX, host_name=""), "host_name", "empty"),
    ("domain", replace(LINUX, domain="a_b"), "domain", "not a DNS domain"),
    ("dns", replace(LINUX, dns=("10.0.0.1", "ns.example")), "dns[1]", "not an address"),
    ("search", replace(LINUX, search=("a b",)), "search[0]", "not a DNS domain"),
    ("script", linux(script="echo"), "linux.script", "#!/bin/sh"),
    ("two scripts", linux(script="#!", script_file="b"), "linux.script_file", "exclude"),
    ("workgroup", windows(workgroup="A", join=JOIN), "windows.join", "exclude each other"),
    ("long workgroup", windows(workgroup="A" * 16), "windows.workgroup", "15"),
    ("auto logon", windows(auto_logon=1), "windows.auto_logon", "needs administrator_password"),
    ("negative", windows(auto_logon=-1), "windows.auto_logon", "0 or more"),
    ("key", windows(product_key="secret"), "windows.product_key", "not a product key"),
    ("join domain", windows(join=replace(JOIN, domain="")), "windows.join.domain", "DNS"),
    ("join user", windows(join=replace(JOIN, user=" ")), "windows.join.user", "empty"),
    ("ou", windows(join=replace(JOIN, ou="Desktops")), "windows.join.ou", "OU="),
    ("no source", linux(password=SecretSource()), "linux.password", "given: nothing"),
    (
        "two sources",
        linux(password=SecretSource(env="a", prompt="b")),
        "linux.password",
        "given: env and prompt",
    ),
    (
        "keyring",
        linux(password=SecretSource(keyring="service")),
        "linux.password.keyring",
        "SERVICE/USER",
    ),
    ("user data", cloud(user_data="packages: []"), "cloud_init.user_data", "#cloud-config"),
    ("vendor data", cloud(vendor_data="x"), "cloud_init.vendor_data", "#cloud-config"),
    ("two user data", cloud(user_data="#", user_data_file="b"), "cloud_init.user_data_file", "ex"),
    ("ssh key", cloud(ssh_keys=("AAAA",)), "cloud_init.ssh_keys[0]", "not a public key"),
    (
        "ssh key of two lines",
        cloud(ssh_keys=("ssh-ed25519 AAAA\rssh-ed25519 BBBB",)),
        "cloud_init.ssh_keys[0]",
        "not a public key",
    ),
    (
        "private key",
        cloud(users=(GuestUser(name="a", ssh_keys=("-----BEGIN PRIVATE KEY----- x",)),)),
        "cloud_init.users[0].ssh_keys[0]",
        "not a public key",
    ),
    (
        "user",
        cloud(users=(GuestUser(name="a b"),)),
        "cloud_init.users[0].name",
        "not a valid user name",
    ),
    ("same user", cloud(users=(GuestUser(name="a"),) * 2), "cloud_init.users[1].name", "twice"),
    ("range", card(range="10.0.0.1"), "addresses[0].range", "how large"),
    ("range of 6", card(range="fd00::2/64"), "addresses[0].range", "belongs into range6"),
    ("range6 of 4", card(range6="10.0.0.1/24"), "addresses[0].range6", "belongs into range"),
    ("dhcp", card(range="10.0.0.2/24", dhcp=True), "addresses[0].dhcp", "exclude"),
    ("dhcp6", card(range6="fd00::2/64", dhcp6=True), "addresses[0].dhcp6", "exclude"),
    (
        "gateway elsewhere",
        card(range="10.0.0.2/24", gateway="10.0.1.1"),
        "addresses[0].gateway",
        "not in the network",
    ),
    (
        "gateway6 elsewhere",
        card(range6="fd00::2/64", gateway6="fd01::1"),
        "addresses[0].gateway6",
        "not in the network",
    ),
    (
        "gateway",
        card(range="10.0.0.2/24", gateway="gw"),
        "addresses[0].gateway",
        "not a valid address",
    ),
    (
        "gateway of 6",
        card(range="10.0.0.2/24", gateway="fd00::1"),
        "addresses[0].gateway",
        "belongs into gateway6",
    ),
    ("lone gateway", card(dhcp=True, gateway="10.0.0.1"), "addresses[0].gateway", "DHCP sets"),
    (
        "only the gateway",
        card(range="10.0.0.1/24", gateway="10.0.0.1"),
        "addresses[0].gateway",
        "none to give out",
    ),
    ("card dns", card(dns=("x",)), "addresses[0].dns[0]", "not an address"),
    (
        "reserved",
        card(range="10.0.0.0/24", reserved=("x",)),
        "addresses[0].reserved[0]",
        "not a valid address",
    ),
]


@pytest.mark.parametrize(
    ("customization", "place", "words"),
    [one[1:] for one in WRONG],
    ids=[one[0] for one in WRONG],
)
def test_contradictions_are_reported_at_their_place(
    customization: Customization, place: str, words: str
) -> None:
    (problem,) = check_customization(customization)
    assert show_place(problem.place) == place
    assert words in problem.text


def test_all_problems_are_reported() -> None:
    wrong = replace(windows(auto_logon=1), domain="a_b", addresses=(Addresses(range="x"),))
    assert [show_place(problem.place) for problem in check_customization(wrong)] == [
        "domain",
        "windows.auto_logon",
        "addresses[0].range",
    ]


def test_every_password_is_found() -> None:
    one, two, three = (SecretSource(env=name) for name in "ABC")
    found = find_sources(
        windows(product_key=one, administrator_password=two, join=replace(JOIN, password=three))
    )
    assert {show_place(place): source for place, source in found} == {
        "windows.product_key": one,
        "windows.administrator_password": two,
        "windows.join.password": three,
    }
    users = (GuestUser(name="a"), GuestUser(name="b", password=one))
    ((place, _),) = find_sources(cloud(users=users))
    assert show_place(place) == "cloud_init.users[1].password"
    assert find_sources(linux(password=two)) == ((("linux", "password"), two),)
