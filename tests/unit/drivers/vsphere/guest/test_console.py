"""URLs of consoles, from what a server says."""

from types import SimpleNamespace

import pytest

from linkedclone.drivers.vsphere.guest.console import build_page, build_socket_url

TICKET = {"ticket": "cst-1", "host": "esx1", "port": 443, "url": None}


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ({}, "wss://esx1:443/ticket/cst-1"),
        ({"url": "wss://esx1:443/ticket/other"}, "wss://esx1:443/ticket/other"),
        ({"host": None, "port": None}, "wss://vc:443/ticket/cst-1"),
        ({"host": "fd00::1", "port": 9443}, "wss://[fd00::1]:9443/ticket/cst-1"),
    ],
)
def test_the_socket_is_what_the_ticket_says(said: dict[str, object], url: str) -> None:
    assert build_socket_url(SimpleNamespace(**(TICKET | said)), "vc") == url


def test_names_are_escaped_in_the_page() -> None:
    page = build_page("vc", 8443, "guid-1", "vm-7", "a&b c")
    assert page == (
        "https://vc:8443/ui/webconsole.html?vmId=vm-7&vmName=a%26b+c&serverGuid=guid-1&locale=en_US"
    )
    assert build_page("fd00::1", 443, "g", "vm-7", "a").startswith("https://[fd00::1]/ui/")
