"""Instant clones of the demo guest: forked and not booted, each with an identity of its own.

One guest is booted for all of them. They run beside each other, as forks cost little.
"""

import hashlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.folder import is_memory_name
from linkedclone.drivers.local.state.ssh import KNOWN_HOSTS
from linkedclone.drivers.local.state.store import StoredVm, load_vm
from linkedclone.errors import RefusedError
from linkedclone.guest.nocloud import plain_guest
from linkedclone.lineage.vm_rows import describe_vms
from linkedclone.model.guest import Guest, GuestCard
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import CreateClone
from linkedclone.model.request import Hardware, Nic
from linkedclone.model.vm import LEFT_FAILED, PoolState, Power, Vm
from tests import do
from tests.command import run
from tests.contract.acts import error_of, find, read, result_of, step_for
from tests.local.machine.guest import BOOT_SECONDS, build_import
from tests.local.scenes import connect
from tests.local.victim import run_killed

pytestmark = pytest.mark.together("instant clones")

SNAPSHOT = "warm"
NET = "private:lab"
PARENT_ADDRESS = "10.77.0.2"
FORKS = ("fork-1", "fork-2", "fork-3", "fork-4")
LAST_STEPS = range(-21, 0, 3)
"""Steps before the end: QEMU is started, loads, goes on; the identity is there; all is finished."""
SSH_SECONDS = 200
BUSY_SECONDS = 30
"""How far the clocks of a host and an emulated guest may differ while the host is busy."""
BOOT_ID = "/proc/sys/kernel/random/boot_id"
ALONE = (
    "cat /proc/sys/kernel/hostname /etc/machine-id /var/lib/instance-id "
    "/sys/class/net/eth0/address /sys/class/net/eth1/address; "
    "ip -4 address show dev eth1 | grep inet"
)
"""What each guest tells of itself that no other one may have."""
BORN = f"cat /run/nonce {BOOT_ID}; head -c 32 /dev/urandom | base64; {ALONE}"
"""What a new fork tells besides: each question costs an emulated guest a key exchange."""


@dataclass
class Wire:
    """Hears all that is sent on a private network."""

    group: str
    frames: list[bytes] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> threading.Thread:
        address, _, port = self.group.partition(":")
        heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.bind((address, int(port)))
        member = struct.pack("4s4s", socket.inet_aton(address), socket.inet_aton("127.0.0.1"))
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        heard.settimeout(0.2)
        thread = threading.Thread(target=self._hear, args=(heard,), daemon=True)
        thread.start()
        return thread

    def _hear(self, heard: socket.socket) -> None:
        with heard:
            while not self._over.is_set():
                try:
                    self.frames.append(heard.recv(1 << 16))
                except TimeoutError:
                    continue

    def stop(self) -> None:
        self._over.set()

    def holds(self, content: bytes) -> bool:
        return any(content in frame for frame in self.frames)


@dataclass(frozen=True, kw_only=True)
class Warm:
    """A state folder with a VM whose memory was kept, and the forks of it."""

    driver: LocalDriver
    parent: Vm
    boot_id: str
    hashes: dict[str, str]  # of the files of memory, when they were new
    wire: Wire

    def stored(self, name: str) -> StoredVm:
        return load_vm(self.driver.state, find(self.driver, name).id)

    def ssh(self, name: str, command: str) -> str:
        """Run a command in a guest; the key that its server shows has to be known already."""
        arguments = self.driver.access.build_ssh(find(self.driver, name).id, [command])
        arguments = tuple(a.replace("accept-new", "yes") for a in arguments)
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SSH_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait_until(self, name: str, *, boot_id_is_not: str) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        path = {"boot_id": BOOT_ID}
        while True:
            found = open_machine(self.stored(name)).read_files(path).get("boot_id", "").strip()
            if found and found != boot_id_is_not:
                return
            assert time.monotonic() < deadline, f"{name} does not come up"
            time.sleep(0.2)


def hash_memory(vm: StoredVm) -> dict[str, str]:
    files = [path for path in vm.folder.iterdir() if is_memory_name(path.name)]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def guest_of(name: str, address: str) -> Guest:
    """Return a guest with one card as QEMU wants it, and one with an address of its own."""
    guest = plain_guest(host_name=name, instance_id=f"instance-of-{name}")
    card = GuestCard(dhcp=False, addresses=(f"{address}/24",))
    return replace(guest, cards=(GuestCard(), card))


