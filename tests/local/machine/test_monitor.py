"""A QEMU that hangs up at any moment of the greeting has ended, and nothing else."""

import asyncio
import socket
import threading

import pytest

from linkedclone.drivers.local.qmp.monitor import open_monitor
from linkedclone.errors import GoneError

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": []}}\n'
)


def hang_up(server: socket.socket, *, after: int) -> None:
    """Play QEMU for so many messages, then end."""
    with server:
        if after > 0:
            server.sendall(GREETING)
        if after > 1:
            server.recv(4096)
            server.sendall(b'{"return": {}, "id": "__linkedclone#00000"}\n')


async def ask(client: socket.socket) -> None:
    async with open_monitor(client) as monitor:
        await monitor.execute("query-uuid")


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_closed_connection_is_reported_as_ended(after: int) -> None:
    for _ in range(20):
        client, server = socket.socketpair()
        player = threading.Thread(target=hang_up, args=(server,), kwargs={"after": after})
        player.start()
        with pytest.raises(GoneError):
            asyncio.run(ask(client))
        player.join()
