"""What a machine is to be, and QEMU's argument list of it. Pure: nothing is read, or asked.

Each PCI device has the slot that QEMU gave it by the order of the list before slots were
named, so that guests find their cards and disks where they were. All are on the root bus:
nothing is plugged in while a guest runs, which would take root ports.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path

from linkedclone.drivers.local.qmp.sockets import (
    AGENT_CHARDEV,
    AGENT_SOCKET,
    QMP_SOCKET,
    disk_device,
)
from linkedclone.drivers.qemu.networks import CardRecord, build_netdevs


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """All that QEMU's argument list is made of. Paths are absolute."""

    name: str  # what ``ps`` and the log call it
    uuid: str  # its UUID, lower case; what its QMP answers is how it is recognised
    cpus: int = 1  # virtual CPUs
    memory_bytes: int  # memory of the guest; QEMU wants whole MiB
    # The top layers of its disks, in the order of the hardware; their suffixes name their
    # formats.
    disks: tuple[Path, ...]
    cards: tuple[CardRecord, ...] = ()
    # The NoCloud seed (ISO 9660), attached as a read-only virtio disk [fact: qemu-cloud-kernel].
    seed: Path | None = None
    kernel: Path | None = None  # boot this kernel directly; None boots from the disk
    initrd: Path | None = None  # the initial RAM disk that belongs to the kernel
    append: str | None = None  # the kernel's command line
    # The UEFI variables of the machine, made at its first start; None boots with BIOS.
    variables: Path | None = None
    display: bool = False  # whether it has a screen, to be looked at through VNC
    # Whether the last that the guest writes to its serial console is kept.
    console_log: bool = False
    accel: str | None = None  # ``kvm`` or ``tcg``; None chooses by a boot probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """What a machine is loaded from instead of being booted: the memory of a snapshot."""

    ram: Path  # the file of its memory
    # The state of its devices; with ``writes`` all of the memory too.
    state: Path
    machine: str  # the type that the state was saved with, with its version
    cpu: str  # the CPU model, as ``-cpu`` takes it
    accel: str  # ``kvm`` or ``tcg``
    # How many networks of QEMU's own the state has something about [fact: qemu-slirp-state].
    user_networks: int = 0
    shape: str = ""  # what :func:`build_shape` gives for a machine that it fits; empty for any
    # Whether what is written to memory goes to the file of it; else the machine keeps it.
    writes: bool = False

    @property
    def old_networks(self) -> tuple[str, ...]:
        """The networks that take the state of the saved ones, and go after the load."""
        return tuple(f"old{number}" for number in range(self.user_networks))


PROGRAM = "qemu-system-x86_64"
NEWEST = "q35"
"""What boots is of QEMU's newest type; what is loaded, of the type that it was saved with."""
_PCI_DEVICE = re.compile(r"[a-z-]+-pci|VGA|qemu-xhci")
_MAC = re.compile(r",mac=[^,]*")
_SHAPE = frozenset({"-smp", "-m", "-device"})
_FILES = frozenset({"-drive", "-kernel", "-initrd"})
"""Whether they are there counts, and not what they name."""

CONSOLE_SOCKET = "console.sock"
STANDARD_OUTPUT = "/proc/self/fd/1"
VNC_SOCKET = "vnc.sock"

AGENT_PORT = "org.qemu.guest_agent.0"

MIB = 1 << 20


