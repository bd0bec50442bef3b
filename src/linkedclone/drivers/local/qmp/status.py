"""What a running machine says of itself."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from linkedclone.drivers.local.qmp.agent import Agent
from linkedclone.drivers.local.qmp.inside import read_customization
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.errors import HypervisorError
from linkedclone.model.vm import CustomizationNews, CustomizationStatus, Power, SshAddress

if TYPE_CHECKING:
    from linkedclone.drivers.local.qmp.monitor import Monitor


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    # Whether it runs. PAUSED also after a full disk; UNKNOWN if something listens that does not
    # answer, or is another machine.
    power: Power
    reason: str = ""  # why it is paused or unknown; empty if nothing is the matter
    ssh: SshAddress | None = None  # where its port 22 can be reached from this host
    agent: bool = False  # whether the guest agent answers; it starts last in the guest
    host_name: str = ""  # what the guest says it is called
    addresses: tuple[str, ...] = ()  # the guest's addresses, without loopback and link-local ones
    # How far cloud-init in the guest is; NONE if there is no seed, or where the guest cannot be
    # asked.
    customization: CustomizationStatus = CustomizationStatus.NONE
    customization_error: str = ""  # what it says of a failure
    # For a machine that ended without having been asked to: what QEMU left behind.
    last_words: str = ""
    booted: datetime | None = None  # when QEMU was started, if it runs


_FORWARD = re.compile(
    r"^[ \t]*+TCP\[HOST_FORWARD\][ \t]++[0-9]++[ \t]++(127\.0\.0\.1)[ \t]++([0-9]{1,5})[ \t]++"
    r"\S++[ \t]++22\s",
    re.MULTILINE,
)
"""A line of ``info usernet``: protocol, descriptor, host address and port, guest's.
Possessive and within one line, so the time is linear in any text."""

_PORTS = range(1, 1 << 16)

_NO_NEWS = CustomizationNews(status=CustomizationStatus.NONE)

_POWER = {"running": Power.ON, "suspended": Power.SUSPENDED}
"""By QMP's RunState; any other state is a pause with a reason. None is off: what answers has
the disks open, and only its end lets go of them."""

GUEST_SECONDS = 4.0
"""How long the agent may take for all that it is asked in one look."""


async def observe_session(
    session: Session, *, guest: bool = True, seeded: bool = False, macs: Sequence[str] = ()
) -> MachineState:
    """Read the state over one connection; the agent is asked only while the guest runs.

    Whatever the agent does, the rest of the state is reported.

    Args:
        seeded: Whether cloud-init in the guest has something to do.
    """
    status = (await session.monitor.execute("query-status"))["status"].text()
    power = _POWER.get(status, Power.PAUSED)
    reason = await _why_paused(session.monitor, status) if power is Power.PAUSED else ""
    ssh = await observe_ssh(session.monitor)
    if power is not Power.ON or not guest:
        return MachineState(power=power, reason=reason, ssh=ssh)
    # An agent that is starting, stuck or hostile is an agent that does not answer.
    with suppress(HypervisorError, TimeoutError):
        async with asyncio.timeout(GUEST_SECONDS), session.agent() as agent:
            if agent is not None:
                return await _observe_guest(agent, ssh, macs, seeded=seeded)
    pending = CustomizationStatus.PENDING if seeded else CustomizationStatus.NONE
    return MachineState(power=power, ssh=ssh, customization=pending)


async def _observe_guest(
    agent: Agent, ssh: SshAddress | None, macs: Sequence[str], *, seeded: bool
) -> MachineState:
    # Only this driver freezes, under the lock that is held now: the command that froze was killed.
    if (await agent.execute("guest-fsfreeze-status")).text() == "frozen":
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


async def observe_ssh(monitor: "Monitor") -> SshAddress | None:
    """Read where port 22 of the guest is reached from here; None if nowhere."""
    arguments = {"command-line": "info usernet"}
    return find_forward((await monitor.execute("human-monitor-command", **arguments)).text())


def find_forward(told: str) -> SshAddress | None:
    """Find the port of this host that leads to port 22 of the guest in ``info usernet``. Pure."""
    match = _FORWARD.search(told)
    if match is None or int(match.group(2)) not in _PORTS:
        return None
    return SshAddress(host=match.group(1), port=int(match.group(2)))


async def _why_paused(monitor: "Monitor", status: str) -> str:
    for device in await monitor.execute("query-block"):
        io_status = device.get("io-status")
        if io_status is not None and io_status.text() == "nospace":
            return "the disk's file system is full"
    return "a disk error" if status == "io-error" else status
