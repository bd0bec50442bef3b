"""What a machine is to be, and what is seen of it."""

from dataclasses import dataclass
from pathlib import Path

from linkedclone.model.observed import Power, SshAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """All that QEMU's argument list is made of. Paths are absolute.

    Attributes:
        name: What ``ps`` and the log call it.
        uuid: Its UUID, lower case; what its QMP answers is how it is recognised.
        cpus: Virtual CPUs.
        memory_bytes: Memory of the guest; QEMU wants whole MiB.
        disk: The disk's top layer.
        disk_format: That layer's format.
        mac: MAC address of its one network card.
        seed: The NoCloud seed (ISO 9660), attached as a read-only virtio disk:
            cloud kernels have no driver for a SATA CD-ROM.
        kernel: Boot this kernel directly; None boots from the disk.
        initrd: The initial RAM disk that belongs to the kernel.
        append: The kernel's command line.
        accel: ``kvm`` or ``tcg``; None chooses by a boot probe.
    """

    name: str
    uuid: str
    cpus: int = 1
    memory_bytes: int
    disk: Path
    disk_format: str = "qcow2"
    mac: str
    seed: Path | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    append: str | None = None
    accel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """A machine as it was seen.

    Attributes:
        power: Whether it runs. PAUSED also after a full disk; UNKNOWN if
            something listens that does not answer, or is another machine.
        reason: Why it is paused or unknown; empty if nothing is the matter.
        ssh: Where its port 22 can be reached from this host.
        agent: Whether the guest agent answers; it starts last in the guest.
        host_name: What the guest says it is called.
        addresses: The guest's addresses, without loopback and link-local ones.
        last_words: For a machine that ended without having been asked to: what
            QEMU left behind.
    """

    power: Power
    reason: str = ""
    ssh: SshAddress | None = None
    agent: bool = False
    host_name: str = ""
    addresses: tuple[str, ...] = ()
    last_words: str = ""
