"""docs/customization.md names every key, and its examples run on the hypervisor in memory."""

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from linkedclone.app.connection import Connection
from linkedclone.cli.options.guest import GuestOptions
from linkedclone.config.customization_file import read_customization
from linkedclone.config.guest_passwords import find_secrets
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.model.customization import (
    Addresses,
    CloudInit,
    Customization,
    DomainJoin,
    GuestUser,
    LinuxGuest,
    SecretSource,
    WindowsGuest,
)
from linkedclone.model.request import CloneRequest
from linkedclone.model.vm import CustomizationStatus
from tests.customization_page import (
    CLOUD_INIT,
    ENVIRONMENT,
    EXAMPLES,
    KEYRING,
    LINUX,
    SEVERAL,
    STORED,
    TEXT,
    WINDOWS,
    write_example,
)
from tests.memory import MemoryHypervisor

PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)

TABLES = {
    "A file contains these keys": Customization,
    "Of each card, below `addresses`": Addresses,
    "Below `linux`": LinuxGuest,
    "Below `windows`:": WindowsGuest,
    "Below `windows.join`": DomainJoin,
    "Below `cloud_init`": CloudInit,
    "Of each user, below `cloud_init.users`": GuestUser,
    "Of each password, exactly one": SecretSource,
}


@pytest.mark.parametrize("sentence", TABLES)
def test_each_table_names_every_key_and_no_other(sentence: str) -> None:
    table = TEXT.partition(f"\n{sentence}")[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    keys = [line.split("`")[1] for line in table.splitlines()]
    assert keys == [one.name for one in fields(TABLES[sentence])]


def test_all_examples_are_there() -> None:
    assert set(EXAMPLES) == {LINUX, WINDOWS, CLOUD_INIT, SEVERAL, STORED}
    assert len(re.findall(r"^```yaml", TEXT, re.MULTILINE)) == len(EXAMPLES)


def test_options_that_are_named_exist() -> None:
    options = {f"--{name.replace('_', '-')}" for name in GuestOptions.__annotations__}
    others = {"--power", "--dry-run", "--long", "--now"}
    assert set(re.findall(r"--[a-z][a-z-]+", TEXT)) <= options | others


def test_every_heading_that_is_linked_exists() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\(#([a-z0-9-]+)\)", TEXT)) <= headings


EXPECTED: dict[str, tuple[int, list[tuple[str, tuple[str, ...]]]]] = {
    LINUX: (1, [("app-1", ("10.20.0.50",)), ("app-2", ("10.20.0.51",))]),
    WINDOWS: (1, [("app-1", ()), ("app-2", ())]),
    CLOUD_INIT: (1, [("app-1", ("10.20.1.2",)), ("app-2", ("10.20.1.3",))]),
    SEVERAL: (
        2,
        [
            ("app-1", ("10.20.0.50", "fd00:20::50")),
            ("app-2", ("10.20.0.51", "fd00:20::51")),
        ],
    ),
    STORED: (1, [("app-app-1", ("10.20.0.200",)), ("app-app-2", ("10.20.0.201",))]),
}
"""How many network cards the parent has, and what the guests come up as."""


@pytest.mark.parametrize("title", EXPECTED)
def test_an_example_runs_as_printed(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards, expected = EXPECTED[title]
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("keyring.get_password", lambda *entry: KEYRING[entry])
    lab = MemoryHypervisor()
    gold = lab.add_vm("golden")
    lab.add_snapshot(gold, "base")
    with lab.access("test") as estate:
        estate.machine(gold).macs = tuple(estate.fresh_mac() for _ in range(cards))
    path = write_example(tmp_path, title)
    customization = read_customization(path)
    request = CloneRequest(
        parent="golden",
        names=("app-{1..2}",),
        customization=customization,
        secrets=find_secrets(customization, folder=tmp_path, environ=os.environ),
    )
    report = Connection(MemoryDriver(lab, "memory:"), address="memory:").clone(request)
    assert report.exit_code == 0
    made = [vm for vm in lab.vms if vm.name.startswith("app-")]
    assert [(vm.host_name, vm.addresses) for vm in made] == expected
    assert {vm.customization for vm in made} == {CustomizationStatus.SUCCEEDED}


@pytest.mark.parametrize("example", PYTHON)
def test_a_program_runs_as_printed(example: str) -> None:
    exec(compile(example, "customization.md", "exec"), {})
