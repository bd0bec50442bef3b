"""What guests' agents and QEMU answer is decoded with distrust, whatever it is (item 7)."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkedclone.drivers.local.qmp.agent import Agent, open_agent
from linkedclone.drivers.local.qmp.answers import AGENT, QEMU, Answer, decode_answer
from linkedclone.drivers.local.qmp.inside import (
    parse_result,
    read_customization,
    read_texts,
)
from linkedclone.drivers.local.qmp.monitor import open_monitor
from linkedclone.drivers.local.qmp.status import find_forward, observe_ssh
from linkedclone.errors import BusyError, HypervisorError
from linkedclone.model.vm import CustomizationNews, CustomizationStatus, SshAddress
from tests.local.hostile import ADDRESSES, BODIES, HOST_NAMES
from tests.local.machine.test_monitor import GREETING

Ask = Callable[[Agent], Awaitable[object]]

QUESTIONS: dict[str, Ask] = {
    "host name": lambda agent: agent.host_name(),
    "addresses": lambda agent: agent.addresses(),
    "customization": read_customization,
    "files": lambda agent: read_texts(agent, {"id": "/etc/machine-id"}),
    "power off": lambda agent: agent.shut_down(),
}


def play_agent(server: socket.socket, body: bytes, *, synchronised: bool) -> None:
    """Answer each question with one body; whether that of the greeting is right is chosen."""
    with suppress(OSError), server, server.makefile("rb") as questions:
        for line in questions:
            message = json.loads(line.lstrip(b"\xff"))
            token = message.get("arguments", {}).get("id")
            right = synchronised and message["execute"] == "guest-sync-delimited"
            answer = b"\xff" + json.dumps({"return": token}).encode() if right else body
            server.sendall(answer + b"\n")


def ask_agent(body: bytes, ask: Ask, *, synchronised: bool = True) -> object:
    """Return what is understood, or the error."""
    client, server = socket.socketpair()
    arguments = {"synchronised": synchronised}
    player = threading.Thread(target=play_agent, args=(server, body), kwargs=arguments)
    player.start()

    async def work() -> object:
        async with open_agent(client, seconds=60 if synchronised else 0.05) as agent:
            return await ask(agent)

    try:
        return asyncio.run(asyncio.wait_for(work(), 60))
    except HypervisorError as error:
        return error
    finally:
        player.join()


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("case", BODIES)
def test_a_malformed_answer_is_ignored(case: str, question: str) -> None:
    found = ask_agent(BODIES[case], QUESTIONS[question])
    if isinstance(found, HypervisorError):
        assert "agent" in found.brief
        assert "a" * 100 not in str(found)
    elif isinstance(found, CustomizationNews):
        assert found.status is CustomizationStatus.PENDING
    else:
        assert found in (None, "", (), {"id": ""})


@pytest.mark.parametrize("case", BODIES)
def test_an_agent_that_greets_with_anything_does_not_answer(case: str) -> None:
    found = ask_agent(BODIES[case], QUESTIONS["host name"], synchronised=False)
    assert isinstance(found, BusyError)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_is_decoded_either_is_json_or_refused(line: bytes) -> None:
    try:
        answer = decode_answer(line, AGENT)
    except BusyError:
        return
    for read in (Answer.text, Answer.number, Answer.flag, list, lambda one: one.get("a")):
        try:
            read(answer)
        except BusyError:
            continue


def test_a_chain_of_many_layers_is_decoded() -> None:
    line = b'{"a":' * 450 + b"1" + b"}" * 450
    assert decode_answer(line, QEMU).get("a") is not None


@pytest.mark.parametrize("text", ADDRESSES)
def test_an_invalid_address_is_not_used(text: str) -> None:
    cards = [{"name": "eth0", "ip-addresses": [{"ip-address": text}, {"ip-address": "10.0.0.7"}]}]
    body = json.dumps({"return": cards}).encode()
    assert ask_agent(body, QUESTIONS["addresses"]) == ("10.0.0.7",)


@pytest.mark.parametrize("text", HOST_NAMES)
def test_an_invalid_host_name_is_not_used(text: str) -> None:
    body = json.dumps({"return": {"host-name": text}}).encode()
    assert ask_agent(body, QUESTIONS["host name"]) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"v1": null}',
        b'{"v1": {"errors": 1}}',
        b'{"v1": {"errors": [1]}}',
        b'{"v1": {"errors": [{}]}}',
        b"\xff\xfe",
        b"[" * 60000,
    ],
)
def test_a_malformed_result_of_cloud_init_is_not_yet_one(content: bytes) -> None:
    assert parse_result(content).status is CustomizationStatus.RUNNING


def play_qemu(server: socket.socket, body: bytes) -> None:
    with suppress(OSError), server:
        server.sendall(GREETING)
        while question := server.recv(4096):
            message = json.loads(question)
            name = b'{"id": %s, "' % json.dumps(message.get("id")).encode()
            greets = message["execute"] == "qmp_capabilities"
            reply = b'{"return": {}}' if greets else body.replace(b'{"', name, 1)
            server.sendall(reply + b"\n")


@pytest.mark.parametrize("case", BODIES)
def test_a_qemu_that_answers_anything_does_not_answer_and_has_not_ended(case: str) -> None:
    client, server = socket.socketpair()
    player = threading.Thread(target=play_qemu, args=(server, BODIES[case]))
    player.start()

    async def work() -> object:
        async with open_monitor(client) as monitor:
            return await asyncio.wait_for(observe_ssh(monitor), 0.1)

    try:
        found: object = asyncio.run(asyncio.wait_for(work(), 60))
    except (HypervisorError, TimeoutError) as error:
        found = error
    finally:
        player.join()
    assert found is None or isinstance(found, BusyError | TimeoutError)


FORWARD = "  TCP[HOST_FORWARD]  12  127.0.0.1 %s  10.0.2.15  22  0  0\r\n"


def test_a_forward_is_a_port_that_can_be_connected_to_or_there_is_none() -> None:
    assert find_forward(FORWARD % 40001) == SshAddress(host="127.0.0.1", port=40001)
    assert [find_forward(FORWARD % port) for port in ("0", "65536", "99999", "\u0661")] == [
        None
    ] * 4


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["\n", " ", "\t\n", " TCP[HOST_FORWARD] ", FORWARD % 0])
def test_a_forward_is_looked_for_in_any_text_without_end(piece: str) -> None:
    """A pattern that goes back over a megabyte of line ends holds the whole process for hours."""
    assert find_forward(piece * ((1 << 20) // len(piece))) is None
