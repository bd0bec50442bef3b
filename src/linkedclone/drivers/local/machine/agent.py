"""The guest agent: a line of JSON to and fro over a virtio-serial port."""

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.networks import ReportedCard, find_own, order_addresses

DELIMITER = b"\xff"
LINE_LIMIT = 16 << 20
REFUSAL_SECONDS = 0.5


class Agent:
    """A guest agent that has answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def synchronise(self) -> None:
        """Throw away whatever an earlier, impatient caller left in the pipe.

        After a time-out the agent still sends the late answer, to whoever asks
        next; ``guest-sync-delimited`` marks where the new answers begin (QEMU
        guest agent protocol reference).
        """
        token = secrets.randbelow(1 << 31)
        self._send("guest-sync-delimited", {"id": token}, prefix=DELIMITER)
        while True:
            await self._reader.readuntil(DELIMITER)
            answer = json.loads(await self._reader.readline())
            if answer.get("return") == token:
                return

    async def execute(self, command: str, /, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Send a command and return its answer.

        Raises:
            HypervisorError: The agent refuses; ``kind`` is its error class.
            BusyError: The agent hung up.
        """
        self._send(command, arguments)
        line = await self._reader.readline()
        if not line:
            raise BusyError(
                f"the guest agent hung up during {command}", hint="try again in a moment"
            )
        answer = json.loads(line)
        if "error" in answer:
            error = answer["error"]
            brief = f"the guest agent refuses {command}"
            kind = error.get("class", "")
            hint = "look into the guest: linkedclone console NAME"
            raise HypervisorError(brief, details=error.get("desc", ""), hint=hint, kind=kind)
        return answer["return"]

    async def shut_down(self) -> None:
        """Ask the guest to power off. Only a refusal is answered; it is waited for shortly.

        Raises:
            HypervisorError: The agent refuses.
        """
        with suppress(TimeoutError, BusyError):
            answer = self.execute("guest-shutdown", mode="powerdown")
            await asyncio.wait_for(answer, REFUSAL_SECONDS)

    async def host_name(self) -> str:
        """What the guest is called."""
        answer = await self.execute("guest-get-host-name")
        return str(answer["host-name"])

    async def addresses(self, macs: Sequence[str] = ()) -> tuple[str, ...]:
        """The addresses of the guest's own cards, without loopback and link-local ones.

        Args:
            macs: The MAC addresses of the machine's cards, lower case, in
                their order; empty for all that the guest has, bridges too.
        """
        reported = [
            ReportedCard(
                mac=card.get("hardware-address", ""),
                addresses=tuple(a["ip-address"] for a in card.get("ip-addresses", ())),
            )
            for card in await self.execute("guest-network-get-interfaces")
        ]
        own = find_own(reported, macs)
        return order_addresses(address for card in own for address in card.addresses)

    def _send(self, command: str, arguments: dict[str, object], *, prefix: bytes = b"") -> None:
        message: dict[str, object] = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        self._writer.write(prefix + json.dumps(message).encode() + b"\n")


@asynccontextmanager
async def open_agent(client_socket: socket.socket, *, seconds: float) -> AsyncIterator[Agent]:
    """Talk to the agent over a connected socket; hang up at the end.

    Raises:
        BusyError: It did not answer in time.
    """
    reader, writer = await asyncio.open_connection(sock=client_socket, limit=LINE_LIMIT)
    try:
        agent = Agent(reader, writer)
        try:
            await asyncio.wait_for(agent.synchronise(), seconds)
        except (TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise BusyError(
                "the guest agent does not answer", details=str(error), hint="try again in a moment"
            ) from error
        yield agent
    finally:
        writer.close()
