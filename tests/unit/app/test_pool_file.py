"""A pool's file: read whole, all its errors at once, changed with its comments."""

import json
from pathlib import Path
from typing import Any

import pytest

from linkedclone.app.pools.pool_file import (
    find_pool_secrets,
    preview_settings,
    read_pool,
    write_settings,
)
from linkedclone.app.pools.pool_schema import build_schema
from linkedclone.errors import InputError
from linkedclone.model.customization import GuestOs, SecretSource
from linkedclone.model.pool import PoolHardware, PoolSpec
from linkedclone.planning.pool.requests import build_request

GIB = 1 << 30

WHOLE = """\
# Desktops of the third floor.
pool: desktops
parent: win11-gold
snapshot: "2026-11"          # default: current
size: 20
name: "desk-{n:03}"
hardware: {cpus: 2, memory: 4GiB, add_disks: [10GiB]}
vsphere: {datastore: ssd1, resource_pool: VDI, folder: Desktops, network: VDI-LAN}
customization:
  os: windows
  host_name: "{name}"
  addresses: {range: 10.0.0.10-10.0.0.40/24, gateway: 10.0.0.1, dns: [10.0.0.1]}
health: {tcp: 3389, within: 15m}
refresh_above: 8GiB
max_age: 30d
rollout: {max_unavailable: 2, canary: 1, stop_after_failures: 1}
"""

LEAST = 'pool: p\nparent: gold\nsize: 2\nname: "x-{n}"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pool.yaml"


def read(file: Path, text: str) -> PoolSpec:
    file.write_text(text)
    return read_pool(file)


def complain(file: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(file, text)
    return caught.value.details.splitlines()


def test_a_whole_file_is_read(file: Path) -> None:
    spec = read(file, WHOLE)
    assert (spec.pool, spec.parent, spec.snapshot, spec.size) == (
        "desktops",
        "win11-gold",
        "2026-11",
        20,
    )
    assert spec.slots[0] == "desk-001"
    assert spec.slots[-1] == "desk-020"
    assert spec.hardware == PoolHardware(cpus=2, memory=4 * GIB, add_disks=(10 * GIB,))
    assert (spec.refresh_above, spec.max_age, spec.health.within) == (8 * GIB, 2_592_000.0, 900.0)
    assert spec.customization is not None
    assert spec.customization.os is GuestOs.WINDOWS
    assert build_request(spec, section="vsphere").hardware.nics[0].network == "VDI-LAN"


def test_four_lines_are_a_pool(file: Path) -> None:
    spec = read(file, LEAST)
    assert spec.rollout.max_unavailable == 1
    assert spec.running
    assert spec.customization is None


def test_all_errors_are_reported_at_once_with_their_lines(file: Path) -> None:
    text = """\
pool: linkedclone
parent: ""
size: -1
nmae: "desk"
name: "desk"
hardware: {cpus: 3, cores_per_socket: 2, memory: 4Gix, add_disks: [1GiB, x]}
vsphere: {datastor: ssd1}
customization:
  os: windoze
  dmain: example.com
health: {tcp: 99999, within: soon, user: x}
rollout: {max_unavailable: 0}
keep: [address, name]
"""
    assert complain(file, text) == [
        "line 1: pool: linkedclone owns the clones that belong to no pool; take another name",
        "line 2: parent: is empty",
        "line 3: size: has to be from 0 to 10,000",
        "line 4: nmae: unknown setting; did you mean name?",
        'line 5: name: has to hold the number once, as {n} or {n:03}: "desk-{n:03}"',
        "line 6: hardware.add_disks[1]: 'x' is not a size; write it as 4GiB or 512MiB",
        "line 6: hardware.cores_per_socket: 3 CPUs cannot be spread over sockets of 2 cores",
        "line 6: hardware.memory: '4Gix' is not a size; write it as 4GiB or 512MiB",
        "line 7: vsphere.datastor: unknown setting; did you mean datastore?",
        "line 9: customization.os: can only be: linux, windows or cloud-init",
        "line 10: customization.dmain: unknown setting; did you mean domain?",
        "line 11: health.tcp: is not a port, which is from 1 to 65535",
        "line 11: health.user: user and password belong together",
        "line 11: health.within: 'soon' is not a duration; write it as 90s, 5m, 12h or 30d",
        (
            "line 12: rollout.max_unavailable: with max_unavailable and max_surge both 0 "
            "nothing could ever be replaced"
        ),
        "line 13: keep[1]: can only be: address or mac",
    ]


@pytest.mark.parametrize("value", ["[1]", "[[]]", "x", "{1: 2}"])
@pytest.mark.parametrize(
    "setting", ["hardware", "health", "rollout", "vsphere", "keep", "in_use", "max_age"]
)
def test_a_setting_of_another_type_is_reported_with_its_line(
    file: Path, setting: str, value: str
) -> None:
    told = complain(file, f'pool: p\nparent: g\nsize: 1\nname: "d-{{n}}"\n{setting}: {value}\n')
    assert all(line.startswith(f"line 5: {setting}") for line in told)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rollout: {max_surge: 1}\nkeep: [mac]", "keep: excludes rollout.max_surge"),
        ("power: standby", "power: can only be: on or off"),
        ('power: "off"\nhealth: {tcp: 22}', "power: the clones are off"),
        ("rollout: {stop_after_failures: 0}", "rollout.stop_after_failures: has to be at least 1"),
        ("health: {password: hunter2hunter2, user: x}", "a password itself does not belong here"),
        ("first: -3", "first: must not be below 0"),
        ('refresh_above: "0"', "refresh_above: a size of '0' is nothing"),
    ],
)
def test_what_contradicts_itself_is_refused(file: Path, line: str, expected: str) -> None:
    (told,) = complain(file, f"{LEAST}{line}\n")
    assert expected in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "name",
    ["desk", "{n}-{n}", "{m}", "x-{n", "x-{n:>3}", "a/{n}", "{n!r}", "-{n}", "x" * 80 + "{n}"],
)
def test_names_need_one_number_and_have_to_be_names(file: Path, name: str) -> None:
    text = LEAST.replace('"x-{n}"', json.dumps(name))
    (told,) = complain(file, text)
    assert told.startswith("line 4: name: ")


