"""A terminal joined to a serial console."""

import os
import select
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LEAVE = b"\x1d"
"""Ctrl-], as in telnet and ``virsh console``."""

CHUNK_BYTES = 4096
MOST_AHEAD_BYTES = 1 << 16
"""How much may be typed that QEMU has not taken yet; what goes beyond is lost."""


def attach(console: socket.socket, input_descriptor: int, output_descriptor: int) -> None:
    """Pass bytes both ways until Ctrl-] is typed, the input ends or the machine does.

    A terminal is put to raw mode meanwhile, so that Ctrl-C goes to the guest.
    """
    console.settimeout(0)
    typed_ahead = b""
    with _raw_mode(input_descriptor) as is_terminal:
        while True:
            # At a terminal Ctrl-] is heard also while QEMU takes nothing.
            heard = (input_descriptor,) if is_terminal or not typed_ahead else ()
            sending = (console,) if typed_ahead else ()
            ready, _, _ = select.select((console, *heard), sending, ())
            if console in ready:
                data = console.recv(CHUNK_BYTES)
                if not data:
                    return
                _write(output_descriptor, data)
            leave = False
            if input_descriptor in ready:
                typed, sign, _ = os.read(input_descriptor, CHUNK_BYTES).partition(LEAVE)
                typed_ahead = (typed_ahead + typed)[:MOST_AHEAD_BYTES]
                leave = bool(sign) or not typed
            typed_ahead = _send(console, typed_ahead)
            if leave:
                return


def _send(console: socket.socket, data: bytes) -> bytes:
    """Send as much as is taken at once; return the rest."""
    with suppress(BlockingIOError):
        return data[console.send(data) :] if data else data
    return data


@contextmanager
def _raw_mode(descriptor: int) -> Iterator[bool]:
    if not os.isatty(descriptor):
        yield False
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield True
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
