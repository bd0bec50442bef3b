"""A customization out of a file: what is read, and every error with its line."""

from pathlib import Path

import pytest

from linkedclone.config.customization_file import read_customization, settle_customization
from linkedclone.errors import InputError
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

CANARY = "c4nary-pw"

Errors = list[tuple[str, str, str]]


def read(folder: Path, text: str) -> Customization:
    path = folder / "guests.yaml"
    path.write_text(text)
    return read_customization(path)


def errors_of(folder: Path, text: str) -> Errors:
    """Return line, place and text of each error."""
    with pytest.raises(InputError) as caught:
        read(folder, text)
    assert CANARY not in str(caught.value)
    return [
        (line.partition(": ")[0].removeprefix("line "), *line.split(": ", 2)[1:])  # type: ignore[misc]  # three parts
        for line in caught.value.details.splitlines()
    ]


def places(errors: Errors) -> list[tuple[str, str]]:
    return [(line, place) for line, place, _ in errors]


FULL = """\
os: windows
host_name: "w-{name}"
domain: corp.example
time_zone: Europe/Berlin
dns: [10.0.0.2]
search: [corp.example]
addresses:
  - range: 10.0.0.10-10.0.0.40/24
    gateway: 10.0.0.1
    reserved: [10.0.0.20]
  - dhcp: true
windows:
  full_name: Lab
  product_key: {keyring: keys/windows}
  administrator_password: {env: ADMIN}
  auto_logon: 2
  join: {domain: corp.example, user: joiner, password: {file: join.txt}, ou: "OU=a,DC=b"}
  run_once: [first, second]
"""

WANTED = Customization(
    os=GuestOs.WINDOWS,
    host_name="w-{name}",
    domain="corp.example",
    time_zone="Europe/Berlin",
    dns=("10.0.0.2",),
    search=("corp.example",),
    addresses=(
        Addresses(range="10.0.0.10-10.0.0.40/24", gateway="10.0.0.1", reserved=("10.0.0.20",)),
        Addresses(dhcp=True),
    ),
    windows=WindowsGuest(
        full_name="Lab",
        product_key=SecretSource(keyring="keys/windows"),
        administrator_password=SecretSource(env="ADMIN"),
        auto_logon=2,
        join=DomainJoin(
            domain="corp.example",
            user="joiner",
            password=SecretSource(file="join.txt"),
            ou="OU=a,DC=b",
        ),
        run_once=("first", "second"),
    ),
)


def test_everything_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, FULL) == WANTED


def test_it_may_be_nested_in_a_pool_file(tmp_path: Path) -> None:
    indented = "".join(f"  {line}\n" for line in FULL.splitlines())
    assert read(tmp_path, f"customization:\n{indented}") == WANTED
    assert read(tmp_path, f"pool: desks\nsize: 3\ncustomization:\n{indented}") == WANTED


def test_addresses_of_one_card_need_no_list(tmp_path: Path) -> None:
    found = read(tmp_path, "os: linux\naddresses: {dhcp: true}\n")
    assert found.addresses == (Addresses(dhcp=True),)


def test_users_and_keys_are_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "os: cloud-init\ncloud_init:\n  transport: customization\n  users:\n"
        "    - {name: ada, sudo: true, ssh_keys: [ssh-ed25519 AAAA ada], groups: [adm]}\n",
    )
    user = GuestUser(name="ada", sudo=True, ssh_keys=("ssh-ed25519 AAAA ada",), groups=("adm",))
    assert found.cloud_init == CloudInit(transport="customization", users=(user,))


def test_files_are_read_from_where_the_customization_is(tmp_path: Path) -> None:
    (tmp_path / "setup.sh").write_text("#!/bin/sh\nexit 0\n")
    found = read(tmp_path, "os: linux\nlinux: {script_file: setup.sh}\n")
    assert found.linux == LinuxGuest(script="#!/bin/sh\nexit 0\n")
    (tmp_path / "user.yaml").write_text("#cloud-config\npackages: [git]\n")
    found = read(tmp_path, "os: cloud-init\ncloud_init: {user_data_file: user.yaml}\n")
    assert found.cloud_init == CloudInit(user_data="#cloud-config\npackages: [git]\n")


