"""Machines with UEFI firmware and a screen, on real QEMU; there is nothing for them to boot."""

import os
import signal
import socket
import struct
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.machine.arguments import VNC_SOCKET, MachineConfig
from linkedclone.drivers.local.machine.logs import CONSOLE_LOG
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.process import drop_warnings, find_processes
from linkedclone.drivers.local.qmp.sockets import connect
from linkedclone.drivers.qemu.networks import CardRecord, find_group
from linkedclone.formats.qcow2 import build_empty
from linkedclone.model.vm import Power

MIB = 1 << 20
FIRMWARE_SECONDS = 240.0


@pytest.fixture
def config(tmp_path: Path) -> MachineConfig:
    disks = tuple(tmp_path / f"{number}.qcow2" for number in range(2))
    for disk in disks:
        disk.write_bytes(build_empty(8 * MIB).to_bytes())
    return MachineConfig(
        name="blank",
        uuid=str(uuid.uuid4()),
        memory_bytes=64 * MIB,
        disks=disks,
        accel="tcg",
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[MachineConfig], Machine]]:
    started = []

    def run(config: MachineConfig) -> Machine:
        started.append(Machine(tmp_path / "run", config))
        started[-1].start()
        return started[-1]

    yield run
    for machine in started:
        machine.stop()


def test_uefi_firmware_comes_up_and_keeps_variables_of_its_own(
    config: MachineConfig, start: Callable[[MachineConfig], Machine], tmp_path: Path
) -> None:
    variables = tmp_path / "variables.fd"
    machine = start(replace(config, memory_bytes=256 * MIB, variables=variables, console_log=True))
    template = variables.stat().st_size
    deadline = time.monotonic() + FIRMWARE_SECONDS
    log = machine.folder / CONSOLE_LOG
    while "UEFI Interactive Shell" not in log.read_text(errors="replace"):
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.2)
    machine.stop()
    # It wrote what it found to boot into the machine's own file.
    assert "Boot0000".encode("utf-16-le") in variables.read_bytes()
    assert variables.stat().st_size == template


def test_the_screen_is_shown_on_a_private_socket(
    config: MachineConfig, start: Callable[[MachineConfig], Machine]
) -> None:
    machine = start(replace(config, display=True))
    assert (machine.folder / VNC_SOCKET).stat().st_mode & 0o077 == 0
    assert machine.folder.stat().st_mode & 0o077 == 0
    client = connect(machine.folder, VNC_SOCKET, timeout_seconds=60)
    assert client is not None
    with client:
        client.settimeout(10)
        name, width, height = greet(client)
    assert "blank" in name
    assert width >= 320
    assert height >= 200


def greet(client: socket.socket) -> tuple[str, int, int]:
    """Greet a VNC server as a viewer does; return the screen's name and size (RFC 6143, 7)."""
    version = receive(client, 12)
    assert version == b"RFB 003.008\n"
    client.sendall(version)
    (count,) = receive(client, 1)
    assert 1 in receive(client, count)  # no password: the folder's permissions guard it
    client.sendall(b"\1")
    assert receive(client, 4) == bytes(4)
    client.sendall(b"\1")
    width, height, _, length = struct.unpack(">HH16sI", receive(client, 24))
    return receive(client, length).decode(), width, height


def receive(client: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = client.recv(length - len(data))
        assert more, "the server hung up"
        data += more
    return data


def test_qemu_takes_every_kind_of_card(
    config: MachineConfig, start: Callable[[MachineConfig], Machine]
) -> None:
    group = find_group("store", "lab")
    kinds = ("isolated", "user", "user", "private:lab")
    cards = tuple(
        CardRecord(mac=f"02:00:00:00:00:0{number}", network=kind, group=group)
        for number, kind in enumerate(kinds)
    )
    machine = start(replace(config, cards=cards))
    assert machine.observe().ssh is not None
    machine.stop()
    without = start(replace(config, cards=cards[:1]))
    assert without.observe().ssh is None


def test_a_warning_is_not_the_reason_for_an_exit() -> None:
    said = "qemu-system-x86_64: warning: hub 0 is lonely\nqemu-system-x86_64: terminating\n"
    assert drop_warnings(said) == "qemu-system-x86_64: terminating"


def test_a_host_reboot_is_distinguished_from_a_kill(
    config: MachineConfig, start: Callable[[MachineConfig], Machine]
) -> None:
    warned_of = CardRecord(mac="02:00:00:00:00:01", network="isolated")
    machine = start(replace(config, cards=(warned_of,)))
    (pid,) = find_processes(machine.folder)
    os.kill(pid, signal.SIGKILL)
    while machine.observe().power is not Power.OFF:
        time.sleep(0.01)
    assert machine.observe().last_words.startswith("QEMU was killed")
    (machine.folder / "boot").write_text("another\n")  # as after a boot: sockets, and no process
    assert machine.observe().last_words.startswith("this host went down")
    machine.start()
    assert machine.observe().power is Power.ON
    machine.stop()
    assert machine.observe().last_words == ""
