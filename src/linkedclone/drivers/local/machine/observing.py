"""What a running machine says of itself."""

import re

from linkedclone.drivers.local.machine.agent import Agent
from linkedclone.drivers.local.machine.arguments import DISK_DEVICE
from linkedclone.drivers.local.machine.config import MachineState
from linkedclone.drivers.local.machine.monitor import Monitor
from linkedclone.drivers.local.machine.session import Session
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.observed import Power, SshAddress

_FORWARD = re.compile(r"^\s*TCP\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+22\s", re.MULTILINE)
"""A line of ``info usernet``: protocol, descriptor, host address and port, guest's."""

_POWER = {"running": Power.ON, "suspended": Power.SUSPENDED, "shutdown": Power.OFF}
"""By QMP's RunState; any other state is a pause with a reason."""


async def observe_session(session: Session) -> MachineState:
    """Read the state over one connection; the agent is asked only while the guest runs."""
    status = (await session.monitor.execute("query-status"))["status"]
    power = _POWER.get(status, Power.PAUSED)
    reason = await _why_paused(session.monitor, status) if power is Power.PAUSED else ""
    ssh = await _observe_ssh(session.monitor)
    if power is not Power.ON:
        return MachineState(power=power, reason=reason, ssh=ssh)
    try:
        async with session.agent() as agent:
            if agent is not None:
                return await _observe_guest(agent, ssh)
    except (BusyError, HypervisorError):
        pass  # An agent that is starting or stuck is an agent that does not answer.
    return MachineState(power=power, ssh=ssh)


async def _observe_guest(agent: Agent, ssh: SshAddress | None) -> MachineState:
    # Only this driver freezes, under the lock that is held now: whoever did it was killed.
    if await agent.execute("guest-fsfreeze-status") == "frozen":
        await agent.execute("guest-fsfreeze-thaw")
    return MachineState(
        power=Power.ON,
        ssh=ssh,
        agent=True,
        host_name=await agent.host_name(),
        addresses=await agent.addresses(),
    )


async def _observe_ssh(monitor: Monitor) -> SshAddress | None:
    arguments = {"command-line": "info usernet"}
    text = await monitor.execute("human-monitor-command", **arguments)
    match = _FORWARD.search(text)
    return SshAddress(host=match.group(1), port=int(match.group(2))) if match else None


async def _why_paused(monitor: Monitor, status: str) -> str:
    for device in await monitor.execute("query-block"):
        if device.get("device") == DISK_DEVICE and device.get("io-status") == "nospace":
            return "the disk's file system is full"
    return "a disk error" if status == "io-error" else status
