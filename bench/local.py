"""What the rows about this machine stand on: the demo guest, and bare QEMU."""

import json
import os
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.commands import ROOT, BenchError, clean_environment, run
from linkedclone.drivers.local.machine.accelerator import choose_accelerator, choose_cpu
from linkedclone.drivers.local.machine.arguments import MachineConfig, build_arguments
from linkedclone.drivers.local.state.ssh import build_ssh_command, ensure_key
from linkedclone.drivers.qemu.hardware import new_mac
from linkedclone.drivers.qemu.networks import CardRecord
from linkedclone.formats.chain import name_disk
from linkedclone.guest.nocloud import admit_key, build_documents, build_seed_iso, plain_guest
from linkedclone.model.vm import SshAddress

BUILD = ROOT / ".build"
_BANNER_SECONDS = 180.0
_POLL_SECONDS = 0.05
_ANY_PORT = "hostfwd=tcp:127.0.0.1:0-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """The demo guest: how it is booted."""

    disk: Path
    disk_bytes: int
    kernel: Path
    initrd: Path
    append: str
    memory_bytes: int
    user: str


@cache
def build_guest() -> Guest:
    """Return the demo guest; it is built if it is not there."""
    folder = BUILD / "guest"
    run(clean_environment(), ROOT / "script" / "build-guest", folder)
    told = json.loads((folder / "guest.json").read_text())
    disk = folder / told["disk"]
    info = json.loads(run(clean_environment(), "qemu-img", "info", "--output=json", disk))
    return Guest(
        disk=disk,
        disk_bytes=info["virtual-size"],
        kernel=folder / told["kernel"],
        initrd=folder / told["initrd"],
        append=told["append"],
        memory_bytes=told["memory_bytes"],
        user=told["user"],
    )


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder for the time of the block, beside the guest: ``/tmp`` may be no real disk."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as made:
        yield Path(made)


def allocated_bytes(path: Path) -> int:
    """Return what a file takes up on the disk."""
    return path.stat().st_blocks * 512


def create_with_qemu_img(base: Path, overlay: Path, *size: str) -> None:
    """Make an overlay as the tool makes it by default."""
    command = ("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay)
    run(clean_environment(), *command, *size)


def local_environment(state: Path) -> Mapping[str, str]:
    """Return the environment that points linkedclone at a state folder of its own.

    Without the immutable flag, so that the folder can be removed as a whole.
    """
    return clean_environment(
        {"LINKEDCLONE_ENDPOINT": f"local:{state}", "LINKEDCLONE_LOCAL_IMMUTABLE": "no"}
    )


# -- bare QEMU ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BareMachine:
    """A QEMU that is all set to be started.

    Attributes:
        name: Its host name, by the seed.
        folder: Where it runs; all its files are there.
        command: Its command line: the one that linkedclone starts QEMU with.
        ssh: Where it will answer.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    ssh: SshAddress


def prepare_bare(guest: Guest, folder: Path, names: Sequence[str]) -> tuple[BareMachine, ...]:
    """Give each an overlay of ``qemu-img create``, a seed and a port."""
    key = ensure_key(folder)
    accel = choose_accelerator(guest.kernel).name
    with ExitStack() as stack:
        # Held until all are chosen, so that no two get the same.
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        ports = [int(one.getsockname()[1]) for one in held]
    return tuple(
        _prepare(guest, folder / name, key, accel=accel, port=port)
        for name, port in zip(names, ports, strict=True)
    )


def _prepare(guest: Guest, folder: Path, key: Path, *, accel: str, port: int) -> BareMachine:
    folder.mkdir()
    disk, seed, own_id = folder / "disk.qcow2", folder / "seed.iso", str(uuid.uuid4())
    create_with_qemu_img(guest.disk, disk)
    public = key.with_suffix(".pub").read_text().strip()
    mac = new_mac()
    named = plain_guest(host_name=folder.name, instance_id=own_id)
    admitted = admit_key(named, user=guest.user, key=public)
    seed.write_bytes(build_seed_iso(build_documents(admitted, (mac,), user=guest.user)))
    config = MachineConfig(
        name=folder.name,
        uuid=own_id,
        memory_bytes=guest.memory_bytes,
        disks=(disk,),
        cards=(CardRecord(mac=mac),),
        seed=seed,
        kernel=guest.kernel,
        initrd=guest.initrd,
        append=guest.append,
    )
    fixed = _ANY_PORT.replace(":0-", f":{port}-")
    arguments = build_arguments(config, [name_disk(disk)], accel=accel, cpu=choose_cpu(accel))
    return BareMachine(
        name=folder.name,
        folder=folder,
        command=tuple(word.replace(_ANY_PORT, fixed) for word in arguments),
        ssh=SshAddress(host="127.0.0.1", port=port),
    )


@contextmanager
def running(machines: Sequence[BareMachine]) -> Iterator[None]:
    """Start them together; end them with the block."""
    with ExitStack() as stack:
        for machine in machines:
            log = stack.enter_context((machine.folder / "qemu.log").open("wb"))
            process = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - our own arguments
                    machine.command,
                    cwd=machine.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
            stack.callback(process.kill)
        yield


def ask_by_ssh(machine: BareMachine, user: str) -> str:
    """Wait until the guest's SSH server answers, then ask inside for the host name."""
    try:
        await_greeting(machine.ssh)
    except BenchError as error:
        log = (machine.folder / "qemu.log").read_text(errors="replace")
        raise BenchError(f"{machine.name} does not answer by SSH: {log[-500:]}") from error
    command = build_ssh_command(
        machine.ssh,
        user=user,
        key=machine.folder.parent / "id_ed25519",
        known_hosts=machine.folder / "known_hosts",
        command=("hostname",),
    )
    return run(os.environ, *command).strip()


def await_greeting(address: SshAddress) -> None:
    """Wait until an SSH server greets."""
    deadline = time.monotonic() + _BANNER_SECONDS
    while not _greets(address):
        if time.monotonic() > deadline:
            raise BenchError(f"nothing greets at {address.host}:{address.port}")
        time.sleep(_POLL_SECONDS)


def _greets(address: SshAddress) -> bool:
    """Say whether an SSH server greets; QEMU itself takes the connection before the guest does."""
    try:
        with socket.create_connection((address.host, address.port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
