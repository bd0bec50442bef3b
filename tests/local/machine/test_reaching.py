"""SSH keys and commands, the console's terminal, locks and the private thread."""

import asyncio
import json
import os
import pty
import socket
import subprocess
import termios
import threading
from pathlib import Path

import pytest

from linkedclone.drivers.local.machine.console import attach
from linkedclone.drivers.local.qmp.agent import open_agent
from linkedclone.drivers.local.qmp.session import run_async
from linkedclone.drivers.local.state.ssh import build_ssh_command, ensure_key
from linkedclone.errors import BusyError
from linkedclone.model.vm import SshAddress
from linkedclone.system.locks import hold
from tests.local.machine.conftest import OPENED, PAIR_GROUP
from tests.local.machine.guest import RunningGuest


def test_the_ssh_command_leaves_the_user_s_own_files_out() -> None:
    command = build_ssh_command(
        SshAddress(host="127.0.0.1", port=2222),
        user="root",
        key=Path("/state/id_ed25519"),
        known_hosts=Path("/state/with space/known_hosts"),
        command=("hostname",),
    )
    assert command == (
        *("ssh", "-F", "none", "-p", "2222"),
        *("-o", 'IdentityFile="/state/id_ed25519"'),
        *("-o", "IdentitiesOnly=yes"),
        *("-o", 'UserKnownHostsFile="/state/with space/known_hosts"'),
        *("-o", "GlobalKnownHostsFile=none"),
        *("-o", "StrictHostKeyChecking=accept-new"),
        *("-o", "HostKeyAlias=guest"),
        *("-o", "LogLevel=ERROR"),
        *("root@127.0.0.1", "hostname"),
    )


def test_a_known_hosts_path_with_odd_letters_reaches_ssh_whole(tmp_path: Path) -> None:
    path = tmp_path / 'a "b" 100%h c' / "known_hosts"
    address = SshAddress(host="127.0.0.1", port=1)
    command = build_ssh_command(address, user="root", key=tmp_path, known_hosts=path)
    shown = subprocess.run(
        (command[0], "-G", *command[1:]), capture_output=True, text=True, check=True
    )
    files = [line for line in shown.stdout.splitlines() if line.startswith("userknownhosts")]
    assert files == [f"userknownhostsfile {path}"]


def test_a_key_is_made_once_also_by_many_at_once(tmp_path: Path) -> None:
    threads = [threading.Thread(target=ensure_key, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    key = ensure_key(tmp_path)
    assert key.stat().st_mode & 0o777 == 0o600
    derived = subprocess.run(
        ("ssh-keygen", "-y", "-f", key), capture_output=True, text=True, check=True
    ).stdout
    assert Path(f"{key}.pub").read_text().split()[:2] == derived.split()[:2]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "id_ed25519",
        "id_ed25519.lock",
        "id_ed25519.pub",
    ]


def test_the_console_passes_bytes_both_ways_and_gives_the_terminal_back() -> None:
    terminal, child = pty.openpty()
    before = termios.tcgetattr(child)
    here, there = socket.socketpair()
    attached = threading.Thread(target=attach, args=(here, child, child))
    attached.start()
    there.sendall(b"login: ")
    assert os.read(terminal, 100) == b"login: "
    os.write(terminal, b"\x03")
    assert there.recv(100) == b"\x03"  # Ctrl-C is the guest's
    os.write(terminal, b"bye\x1d")
    assert there.recv(100) == b"bye"
    attached.join(120)
    assert not attached.is_alive()
    assert termios.tcgetattr(child) == before
    for end in (here, there):
        end.close()
    for descriptor in (terminal, child):
        os.close(descriptor)


def test_the_console_ends_when_the_machine_does() -> None:
    shown, show = os.pipe()
    typed, type_ = os.pipe()
    here, there = socket.socketpair()
    there.sendall(b"last")
    there.close()
    attach(here, typed, show)
    assert os.read(shown, 100) == b"last"
    here.close()
    for descriptor in (shown, show, typed, type_):
        os.close(descriptor)


def test_a_lock_is_waited_for_and_given_up_at_the_deadline(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with (
        hold(lock, deadline_s=0),
        pytest.raises(BusyError),
        hold(lock, deadline_s=0.05),
    ):
        pass
    with hold(lock, deadline_s=0):
        pass


def test_work_that_takes_too_long_is_cancelled() -> None:
    cancelled = threading.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            cancelled.set()

    with pytest.raises(BusyError):
        run_async(work(), deadline_seconds=0.05)
    assert cancelled.wait(60)


def test_stale_answers_of_the_agent_are_thrown_away() -> None:
    here, there = socket.socketpair()
    there.settimeout(60)
    there.sendall(b'{"return": "late"}\n{"return": {"host-name": "somebody else"}}\n')

    def answer() -> None:
        request = there.recv(4096)
        assert request.startswith(b"\xff")
        token = json.loads(request[1:])["arguments"]["id"]
        there.sendall(b'\xff{"return": 1}\n\xff' + json.dumps({"return": token}).encode() + b"\n")
        there.recv(4096)
        there.sendall(b'{"return": {"host-name": "desk-001"}}\n')

    async def ask() -> str:
        here.setblocking(False)
        async with open_agent(here, seconds=60) as agent:
            return await agent.host_name()

    server = threading.Thread(target=answer)
    server.start()
    assert run_async(ask(), deadline_seconds=120) == "desk-001"
    server.join()
    there.close()


def test_a_silent_agent_is_busy() -> None:
    here, there = socket.socketpair()

    async def ask() -> None:
        here.setblocking(False)
        async with open_agent(here, seconds=0.1):
            pass

    with there, pytest.raises(BusyError, match="does not answer"):
        run_async(ask(), deadline_seconds=120)


SET_UP = """
for card in /sys/class/net/*; do
  read -r mac <$card/address
  [ "$mac" = {mac} ] || continue
  ip address add {address} dev "${{card##*/}}"; ip link set "${{card##*/}}" up
done
"""


@pytest.mark.together(PAIR_GROUP)
def test_a_guest_on_a_closed_network_is_reached_and_reaches_nothing(
    pair: tuple[RunningGuest, RunningGuest],
) -> None:
    guest = pair[1]
    guest.ssh(SET_UP.format(mac=OPENED.mac, address=OPENED.address))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(b"the host's own")

        threading.Thread(target=answer, daemon=True).start()
        fetch = "nc -w 10 {} {} </dev/null 2>&1 || true"
        assert "own" not in guest.ssh(fetch.format("10.0.2.2", port))
        assert guest.ssh(fetch.format("10.9.0.2", port)) == "the host's own"
