"""Two clones that run: reached over a private network, by plain ssh, and by Ansible."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.model.images import ImageImport
from linkedclone.model.report import Status
from linkedclone.model.request import AskGuests, Hardware, Nic
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.contract.acts import (
    find,
    make,
    read,
    renamed,
    result_of,
    running,
    set_power,
    step_for,
    take_snapshot,
)
from tests.local.machine.guest import build_import
from tests.local.scenes import connect, make_image

pytestmark = pytest.mark.together("reaching clones")  # one worker sets up what they share

BOOT_SECONDS = 240.0
BIN = Path(sys.executable).parent
NETWORKS = ("private:lab", "isolated")

SET_ADDRESS = """
for card in /sys/class/net/*; do
  read -r mac <$card/address
  [ "$mac" = {mac} ] || continue
  ip address add {address} dev "${{card##*/}}" && ip link set "${{card##*/}}" up
done
ip address | grep -q {address}
"""


@dataclass(frozen=True, kw_only=True)
class Pair:
    driver: LocalDriver
    first: Vm
    second: Vm

    @property
    def config(self) -> Path:
        return self.driver.folder.write_ssh_config()

    def ssh(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as plain ssh does for a user who includes our file."""
        arguments = ("ssh", "-F", self.config, "-o", "BatchMode=yes", name, command)
        return subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ask(self, vm: Vm, command: str) -> str:
        """Run a command as ``linkedclone ssh`` does, which costs less."""
        arguments = self.driver.access.build_ssh(vm.id, [command])
        return subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        ).stdout.strip()

    def tell(self, name: str, command: str) -> str:
        done = self.ssh(name, command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two clones with a card on the user network, one on a private and one on no network."""
    folder = tmp_path_factory.mktemp("two clones") / "100% state"
    with closing(connect(folder, open_machine)) as driver:
        driver.images.import_image(build_import())
        nics = tuple(Nic(action="add", network=network) for network in NETWORKS)
        step = replace(
            running(step_for(driver, find(driver, "golden"), "Web-1")), hardware=Hardware(nics=nics)
        )
        made = []
        try:
            made = [make(driver, one) for one in (step, renamed(step, "web-2"))]
            for vm in made:
                wait_for(driver, vm, lambda seen: seen.tools_running)
            yield Pair(driver=driver, first=made[0], second=made[1])
        finally:
            for vm in driver.observe().vms:
                open_machine(load_vm(driver.state, vm.id)).stop()


def wait_for(driver: LocalDriver, vm: Vm, condition: Callable[[Vm], bool]) -> Vm:
    deadline = time.monotonic() + BOOT_SECONDS
    while not condition(seen := read(driver, vm.id)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def test_clones_reach_each_other_over_a_private_network_and_over_no_other(pair: Pair) -> None:
    received = "1 packets received"
    set_addresses(pair, pair.first, 1)
    set_addresses(pair, pair.second, 2)
    assert received in pair.ask(pair.second, "ping -c 1 -W 30 10.77.0.1")
    to_both = "ping -c 1 -W 30 10.77.0.2; ping -c 1 -W 1 10.78.0.2 >&2 || echo isolated"
    answer = pair.ask(pair.first, to_both)
    assert received in answer
    assert answer.endswith("isolated")


def set_addresses(pair: Pair, vm: Vm, own: int) -> None:
    networks = zip(vm.macs[1:], ("10.77.0", "10.78.0"), strict=True)
    commands = (SET_ADDRESS.format(mac=mac, address=f"{net}.{own}/24") for mac, net in networks)
    pair.ask(vm, "set -e\n" + "\n".join(commands))


def test_plain_ssh_reaches_a_clone_by_its_name(pair: Pair) -> None:
    for name in ("Web-1", "web-1"):
        assert pair.tell(name, "hostname") == "web-1"
    assert pair.tell("web-2", "hostname") == "web-2"
    keys = [
        (load_vm(pair.driver.state, vm.id).folder / "known_hosts").read_text()
        for vm in (pair.first, pair.second)
    ]
    assert len({key.split()[-1] for key in keys}) == 2


LOOK_WHO = "cat /root/data /etc/machine-id; dropbearkey -y -f /etc/dropbear/host_key"


def test_a_guest_that_is_shut_down_and_started_is_the_same_and_reached_at_its_new_port(
    pair: Pair,
) -> None:
    before = read(pair.driver, pair.first.id).ssh
    who = pair.ask(pair.first, f"echo kept >/root/data; {LOOK_WHO}")
    check_shut_down(pair.driver, "Web-1")
    off = pair.ssh("web-1", "true")
    assert off.returncode == 255
    assert "linkedclone start Web-1" in off.stderr
    set_power(pair.driver, pair.first, Power.ON)
    seen = wait_for(pair.driver, pair.first, lambda seen: seen.tools_running)
    assert seen.ssh is not None
    assert before is not None
    assert pair.tell("web-1", f"hostname; {LOOK_WHO}") == f"web-1\n{who}"


def check_shut_down(driver: LocalDriver, name: str) -> None:
    """A guest that is asked to shut down does so."""
    asked = AskGuests(deadline_seconds=BOOT_SECONDS)
    report = Connection(driver, address="local:").vms.set_power([name], Power.OFF, guests=asked)
    assert [result.status for result in report.results] == [Status.DONE]
    assert report.results[0].note == ""
    assert find(driver, name).power is Power.OFF


def test_plain_ssh_reaches_a_renamed_clone_by_its_new_name(pair: Pair) -> None:
    result_of(pair.driver, pair.driver.start(do.rename_vm(pair.second, "mail")))
    arguments = ("ssh", "-F", pair.config, "-G")
    known = {
        name: "ProxyCommand".lower()
        in subprocess.run((*arguments, name), capture_output=True, text=True, check=True).stdout
        for name in ("mail", "web-2")
    }
    assert known == {"mail": True, "web-2": False}
    assert pair.tell("mail", "hostname") == "web-2"
    result_of(pair.driver, pair.driver.start(do.rename_vm(pair.second, "web-2")))


def run_ansible(driver: LocalDriver, folder: Path, program: str, *words: str) -> str:
    script = folder / "clones"
    script.write_text('#!/bin/sh\nexec linkedclone inventory "$@"\n')
    script.chmod(0o755)
    with TemporaryDirectory() as sockets:
        env = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LINKEDCLONE_ENDPOINT": f"local:{driver.state.root}",
            "ANSIBLE_HOME": str(folder / "ansible"),
            # Its sockets have to fit into 108 bytes, which pytest's folders may not.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
        }
        done = subprocess.run(
            [str(BIN / program), "-i", str(script), *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_a_booted_guest_is_renamed_reached_by_ansible_and_shut_down(
    pair: Pair, tmp_path: Path
) -> None:
    driver = pair.driver
    connection = Connection(driver, address="local:")
    assert connection.vms.rename("web-2", "front desk").exit_code == 0
    assert find(driver, "front desk").power is Power.ON

    listed = json.loads(run_ansible(driver, tmp_path, "ansible-inventory", "--list"))
    variables = listed["_meta"]["hostvars"]["front desk"]
    assert variables["ansible_host"] == "127.0.0.1"
    assert variables["ansible_user"] == "root"
    told = run_ansible(
        driver, tmp_path, "ansible", "parent_golden", "-m", "raw", "-a", "echo from-$(hostname)"
    )
    assert "from-web-1" in told
    assert "from-web-2" in told  # the guest's own name stays
    check_shut_down(driver, "front desk")


def test_entries_come_and_go_with_their_vms(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden"))
        config = driver.folder.write_ssh_config()
        assert not knows(config, "desk")
        desk = make(driver, step_for(driver, find(driver, "golden"), "desk"))
        assert knows(config, "desk")
        assert not knows(config, "desk2")
        result_of(driver, driver.start(do.delete_vm(desk)))
        assert not knows(config, "desk")


def test_a_name_that_ssh_takes_for_a_pattern_has_no_entry(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden"))
        config = driver.folder.write_ssh_config()
        make(driver, step_for(driver, find(driver, "golden"), "*"))
        make(driver, step_for(driver, find(driver, "golden"), "!a b"))
        assert not knows(config, "anything")
        assert not knows(config, "b")


def knows(config: Path, name: str) -> bool:
    command = ("ssh", "-F", config, "-G", name)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return "proxycommand" in done.stdout


def test_a_reverted_vm_is_given_a_new_host_key_without_a_warning(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden"))
        desk = make(driver, step_for(driver, find(driver, "golden"), "desk"))
        known = driver.state.folder(desk.id) / "known_hosts"
        known.write_text("guest ssh-ed25519 AAAA\n")
        snapshot = take_snapshot(driver, desk, "fresh")
        assert known.exists()
        result_of(driver, driver.start(do.revert_snapshot(desk, snapshot.id)))
        assert not known.exists()