def build_arguments(
    config: MachineConfig,
    disks: Sequence[str],
    *,
    accel: str,
    cpu: str = "",
    firmware: Path | None = None,
    loading: Loading | None = None,
) -> tuple[str, ...]:
    """Build the command line of a machine, the program's name first.

    A disk pauses the guest when the file system is full [fact: qemu-enospc], and nothing
    that is listened on can be reached from another host.

    Args:
        disks: The whole chain of each of its disks, as ``chain.name_chain`` writes it, in the
            order of the hardware: QEMU opens these files, and follows no header.
        accel: ``kvm`` or ``tcg``.
        cpu: The model of the guest's CPUs; empty takes all that the accelerator has.
        firmware: The UEFI firmware's code; None boots with BIOS.
        loading: What it waits to be loaded from; None boots it.
    """
    arguments = (
        PROGRAM,
        *("-name", f"guest={_quote(config.name)}"),
        *("-uuid", config.uuid),
        *("-no-user-config", "-nodefaults", "-display", "none"),
        *_machine(loading, config.memory_bytes),
        *("-accel", _accelerator(accel, config.memory_bytes)),
        *("-cpu", cpu or ("host" if accel == "kvm" else "max")),
        *("-smp", str(config.cpus)),
        *("-m", f"{config.memory_bytes // MIB}M"),
        *_firmware(firmware, config.variables),
        *_kernel(config),
        *_disks(disks),
        *_seed(config.seed),
        *_old_networks(loading),
        *_cards(config.cards),
        *("-object", "rng-random,id=rng0,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,rng=rng0"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id={AGENT_CHARDEV},path={AGENT_SOCKET},server=on,wait=off"),
        *("-device", f"virtserialport,chardev={AGENT_CHARDEV},name={AGENT_PORT}"),
        *("-chardev", _console(logged=config.console_log)),
        *("-serial", "chardev:console0"),
        *("-chardev", f"socket,id=qmp0,path={QMP_SOCKET},server=on,wait=off"),
        *("-mon", "chardev=qmp0,mode=control"),
        *_display(config),
        # Tells a guest that was forked, so that it draws new random numbers [fact: qemu-vmgenid].
        *("-device", "vmgenid,guid=auto"),
    )
    return tuple(_pin_slots(arguments))


def _pin_slots(arguments: Sequence[str]) -> Iterator[str]:
    """Name the slot of each PCI device: 1 and on, in the order of the list [fact: qemu-slots]."""
    slots, before = count(1), ""
    for argument in arguments:
        is_pci = before == "-device" and _PCI_DEVICE.fullmatch(argument.partition(",")[0])
        yield f"{argument},addr={next(slots):#x}" if is_pci else argument
        before = argument


def build_shape(arguments: Sequence[str]) -> str:
    """Return a digest of what has to be alike for one machine's state to load into another.

    Names, addresses and files differ between VMs that are alike otherwise. Pure.
    """
    parts = [
        (option, "" if option in _FILES else _MAC.sub("", value))
        for option, value in pairwise(arguments)
        if option in _SHAPE | _FILES
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _machine(loading: Loading | None, memory_bytes: int) -> tuple[str, ...]:
    if loading is None:
        return ("-machine", NEWEST)
    # ``pc.ram`` is what memory without a file is called in a saved state [fact: qemu-pc-ram].
    share = "on" if loading.writes else "off"
    memory = f"memory-backend-file,id=pc.ram,size={memory_bytes // MIB}M,share={share}"
    return (
        *("-machine", f"{loading.machine},memory-backend=pc.ram"),
        *("-object", f"{memory},mem-path={_quote(loading.ram)}"),
        *("-S", "-incoming", "defer"),
    )


def _old_networks(loading: Loading | None) -> tuple[str, ...]:
    """Take up the state of the saved networks: each card begins on a network without a past."""
    names = loading.old_networks if loading else ()
    return tuple(part for name in names for part in ("-netdev", f"user,id={name}"))


def _accelerator(accel: str, memory_bytes: int) -> str:
    """Bound the translation cache of software emulation [fact: qemu-translation-cache]."""
    if accel != "tcg":
        return accel
    size = 64 if memory_bytes < 512 * MIB else 128
    return f"tcg,thread=multi,tb-size={size}"


def _kernel(config: MachineConfig) -> tuple[str, ...]:
    if config.kernel is None:
        return ()
    initrd = ("-initrd", str(config.initrd)) if config.initrd is not None else ()
    append = ("-append", config.append) if config.append else ()
    return ("-kernel", str(config.kernel), *initrd, *append)


def _firmware(code: Path | None, variables: Path | None) -> tuple[str, ...]:
    if code is None or variables is None:
        return ()
    return (
        *("-drive", f"if=pflash,unit=0,readonly=on,{_raw(code)}"),
        *("-drive", f"if=pflash,unit=1,{_raw(variables)}"),
    )


def _disks(chains: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        argument for number, chain in enumerate(chains) for argument in _disk(number, chain)
    )


def _disk(number: int, chain: str) -> tuple[str, ...]:
    device = disk_device(number)
    drive = f"if=none,id={device},file={_quote(chain)},discard=unmap,werror=enospc,rerror=stop"
    order = "" if number else ",bootindex=1"
    return ("-drive", drive, "-device", f"virtio-blk-pci,drive={device}{order}")


def _cards(cards: tuple[CardRecord, ...]) -> tuple[str, ...]:
    """Give the cards no ROM: nothing is booted over the network."""
    built = zip(build_netdevs(cards), cards, strict=True)
    return tuple(
        argument
        for number, (netdev, card) in enumerate(built)
        for argument in (
            *("-netdev", netdev),
            *("-device", f"virtio-net-pci,netdev=net{number},mac={card.mac},romfile="),
        )
    )


def _display(config: MachineConfig) -> tuple[str, ...]:
    if not config.display:
        return ()
    return (
        *("-device", "VGA"),
        *("-device", "qemu-xhci", "-device", "usb-tablet"),
        *("-vnc", f"unix:{VNC_SOCKET}"),
    )


def _seed(seed: Path | None) -> tuple[str, ...]:
    if seed is None:
        return ()
    drive = f"if=none,id=seed0,{_raw(seed)},readonly=on"
    return ("-drive", drive, "-device", "virtio-blk-pci,drive=seed0")


def _raw(file: Path) -> str:
    return f"file.driver=file,file.filename={_quote(file)},format=raw"


def _console(*, logged: bool) -> str:
    """Write what the guest says to the standard output too, if it is kept; see ``logs``."""
    log = f",logfile={STANDARD_OUTPUT},logappend=on" if logged else ""
    return f"socket,id=console0,path={CONSOLE_SOCKET},server=on,wait=off{log}"


def _quote(value: str | Path) -> str:
    """Double the commas: within an option's value that is how QEMU wants them."""
    return str(value).replace(",", ",,")
