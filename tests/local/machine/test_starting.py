"""Starting, ending and dying: with real QEMU, mostly without waiting for the guest."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.qmp.sockets import QMP_SOCKET, connect, peer_pid
from linkedclone.errors import GoneError, PowerOnError
from linkedclone.model.vm import Power
from tests.local.machine.conftest import PAIR_GROUP, MakeGuest
from tests.local.machine.guest import RunningGuest, create_overlay

STARTER = """
import sys
from contextlib import suppress
from pathlib import Path
from linkedclone.drivers.local.machine.machine import Machine
from linkedclone.drivers.local.machine.arguments import MachineConfig
from linkedclone.drivers.qemu.networks import CardRecord
folder, uuid, disk = sys.argv[1:]
config = MachineConfig(
    name="outlives", uuid=uuid, memory_bytes=96 << 20, disks=(Path(disk),),
    cards=(CardRecord(mac="52:54:00:00:00:01"),), accel="tcg",
)
Machine(Path(folder), config).start()
"""


def test_a_machine_outlives_the_process_that_started_it(make_guest: MakeGuest) -> None:
    """And is found, observed and stopped by another one."""
    guest = make_guest()
    config = guest.machine.config
    arguments = (sys.executable, "-c", STARTER, guest.machine.folder, config.uuid, config.disks[0])
    subprocess.run(arguments, check=True, start_new_session=True)
    state = guest.machine.observe()
    assert state.power is Power.ON
    assert state.ssh is not None
    pid = _pid(guest.machine)
    assert os.getsid(pid) == pid
    guest.machine.stop()
    with suppress(FileNotFoundError, ProcessLookupError):  # gone, or about to be
        assert "Z" in Path(f"/proc/{pid}/stat").read_text()
    assert guest.machine.observe().power is Power.OFF


def test_a_killed_machine_is_off_and_says_so(make_guest: MakeGuest) -> None:
    guest = make_guest()
    guest.machine.start()
    os.kill(_pid(guest.machine), signal.SIGKILL)
    state = guest.wait_for(lambda seen: seen.power is not Power.ON)
    assert state.power is Power.OFF
    assert "killed" in state.last_words
    guest.machine.start()
    assert guest.machine.observe().power is Power.ON


def test_a_terminated_machine_leaves_qemu_s_own_words(make_guest: MakeGuest) -> None:
    guest = make_guest()
    guest.machine.start()
    os.kill(_pid(guest.machine), signal.SIGTERM)
    state = guest.wait_for(lambda seen: seen.power is Power.OFF)
    assert "terminating on signal 15" in state.last_words


def test_a_machine_that_is_just_ending_is_waited_for(make_guest: MakeGuest) -> None:
    guest = make_guest()
    for _ in range(3):
        guest.machine.start()
        os.kill(_pid(guest.machine), signal.SIGTERM)
        guest.machine.stop()
        assert guest.machine.observe().power is Power.OFF
        guest.machine.start()
        os.kill(_pid(guest.machine), signal.SIGTERM)
    guest.machine.start()


def test_an_accelerator_that_is_not_there_is_a_clear_error(make_guest: MakeGuest) -> None:
    guest = make_guest().with_changes(accel="nonesuch")
    with pytest.raises(PowerOnError) as caught:
        guest.machine.start()
    assert "nonesuch" in caught.value.details
    assert "nonesuch" in guest.machine.observe().last_words


def test_a_disk_in_use_is_a_clear_error(make_guest: MakeGuest, tmp_path: Path) -> None:
    guest = make_guest()
    guest.machine.start()
    other = Machine(tmp_path / "other", guest.machine.config)
    with pytest.raises(PowerOnError) as caught:
        other.start()
    assert "lock" in caught.value.details


def test_a_missing_base_is_a_clear_error(make_guest: MakeGuest, tmp_path: Path) -> None:
    guest = make_guest()
    base = tmp_path / "base.qcow2"
    command = ("qemu-img", "create", "-q", "-f", "qcow2", base, "1M")
    subprocess.run(command, check=True)
    guest.machine.config.disks[0].unlink()
    create_overlay(guest.machine.config.disks[0], base)
    base.unlink()
    with pytest.raises(PowerOnError) as caught:
        guest.machine.start()
    assert "base.qcow2" in caught.value.details


def test_a_machine_that_never_ran_is_off_and_leaves_no_folder(make_guest: MakeGuest) -> None:
    machine = make_guest().machine
    assert machine.observe().power is Power.OFF
    machine.stop()
    with pytest.raises(GoneError):
        machine.resume()
    with pytest.raises(GoneError):
        machine.snapshot_disks({0: machine.folder / "x"})
    assert not machine.folder.exists()


@pytest.mark.together(PAIR_GROUP)
def test_a_guest_that_is_asked_to_stop_ends_in_order(
    pair: tuple[RunningGuest, RunningGuest],
) -> None:
    """The last that is done to it."""
    assert pair[0].machine.ask_to_stop()
    state = pair[0].wait_for(lambda seen: seen.power is Power.OFF)
    assert state.last_words == ""


def _pid(machine: Machine) -> int:
    client = connect(machine.folder, QMP_SOCKET, timeout_seconds=60)
    assert client is not None
    with client:
        return peer_pid(client)
