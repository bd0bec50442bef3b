"""A guest whose disk is changed below it: by quiet snapshots, killed in between, and promoted."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.qmp.agent import Agent
from linkedclone.drivers.local.qmp.monitor import Monitor
from linkedclone.drivers.local.qmp.session import Session
from linkedclone.drivers.local.state.file_names import is_own_name
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.model.vm import Power
from tests import do
from tests.command import FORKED
from tests.contract.acts import find, make, read, result_of, running, set_power, step_for
from tests.local.machine.guest import build_import
from tests.local.recovery.test_full_disk import BOOT_SECONDS, ssh, wait_for
from tests.local.scenes import check_tidy, clean_up, connect, top_of

pytestmark = pytest.mark.together("a guest at work")  # one worker boots it

FREEZE, STATUS = "guest-fsfreeze-freeze", "guest-fsfreeze-status"
AFTER_FREEZE, AFTER_MOVE, IN_FREEZE = "frozen", "frozen and moved", "while it freezes"


@pytest.fixture
def driver(small: LocalDriver) -> LocalDriver:
    """The small guest, with its agent up."""
    desk = find(small, "desk")
    set_power(small, desk, Power.ON)
    wait_for(small, desk, lambda seen: seen.tools_running)
    return small


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDriver]:
    with closing(connect(tmp_path_factory.mktemp("quiet") / "state", open_machine)) as opened:
        opened.images.import_image(build_import())
        desk = make(opened, running(step_for(opened, find(opened, "golden"), "desk")))
        try:
            yield opened
        finally:
            set_power(opened, desk, Power.OFF)


def ask_agent(driver: LocalDriver, command: str) -> str:
    async def work(session: Session) -> str:
        async with session.agent() as agent:
            assert agent is not None
            return (await agent.execute(command)).text()

    return open_machine(load_vm(driver.state, find_id(driver)))._demand(work)


def find_id(driver: LocalDriver) -> Any:
    """Find the VM without asking it, which would thaw it."""
    (found,) = [vm for vm in driver.state.list_vms() if vm.startswith("desk.")]
    return found


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def snapshot_and_die(root: Path, when: str) -> None:
    execute, ask = Monitor.execute, Agent.execute

    async def deadly(self: Monitor, command: str, /, **arguments: object) -> Any:
        if command == "transaction" and when == AFTER_FREEZE:
            die()
        told = await execute(self, command, **arguments)
        if command == "transaction" and when == AFTER_MOVE:
            die()
        return told

    async def deadly_agent(self: Agent, command: str, /, **arguments: object) -> Any:
        if command == FREEZE and when == IN_FREEZE:
            self._send(command, arguments)
            die()
        return await ask(self, command, **arguments)

    Monitor.execute = deadly  # type: ignore[method-assign]  # in this process alone
    Agent.execute = deadly_agent  # type: ignore[method-assign]  # likewise
    with closing(connect(root, open_machine)) as driver:
        desk = find(driver, "desk")
        result_of(driver, driver.start(do.create_snapshot(desk, when, "", quiesce=True)))


@pytest.mark.parametrize("when", [AFTER_FREEZE, AFTER_MOVE, IN_FREEZE])
def test_a_guest_that_a_killed_command_left_frozen_is_thawed_by_the_next(
    driver: LocalDriver, when: str
) -> None:
    process = FORKED.Process(target=snapshot_and_die, args=(driver.state.root, when))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert ask_agent(driver, STATUS) == "frozen"
    clean_up(driver.state.root)
    assert ask_agent(driver, STATUS) == "thawed"
    assert not load_vm(driver.state, find_id(driver)).record.unsettled
    check_writing(driver, when)


def test_a_quiet_snapshot_leaves_the_guest_writing(driver: LocalDriver) -> None:
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.create_snapshot(desk, "quiet", "", quiesce=True)))
    assert ask_agent(driver, STATUS) == "thawed"
    check_writing(driver, "quiet")
    (taken,) = [one for one in read(driver, desk.id).snapshots if one.name == "quiet"]
    result_of(driver, driver.start(do.delete_snapshot(desk, taken.id)))
    check_writing(driver, "merged")


def test_a_guest_writes_on_while_it_is_promoted_and_sees_its_disk_grow(driver: LocalDriver) -> None:
    """With a folder that was really used: all in it has a name that we know for ours."""
    desk = find(driver, "desk")
    for snapshot in desk.snapshots:
        result_of(driver, driver.start(do.delete_snapshot(desk, snapshot.id)))
    writing = "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i+1)); sync; done >/root/data"
    ssh(driver, desk, f"({writing}; >/root/done) >/dev/null 2>&1 &")
    result_of(driver, driver.start(do.promote_vm(desk)))
    assert len(read(driver, desk.id).disks[0].chain) == 1
    label, size = (d := read(driver, desk.id).disks[0]).label, d.capacity_bytes
    result_of(driver, driver.start(do.grow_disk(desk, label, size + (64 << 20))))
    (sectors,) = ssh(driver, desk, "cat /sys/block/vda/size")
    assert int(sectors) * 512 == size + (64 << 20)
    for golden in [vm for vm in driver.observe().vms if vm.name == "golden"]:
        result_of(driver, driver.start(do.delete_vm(golden)))
    deadline = time.monotonic() + BOOT_SECONDS
    while driver.guests.run_in_guest(
        desk.id, ["test", "-e", "/root/done"], login=None, seconds=30.0
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert ssh(driver, desk, "cat /root/data") == list(map(str, range(60)))
    assert ssh(driver, desk, "dmesg | grep -c 'I/O error' || :") == ["0"]
    held = [path.name for path in driver.state.folder(desk.id).iterdir()]
    assert {"known_hosts", "seed.iso", "kernel", "run"} < set(held)
    assert [name for name in held if not is_own_name(name)] == []
    set_power(driver, desk, Power.OFF)
    check_tidy(driver.state.root)
    disk = top_of(driver.state, read(driver, desk.id))
    subprocess.run(["qemu-img", "check", "-q", disk], check=True)


def check_writing(driver: LocalDriver, text: str) -> None:
    word = text.replace(" ", "-")
    command = f"echo {word} >/root/word; sync; cat /root/word"
    assert ssh(driver, find(driver, "desk"), command) == [word]
