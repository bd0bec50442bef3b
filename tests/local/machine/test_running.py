"""Two clones of the demo guest that run: who they are and how they are reached."""

import json
import os
import subprocess
import threading

import pytest

from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.qmp.session import AGENT_SECONDS
from linkedclone.drivers.local.qmp.sockets import QMP_SOCKET, connect
from linkedclone.errors import BusyError, EndpointError, HypervisorError
from linkedclone.model.vm import Power
from tests.local.machine.conftest import PAIR_GROUP
from tests.local.machine.guest import RunningGuest, create_overlay

pytestmark = pytest.mark.together(PAIR_GROUP)

Pair = tuple[RunningGuest, RunningGuest]


def test_the_agent_tells_the_host_name_from_the_seed_and_the_address(pair: Pair) -> None:
    states = [guest.wait_until_ready() for guest in pair]
    assert [state.host_name for state in states] == ["desk-001", "desk-002"]
    assert all("10.0.2.15" in state.addresses for state in states)
    assert all(state.power is Power.ON and state.agent for state in states)


def test_ssh_reaches_each_guest_at_a_port_of_its_own(pair: Pair) -> None:
    assert [guest.ssh("hostname") for guest in pair] == ["desk-001", "desk-002"]
    first, second = (guest.machine.observe().ssh for guest in pair)
    assert first is not None
    assert second is not None
    assert first.host == second.host == "127.0.0.1"
    assert first.port != second.port


def test_clones_share_no_identity(pair: Pair) -> None:
    commands = (
        "cat /etc/machine-id",
        "dropbearkey -y -f /etc/dropbear/host_key | grep ssh-",
        "cat /sys/class/net/eth0/address",
        "cat /var/lib/instance-id",
    )
    for command in commands:
        first, second = (guest.ssh(command) for guest in pair)
        assert first
        assert first != second


def test_the_console_says_ready(pair: Pair) -> None:
    assert "ready: desk-001" in pair[0].console


def test_the_root_file_system_is_on_the_clone_s_disk(pair: Pair) -> None:
    assert "/dev/vda / ext4 rw" in pair[0].ssh("cat /proc/mounts")


def test_starting_a_running_machine_changes_nothing(pair: Pair) -> None:
    machine = pair[0].machine
    before = machine.observe().ssh
    machine.start()
    assert machine.observe().ssh == before


def test_many_observers_at_once_all_get_an_answer(pair: Pair) -> None:
    """QMP serves one client, and a second one would hang without the lock."""
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(pair[0].wait_until_ready().agent))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 6


def test_a_monitor_held_by_another_client_makes_the_state_unknown(pair: Pair) -> None:
    client = connect(pair[0].machine.folder, QMP_SOCKET, timeout_seconds=60)
    assert client is not None
    with client:
        state = pair[0].machine.observe()
    assert state.power is Power.UNKNOWN
    assert "did not answer" in state.reason
    assert pair[0].machine.observe().power is Power.ON


def test_another_machine_in_the_folder_is_not_mistaken_for_ours(pair: Pair) -> None:
    stranger = pair[0].with_changes(uuid="00000000-0000-4000-8000-000000000000").machine
    assert stranger.observe().power is Power.UNKNOWN
    with pytest.raises(EndpointError):
        stranger.start()
    with pytest.raises(EndpointError):
        stranger.stop()
    assert pair[0].machine.observe().power is Power.ON


def test_a_late_answer_of_the_agent_is_not_mistaken_for_the_next(pair: Pair) -> None:
    """An impatient client hangs up before the agent has answered."""
    machine = pair[0].machine
    client = connect(machine.folder, "agent.sock", timeout_seconds=AGENT_SECONDS)
    assert client is not None
    with client:
        client.settimeout(AGENT_SECONDS)
        request = {"execute": "guest-get-users"}
        client.sendall((json.dumps(request) * 3).encode() + b'\n{"execute"')
    assert pair[0].wait_until_ready().host_name == "desk-001"


def test_a_frozen_guest_is_thawed_by_the_next_look(pair: Pair) -> None:
    """A command that was killed in the middle of a snapshot leaves a frozen guest."""
    machine = pair[0].machine
    client = connect(machine.folder, "agent.sock", timeout_seconds=AGENT_SECONDS)
    assert client is not None
    with client:
        client.settimeout(10)
        client.sendall(b'{"execute": "guest-fsfreeze-freeze"}\n')
        assert b"return" in client.recv(4096)
    assert pair[0].wait_until_ready().agent
    assert pair[0].ssh("echo thawed >/root/thawed && cat /root/thawed") == "thawed"


def test_snapshots_of_a_running_disk_are_quiesced_and_freeze_the_old_layer(pair: Pair) -> None:
    guest = pair[1]
    lower = guest.machine.config.disks[0]
    guest.ssh("echo before >/root/before; sync")
    for number in (1, 2):
        upper = lower.with_name(f"disk-{number}.qcow2")
        create_overlay(upper, lower)
        assert guest.machine.snapshot_disks({0: upper}, quiesce=number == 2)
        sealed = lower.read_bytes()
        guest.ssh(f"echo {number} >/root/after; sync")
        assert lower.read_bytes() == sealed
        lower = upper
    assert guest.ssh("cat /root/before /root/after") == "before\n2"


def test_a_refused_snapshot_leaves_the_guest_running(pair: Pair) -> None:
    guest = pair[0]
    with pytest.raises(HypervisorError) as caught:
        guest.machine.snapshot_disks({0: guest.machine.folder / "absent.qcow2"})
    assert caught.value.kind == "GenericError"
    assert guest.ssh("echo written >/root/x && cat /root/x") == "written"


def test_the_console_can_be_joined_and_left(pair: Pair) -> None:
    machine = pair[0].machine
    shown, show = os.pipe()
    typed, type_ = os.pipe()
    attached = threading.Thread(target=_attach, args=(machine, typed, show))
    attached.start()
    try:
        os.write(type_, b"\n")
        _read_until(shown, b"# ")
        with pytest.raises(BusyError):
            machine.attach_console(input_descriptor=typed, output_descriptor=show)
        os.write(type_, b"echo $((6 * 7))-$(hostname)\n")
        _read_until(shown, b"42-desk-001")
    finally:
        os.write(type_, b"\x1d")
        attached.join(120)
        for descriptor in (shown, show, typed, type_):
            os.close(descriptor)
    assert not attached.is_alive()


def test_nothing_is_listened_on_for_other_hosts(pair: Pair) -> None:
    address = pair[0].machine.observe().ssh
    assert address is not None
    listening = subprocess.run(
        ("cat", "/proc/net/tcp"), capture_output=True, text=True, check=True
    ).stdout
    lines = [line.split()[1] for line in listening.splitlines() if " 0A " in line]
    ours = [line for line in lines if line.endswith(f":{address.port:04X}")]
    assert ours == [f"0100007F:{address.port:04X}"]


def _attach(machine: Machine, typed: int, show: int) -> None:
    machine.attach_console(input_descriptor=typed, output_descriptor=show)


def _read_until(descriptor: int, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        seen += os.read(descriptor, 4096)
