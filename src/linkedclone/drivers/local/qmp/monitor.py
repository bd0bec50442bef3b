"""One short QMP connection. What QEMU answers is decoded with distrust: see ``answers``."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from qemu.qmp import ConnectError, ExecuteError, Message, QMPClient, QMPError
from qemu.qmp.error import ProtocolError
from qemu.qmp.qmp_client import BadReplyError

from linkedclone.drivers.local.qmp.answers import QEMU, Answer, decode_answer, refuse_answer
from linkedclone.errors import BusyError, GoneError, HypervisorError

# The library logs what it also raises; without a handler that would end on stderr.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)

HANG_UP_SECONDS = 1.0


class _Client(QMPClient):
    """Reads only answers, and only valid ones. Nothing here waits for events."""

    readbuflen = QEMU.most_bytes
    # What was wrong with the last message; None while all are valid. After it the connection is
    # closed.
    garbled: BusyError | None = None

    async def _do_recv(self) -> Message:
        """Replaces the library's own decoding, which sets no bounds and keeps all events."""
        while True:
            try:
                answer = decode_answer(await self._readline(), QEMU)
                event = answer.get("event")
            except ValueError as error:
                self.garbled = refuse_answer(QEMU, f"it is longer than {QEMU.most_bytes} bytes")
                raise ProtocolError(self.garbled.details) from error
            except BusyError as error:
                self.garbled = error
                raise ProtocolError(error.details) from error
            if event is None:
                return Message(answer.members())


class Monitor:
    """QEMU's answers, with its errors in our words."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    async def execute(self, command: str, /, **arguments: object) -> Answer:
        """Send a command and return its answer."""
        try:
            return Answer(await self._client.execute(command, arguments or None))
        except BadReplyError as error:
            raise refuse_answer(QEMU, "it is neither a result nor an error") from error
        except ExecuteError as error:
            brief = f"QEMU refuses {command}"
            raise HypervisorError(
                brief,
                details=str(error),
                hint="``doctor`` says what is wrong with machines and disks",
                kind=error.error_class,
            ) from error
        except (QMPError, EOFError, OSError) as error:
            if self._client.garbled is not None:
                raise self._client.garbled from error
            raise GoneError(
                f"QEMU ended during {command}", details=str(error), hint="start the VM again"
            ) from error

    async def quit(self) -> None:
        """Make QEMU flush its disks and end."""
        with suppress(GoneError):
            await self.execute("quit")


@asynccontextmanager
async def open_monitor(client_socket: socket.socket) -> AsyncIterator[Monitor]:
    """Greet QEMU over a connected socket; disconnect at the end."""
    client = _Client("linkedclone")
    try:
        await client.connect(client_socket)
    except AssertionError as error:
        # qemu.qmp 0.0.6 asserts that the session runs; QEMU may have left right after greeting.
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