def step_of(driver: LocalDriver, source: str, name: str, address: str) -> CreateClone:
    """Return the step that forks a VM's snapshot."""
    parent = find(driver, source)
    step = step_for(driver, parent, name)
    return replace(
        step,
        instant=True,
        snapshot=next(s for s in parent.snapshots if s.name == SNAPSHOT),
        mark=replace(step.mark, instant=True),
        guest=guest_of(name, address),
    )


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    root = tmp_path_factory.mktemp("instant") / "state"
    with closing(connect(root, open_machine)) as driver:
        try:
            driver.images.import_image(build_import())
            step = step_for(driver, find(driver, "golden"), "parent")
            hardware = Hardware(nics=(Nic(action="add", network=NET),))
            guest = guest_of("parent", PARENT_ADDRESS)
            result_of(driver, driver.start(replace(step, hardware=hardware, guest=guest)))
            yield from _warm_up(driver)
        finally:
            for vm in driver.observe().vms:
                open_machine(load_vm(driver.state, vm.id)).stop()


def _warm_up(driver: LocalDriver) -> Iterator[Warm]:
    parent = find(driver, "parent")
    result_of(driver, driver.start(do.set_power(parent, Power.ON)))
    stored = load_vm(driver.state, parent.id)
    wire = Wire(group=stored.record.machine.cards[1].group)
    warm = Warm(driver=driver, parent=parent, boot_id="", hashes={}, wire=wire)
    warm.wait_until("parent", boot_id_is_not="")
    arguments = driver.access.build_ssh(
        parent.id,
        [f"echo nonce >/run/nonce; date -s @1600000000; cat {BOOT_ID}"],
    )
    told = subprocess.run(
        arguments, capture_output=True, text=True, timeout=SSH_SECONDS, check=True
    )
    taken = do.create_snapshot(parent, SNAPSHOT, memory=True)
    result_of(driver, driver.start(taken))
    result_of(driver, driver.start(do.set_power(parent, Power.OFF)))
    stored = load_vm(driver.state, parent.id)
    thread = wire.listen()
    try:
        yield replace(
            warm, parent=parent, boot_id=told.stdout.split()[-1], hashes=hash_memory(stored)
        )
    finally:
        wire.stop()
        thread.join()


@pytest.fixture(scope="module")
def forks(warm: Warm) -> Warm:
    """Fork the guest several times at once."""
    steps = [
        step_of(warm.driver, "parent", name, f"10.77.0.{10 + number}")
        for number, name in enumerate(FORKS)
    ]
    jobs = [warm.driver.start(step) for step in steps]
    for job in jobs:
        result_of(warm.driver, job)
    return warm


@pytest.fixture(scope="module")
def told(forks: Warm) -> dict[str, list[str]]:
    """What each fork tells when it is new, line by line."""
    return {name: text.split("\n") for name, text in ask_all(forks, BORN).items()}


def ask_all(warm: Warm, command: str) -> dict[str, str]:
    """Run a command in each fork; its host key is what its server shows."""
    with ThreadPoolExecutor(len(FORKS)) as pool:
        told = pool.map(lambda name: warm.ssh(name, command), FORKS)
        return dict(zip(FORKS, told, strict=True))


def test_forks_go_on_where_their_parent_stood(forks: Warm, told: dict[str, list[str]]) -> None:
    for lines in told.values():
        assert lines[:2] == ["nonce", forks.boot_id]


def test_forks_have_nothing_in_common_that_should_be_their_own(
    forks: Warm, told: dict[str, list[str]]
) -> None:
    values: dict[int, list[str]] = {}
    for name, (_, _, drawn, *lines) in told.items():
        assert lines[0] == name
        assert lines[2] == f"instance-of-{name}"
        assert lines[3:5] == list(find(forks.driver, name).macs)
        for number, line in enumerate((*lines[:5], drawn)):
            values.setdefault(number, []).append(line)
        assert "inet 10.77.0.1" in lines[5]
        assert PARENT_ADDRESS + "/" not in "".join(lines[5:])
    for found in values.values():
        assert len(set(found)) == len(FORKS)
    keys = {(forks.stored(name).folder / KNOWN_HOSTS).read_text() for name in FORKS}
    assert len(keys) == len(FORKS)


