"""The examples of docs/customization.md, and addresses that stay single, on the simulator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.vsphere.driver import VsphereDriver
from linkedclone.model.plan import CreateClone, JobStep
from linkedclone.model.vm import CustomizationStatus, Vm
from tests import command
from tests.customization_page import (
    CLOUD_INIT,
    ENVIRONMENT,
    KEYRING,
    LINUX,
    SEVERAL,
    STORED,
    WINDOWS,
    write_example,
)
from tests.simulator import Simulator
from tests.vsphere.acts import PARENT, opened

Clone = Callable[..., tuple[int, dict[str, Any]]]

_KEYRING = """\
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1
    entries = {entries!r}
    def get_password(self, service, username):
        return self.entries.get((service, username))
    def set_password(self, service, username, password):
        raise NotImplementedError
"""

EXPECTED: dict[str, tuple[list[str], list[tuple[str, tuple[str, ...]]]]] = {
    LINUX: ([], [("app-1", ("10.20.0.50",)), ("app-2", ("10.20.0.51",))]),
    CLOUD_INIT: ([], [("app-1", ("10.20.1.2",)), ("app-2", ("10.20.1.3",))]),
    STORED: ([], [("app-app-1", ("10.20.0.200",)), ("app-app-2", ("10.20.0.201",))]),
    SEVERAL: (
        ["--add-nic", "VM Network"],
        [
            ("app-1", ("10.20.0.50", "fd00:20::50")),
            ("app-2", ("10.20.0.51", "fd00:20::51")),
        ],
    ),
    WINDOWS: ([], [("app-1", ()), ("app-2", ())]),
}
"""Further options, and what the guests come up as: host names, and fixed addresses."""


@pytest.fixture
def env(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "examplekeyring.py").write_text(_KEYRING.format(entries=KEYRING))
    keyring = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "examplekeyring.Keyring"}
    return command.environment(simulator, tmp_path) | ENVIRONMENT | keyring


@pytest.fixture
def clone(env: dict[str, str]) -> Clone:
    """Make clones of the parent; return exit code and document."""
    assert command.run("snapshot", "create", PARENT, "base", env=env).returncode == 0

    def run(*args: str) -> tuple[int, dict[str, Any]]:
        return command.run_json("clone", PARENT, *args, env=env)

    return run


def read_back(simulator: Simulator, prefix: str) -> list[Vm]:
    """Return the clones as a connection of its own sees them, by name."""
    with opened(simulator) as driver:
        found = [vm for vm in driver.observe().vms if vm.name.startswith(prefix)]
    return sorted(found, key=lambda vm: vm.name)


@pytest.mark.parametrize("title", EXPECTED)
def test_an_example_of_the_documentation_runs_as_printed(
    simulator: Simulator, clone: Clone, tmp_path: Path, title: str
) -> None:
    if title == STORED:
        simulator_knows(simulator, "linux")
    options, expected = EXPECTED[title]
    file = write_example(tmp_path, title)
    code, document = clone("app-{1..2}", "--customize", str(file), "--wait", "customized", *options)
    assert code == 0, document
    assert [made["host_name"].partition(".")[0] for made in document["clones"]] == [
        host for host, _ in expected
    ]
    for vm, (_, addresses) in zip(read_back(simulator, "app-"), expected, strict=True):
        assert vm.customization is CustomizationStatus.SUCCEEDED or title == CLOUD_INIT
        assert vm.mark
        assert vm.mark.addresses == addresses
        assert set(addresses) <= set(vm.addresses)
    assert "c4nary" not in str(document)


def simulator_knows(simulator: Simulator, name: str) -> None:
    """Store a specification of this name: a copy of the one that the simulator comes with."""
    with opened(simulator) as driver:
        assert isinstance(driver, VsphereDriver)
        manager = driver._session.content.customizationSpecManager
        item = manager.GetCustomizationSpec("vcsim-linux")
        item.info.name = name
        manager.CreateCustomizationSpec(item)


@pytest.mark.parametrize("title", [LINUX, WINDOWS, CLOUD_INIT])
def test_a_dry_run_and_the_log_show_no_password(
    simulator: Simulator, clone: Clone, env: dict[str, str], tmp_path: Path, title: str
) -> None:
    file = write_example(tmp_path, title)
    done = command.run(
        *("clone", PARENT, "app-1", "--customize", str(file), "--dry-run", "-v", "--debug"),
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert "c4nary" not in done.stdout + done.stderr
    code, _ = clone("app-1", "--customize", str(file))
    assert code == 0
    logs = [path.read_text() for path in tmp_path.rglob("*.jsonl")]
    assert logs
    assert "c4nary" not in "".join(logs)
    sent = "".join(simulator.requests("CloneVM_Task"))
    assert sent.count("<plainText>true") == (2 if title == WINDOWS else 0)
    assert ("c4nary-admin" in sent, "c4nary-joiner" in sent) == (title == WINDOWS,) * 2


def test_a_hundred_clones_have_a_hundred_addresses(
    simulator: Simulator, clone: Clone, tmp_path: Path
) -> None:
    file = write_example(tmp_path, LINUX)
    code, document = clone("desk-{001..100}", "--customize", str(file), "--wait", "customized")
    assert code == 0, [made for made in document["clones"] if made.get("error")]
    seen = read_back(simulator, "desk-")
    assert len(seen) == 100
    inside = [vm.addresses for vm in seen]
    assert len({address for (address,) in inside}) == 100
    assert [vm.mark.addresses for vm in seen if vm.mark] == inside
    reserved = {f"10.20.0.{number}" for number in range(100, 110)}
    assert not reserved & {address for (address,) in inside}
    assert {made["name"]: tuple(made["addresses"]) for made in document["clones"]} == {
        vm.name: vm.addresses for vm in seen
    }


def test_a_second_batch_gets_other_addresses_also_of_clones_that_are_off(
    simulator: Simulator, clone: Clone, tmp_path: Path
) -> None:
    file = write_example(tmp_path, LINUX)
    assert clone("one-{1..3}", "--customize", str(file), "--power", "off")[0] == 0
    assert clone("two-{1..3}", "--customize", str(file))[0] == 0
    given = [vm.mark.addresses for vm in read_back(simulator, "") if vm.mark]
    assert len(set(given)) == len(given) == 6


def test_of_two_commands_at_once_one_gives_way_and_is_kept(
    simulator: Simulator, clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from linkedclone.app.connection import Connection
    from linkedclone.config.customization_file import read_customization
    from linkedclone.model.request import CloneRequest

    file = write_example(tmp_path, LINUX)
    real = VsphereDriver.start
    codes: list[int] = []

    def create(self: VsphereDriver, step: JobStep) -> Any:
        if isinstance(step, CreateClone) and not codes:
            codes.append(clone("theirs", "--customize", str(file))[0])
        return real(self, step)

    monkeypatch.setattr(VsphereDriver, "start", create)
    request = CloneRequest(parent=PARENT, names=("mine",), customization=read_customization(file))
    with opened(simulator) as driver:
        report = Connection(driver, address="vsphere:").clone(request)
    assert codes == [0]
    (failed,) = report.failed
    assert failed.error
    assert failed.error.stage == "customize"
    assert failed.error.brief.startswith("mine was given 10.20.0.50, and /DC0/vm/theirs has it")
    assert [vm.name for vm in read_back(simulator, "mine")] == ["mine"]


def test_host_names_that_windows_refuses_are_reported_before_anything_is_sent(
    simulator: Simulator, clone: Clone, env: dict[str, str], tmp_path: Path
) -> None:
    file = write_example(tmp_path, WINDOWS)
    simulator.reset_calls()
    done = command.run(
        "clone", PARENT, "finance-desktop-{001..020}", "--customize", str(file), env=env
    )
    assert done.returncode == 2
    assert "20 clones would have" in done.stderr
    assert simulator.calls() == {}
