"""Run commands and read files in a guest, through its agent [fact: qemu-agent-exec]."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.local.qmp.agent import Agent
from linkedclone.drivers.local.qmp.answers import AGENT, Answer, decode_answer, refuse_answer
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.vm import CustomizationNews, CustomizationStatus

_SIGNALLED: Final = 128
"""What a shell adds to the number of the signal that ended a command (POSIX)."""

_NOT_LET: Final = frozenset({"CommandDisabled", "CommandNotFound"})
"""What the agent calls a command that the guest's administrator has switched off."""
RESULT: Final = "/run/cloud-init/result.json"
"""Written when cloud-init has finished, with what went wrong [fact: ci-status]."""
STATUS: Final = "/run/cloud-init/status.json"
"""Written from its first stage on."""
_LARGEST_BYTES: Final = 1 << 16
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptResult:
    """How a script in the guest has ended. The guest says all of it, and is not trusted."""

    status: int
    output: bytes


async def begin_command(session: Session, name: str, command: Sequence[str]) -> int:
    """Start a command; its program is looked for on the agent's path. Return its pid."""
    program, *arguments = command
    async with agent_of(session, name) as agent:
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
    async with agent_of(session, name) as agent:
        answer = await agent.execute("guest-exec-status", pid=pid)
    if not answer["exited"].flag():
        return None
    signal, code = answer.get("signal"), answer.get("exitcode")
    if signal is not None:
        return _SIGNALLED + signal.number()
    return 0 if code is None else code.number()


async def end_command(session: Session, name: str, pid: int) -> None:
    """End a command that takes too long; the agent has no call for that, so by another one."""
    async with agent_of(session, name) as agent:
        await agent.execute("guest-exec", path="kill", arg=["-9", str(pid)])


async def begin_script(agent: Agent, script: bytes) -> int:
    """Start a shell that reads a script, and return its pid; its output is kept by the agent."""
    given = base64.b64encode(script).decode()
    options = {"arg": ["-s"], "input-data": given, "capture-output": True}
    return (await agent.execute("guest-exec", path="/bin/sh", **options))["pid"].number()


async def await_script(
    session: Session, name: str, pid: int, seconds: float
) -> ScriptResult | None:
    """Wait for a script's end, or for so long; None if it still runs. To be asked once more then.

    The agent forgets the output once it has been told. It is asked the more rarely the longer
    the script takes: each answer takes an emulated guest some milliseconds from it.
    """
    begun = time.monotonic()
    async with agent_of(session, name) as agent:
        while True:
            answer = await agent.execute("guest-exec-status", pid=pid)
            if answer["exited"].flag():
                return _read_result(answer)
            elapsed = time.monotonic() - begun
            if elapsed >= seconds:
                return None
            await asyncio.sleep(max(_POLL_SECONDS, elapsed / 8))


def _read_result(answer: Answer) -> ScriptResult:
    signal, output = answer.get("signal"), answer.get("out-data")
    status = _SIGNALLED + signal.number() if signal is not None else answer["exitcode"].number()
    return ScriptResult(
        status=status, output=b"" if output is None else _decode_base64(output, "an output")
    )


def _decode_base64(answer: Answer, what: str) -> bytes:
    try:
        return base64.b64decode(answer.text(), validate=True)
    except ValueError as error:
        raise refuse_answer(AGENT, f"{what} is not base64") from error


@asynccontextmanager
async def agent_of(session: Session, name: str) -> AsyncIterator[Agent]:
    async with session.agent() as agent:
        if agent is None:
            raise BusyError(
                f"no agent answers in the guest of {name}", hint="try again when it is up"
            )
        yield agent


async def read_customization(agent: Agent) -> CustomizationNews:
    """Read how far it is: one small file, or a look for another one."""
    try:
        content = await _read_file(agent, RESULT)
        if content is not None:
            return parse_result(content)
        begun = await _read_file(agent, STATUS) is not None
    except BusyError:
        raise
    except HypervisorError as error:
        return CustomizationNews(status=CustomizationStatus.PENDING, text=str(error))
    status = CustomizationStatus.RUNNING if begun else CustomizationStatus.PENDING
    return CustomizationNews(status=status)


def parse_result(content: bytes) -> CustomizationNews:
    """Understand ``result.json``: no errors in it, and all is well. Pure."""
    try:
        errors = [error.text() for error in decode_answer(content, AGENT)["v1"]["errors"]]
    except BusyError as error:
        text = f"{RESULT} cannot be understood: {error.details}"
        return CustomizationNews(status=CustomizationStatus.RUNNING, text=text)
    if errors:
        return CustomizationNews(status=CustomizationStatus.FAILED, text="; ".join(errors))
    return CustomizationNews(status=CustomizationStatus.SUCCEEDED)


async def _read_file(agent: Agent, path: str) -> bytes | None:
    """Read a small file of the guest; None if there is none."""
    try:
        opened = await agent.execute("guest-file-open", path=path, mode="r")
        handle = opened.number()
    except HypervisorError as error:
        if error.kind in _NOT_LET or isinstance(error, BusyError):
            raise
        return None
    try:
        answer = await agent.execute("guest-file-read", handle=handle, count=_LARGEST_BYTES)
    finally:
        await agent.execute("guest-file-close", handle=handle)
    content = _decode_base64(answer["buf-b64"], "the content of a file")
    if len(content) > _LARGEST_BYTES:
        raise refuse_answer(AGENT, "a file is longer than what was asked for")
    return content


async def read_texts(agent: Agent, files: Mapping[str, str]) -> dict[str, str]:
    """Read small files of the guest, each by what it is called; one that is not there is empty."""
    found = {key: await _read_file(agent, path) for key, path in files.items()}
    return {key: (content or b"").decode(errors="replace") for key, content in found.items()}
