"""A terminal at a console whose QEMU takes nothing."""

import os
import socket
import threading
import tty

import pytest

from linkedclone.drivers.local.machine.console import LEAVE, attach


@pytest.mark.timeout(60)
def test_a_console_whose_qemu_takes_nothing_is_left_all_the_same() -> None:
    """In raw mode Ctrl-C goes to the guest: there would be no other way out."""
    client, mute = socket.socketpair()
    terminal, ours = os.openpty()
    tty.setraw(ours)
    with client, mute:
        typed = threading.Thread(target=type_all, args=(terminal, b"x" * (1 << 20) + LEAVE))
        typed.start()
        attach(client, ours, ours)
        typed.join()
    os.close(terminal)
    os.close(ours)


@pytest.mark.timeout(60)
def test_all_that_is_piped_into_a_console_arrives() -> None:
    client, guest = socket.socketpair()
    read_end, write_end = os.pipe()
    told = b"x" * (1 << 20)
    feeding = threading.Thread(target=type_all, args=(write_end, told, True))
    joined = threading.Thread(target=join, args=(client, read_end))
    feeding.start()
    joined.start()
    with guest, guest.makefile("rb") as arrived:
        assert arrived.read() == told
    feeding.join()
    joined.join()
    os.close(read_end)


def type_all(descriptor: int, text: bytes, close: bool = False) -> None:
    while text:
        text = text[os.write(descriptor, text) :]
    if close:
        os.close(descriptor)


def join(client: socket.socket, read_end: int) -> None:
    with client:
        attach(client, read_end, read_end)
