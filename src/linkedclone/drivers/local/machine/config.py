"""What a machine is to be, and what is seen of it."""

from dataclasses import dataclass
from pathlib import Path

from linkedclone.drivers.qemu.networks import CardRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """All that QEMU's argument list is made of. Paths are absolute.

    Attributes:
        name: What ``ps`` and the log call it.
        uuid: Its UUID, lower case; what its QMP answers is how it is recognised.
        cpus: Virtual CPUs.
        memory_bytes: Memory of the guest; QEMU wants whole MiB.
        disks: The top layers of its disks, in the order of the hardware; their suffixes
            name their formats.
        cards: Its network cards, in the order of the hardware.
        seed: The NoCloud seed (ISO 9660), attached as a read-only virtio disk
            [fact: qemu-cloud-kernel].
        kernel: Boot this kernel directly; None boots from the disk.
        initrd: The initial RAM disk that belongs to the kernel.
        append: The kernel's command line.
        variables: The UEFI variables of the machine, made at its first start;
            None boots with BIOS.
        display: Whether it has a screen, to be looked at through VNC.
        console_log: Whether the last that the guest writes to its serial console is kept.
        accel: ``kvm`` or ``tcg``; None chooses by a boot probe.
    """

    name: str
    uuid: str
    cpus: int = 1
    memory_bytes: int
    disks: tuple[Path, ...]
    cards: tuple[CardRecord, ...] = ()
    seed: Path | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    append: str | None = None
    variables: Path | None = None
    display: bool = False
    console_log: bool = False
    accel: str | None = None
