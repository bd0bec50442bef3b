"""How far cloud-init in a guest is, read through the guest agent."""

import base64
from collections.abc import Mapping
from typing import Final

from linkedclone.drivers.local.qmp.agent import Agent
from linkedclone.drivers.local.qmp.answers import AGENT, decode_answer, refuse_answer
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.vm import CustomizationNews, CustomizationStatus

RESULT: Final = "/run/cloud-init/result.json"
"""Written when cloud-init has finished, with what went wrong [fact: ci-status]."""
STATUS: Final = "/run/cloud-init/status.json"
"""Written from its first stage on."""
_LARGEST_BYTES: Final = 1 << 16
_NOT_LET: Final = frozenset({"CommandDisabled", "CommandNotFound"})
"""What the agent calls a command that the guest's administrator has switched off."""


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
    try:
        content = base64.b64decode(answer["buf-b64"].text(), validate=True)
    except ValueError as error:
        raise refuse_answer(AGENT, "the content of a file is not base64") from error
    if len(content) > _LARGEST_BYTES:
        raise refuse_answer(AGENT, "a file is longer than what was asked for")
    return content


async def read_texts(agent: Agent, files: Mapping[str, str]) -> dict[str, str]:
    """Read small files of the guest, each by what it is called; one that is not there is empty."""
    found = {key: await _read_file(agent, path) for key, path in files.items()}
    return {key: (content or b"").decode(errors="replace") for key, content in found.items()}
