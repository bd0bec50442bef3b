"""Run commands in a guest through its agent [fact: qemu-agent-exec]."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from linkedclone.drivers.local.qmp.agent import Agent
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.errors import BusyError, HypervisorError

_SIGNALLED: Final = 128
"""What a shell adds to the number of the signal that ended a command (POSIX)."""

_NOT_LET: Final = frozenset({"CommandDisabled", "CommandNotFound"})


async def begin_command(session: Session, name: str, command: Sequence[str]) -> int:
    """Start a command; its program is looked for on the agent's path. Return its pid."""
    program, *arguments = command
    async with _agent(session, name) as agent:
        try:
            answer = await agent.execute("guest-exec", path=program, arg=arguments)
        except HypervisorError as error:
            if error.kind in _NOT_LET or isinstance(error, BusyError):
                raise
            raise HypervisorError(
                f"there is no program {program} in the guest of {name}",
                details=error.details,
                hint="look at its path inside the guest",
                kind=error.kind,
            ) from error
    return answer["pid"].number()


async def poll_command(session: Session, name: str, pid: int) -> int | None:
    """Return with what a command has ended; None if it still runs."""
    async with _agent(session, name) as agent:
        answer = await agent.execute("guest-exec-status", pid=pid)
    if not answer["exited"].flag():
        return None
    signal, code = answer.get("signal"), answer.get("exitcode")
    if signal is not None:
        return _SIGNALLED + signal.number()
    return 0 if code is None else code.number()


async def end_command(session: Session, name: str, pid: int) -> None:
    """End a command that takes too long; the agent has no call for that, so by another one."""
    async with _agent(session, name) as agent:
        await agent.execute("guest-exec", path="kill", arg=["-9", str(pid)])


@asynccontextmanager
async def _agent(session: Session, name: str) -> AsyncIterator[Agent]:
    async with session.agent() as agent:
        if agent is None:
            raise BusyError(
                f"no agent answers in the guest of {name}", hint="try again when it is up"
            )
        yield agent
