from collections.abc import Callable
from pathlib import Path

import pytest

from linkedclone.config.endpoint import Endpoint
from linkedclone.config.paths import config_file, data_folder, log_folder
from linkedclone.config.resolve_endpoint import (
    NOTHING_CONFIGURED,
    locate_endpoint,
    resolve_endpoint,
)
from linkedclone.errors import InputError
from linkedclone.model.values.secret import Secret
from linkedclone.system.text_file import expand_home

Configure = Callable[..., dict[str, str]]

CANARY = "c4nary-pw"

LAB = """\
default: lab
endpoints:
  lab:
    url: vsphere://admin@lab.example/DC0
  other:
    url: vsphere://admin@other.example
  demo:
    url: 'memory:'
"""


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("memory:", {}, "memory:"),
        ("other", {}, "vsphere://admin@other.example"),
        ("demo", {"LINKEDCLONE_ENDPOINT": "other"}, "memory:"),
        ("vsphere://me@x:8443/DC", {}, "vsphere://me@x:8443/DC"),
        (None, {"LINKEDCLONE_ENDPOINT": "other"}, "vsphere://admin@other.example"),
        (None, {"LINKEDCLONE_ENDPOINT": "memory:", "GOVC_URL": "g@govc"}, "memory:"),
        (None, {}, "vsphere://admin@lab.example/DC0"),
        (None, {"GOVC_URL": "g@govc"}, "vsphere://admin@lab.example/DC0"),
    ],
)
def test_the_nearest_choice_wins(
    configure: Configure, text: str | None, variables: dict[str, str], expected: str
) -> None:
    environ = configure(LAB, **variables)
    assert locate_endpoint(text, environ=environ).endpoint.address == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"GOVC_URL": "g@govc.example"}, "vsphere://g@govc.example"),
        ({"GOVC_URL": "https://g@govc.example/sdk"}, "vsphere://g@govc.example"),
        ({"GOVC_URL": "https://g:x@govc.example:8989/sdk"}, "vsphere://g@govc.example:8989"),
        ({"GOVC_URL": "govc.example", "GOVC_USERNAME": "me"}, "vsphere://me@govc.example"),
        ({"GOVC_URL": "a@govc.example", "GOVC_USERNAME": "me"}, "vsphere://me@govc.example"),
        ({"GOVC_URL": "a@h", "GOVC_DATACENTER": "/DC1"}, "vsphere://a@h/DC1"),
        ({"GOVC_URL": "a@[::1]:8989"}, "vsphere://a@[::1]:8989"),
        ({}, "local:"),
    ],
)
def test_without_configuration_govc_is_understood(
    configure: Configure, variables: dict[str, str], expected: str
) -> None:
    found = locate_endpoint(environ=configure(**variables)).endpoint
    assert found.address == expected


def test_falling_back_to_local_is_visible(configure: Configure) -> None:
    assert resolve_endpoint(environ=configure()).origin == NOTHING_CONFIGURED


def _resolve(environ: dict[str, str], text: str | None = None) -> Endpoint:
    return resolve_endpoint(text, environ=environ)


@pytest.mark.parametrize(
    ("variables", "password"),
    [
        ({"GOVC_URL": "u:inside@h"}, "inside"),
        ({"GOVC_URL": "u:p%40ss@h"}, "p@ss"),
        ({"GOVC_URL": "u:inside@h", "GOVC_PASSWORD": "beside"}, "beside"),
        ({"GOVC_URL": "u:inside@h", "LINKEDCLONE_PASSWORD": "ours"}, "ours"),
    ],
)
def test_the_password_of_govc_is_found(
    configure: Configure, variables: dict[str, str], password: str
) -> None:
    assert _resolve(configure(**variables)).password == Secret(password)


def test_a_password_is_never_tried_at_another_host(configure: Configure) -> None:
    environ = configure(LAB, GOVC_URL=f"admin:{CANARY}@elsewhere.example", GOVC_PASSWORD=CANARY)
    with pytest.raises(InputError, match=r"no password for vsphere://admin@lab\.example/DC0"):
        _resolve(environ, "lab")


def test_a_password_is_never_tried_for_another_user(configure: Configure) -> None:
    with pytest.raises(InputError, match="no password"):
        _resolve(configure(GOVC_PASSWORD="x", GOVC_USERNAME="root"), "vsphere://admin@h")


def test_a_lone_govc_password_serves_any_endpoint(configure: Configure) -> None:
    assert _resolve(configure(GOVC_PASSWORD="x"), "vsphere://a@h").password == Secret("x")


def test_a_url_without_a_user_takes_the_one_of_govc(configure: Configure) -> None:
    environ = configure(GOVC_URL="root:x@h")
    assert _resolve(environ, "vsphere://h/DC").address == "vsphere://root@h/DC"


def test_a_url_without_any_user_is_refused(configure: Configure) -> None:
    with pytest.raises(InputError, match="names no user"):
        _resolve(configure(), "vsphere://h")


def test_a_person_is_asked_last(configure: Configure) -> None:
    asked: list[str] = []

    def ask(address: str) -> str:
        asked.append(address)
        return "typed"

    endpoint = resolve_endpoint("vsphere://a@h", environ=configure(), ask=ask)
    assert (endpoint.password, asked) == (Secret("typed"), ["Password for vsphere://a@h"])