def test_the_clock_of_a_fork_is_the_hosts(forks: Warm) -> None:
    """Their parent's was set back by years."""
    before = time.time()
    told = int(forks.ssh(FORKS[0], "date +%s"))
    assert before - BUSY_SECONDS <= told <= time.time() + BUSY_SECONDS


def trouble_of(vm: Vm) -> str:
    """Return what people are told of a VM as it was seen."""
    (row,) = describe_vms(Inventory(vms=(vm,)))
    return row.trouble


def test_a_fork_is_finished_and_linked(forks: Warm) -> None:
    for name in FORKS:
        vm = find(forks.driver, name)
        assert vm.mark is not None
        assert (vm.mark.instant, vm.mark.spec == LEFT_FAILED, trouble_of(vm)) == (True, False, "")
        chain = read(forks.driver, vm.id).disks[0].chain
        assert any(layer.path.startswith(f"vms/{forks.parent.id}/") for layer in chain)


def test_nothing_is_sent_in_the_parents_name(forks: Warm) -> None:
    """The forks are heard on the private network, and their parent never is."""
    first, second = (find(forks.driver, name) for name in FORKS[:2])
    forks.ssh(FORKS[0], "ping -c 1 -W 20 10.77.0.11")
    assert forks.wire.holds(bytes.fromhex(first.macs[1].replace(":", "")))
    assert forks.wire.holds(bytes.fromhex(second.macs[1].replace(":", "")))
    assert forks.wire.holds(socket.inet_aton("10.77.0.11"))
    for mac in forks.stored("parent").record.machine.macs:
        assert not forks.wire.holds(bytes.fromhex(mac.replace(":", "")))
    assert not forks.wire.holds(socket.inet_aton(PARENT_ADDRESS))


def test_a_fork_of_a_fork_is_neither_of_both(forks: Warm, told: dict[str, list[str]]) -> None:
    driver, source = forks.driver, find(forks.driver, FORKS[3])
    result_of(driver, driver.start(do.create_snapshot(source, SNAPSHOT, memory=True)))
    result_of(driver, driver.start(step_of(driver, FORKS[3], "grandchild", "10.77.0.30")))
    text = forks.ssh("grandchild", ALONE + "; cat /run/nonce")
    lines = text.split("\n")
    assert lines[0] == "grandchild"
    assert "inet 10.77.0.30/24" in text
    assert "nonce" in text
    assert not set(lines[1:5]) & set(told[FORKS[3]])
    switch_off(forks, "grandchild")


def test_a_spare_is_silent_and_becomes_the_clone_that_takes_it_over(forks: Warm) -> None:
    driver, address = forks.driver, "10.77.0.50"
    step = step_of(driver, "parent", "waiting", address)
    pool = PoolState(slot="waiting", spare=True)
    result_of(driver, driver.start(replace(step, mark=replace(step.mark, pool=pool))))
    spare = find(driver, "waiting")
    own = bytes.fromhex(spare.macs[1].replace(":", ""))
    assert spare.power is Power.PAUSED
    assert not forks.wire.holds(own)
    taking = replace(step_of(driver, "parent", "taken", address), spare=spare.id)
    result_of(driver, driver.start(taking))
    stored = forks.stored("taken")
    assert stored.id == spare.id
    assert forks.ssh("taken", "hostname; cat /run/nonce").split() == ["taken", "nonce"]
    # What it is told when it boots, too.
    seed = (stored.folder / stored.record.machine.seed).read_bytes()
    assert b"instance-of-taken" in seed
    assert b"instance-of-waiting" not in seed
    switch_off(forks, "taken")


def test_a_fork_that_takes_no_identity_stays_silent_and_is_named(forks: Warm) -> None:
    """A hook of the guest's own fails: nothing of the fork counts as confirmed."""
    driver, source = forks.driver, find(forks.driver, FORKS[2])
    hook = "/etc/linkedclone/instant.d/10-no"
    forks.ssh(FORKS[2], f"echo 'exit 3' >{hook}; chmod +x {hook}; sync")
    result_of(driver, driver.start(do.create_snapshot(source, SNAPSHOT, memory=True)))
    forks.ssh(FORKS[2], f"rm {hook}")
    step = step_of(driver, FORKS[2], "nameless", "10.77.0.31")
    error = error_of(driver, lambda: driver.start(step))
    assert error.brief == "nameless did not take its identity: its network cards stayed down"
    assert error.details == "the hook 10-no ended with status 3"
    left = find(driver, "nameless")
    assert left.power is Power.ON
    assert left.mark is not None
    assert left.mark.spec == LEFT_FAILED
    assert "its identity is not confirmed" in trouble_of(left)
    assert not forks.wire.holds(bytes.fromhex(left.macs[1].replace(":", "")))
    for reach in (driver.access.build_ssh, driver.access.connect_ssh):
        with pytest.raises(RefusedError, match="without a confirmed identity"):
            reach(left.id)
    result_of(driver, driver.start(do.set_power(left, Power.OFF)))
    assert trouble_of(find(driver, "nameless")) == ""


