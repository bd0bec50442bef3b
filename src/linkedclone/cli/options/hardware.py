"""The options of ``clone`` that say what becomes of the disks, and what hardware clones get."""

import re
from collections.abc import Callable
from typing import Any, Literal, TypedDict

import click

from linkedclone.cli.grammar import CommandT, HeadedOption, give_options
from linkedclone.cli.options.types import read_memory, read_size, read_with
from linkedclone.model.request import DiskMove, Hardware, NewDisk, Nic

DISKS = "Disks"
HARDWARE = "Hardware (default: as in the snapshot)"

_INDEXED = re.compile(r"([0-9]{1,4})=(.+)", re.DOTALL)


class HardwareOptions(TypedDict):
    """What the options of this module were set to."""

    full: bool
    instant: bool
    disk_move: str | None
    disk_bytes: int | None
    disks: tuple[NewDisk, ...]
    cpus: int | None
    cores_per_socket: int | None
    memory_bytes: int | None
    cpu_hot_add: bool | None
    memory_hot_add: bool | None
    network: tuple[tuple[int, str], ...]
    add_nic: tuple[str, ...]
    remove_nic: tuple[int, ...]
    macs: tuple[tuple[str, tuple[str, ...]], ...]
    extra_config: tuple[tuple[str, str], ...]
    keep_tpm: bool
    firmware: Literal["bios", "uefi"] | None
    display: bool


def _read_new_disk(text: str) -> NewDisk:
    size, _, kind = text.partition(",")
    if kind.strip() not in {"", "thin", "thick"}:
        raise click.BadParameter(
            f"{kind.strip()!r} is not a kind of disk; write 40GiB or 40GiB,thick"
        )
    return NewDisk(capacity_bytes=read_size(size), thin=kind.strip() != "thick")


def _read_network(text: str) -> tuple[int, str]:
    match = _INDEXED.fullmatch(text)
    index, name = (int(match[1]), match[2]) if match else (0, text)
    if not name.strip():
        raise click.BadParameter("the network has no name; write NAME, or 1=NAME for another card")
    return index, name


def _read_name(text: str) -> str:
    if not text.strip():
        raise click.BadParameter("the network has no name")
    return text


def _read_macs(text: str) -> tuple[str, tuple[str, ...]]:
    from linkedclone.model.values.macs import parse_mac

    name, equals, macs = text.rpartition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=MAC; write desk-1=00:50:56:01:02:03")
    return name, tuple(read_with(parse_mac, mac) for mac in macs.split(","))


def _read_setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{text!r} is not KEY=VALUE")
    return key.strip(), value


def _option(heading: str, *forms: str, **settings: Any) -> Callable[[CommandT], CommandT]:  # noqa: ANN401 - click's
    settings = {"part": "hardware", **settings}
    return click.option(*forms, cls=HeadedOption, heading=heading, **settings)


