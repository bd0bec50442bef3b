"""One short QMP connection."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError

from linkedclone.errors import BusyError, GoneError, HypervisorError

# The library logs what it also raises; without a handler that would end on stderr.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)

HANG_UP_SECONDS = 1.0


class Monitor:
    """QEMU's answers, with its errors in our words."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client

    async def execute(self, command: str, /, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Send a command and return its answer.

        Raises:
            HypervisorError: QEMU refuses; ``kind`` is QMP's error class.
            GoneError: QEMU ended meanwhile.
        """
        try:
            return await self._client.execute(command, arguments or None)
        except ExecuteError as error:
            brief = f"QEMU refuses {command}"
            raise HypervisorError(
                brief,
                details=str(error),
                hint="linkedclone doctor tells what is wrong with machines and disks",
                kind=error.error_class,
            ) from error
        except (QMPError, EOFError, OSError) as error:
            raise GoneError(
                f"QEMU ended during {command}", details=str(error), hint="start the VM again"
            ) from error

    async def quit(self) -> None:
        """Make QEMU flush its disks and end."""
        with suppress(GoneError):
            await self.execute("quit")


@asynccontextmanager
async def open_monitor(client_socket: socket.socket) -> AsyncIterator[Monitor]:
    """Greet QEMU over a connected socket; hang up at the end.

    Raises:
        GoneError: QEMU ended meanwhile.
        BusyError: What listens there does not greet as QMP does.
    """
    client = QMPClient("linkedclone")
    try:
        await client.connect(client_socket)
    except AssertionError as error:
        # qemu.qmp 0.0.6 asserts that the session runs; QEMU may have hung up right after greeting.
        with suppress(QMPError, EOFError, OSError):
            await client.disconnect()
        raise GoneError("QEMU ended", details="it hung up", hint="start the VM again") from error
    except ConnectError as error:
        if isinstance(error.exc, (EOFError, OSError)):
            raise GoneError("QEMU ended", details=str(error), hint="start the VM again") from error
        raise BusyError(
            "QEMU does not answer", details=str(error), hint="try again in a moment"
        ) from error
    finally:
        if not client.greeting:
            client_socket.close()
    try:
        yield Monitor(client)
    finally:
        with suppress(QMPError, EOFError, OSError, TimeoutError):
            await asyncio.wait_for(client.disconnect(), HANG_UP_SECONDS)