def fork_in_a_process(root: Path, name: str) -> None:
    """Fork by a process of its own, which may be killed."""
    with closing(connect(root, open_machine)) as driver:
        result_of(driver, driver.start(step_of(driver, "parent", name, "10.77.0.40")))


def count_steps(warm: Warm) -> int:
    """Return how many steps a fork takes, as a kill may come before each."""
    root = warm.driver.state.root
    steps = run_killed(fork_in_a_process, (root, "whole"), 0)
    result_of(warm.driver, warm.driver.start(do.delete_vm(switch_off(warm, "whole"))))
    return steps


def switch_off(warm: Warm, name: str) -> Vm:
    result_of(warm.driver, warm.driver.start(do.set_power(find(warm.driver, name), Power.OFF)))
    return find(warm.driver, name)


@pytest.mark.timeout(1200)  # eight forks; a busy host takes half a minute for each
def test_a_killed_fork_is_a_clone_that_is_off_or_silent(forks: Warm) -> None:
    """What kills leave before QEMU is started is what they leave of any linked clone."""
    driver = forks.driver
    steps = count_steps(forks)
    finished = []
    for left_out in LAST_STEPS:
        run_killed(fork_in_a_process, (driver.state.root, "killed"), steps + left_out)
        left = find(driver, "killed")
        assert left.mark is not None
        finished.append(left.mark.spec != LEFT_FAILED)
        if left.power is Power.PAUSED:
            error = error_of(driver, partial(driver.start, do.set_power(left, Power.ON)))
            assert "was not finished" in error.brief
        if not finished[-1] and left.power is not Power.OFF:
            assert "its identity is not confirmed" in trouble_of(left)
        off = switch_off(forks, "killed")
        assert read(driver, off.id).disks[0].chain[-2].path.startswith(f"vms/{forks.parent.id}/")
        result_of(driver, driver.start(do.delete_vm(off)))
    assert finished == sorted(finished)
    assert {False, True} == set(finished)


def test_the_memory_is_never_written_to(forks: Warm) -> None:
    assert hash_memory(forks.stored("parent")) == forks.hashes


def test_a_command_forks_and_finds_it_done_the_next_time(forks: Warm, tmp_path: Path) -> None:
    """The whole way, as people type it."""
    root = forks.driver.state.root
    env = {
        **os.environ,
        "LINKEDCLONE_ENDPOINT": f"local:{root}",
        "LINKEDCLONE_CONFIG": str(tmp_path / "config.yaml"),
        "LINKEDCLONE_LOCAL_IMMUTABLE": "no",
    }
    words = ("clone", "parent", "typed-1", "typed-2", "--instant", "--snapshot", SNAPSHOT)
    done = run(*words, env=env)
    assert done.returncode == 0, done.stderr
    assert "2 created" in done.stderr
    again = run(*words, env=env)
    assert again.returncode == 0, again.stderr
    assert "created in" not in again.stderr
    for name in ("typed-1", "typed-2"):
        assert forks.ssh(name, "hostname") == f"{name}\n"
        result_of(
            forks.driver, forks.driver.start(do.set_power(find(forks.driver, name), Power.OFF))
        )


def test_forks_stay_who_they_are_when_they_boot(forks: Warm, told: dict[str, list[str]]) -> None:
    """One reboots, one is switched off and on."""
    forks.ssh(FORKS[0], "sync; (sleep 0.2; busybox reboot -f) >/dev/null 2>&1 </dev/null &")
    second = find(forks.driver, FORKS[1])
    for power in (Power.OFF, Power.ON):
        result_of(forks.driver, forks.driver.start(do.set_power(second, power)))
    for name in FORKS[:2]:
        forks.wait_until(name, boot_id_is_not=forks.boot_id)
    assert ask_all(forks, ALONE) == {name: "\n".join(lines[3:]) for name, lines in told.items()}
