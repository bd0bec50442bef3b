"""Host names: Linux' rules, Windows' rules, and no two alike."""

import pytest

from linkedclone.errors import InputError
from linkedclone.guest.host_names import check_host_names, is_domain, make_host_name
from linkedclone.model.customization import Customization, GuestOs

LINUX = Customization(os=GuestOs.LINUX)
WINDOWS = Customization(os=GuestOs.WINDOWS)


@pytest.mark.parametrize("name", ["a", "web-1", "1a", "A" * 63, "x" * 60 + "-b"])
def test_linux_takes_labels_of_rfc_1123(name: str) -> None:
    check_host_names(LINUX, [name])


@pytest.mark.parametrize("name", ["a", "DESK-001", "x" * 15])
def test_windows_takes_short_ones(name: str) -> None:
    check_host_names(WINDOWS, [name])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web_1", "has '_'"),
        ("web 1", "has ' '"),
        ("wéb", "has 'é'"),
        ("web.example", "dot"),
        ("-web", "hyphen"),
        ("web-", "hyphen"),
        ("007", "digits alone"),
        ("x" * 64, "63 characters"),
    ],
)
@pytest.mark.parametrize("system", [GuestOs.LINUX, GuestOs.CLOUD_INIT])
def test_others_are_refused(system: GuestOs, name: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_host_names(Customization(os=system), [name])
    assert words in caught.value.details


def test_all_bad_names_are_reported_at_once() -> None:
    names = ["fine", "desktop-finance-01", "12345", "under_score", "desktop-finance-02"]
    with pytest.raises(InputError) as caught:
        check_host_names(WINDOWS, names)
    assert "4 clones would have" in caught.value.brief
    assert caught.value.details.splitlines() == [
        "desktop-finance-01: it has 18 characters",
        "12345: it is made of digits alone",
        "under_score: it has '_'",
        "desktop-finance-02: it has 18 characters",
    ]
    assert "15 at most" in caught.value.hint


def test_the_template_counts_and_is_named() -> None:
    customization = Customization(os=GuestOs.WINDOWS, host_name="corp-{name}")
    assert make_host_name(customization, "desk-1") == "corp-desk-1"
    check_host_names(customization, ["desk-00001"])
    with pytest.raises(InputError) as caught:
        check_host_names(customization, ["desk-000001"])
    assert "'corp-desk-000001' has 16 characters" in caught.value.details


def test_two_clones_of_one_host_name_are_refused() -> None:
    fixed = Customization(os=GuestOs.LINUX, host_name="web")
    check_host_names(fixed, ["only"])
    with pytest.raises(InputError) as caught:
        check_host_names(fixed, ["one", "two"])
    assert caught.value.details == "web: one, two"


def test_a_stored_specification_names_guests_by_itself() -> None:
    check_host_names(Customization(stored="s"), ["any name_at.all"])
    with pytest.raises(InputError):
        check_host_names(Customization(stored="s", host_name="x-{name}"), ["a_b"])


@pytest.mark.parametrize("text", ["corp.example", "a", "a.b.c.", "xn--bcher-kva.example"])
def test_domains(text: str) -> None:
    assert is_domain(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "-a.b", "a_b", "a b", "x" * 64, "a." * 130 + "a"]
)
def test_no_domains(text: str) -> None:
    assert not is_domain(text)
