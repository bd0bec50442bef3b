"""QEMU's argument list, word for word."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from linkedclone.drivers.local.machine.arguments import (
    MIB,
    Loading,
    MachineConfig,
    build_arguments,
    build_shape,
)
from linkedclone.drivers.qemu.hardware import MOST_CARDS, MOST_DISKS
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.formats.chain import DiskFile, ImageFormat, format_by_suffix, name_chain

CODE = Path("/firmware/code.fd")
GOLDEN = Path(__file__).parent / "golden"

FROM_DISK = MachineConfig(
    name="web-001",
    uuid="7c2f5c1e-55b6-5d0b-9d0a-0f5f4a1f6f10",
    memory_bytes=1024 * MIB,
    disks=(Path("/vms/web-001/disk.qcow2"),),
    cards=(CardRecord(mac="52:54:00:12:34:56"),),
)
WITH_EVERYTHING = MachineConfig(
    name="a,b",
    uuid="7c2f5c1e-55b6-5d0b-9d0a-0f5f4a1f6f10",
    cpus=4,
    memory_bytes=128 * MIB,
    disks=(
        Path("/vms/a,b/top disk.raw"),
        Path("/vms/a,b/data.qcow2"),
        Path("/vms/a,b/more.raw"),
    ),
    cards=(
        CardRecord(mac="52:54:00:12:34:51", network="isolated"),
        CardRecord(mac="52:54:00:12:34:52"),
        CardRecord(mac="52:54:00:12:34:53"),
        CardRecord(
            mac="52:54:00:12:34:54",
            network="private:lab",
            group="239.192.1.2:20000",
        ),
        CardRecord(mac="52:54:00:12:34:55", network="bridge:br0"),
    ),
    seed=Path("/vms/a,b/seed.iso"),
    kernel=Path("/vms/kernel"),
    initrd=Path("/vms/initrd"),
    append="console=ttyS0 quiet",
    variables=Path("/vms/a,b/uefi-variables.fd"),
    display=True,
    console_log=True,
)
CASES = {
    "from-disk-tcg": (FROM_DISK, "tcg"),
    "from-disk-kvm": (FROM_DISK, "kvm"),
    "everything": (WITH_EVERYTHING, "tcg"),
    "kernel-without-initrd": (
        replace(FROM_DISK, kernel=Path("/vms/kernel"), seed=Path("/vms/seed.iso"), cards=()),
        "tcg",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_arguments_are_as_recorded(case: str) -> None:
    config, accel = CASES[case]
    recorded = GOLDEN / f"{case}.txt"
    arguments = build_arguments(config, name_disks(config), accel=accel, firmware=CODE)
    assert _one_option_a_line(arguments) == recorded.read_text()


LOADING = Loading(
    ram=Path("/vms/golden, old/ram-00000001"),
    state=Path("/vms/golden, old/state-00000001"),
    machine="pc-q35-7.2",
    cpu="max,cx16=off",
    accel="tcg",
    user_networks=2,
)


@pytest.mark.parametrize("writes", [False, True])
def test_a_machine_that_is_loaded_has_the_arguments_that_are_recorded(writes: bool) -> None:
    recorded = GOLDEN / f"{'written' if writes else 'loaded'}.txt"
    arguments = build_arguments(
        FROM_DISK,
        name_disks(FROM_DISK),
        accel="tcg",
        cpu=LOADING.cpu,
        loading=replace(LOADING, writes=writes),
    )
    assert _one_option_a_line(arguments) == recorded.read_text()


def find_shape(config: MachineConfig, loading: Loading | None = None) -> str:
    disks = ["x"] * len(config.disks)
    firmware = CODE if config.variables else None
    return build_shape(
        build_arguments(config, disks, accel="tcg", firmware=firmware, loading=loading)
    )


def test_machines_that_differ_in_names_and_files_alone_have_one_shape() -> None:
    cards = tuple(
        replace(card, mac="02:00:00:00:00:99", network="isolated") for card in FROM_DISK.cards
    )
    other = replace(FROM_DISK, name="b", uuid=str(uuid4()), cards=cards, console_log=True)
    assert find_shape(other, LOADING) == find_shape(FROM_DISK)


@pytest.mark.parametrize(
    "change",
    [
        {"cpus": 7},
        {"memory_bytes": 96 * MIB},
        {"cards": ()},
        {"disks": (Path("/a.raw"), Path("/b.raw"))},
        {"seed": None},
        {"kernel": None},
        {"initrd": None},
        {"variables": None},
        {"display": False},
    ],
)
def test_machines_with_other_hardware_have_another_shape(change: dict[str, Any]) -> None:
    assert find_shape(replace(WITH_EVERYTHING, **change)) != find_shape(WITH_EVERYTHING)


def test_the_most_devices_have_slots_that_the_chipset_does_not_take() -> None:
    config = replace(
        WITH_EVERYTHING,
        disks=(Path("/a.raw"),) * MOST_DISKS,
        cards=WITH_EVERYTHING.cards[:1] * MOST_CARDS,
    )
    told = " ".join(build_arguments(config, name_disks(config), accel="tcg", firmware=CODE))
    slots = [int(slot, 16) for slot in re.findall(r",addr=(0x[0-9a-f]+)", told)]
    assert slots == list(range(1, len(slots) + 1))
    assert slots[-1] < 31


def name_disks(config: MachineConfig) -> list[str]:
    """Name the chains of its disks: those of qcow2 depend on a raw base."""
    base = DiskFile(path=Path("/vms/golden, old/base.raw"), format=ImageFormat.RAW)
    tops = [DiskFile(path=one, format=format_by_suffix(one)) for one in config.disks]
    return [name_chain((base, top) if top.format.value == "qcow2" else (top,)) for top in tops]


def _one_option_a_line(arguments: tuple[str, ...]) -> str:
    lines = [arguments[0]]
    for argument in arguments[1:]:
        if argument.startswith("-"):
            lines.append(argument)
        else:
            lines[-1] += f" {argument}"
    return "\n".join(lines) + "\n"


def test_every_field_changes_the_arguments() -> None:
    disks = name_disks(WITH_EVERYTHING)
    before = build_arguments(WITH_EVERYTHING, disks, accel="tcg", firmware=CODE)
    changes: dict[str, object] = {
        "name": "other",
        "uuid": "00000000-0000-4000-8000-000000000000",
        "cpus": 2,
        "memory_bytes": 256 * MIB,
        "disks": WITH_EVERYTHING.disks[:1],
        "cards": WITH_EVERYTHING.cards[1:],
        "seed": None,
        "kernel": None,
        "initrd": None,
        "append": "other",
        "variables": None,
        "display": False,
        "console_log": False,
    }
    assert {*changes, "accel"} == set(MachineConfig.__dataclass_fields__)
    for name, value in changes.items():
        changed = replace(WITH_EVERYTHING, **{name: value})  # type: ignore[arg-type]  # any field
        disks = name_disks(changed)
        assert build_arguments(changed, disks, accel="tcg", firmware=CODE) != before, name
