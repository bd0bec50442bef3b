"""What is done to a running machine over one connection."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from linkedclone.drivers.local.machine.agent import Agent
from linkedclone.drivers.local.machine.arguments import DISK_DEVICE
from linkedclone.drivers.local.machine.config import MachineState
from linkedclone.drivers.local.machine.observing import observe_session
from linkedclone.drivers.local.machine.session import Session
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.observed import Power

FREEZE_SECONDS = 10.0
THAW_SECONDS = 10.0
SETTLE_SECONDS = 0.5
"""How long a guest that goes on is watched: a disk that is still full pauses it again."""


async def ask_to_power_off(session: Session) -> bool:
    """Ask the guest, by its agent or else by the power button; False if it cannot hear."""
    if (await session.monitor.execute("query-status"))["status"] != "running":
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
    state = await observe_session(session)
    if state.power is not Power.PAUSED:
        return state
    await session.monitor.execute("cont")
    await asyncio.sleep(SETTLE_SECONDS)
    return await observe_session(session)


async def snapshot_disk(session: Session, new_overlay: Path) -> bool:
    """Put an overlay on the disk, with the guest's file systems frozen where that is possible."""
    arguments = {
        "device": DISK_DEVICE,
        "snapshot-file": str(new_overlay),
        "format": "qcow2",
        "mode": "existing",
    }
    async with AsyncExitStack() as stack:
        quiesced = await _freeze(session, stack)
        await session.monitor.execute("blockdev-snapshot-sync", **arguments)
    return quiesced


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