def test_a_password_on_the_command_line_is_refused(configure: Configure) -> None:
    with pytest.raises(InputError, match="command line can be read") as caught:
        _resolve(configure(), f"vsphere://u:{CANARY}@h")
    assert CANARY not in f"{caught.value}{caught.value.hint}"


def test_a_password_in_our_own_variable_is_accepted(configure: Configure) -> None:
    environ = configure(LINKEDCLONE_ENDPOINT=f"vsphere://u:{CANARY}@h")
    endpoint = _resolve(environ)
    assert endpoint.password == Secret(CANARY)
    assert CANARY not in f"{endpoint} {endpoint!r} {endpoint.address}"


def test_an_unknown_name_lists_the_known_ones(configure: Configure) -> None:
    with pytest.raises(InputError, match="no endpoint called 'labb'") as caught:
        _resolve(configure(LAB), "labb")
    assert "demo, lab, other" in caught.value.hint


@pytest.mark.parametrize("value", ["1", "true", "T"])
def test_govc_insecure_has_to_be_asked_for(configure: Configure, value: str) -> None:
    assert _resolve(configure(GOVC_URL="u:p@h", GOVC_INSECURE=value)).tls.insecure
    assert not _resolve(configure(GOVC_URL="u:p@h", GOVC_INSECURE="0")).tls.insecure
    assert not _resolve(configure(GOVC_URL="u:p@localhost")).tls.insecure


def test_insecure_of_a_url_is_honoured(configure: Configure) -> None:
    environ = configure(LINKEDCLONE_PASSWORD="x")
    assert _resolve(environ, "vsphere://u@h?insecure=true").tls.insecure


def test_govc_certificate_files_are_understood(configure: Configure, tmp_path: Path) -> None:
    sha256 = "ab" * 32
    known = tmp_path / "known"
    known.write_text(f"# comment\nother:443 {'CD' * 32}\nh:443 {sha256.upper()}\n")
    environ = configure(
        GOVC_URL="u:p@h", GOVC_TLS_CA_CERTS="/ca.pem", GOVC_TLS_KNOWN_HOSTS=str(known)
    )
    tls = _resolve(environ).tls
    assert (tls.ca_file, tls.pinned_sha256) == (Path("/ca.pem"), sha256)


def test_a_sha1_thumbprint_is_refused_with_a_way_out(configure: Configure, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text("h:443 " + ":".join(["AB"] * 20) + "\n")
    with pytest.raises(InputError, match="SHA-1") as caught:
        _resolve(configure(GOVC_URL="u:p@h", GOVC_TLS_KNOWN_HOSTS=str(known)))
    assert "endpoints add" in caught.value.hint


@pytest.mark.parametrize(
    "variables",
    [
        {"GOVC_URL": "u:p@h", "GOVC_INSECURE": "perhaps"},
        {"GOVC_URL": "u:p@h", "GOVC_TLS_CA_CERTS": "/a:/b"},
        {"GOVC_URL": "u:p@h", "GOVC_TLS_KNOWN_HOSTS": "/nowhere/at/all"},
        {"GOVC_URL": f"ftp://u:{CANARY}@h"},
        {"GOVC_URL": f"u:{CANARY}/x@h"},
        {"GOVC_URL": f"http://u:{CANARY}@h"},
        {"LINKEDCLONE_ENDPOINT": f"u:{CANARY}@h"},
        {"LINKEDCLONE_ENDPOINT": f"ftp://u:{CANARY}@h"},
    ],
)
def test_wrong_variables_are_refused_without_their_password(
    configure: Configure, variables: dict[str, str]
) -> None:
    with pytest.raises(InputError) as caught:
        _resolve(configure(**variables))
    assert CANARY not in f"{caught.value} {caught.value.hint}"


def test_settings_of_the_file_are_honoured(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "lab.pem").write_text("PEM")
    (tmp_path / "lab.pw").write_text("from-file\nsecond line\n")
    (tmp_path / "lab.pw").chmod(0o600)
    environ = configure(
        "endpoints:\n  lab:\n    url: vsphere://u@h/DC\n    certificate: lab.pem\n"
        "    password_file: lab.pw\n  ca:\n    url: vsphere://u@h\n    ca_file: ca.pem\n",
    )
    lab = _resolve(environ, "lab")
    assert (lab.name, lab.tls.pinned_pem, lab.password) == ("lab", "PEM", Secret("from-file"))
    assert locate_endpoint("ca", environ=environ).endpoint.tls.ca_file == tmp_path / "ca.pem"


def test_a_user_without_a_home_folder_keeps_no_vms_where_the_command_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user unknown here
    with pytest.raises(InputError, match="no home folder to keep VMs in"):
        data_folder()
    with pytest.raises(InputError, match="no configuration file"):
        config_file({})
    assert log_folder() is None


def test_a_home_folder_of_a_user_that_does_not_exist_is_wrong_input() -> None:
    with pytest.raises(InputError, match="there is no home folder for ~no-such-user-here/x"):
        expand_home("~no-such-user-here/x")


def test_a_missing_pin_is_reported(configure: Configure) -> None:
    environ = configure("endpoints:\n  lab:\n    url: vsphere://u@h\n    certificate: gone.pem\n")
    with pytest.raises(InputError, match=r"gone\.pem cannot be read"):
        _resolve(environ, "lab")
