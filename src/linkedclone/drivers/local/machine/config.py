"""What a machine is to be, and what is seen of it."""

from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.qemu.networks import CardRecord


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
