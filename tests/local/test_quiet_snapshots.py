"""Quiet snapshots of a guest that runs: killed in between, the next command thaws it."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.local.disks import is_unsettled
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.agent import Agent
from linkedclone.drivers.local.machine.monitor import Monitor
from linkedclone.drivers.local.machine.session import Session
from linkedclone.drivers.local.machines import open_machine
from linkedclone.drivers.local.store import load_vm
from linkedclone.model.observed import Power
from tests.contract.acts import find, make, read, result_of, running, set_power, step_for
from tests.local.machine.guest import build_import
from tests.local.scenes import check_tidy, clean_up, connect
from tests.local.test_full_disk import ssh, wait_for

FORKED = get_context("forkserver")
FREEZE, STATUS = "guest-fsfreeze-freeze", "guest-fsfreeze-status"
AFTER_FREEZE, AFTER_MOVE, IN_FREEZE = "frozen", "frozen and moved", "while it freezes"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDriver]:
    """The small guest, with its agent up."""
    with closing(connect(tmp_path_factory.mktemp("quiet") / "state", open_machine)) as opened:
        opened.import_image(build_import())
        desk = make(opened, running(step_for(opened, find(opened, "golden"), "desk")))
        try:
            wait_for(opened, desk, lambda seen: seen.tools_running)
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
        result_of(driver, driver.create_snapshot(desk.id, when, "", quiesce=True))


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
    assert not is_unsettled(load_vm(driver.state, find_id(driver)).record)
    check_writing(driver, when)


def test_a_quiet_snapshot_leaves_the_guest_writing(driver: LocalDriver) -> None:
    desk = find(driver, "desk")
    result_of(driver, driver.create_snapshot(desk.id, "quiet", "", quiesce=True))
    assert ask_agent(driver, STATUS) == "thawed"
    check_writing(driver, "quiet")
    (taken,) = [one for one in read(driver, desk.id).snapshots if one.name == "quiet"]
    result_of(driver, driver.delete_snapshot(desk.id, taken.id))
    check_writing(driver, "merged")
    set_power(driver, desk, Power.OFF)
    check_tidy(driver.state.root)
    set_power(driver, desk, Power.ON)


def check_writing(driver: LocalDriver, text: str) -> None:
    word = text.replace(" ", "-")
    command = f"echo {word} >/root/word; sync; cat /root/word"
    assert ssh(driver, find(driver, "desk"), command) == [word]
