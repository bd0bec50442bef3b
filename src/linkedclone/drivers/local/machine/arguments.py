"""What a machine is to be, and QEMU's argument list of it. Pure: nothing is read, or asked."""

from collections.abc import Sequence
from dataclasses import dataclass
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


PROGRAM = "qemu-system-x86_64"

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
    """
    return (
        PROGRAM,
        *("-name", f"guest={_quote(config.name)}"),
        *("-uuid", config.uuid),
        *("-no-user-config", "-nodefaults", "-display", "none"),
        *("-machine", "q35"),
        *("-accel", _accelerator(accel, config.memory_bytes)),
        *("-cpu", cpu or ("host" if accel == "kvm" else "max")),
        *("-smp", str(config.cpus)),
        *("-m", f"{config.memory_bytes // MIB}M"),
        *_firmware(firmware, config.variables),
        *_kernel(config),
        *_disks(disks),
        *_seed(config.seed),
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
    )


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