def test_all_errors_are_reported_at_once_with_line_place_and_nearest_key(tmp_path: Path) -> None:
    errors = errors_of(
        tmp_path,
        f"""\
os: windos
host_nmae: x
domain: no_domain
time_zone: Europe/Berln
addresses:
  - range: 10.0.0.10-10.0.0.40/24
    gateway: 10.1.0.1
    dhcp: true
  - range: fd00::1-fd00::5/64
    dsn: [{CANARY}]
windows:
  product_key: {CANARY}
  administrator_password: {CANARY}
  auto_logon: 3
  workgroup: WG
  join: {{domain: corp.example, user: a, password: {{env: A, file: b}}}}
linux: {{script_file: nowhere.sh}}
""",
    )
    assert places(errors) == [
        ("1", "os"),
        ("2", "host_nmae"),
        ("3", "domain"),
        ("4", "time_zone"),
        ("7", "addresses[0].gateway"),
        ("8", "addresses[0].dhcp"),
        ("9", "addresses[1].range"),
        ("10", "addresses[1].dsn"),
        ("12", "windows.product_key"),
        ("13", "windows.administrator_password"),
        ("16", "windows.join"),
        ("16", "windows.join.password"),
        ("17", "linux.script_file"),
    ]
    texts = {place: text for _, place, text in errors}
    assert texts["os"] == "can only be: linux, windows or cloud-init"
    assert texts["host_nmae"] == "unknown setting; did you mean host_name?"
    assert texts["addresses[1].dsn"] == "unknown setting; did you mean dns?"
    assert "did you mean Europe/Berlin?" in texts["time_zone"]
    assert "does not belong here" in texts["windows.administrator_password"]
    assert texts["windows.join.password"].endswith("given: env and file")
    assert "No such file" in texts["linux.script_file"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}\n", [("1", "os")]),
        ("- os\n", [("1", "file")]),
        ("os: linux\naddresses: 3\n", [("2", "addresses")]),
        ("os: linux\naddresses: {range: 3}\n", [("2", "addresses.range")]),
        ("os: linux\naddresses:\n  dns: 10.0.0.1\n", [("3", "addresses.dns")]),
        ("os: linux\naddresses:\n  gatewy: a\n", [("3", "addresses.gatewy")]),
        ("os: linux\nhost_name: 7\n", [("2", "host_name")]),
        ("os: linux\nlinux: {hwclock: moon}\n", [("2", "linux.hwclock")]),
        (f"os: linux\nlinux: {{password: {CANARY}}}\n", [("2", "linux.password")]),
        ("os: linux\nlinux: {password: {}}\n", [("2", "linux.password")]),
        ("os: windows\nwindows: {product_key: 12}\n", [("2", "windows.product_key")]),
        ("os: windows\nwindows: {product_key: {evn: A}}\n", [("2", "windows.product_key.evn")]),
        ("os: windows\nwindows:\n  join: {user: a}\n",
         [("3", "windows.join.domain"), ("3", "windows.join.password")]),
        ("os: windows\nwindows:\n  auto_logon: many\n", [("3", "windows.auto_logon")]),
        ("os: cloud-init\ncloud_init:\n  users:\n    - {nam: a}\n",
         [("4", "cloud_init.users[0].nam"), ("4", "cloud_init.users[0].name")]),
        ("os: linux\nlinux: {script: '#!/bin/sh', script_file: x}\n", [("2", "linux.script_file")]),
        ("customization: {os: linux}\nhost_name: x\n", [("2", "host_name")]),
        ("customization:\n", [("1", "customization")]),
        ("1: 2\nos: linux\n", [("1", "file")]),
    ],
)  # fmt: skip
def test_errors_are_reported_with_their_place(
    tmp_path: Path, text: str, expected: list[tuple[str, str]]
) -> None:
    assert places(errors_of(tmp_path, text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[a\n",
        f"os: linux\nos: {CANARY}\n",
        f"{CANARY}: {CANARY}: x\n",
        f"!!python/object/apply:os.system ['{CANARY}']\n",
        "a: &a [*a]\n",
        "[" * 500,
        "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9) if n else 1}]\n" for n in range(9)),
        f"os: linux\nwhen: 2026-13-45 # {CANARY}\n",
    ],
    ids=["open", "twice", "nested", "object", "itself", "deep", "laughs", "date"],
)
def test_a_file_that_is_not_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert CANARY not in str(caught.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_customization(tmp_path / "nowhere.yaml")
    assert caught.value.details == "No such file or directory"


def test_a_binary_or_empty_text_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"\xff\xfe")
    text = "os: linux\nlinux: {script_file: s}\n"
    assert places(errors_of(tmp_path, text)) == [("2", "linux.script_file")]
    (tmp_path / "s").write_text(" \n")
    assert places(errors_of(tmp_path, text)) == [("2", "linux.script_file")]


def test_consequences_of_a_wrong_value_are_not_reported_separately(tmp_path: Path) -> None:
    text = "os: windows\nwindows:\n  auto_logon: 2\n  administrator_password: x\n"
    assert places(errors_of(tmp_path, text)) == [("4", "windows.administrator_password")]
    errors = errors_of(tmp_path, "stored: [x]\nlinux: {hwclock: local}\n")
    assert places(errors) == [("1", "stored")]


def test_the_time_zone_is_not_checked_where_no_zones_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    assert read(tmp_path, "os: linux\ntime_zone: Mars/Base\n").time_zone == "Mars/Base"


def test_one_made_by_a_program_is_checked_the_same(tmp_path: Path) -> None:
    (tmp_path / "setup.sh").write_text("#!/bin/sh\n")
    good = Customization(os=GuestOs.LINUX, linux=LinuxGuest(script_file="setup.sh"))
    assert settle_customization(good, tmp_path).linux.script == "#!/bin/sh\n"
    bad = Customization(domain="a b", linux=LinuxGuest(script_file="gone.sh"))
    with pytest.raises(InputError) as caught:
        settle_customization(bad, tmp_path)
    assert [line.partition(":")[0] for line in caught.value.details.splitlines()] == [
        "os",
        "domain",
        "linux.script_file",
    ]
