"""A terminal joined to a serial console."""

import os
import select
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

LEAVE = b"\x1d"
"""Ctrl-], as in telnet and ``virsh console``."""

CHUNK_BYTES = 4096


def attach(console: socket.socket, input_descriptor: int, output_descriptor: int) -> None:
    """Pass bytes both ways until Ctrl-] is typed, the input ends or the machine does.

    A terminal is put to raw mode meanwhile, so that Ctrl-C goes to the guest.
    """
    console.settimeout(None)
    with _raw_mode(input_descriptor):
        while True:
            ready, _, _ = select.select((console.fileno(), input_descriptor), (), ())
            if console.fileno() in ready:
                data = console.recv(CHUNK_BYTES)
                if not data:
                    return
                _write(output_descriptor, data)
            if input_descriptor in ready:
                typed, leave, _ = os.read(input_descriptor, CHUNK_BYTES).partition(LEAVE)
                console.sendall(typed)
                if leave or not typed:
                    return


@contextmanager
def _raw_mode(descriptor: int) -> Iterator[None]:
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
