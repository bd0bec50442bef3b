"""QEMU's argument list. Pure: no file is read and nothing is asked."""

from pathlib import Path

from linkedclone.drivers.local.machine.config import MachineConfig

PROGRAM = "qemu-system-x86_64"

# Paths relative to the machine's folder, in which QEMU is started.
QMP_SOCKET = "qmp.sock"
AGENT_SOCKET = "agent.sock"
CONSOLE_SOCKET = "console.sock"
CONSOLE_LOG = "console.log"

DISK_DEVICE = "disk0"
AGENT_CHARDEV = "agent0"
AGENT_PORT = "org.qemu.guest_agent.0"

MIB = 1 << 20


def build_arguments(config: MachineConfig, *, accel: str) -> tuple[str, ...]:
    """Build the command line of a machine, the program's name first.

    The disk pauses the guest when the file system is full instead of handing
    it an error, the SSH port is left to the kernel to choose (host port 0), and
    nothing that is listened on can be reached from another host.
    """
    return (
        PROGRAM,
        *("-name", f"guest={_quote(config.name)}"),
        *("-uuid", config.uuid),
        *("-no-user-config", "-nodefaults", "-display", "none"),
        *("-machine", "q35"),
        *("-accel", _accelerator(accel, config.memory_bytes)),
        *("-cpu", "host" if accel == "kvm" else "max"),
        *("-smp", str(config.cpus)),
        *("-m", f"{config.memory_bytes // MIB}M"),
        *_kernel(config),
        *_disk(config),
        *_seed(config.seed),
        *("-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22"),
        *("-device", f"virtio-net-pci,netdev=net0,mac={config.mac},romfile="),
        *("-object", "rng-random,id=rng0,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,rng=rng0"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id={AGENT_CHARDEV},path={AGENT_SOCKET},server=on,wait=off"),
        *("-device", f"virtserialport,chardev={AGENT_CHARDEV},name={AGENT_PORT}"),
        *("-chardev", _console()),
        *("-serial", "chardev:console0"),
        *("-chardev", f"socket,id=qmp0,path={QMP_SOCKET},server=on,wait=off"),
        *("-mon", "chardev=qmp0,mode=control"),
    )


def _accelerator(accel: str, memory_bytes: int) -> str:
    """Bound the translation cache: QEMU's default of 1 GiB is filled sooner or later.

    Measured on the demo guest (128 MiB): 32 MiB overflows while it boots and
    costs a seventh of the time, 64 MiB does not.
    """
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


def _disk(config: MachineConfig) -> tuple[str, ...]:
    drive = (
        f"if=none,id={DISK_DEVICE},file.driver=file,file.filename={_quote(config.disk)},"
        f"format={config.disk_format},discard=unmap,werror=enospc,rerror=stop"
    )
    return ("-drive", drive, "-device", f"virtio-blk-pci,drive={DISK_DEVICE},bootindex=1")


def _seed(seed: Path | None) -> tuple[str, ...]:
    if seed is None:
        return ()
    drive = f"if=none,id=seed0,file.driver=file,file.filename={_quote(seed)},format=raw,readonly=on"
    return ("-drive", drive, "-device", "virtio-blk-pci,drive=seed0")


def _console() -> str:
    return f"socket,id=console0,path={CONSOLE_SOCKET},server=on,wait=off,logfile={CONSOLE_LOG}"


def _quote(value: str | Path) -> str:
    """Double the commas: within an option's value that is how QEMU wants them."""
    return str(value).replace(",", ",,")
