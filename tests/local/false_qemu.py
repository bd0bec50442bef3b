"""A process that answers as a QEMU whose guest has a hostile agent.

Started in a machine's folder: ``false_qemu.py UUID CASE``. It says that the machine
runs, and that the agent's port is open. Each question to the agent but the greeting
gets the same answer, see ``hostile``; the case ``mute`` gets none at all. Whatever
was asked of the agent is noted in ``asked``. In the other cases it is a QEMU that its
guest has taken over: ``garbled``, whose monitor makes no sense, and ``disguised``,
which answers with another UUID, ``silent``, whose monitor says nothing and notes in
``asked`` who comes, and ``ended``, which says that its guest is off and
tells no disks. ``stranger`` does the same, and is not a QEMU.
"""

import ctypes
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.local.hostile import BODIES
from tests.local.machine.test_monitor import GREETING

MUTE = "mute"
GARBLED = "garbled"
SILENT = "silent"
DISGUISED = "disguised"
STRANGER = "stranger"
ENDED = "ended"
NOTHING = ("block", "blockstats", "named-block-nodes", "jobs", "block-jobs")
OTHER_UUID = "00000000-0000-4000-8000-000000000000"
_PR_SET_NAME = 15


def listen(path: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{path}.new")
    server.listen()
    os.rename(f"{path}.new", path)  # noqa: PTH104 - relative to the working directory
    return server


def serve_agent(server: socket.socket, case: str) -> None:
    while True:
        client, _ = server.accept()
        with suppress(OSError), client, client.makefile("rb") as questions:
            for line in questions:
                answer_agent(client, json.loads(line.lstrip(b"\xff")), case)


def answer_agent(client: socket.socket, message: dict[str, Any], case: str) -> None:
    with Path("asked").open("a") as asked:
        asked.write(f"{message['execute']}\n")
    if case == MUTE:
        return
    body = BODIES[case]
    if message["execute"] == "guest-sync-delimited":
        body = b"\xff" + json.dumps({"return": message["arguments"]["id"]}).encode()
    client.sendall(body + b"\n")


def serve_monitor(server: socket.socket, uuid: str, case: str) -> None:
    status = "shutdown" if case == ENDED else "running"
    answers: dict[str, object] = {
        "query-uuid": {"UUID": uuid},
        "query-status": {"status": status, "running": case != ENDED, "singlestep": False},
        "query-chardev": [{"label": "agent0", "frontend-open": True, "filename": ""}],
        "human-monitor-command": "",
        **{f"query-{what}": [] for what in NOTHING},
    }
    while True:
        client, _ = server.accept()
        with suppress(OSError), client:
            client.sendall(GREETING)
            while question := client.recv(65536):
                message = json.loads(question)
                if message["execute"] == "quit":
                    os._exit(0)
                answer = {"return": answers.get(message["execute"], {}), "id": message.get("id")}
                client.sendall(json.dumps(answer).encode() + b"\n")


def serve_garble(server: socket.socket) -> None:
    while True:
        client, _ = server.accept()
        with suppress(OSError), client:
            client.sendall(b'{"QMP": ' + b"[" * 100_000)


def serve_silence(server: socket.socket) -> None:
    clients = []
    while True:
        clients.append(server.accept())
        with Path("asked").open("a") as asked:
            asked.write("monitor\n")


def main() -> None:
    uuid, case = sys.argv[1:]
    if case in {GARBLED, DISGUISED, ENDED, SILENT}:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"qemu-system-x86")
    if case in {DISGUISED, STRANGER}:
        uuid = OTHER_UUID
    if case == GARBLED:
        serve_garble(listen("qmp.sock"))
    if case == SILENT:
        serve_silence(listen("qmp.sock"))
    agent = listen("agent.sock")
    threading.Thread(target=serve_agent, args=(agent, case), daemon=True).start()
    serve_monitor(listen("qmp.sock"), uuid, case)


if __name__ == "__main__":
    main()