def test_a_file_without_a_mapping_is_refused(file: Path) -> None:
    assert complain(file, "- a\n") == ["line 1: file: has to be a mapping (key: value)"]


def test_what_an_instant_clone_cannot_be_given_is_refused_with_its_line(file: Path) -> None:
    more = (
        "clone: instant\npower: off\nhardware: {cpus: 2, memory: 1GiB, add_disks: [1GiB]}\n"
        "vsphere: {keep_tpm: true, network: LAN}\nlocal: {firmware: uefi}\n"
        "customization: {os: windows, time_zone: UTC}\n"
    )
    found = complain(file, LEAST + more)
    places = [line.partition(": ")[::2] for line in found if "clone: instant" in line]
    assert [(line, text.split(":")[0].split(" is ")[0]) for line, text in places] == [
        ("line 6", "power"),
        ("line 7", "hardware.add_disks"),
        ("line 7", "hardware.cpus"),
        ("line 7", "hardware.memory"),
        ("line 8", "vsphere.keep_tpm"),
        ("line 9", "local.firmware"),
        ("line 10", "customization.os"),
        ("line 10", "customization.time_zone"),
    ]
    fine = "clone: instant\nvsphere: {network: LAN}\ncustomization: {os: linux}\n"
    spec = read(file, LEAST + fine)
    assert spec.instant
    assert build_request(spec, section="vsphere").instant
    assert not read(file, LEAST).instant


def test_settings_are_changed_and_the_rest_stays_as_it_was_written(file: Path) -> None:
    file.write_text(WHOLE)
    file.chmod(0o640)
    spec = write_settings(file, {"snapshot": "2026-12", "size": 25})
    assert (spec.snapshot, spec.size) == ("2026-12", 25)
    text = file.read_text()
    assert text.startswith("# Desktops of the third floor.\npool: desktops\n")
    assert "# default: current" in text
    assert 'name: "desk-{n:03}"' in text
    assert "memory: 4GiB" in text
    assert read_pool(file) == spec
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_change_that_would_be_wrong_leaves_the_file_alone(file: Path) -> None:
    file.write_text(WHOLE)
    for change in (write_settings, preview_settings):
        with pytest.raises(InputError, match="has 1 error"):
            change(file, {"size": -1})
    assert file.read_text() == WHOLE


def test_a_change_can_be_looked_at_first(file: Path) -> None:
    file.write_text(WHOLE)
    assert preview_settings(file, {"size": 3}).size == 3
    assert file.read_text() == WHOLE


def test_passwords_of_the_probe_and_of_the_guests_are_looked_up_together(
    file: Path, tmp_path: Path
) -> None:
    text = LEAST + (
        "customization: {os: linux, linux: {password: {env: ROOT}}}\n"
        "health: {command: [test, -e, /ready], user: probe, password: {env: PROBE}}\n"
    )
    spec = read(file, text)
    found = dict(
        find_pool_secrets(spec, folder=tmp_path, environ={"ROOT": "first-one", "PROBE": "second"})
    )
    assert found[SecretSource(env="PROBE")].reveal() == "second"
    assert found[SecretSource(env="ROOT")].reveal() == "first-one"
    with pytest.raises(InputError) as caught:
        find_pool_secrets(spec, folder=tmp_path, environ={})
    assert caught.value.brief == "2 passwords cannot be read"
    assert "health.password" in caught.value.details


def test_the_schema_knows_every_setting_and_says_what_it_means() -> None:
    schema: dict[str, Any] = build_schema()
    definitions = {**schema["$defs"], "PoolSpec": schema}
    for name, definition in definitions.items():
        if "properties" not in definition:
            continue
        assert definition["additionalProperties"] is False, name
        for key, said in definition["properties"].items():
            place_only = name in {"VspherePlace", "LocalPlace"}
            assert place_only or said.get("description"), f"{name}.{key}"