_OPTIONS = (
    _option(
        DISKS,
        "--full",
        part="disk_move",
        field="shared",
        is_flag=True,
        help="Copy the disks instead of linking to them.",
    ),
    _option(
        DISKS,
        "--instant",
        part="",
        is_flag=True,
        help="Fork the running parent with its memory; nothing boots.",
    ),
    _option(
        DISKS,
        "--disk-move-type",
        "disk_move",
        part="",
        type=click.Choice([*map(str, DiskMove)]),
        metavar="TYPE",
        help="vSphere's disk move type: " + ", ".join(DiskMove) + ".",
    ),
    _option(
        DISKS,
        "--disk",
        "disk_bytes",
        metavar="SIZE",
        type=read_size,
        help="Size of the first disk; only full clones can differ from the snapshot.",
    ),
    _option(
        DISKS,
        "--add-disk",
        "disks",
        metavar="SIZE[,thick]",
        type=_read_new_disk,
        multiple=True,
        help="Add an empty disk, for example 40GiB. Repeatable.",
    ),
    _option(HARDWARE, "--cpus", metavar="N", type=click.IntRange(1, 4096), help="Number of CPUs."),
    _option(
        HARDWARE,
        "--cores-per-socket",
        metavar="N",
        type=click.IntRange(1, 4096),
        help="CPUs per socket.",
    ),
    _option(
        HARDWARE,
        "--memory",
        "memory_bytes",
        metavar="SIZE",
        type=read_memory,
        help="Memory, for example 4GiB.",
    ),
    _option(
        HARDWARE,
        "--cpu-hot-add/--no-cpu-hot-add",
        default=None,
        help="Whether CPUs can be added while the VM runs.",
    ),
    _option(
        HARDWARE,
        "--memory-hot-add/--no-memory-hot-add",
        default=None,
        help="Whether memory can be added while the VM runs.",
    ),
    _option(
        HARDWARE,
        "--network",
        field="nics.remap",
        metavar="[INDEX=]NAME",
        type=_read_network,
        multiple=True,
        help="Connect network card INDEX (default: 0, the first) to this network. Repeatable.",
    ),
    _option(
        HARDWARE,
        "--add-nic",
        field="nics.add",
        metavar="NAME",
        type=_read_name,
        multiple=True,
        help="Add a network card on this network. Repeatable.",
    ),
    _option(
        HARDWARE,
        "--remove-nic",
        field="nics.remove",
        metavar="INDEX",
        type=click.IntRange(min=0),
        multiple=True,
        help="Remove a network card. Repeatable.",
    ),
    _option(
        HARDWARE,
        "--mac",
        "macs",
        part="",
        metavar="NAME=MAC[,MAC]",
        type=_read_macs,
        multiple=True,
        help="MAC addresses of one clone's first cards; all others get fresh ones. Repeatable.",
    ),
    _option(
        HARDWARE,
        "--extra-config",
        metavar="KEY=VALUE",
        type=_read_setting,
        multiple=True,
        help="An additional VM setting; an empty value removes the key. Repeatable.",
    ),
    _option(
        HARDWARE,
        "--keep-tpm",
        is_flag=True,
        help="Copy the virtual TPM with its secrets; by default each clone gets a new one.",
    ),
    _option(
        HARDWARE,
        "--firmware",
        metavar="bios|uefi",
        type=click.Choice(("bios", "uefi")),
        default=None,
        help="Firmware to boot with. local: only.",
    ),
    _option(
        HARDWARE,
        "--display",
        is_flag=True,
        help="Give the VM a screen, see 'console --graphical'. local: only.",
    ),
)


def hardware_options(command: CommandT) -> CommandT:
    """Give a command the options of this module, in this order."""
    return give_options(command, _OPTIONS)


def build_disk_move(options: HardwareOptions) -> DiskMove:
    """Return what becomes of the disks."""
    from linkedclone.errors import InputError

    named = options["disk_move"]
    if named is None:
        return DiskMove.SHARED if options["full"] else DiskMove.LINKED
    move = DiskMove(named)
    if options["full"] and move in {DiskMove.LINKED, DiskMove.CHILD_MOST}:
        raise InputError(
            f"--full and --disk-move-type {named} contradict each other",
            hint="leave one of the two out",
        )
    return move


def build_macs(options: HardwareOptions) -> dict[str, tuple[str, ...]]:
    """Return the MAC addresses that clones are given.

    Raises:
        InputError: A clone is named twice.
    """
    from linkedclone.errors import InputError

    found: dict[str, tuple[str, ...]] = {}
    for name, macs in options["macs"]:
        if name in found:
            raise InputError(
                f"MAC addresses are given twice for {name!r}",
                hint=f"all at once: --mac {name}=MAC,MAC",
            )
        found[name] = macs
    return found


def build_hardware(options: HardwareOptions) -> Hardware:
    """Return the hardware that is asked for."""
    return Hardware(
        cpus=options["cpus"],
        cores_per_socket=options["cores_per_socket"],
        memory_bytes=options["memory_bytes"],
        cpu_hot_add=options["cpu_hot_add"],
        memory_hot_add=options["memory_hot_add"],
        extra_config=options["extra_config"],
        disks=options["disks"],
        nics=_build_nics(options),
        disk_bytes=options["disk_bytes"],
        keep_tpm=options["keep_tpm"],
        firmware=options["firmware"] or "",
        display=options["display"],
    )


def _build_nics(options: HardwareOptions) -> tuple[Nic, ...]:
    return (
        *(Nic(action="remap", index=index, network=name) for index, name in options["network"]),
        *(Nic(action="add", network=name) for name in options["add_nic"]),
        *(Nic(action="remove", index=index) for index in options["remove_nic"]),
    )
