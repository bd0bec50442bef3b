"""Talk to a machine's QEMU: alone, shortly, in one thread, and only if it is the right one."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from linkedclone.drivers.local.qmp.agent import Agent, open_agent
from linkedclone.drivers.local.qmp.sockets import (
    AGENT_CHARDEV,
    AGENT_SOCKET,
    QMP_SOCKET,
    connect,
    peer_pid,
)
from linkedclone.errors import BusyError, EndpointError, GoneError

if TYPE_CHECKING:
    from linkedclone.drivers.local.qmp.monitor import Monitor

T = TypeVar("T")

ANSWER_SECONDS = 10.0
AGENT_SECONDS = 2.0
POLL_SECONDS = 0.01


class Off(Enum):
    """What a machine answers that does not run."""

    OFF = "off"


OFF = Off.OFF


class _EndingError(GoneError):
    """QEMU disconnected before any command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    folder: Path
    monitor: "Monitor"
    pid: int  # QEMU's process; 0 if it runs in another PID namespace

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Agent | None]:
        """Connect to the guest agent; None if nothing in the guest has opened its port."""
        ports = await self.monitor.execute("query-chardev")
        if not any(p["label"].text() == AGENT_CHARDEV and p["frontend-open"].flag() for p in ports):
            yield None
            return
        client = connect(self.folder, AGENT_SOCKET, timeout_seconds=AGENT_SECONDS)
        if client is None:
            raise BusyError("the guest agent's socket is gone", hint="restart the VM")
        async with open_agent(client, seconds=AGENT_SECONDS) as agent:
            yield agent


def with_session(
    folder: Path,
    uuid: str,
    work: Callable[[Session], Awaitable[T]],
    *,
    deadline_seconds: float = ANSWER_SECONDS,
) -> T | Off:
    """Do something with a running machine; :data:`OFF` if it does not run.

    The caller holds the machine's lock. A QEMU that is just ending is waited for.
    """
    deadline = time.monotonic() + deadline_seconds
    while (client := connect(folder, QMP_SOCKET, timeout_seconds=deadline_seconds)) is not None:
        left = max(POLL_SECONDS, deadline - time.monotonic())
        try:
            return run_async(_session(folder, uuid, client, work), deadline_seconds=left)
        except _EndingError as error:
            if time.monotonic() >= deadline:
                raise BusyError(
                    "QEMU does not answer", details=error.details, hint="try again in a moment"
                ) from error
            time.sleep(POLL_SECONDS)
    return OFF


async def _session(
    folder: Path, uuid: str, client: socket.socket, work: Callable[[Session], Awaitable[T]]
) -> T:
    # The library takes 70 ms to import: only where something listens.
    from linkedclone.drivers.local.qmp.monitor import open_monitor

    pid = peer_pid(client)
    async with AsyncExitStack() as stack:
        try:
            monitor = await stack.enter_async_context(open_monitor(client))
            answer = (await monitor.execute("query-uuid"))["UUID"].text()
        except GoneError as error:
            raise _EndingError(error.brief, details=error.details) from error
        if answer.lower() != uuid.lower():
            brief = f"another machine answers in {folder}"
            raise EndpointError(
                brief, details=f"its UUID is {answer}, not {uuid}", hint="end that QEMU"
            )
        return await work(Session(folder=folder, monitor=monitor, pid=pid))


_guard = threading.Lock()
_running: list[tuple[threading.Thread, asyncio.AbstractEventLoop]] = []


def run_async(work: Coroutine[Any, Any, T], *, deadline_seconds: float) -> T:
    """Run a coroutine in the private thread and wait for it.

    May be called from any thread, also from one with an event loop of its own.
    """
    bounded = asyncio.wait_for(work, deadline_seconds)
    future = asyncio.run_coroutine_threadsafe(bounded, _private_loop())
    try:
        return future.result()
    except TimeoutError as error:
        raise BusyError(
            f"QEMU did not answer within {deadline_seconds:.0f} s",
            hint="the host may be busy: try again",
        ) from error
    finally:
        future.cancel()


def _private_loop() -> asyncio.AbstractEventLoop:
    """The loop; started at the first use, and again in a forked child."""
    with _guard:
        if not _running or not _running[0][0].is_alive():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="linkedclone-qmp", daemon=True)
            thread.start()
            _running[:] = [(thread, loop)]
        return _running[0][1]
