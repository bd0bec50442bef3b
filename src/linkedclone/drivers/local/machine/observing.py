"""What a running machine says of itself."""

import re
from collections.abc import Sequence

from linkedclone.drivers.local.machine.agent import Agent
from linkedclone.drivers.local.machine.config import MachineState
from linkedclone.drivers.local.machine.customizing import read_customization
from linkedclone.drivers.local.machine.monitor import Monitor
from linkedclone.drivers.local.machine.session import Session
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.observed import (
    CustomizationNews,
    CustomizationStatus,
    Power,
    SshAddress,
)

_FORWARD = re.compile(r"^\s*TCP\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+22\s", re.MULTILINE)
"""A line of ``info usernet``: protocol, descriptor, host address and port, guest's."""

_NO_NEWS = CustomizationNews(status=CustomizationStatus.NONE)

_POWER = {"running": Power.ON, "suspended": Power.SUSPENDED, "shutdown": Power.OFF}
"""By QMP's RunState; any other state is a pause with a reason."""


async def observe_session(
    session: Session, *, seeded: bool = False, macs: Sequence[str] = ()
) -> MachineState:
    """Read the state over one connection; the agent is asked only while the guest runs.

    Args:
        session: The connection.
        seeded: Whether cloud-init in the guest has something to do.
        macs: The MAC addresses of the machine's cards, lower case.
    """
    status = (await session.monitor.execute("query-status"))["status"]
    power = _POWER.get(status, Power.PAUSED)
    reason = await _why_paused(session.monitor, status) if power is Power.PAUSED else ""
    ssh = await observe_ssh(session.monitor)
    if power is not Power.ON:
        return MachineState(power=power, reason=reason, ssh=ssh)
    try:
        async with session.agent() as agent:
            if agent is not None:
                return await _observe_guest(agent, ssh, macs, seeded=seeded)
    except (BusyError, HypervisorError):
        pass  # An agent that is starting or stuck is an agent that does not answer.
    pending = CustomizationStatus.PENDING if seeded else CustomizationStatus.NONE
    return MachineState(power=power, ssh=ssh, customization=pending)


async def _observe_guest(
    agent: Agent, ssh: SshAddress | None, macs: Sequence[str], *, seeded: bool
) -> MachineState:
    # Only this driver freezes, under the lock that is held now: whoever did it was killed.
    if await agent.execute("guest-fsfreeze-status") == "frozen":
        await agent.execute("guest-fsfreeze-thaw")
    news = await read_customization(agent) if seeded else _NO_NEWS
    return MachineState(
        power=Power.ON,
        ssh=ssh,
        agent=True,
        host_name=await agent.host_name(),
        addresses=await agent.addresses(macs),
        customization=news.status,
        customization_error=news.text,
    )


async def observe_ssh(monitor: Monitor) -> SshAddress | None:
    """Read where port 22 of the guest is reached from here; None if nowhere."""
    arguments = {"command-line": "info usernet"}
    text = await monitor.execute("human-monitor-command", **arguments)
    match = _FORWARD.search(text)
    return SshAddress(host=match.group(1), port=int(match.group(2))) if match else None


async def _why_paused(monitor: Monitor, status: str) -> str:
    for device in await monitor.execute("query-block"):
        if device.get("io-status") == "nospace":
            return "the disk's file system is full"
    return "a disk error" if status == "io-error" else status
