"""The guest agent: a line of JSON to and fro over a virtio-serial port.

The root user of the guest can answer in its place: see ``answers``.
"""

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress

from linkedclone.drivers.local.qmp.answers import AGENT, Answer, decode_answer, refuse_answer
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.values.networks import (
    ReportedCard,
    find_own,
    order_addresses,
    read_host_name,
)

DELIMITER = b"\xff"
REFUSAL_SECONDS = 0.5
_STALE_ANSWERS = 64
"""How many late answers to earlier questions are read past [fact: qemu-agent-stale]."""


class Agent:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def synchronise(self) -> None:
        """Throw away whatever an earlier, impatient caller left in the pipe.

        After a time-out the agent still sends the late answer, to the client that asks
        next; ``guest-sync-delimited`` marks where the new answers begin (QEMU
        guest agent protocol reference).
        """
        token = secrets.randbelow(1 << 31)
        self._send("guest-sync-delimited", {"id": token}, prefix=DELIMITER)
        for _ in range(_STALE_ANSWERS):
            await _receive(self._reader.readuntil(DELIMITER))
            answer = decode_answer(await _receive(self._reader.readline()), AGENT)
            found = answer.get("return")
            if found is not None and found.value == token:
                return
        raise refuse_answer(AGENT, "it does not come to the question that was asked")

    async def execute(self, command: str, /, **arguments: object) -> Answer:
        """Send a command and return its answer."""
        self._send(command, arguments)
        answer = decode_answer(await _receive(self._reader.readline()), AGENT)
        error = answer.get("error")
        if error is not None:
            raise HypervisorError(
                f"the guest agent refuses {command}",
                details=error["desc"].text(),
                hint="look into the guest: ``console`` NAME",
                kind=error["class"].text(),
            )
        return answer["return"]

    async def shut_down(self) -> None:
        """Ask the guest to power off. Only a refusal is answered; it is waited for shortly."""
        with suppress(TimeoutError, BusyError):
            answer = self.execute("guest-shutdown", mode="powerdown")
            await asyncio.wait_for(answer, REFUSAL_SECONDS)

    async def host_name(self) -> str:
        """What the guest is called; empty if that is not a host name."""
        answer = await self.execute("guest-get-host-name")
        return read_host_name(answer["host-name"].text())

    async def addresses(self, macs: Sequence[str] = ()) -> tuple[str, ...]:
        """The addresses of the guest's own cards, without loopback and link-local ones.

        Args:
            macs: The MAC addresses of the machine's cards, lower case, in
                their order; empty for all that the guest has, bridges too.
        """
        answer = await self.execute("guest-network-get-interfaces")
        own = find_own([_read_card(card) for card in answer], macs)
        return order_addresses(address for card in own for address in card.addresses)

    def _send(self, command: str, arguments: dict[str, object], *, prefix: bytes = b"") -> None:
        message: dict[str, object] = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        self._writer.write(prefix + json.dumps(message).encode() + b"\n")


def _read_card(card: Answer) -> ReportedCard:
    mac, addresses = card.get("hardware-address"), card.get("ip-addresses")
    return ReportedCard(
        mac="" if mac is None else mac.text(),
        addresses=tuple(one["ip-address"].text() for one in addresses or ()),
    )


async def _receive(part: Awaitable[bytes]) -> bytes:
    try:
        received = await part
    except (asyncio.LimitOverrunError, ValueError) as error:
        raise refuse_answer(AGENT, f"it is longer than {AGENT.most_bytes} bytes") from error
    except (EOFError, OSError) as error:
        raise _hung_up(str(error)) from error
    if not received:
        raise _hung_up("")
    return received


def _hung_up(details: str) -> BusyError:
    return BusyError("the guest agent hung up", details=details, hint="try again in a moment")


@asynccontextmanager
async def open_agent(client_socket: socket.socket, *, seconds: float) -> AsyncIterator[Agent]:
    """Talk to the agent over a connected socket; disconnect at the end."""
    reader, writer = await asyncio.open_connection(sock=client_socket, limit=AGENT.most_bytes)
    try:
        agent = Agent(reader, writer)
        try:
            await asyncio.wait_for(agent.synchronise(), seconds)
        except TimeoutError as error:
            raise BusyError(
                "the guest agent does not answer", details=str(error), hint="try again in a moment"
            ) from error
        yield agent
    finally:
        writer.close()
