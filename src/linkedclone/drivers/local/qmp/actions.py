"""What is done to a running machine over one connection."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from linkedclone.drivers.local.qmp.agent import Agent
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.drivers.local.qmp.sockets import disk_device
from linkedclone.drivers.local.qmp.status import MachineState, observe_session
from linkedclone.errors import BusyError, HypervisorError, RefusedError
from linkedclone.model.vm import Power

FREEZE_SECONDS = 10.0
THAW_SECONDS = 10.0
SETTLE_SECONDS = 0.5
"""How long a guest that goes on is watched: a disk that is still full pauses it again."""


async def ask_to_power_off(session: Session) -> bool:
    """Ask the guest, by its agent or else by the power button; False if it cannot hear."""
    if (await session.monitor.execute("query-status"))["status"].text() != "running":
        return False
    with suppress(BusyError, HypervisorError):
        async with session.agent() as agent:
            if agent is not None:
                await agent.shut_down()
                return True
    await session.monitor.execute("system_powerdown")
    return True


async def resume(session: Session) -> MachineState:
    """Let a paused guest go on and look how it does."""
    state = await observe_session(session, guest=False)
    if state.power is not Power.PAUSED:
        return state
    await go_on(session)
    await asyncio.sleep(SETTLE_SECONDS)
    return await observe_session(session, guest=False)


async def go_on(session: Session) -> None:
    await session.monitor.execute("cont")


async def snapshot_disks(
    session: Session, overlays: Mapping[int, Path], *, quiesce: bool = False
) -> bool:
    """Put overlays on disks, with the guest's file systems frozen where that is possible."""
    runs = (await session.monitor.execute("query-status"))["running"].flag()
    async with AsyncExitStack() as stack:
        quiesced = runs and await _freeze(session, stack)
        if quiesce and runs and not quiesced:
            raise RefusedError(
                "the guest's file systems cannot be brought to rest",
                details="the guest agent does not answer, or could not freeze them in time",
                hint="leave ``snapshot.quiesce`` out, or stop the VM",
            )
        await session.monitor.execute("transaction", actions=build_overlaying(overlays))
    return quiesced


def build_overlaying(overlays: Mapping[int, Path]) -> list[dict[str, object]]:
    """Build the actions that put overlays, which are there, on disks by their numbers. Pure."""
    return [
        {
            "type": "blockdev-snapshot-sync",
            "data": {
                "device": disk_device(number),
                "snapshot-file": str(overlay),
                "format": "qcow2",
                "mode": "existing",
            },
        }
        for number, overlay in overlays.items()
    ]


async def _freeze(session: Session, stack: AsyncExitStack) -> bool:
    """Freeze the guest's file systems until the stack unwinds; False if that did not work."""
    try:
        agent = await stack.enter_async_context(session.agent())
        if agent is None:
            return False
        stack.push_async_callback(_thaw, agent)
        await asyncio.wait_for(agent.execute("guest-fsfreeze-freeze"), FREEZE_SECONDS)
    except (BusyError, HypervisorError, TimeoutError):
        return False
    return True


async def _thaw(agent: Agent) -> None:
    # The late answer to a freeze that took too long must not pass for the thaw's.
    async def work() -> None:
        await agent.synchronise()
        await agent.execute("guest-fsfreeze-thaw")

    with suppress(BusyError, HypervisorError, TimeoutError):
        await asyncio.wait_for(work(), THAW_SECONDS)
