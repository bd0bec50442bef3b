"""What docs/second-day.md tells people to type works on the simulator, line by line."""

import re
import shlex
from pathlib import Path

from linkedclone.model.vm import Power
from tests import command, do
from tests.contract.acts import find, result_of
from tests.vsphere.acts import Start, opened

TEXT = (Path(__file__).parents[3] / "docs" / "second-day.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
INLINE = re.findall(r"`linkedclone (\w[^`]*)`", TEXT)

NAMES = {
    "golden": "/DC0/vm/DC0_C0_RP0_VM0",
    "ssd2": "LocalDS_1",
    "vdi": "/DC0/host/DC0_C0/Resources",
}
"""What the documentation calls things, and what the simulator calls them."""


def lines() -> list[list[str]]:
    typed = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]
    return [[NAMES.get(word, word) for word in shlex.split(line)] for line in typed]


def test_every_command_works_in_the_printed_order(start_simulator: Start, tmp_path: Path) -> None:
    simulator = start_simulator("-ds", "2")
    simulator.control("POST", "guest", {"tools_ms": 0, "ip_ms": 0})
    env = command.environment(simulator, tmp_path)
    with opened(simulator) as driver:
        golden = find(driver, NAMES["golden"])
        result_of(driver, driver.start(do.set_power(golden, Power.OFF)))
        result_of(driver, driver.start(do.create_snapshot(golden, "2026-11", "")))
    done = command.run("clone", NAMES["golden"], "desk-{001..002}", env=env)
    assert done.returncode == 0, done.stderr
    typed = lines()
    assert len(typed) > 20
    for program, *words in typed:
        assert program == "linkedclone"
        done = command.run(*words, env=env)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    with opened(simulator) as driver:
        assert find(driver, "front-desk").owner == "linkedclone"
        assert find(driver, "desk-102").disks[0].top.store_name == "LocalDS_1"
        assert find(driver, "desk-201").disks[0].chain[0] != golden.disks[0].chain[0]


def test_commands_within_sentences_are_commands(start_simulator: Start, tmp_path: Path) -> None:
    env = command.environment(start_simulator(), tmp_path)
    assert INLINE
    for line in INLINE:
        words = line.split()
        done = command.run(*words[: 2 if words[0] == "snapshot" else 1], "--help", env=env)
        assert done.returncode == 0, line
        options = re.findall(r"--[a-z-]+", line)
        assert all(option in done.stdout for option in options), line
