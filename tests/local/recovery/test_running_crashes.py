"""``kill -9`` at the steps of commands about VMs that run: the guest goes on, and loses nothing."""

import random
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.machine.open import open_machine
from linkedclone.drivers.local.state.store import load_vm
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import find, read, result_of, set_power, take_snapshot
from tests.local.scenes import check_tidy, clean_up, connect, make_image
from tests.local.snapshots.test_merging import frozen, open_two_disks, scatter, start, stop_all
from tests.local.victim import run_killed
from tests.local.writing import Guest

KILLS_EACH = 1
LONGEST = 200
"""More steps than any of the commands has."""


def delete_snapshot(driver: LocalDriver, name: str) -> None:
    desk = find(driver, "desk")
    (wanted,) = [one.id for one in desk.snapshots if one.name == name]
    result_of(driver, driver.start(do.delete_snapshot(desk, wanted)))


ACTS: dict[str, Callable[[LocalDriver], object]] = {
    "snapshot": lambda driver: take_snapshot(driver, find(driver, "desk"), "three"),
    "delete-middle": lambda driver: delete_snapshot(driver, "one"),
    "delete-current": lambda driver: delete_snapshot(driver, "two"),
    "promote": lambda driver: result_of(driver, driver.start(do.promote_vm(find(driver, "desk")))),
}


def carry_out(root: Path, act: str) -> None:
    with closing(connect(root, open_machine)) as driver:
        ACTS[act](driver)


@pytest.fixture(scope="module", params=ACTS)
def act(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory, act: str) -> Path:
    """A clone with two disks, and with two snapshots if the act has to do with those."""
    folder = tmp_path_factory.mktemp("running-crashes") / "family"
    folder.mkdir()
    with closing(open_two_disks(folder / "state", make_image(folder / "image.qcow2"))) as driver:
        for number, name in enumerate(("one", "two") if act != "promote" else ()):
            guest = start(driver)
            scatter(guest, 10 * number + 10)
            set_power(driver, find(driver, "desk"), Power.OFF)
            take_snapshot(driver, find(driver, "desk"), name)
    return folder


def check_kill(folder: Path, act: str, step: int) -> int:
    """Kill the act at a step; return the step, or how many steps it has if those are fewer."""
    root = folder / "state"
    with closing(connect(root, open_machine)) as driver:
        try:
            guest = start(driver)
            scatter(guest, 60)
            before = frozen(driver)
            passed = run_killed(carry_out, (root, act), step)
            clean_up(root)
            check_survivor(driver, guest, before)
        finally:
            stop_all(driver)
    shutil.rmtree(folder)
    return passed


def check_survivor(driver: LocalDriver, guest: Guest, before: dict[str, list[str]]) -> None:
    seen = read(driver, guest.vm)
    stored = load_vm(driver.state, guest.vm)
    assert not stored.record.unsettled
    assert seen.power is Power.ON
    chains = open_machine(stored).read_chains()
    for number, top in enumerate(stored.disk_tops):
        assert chains[number][0].samefile(top)
    after = frozen(driver)
    assert {name: after[name] for name in after if name in before} == {
        name: before[name] for name in before if name in after
    }
    scatter(guest, 90)
    set_power(driver, seen, Power.OFF)
    guest.check()
    check_tidy(driver.state.root)
    set_power(driver, seen, Power.ON)


def copy(family: Path, to: Path) -> Path:
    shutil.copytree(family, to, symlinks=True)
    return to


@pytest.mark.timeout(300)
def test_a_guest_goes_on_after_a_kill_at_some_steps(family: Path, tmp_path: Path, act: str) -> None:
    steps = check_kill(copy(family, tmp_path / "whole"), act, 0)
    assert 5 < steps < LONGEST
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"{act}: {steps} steps, seed {seed}")
    for step in sorted(random.Random(seed).sample(range(1, steps + 1), KILLS_EACH)):
        print(f"killed at {step}")
        check_kill(copy(family, tmp_path / f"kill-{step}"), act, step)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_guest_goes_on_after_a_kill_at_any_step(family: Path, tmp_path: Path, act: str) -> None:
    for step in range(1, LONGEST):
        print(f"killed at {step}")
        if check_kill(copy(family, tmp_path / f"kill-{step}"), act, step) != step:
            return
    raise AssertionError("it has no end")
