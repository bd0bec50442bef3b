"""What doctor tells of layers that moved, images fetched in part, and guests that are twins."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.drivers.local.diagnosis.state_checks import find_twins
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.model.findings import Finding, Verdict
from tests.contract.acts import find
from tests.local.pretend import PretendMachine
from tests.local.scenes import build_family, connect

IDS = {"golden": "one", "solo": "one", "kept": "other"}


class TellingMachine(PretendMachine):
    """A machine whose guest tells a machine-id; one whose VM is not known runs without an agent."""

    def __init__(self, vm: StoredVm) -> None:
        super().__init__(vm.folder)
        self._name = vm.record.name

    def read_files(self, files: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002
        known = IDS.get(self._name)
        return {"machine-id": f"{known}\n"} if known else {}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    build_family(tmp_path / "here")
    with closing(connect(tmp_path / "here/state")) as opened:
        yield opened


def told(driver: LocalDriver, check: str) -> list[Finding]:
    return [finding for finding in driver.folder.diagnose() if finding.check == check]


def base_of(driver: LocalDriver, name: str) -> Path:
    return driver.state.root / find(driver, name).disks[0].chain[0].path


@pytest.mark.parametrize("above", [0, 2, 3], ids=["beside", "state folder", "above it"])
def test_a_layer_that_was_moved_is_found_and_put_back(driver: LocalDriver, above: int) -> None:
    base = base_of(driver, "solo")
    base.rename(base.parents[above] / "elsewhere")
    (finding,) = told(driver, "layers")
    assert finding.verdict is Verdict.FAILED
    _, colon, command = finding.remedy.partition("To put it back: ")
    assert colon
    assert os.system(command.partition(";")[0]) == 0
    assert [f.verdict for f in told(driver, "layers")] == [Verdict.OK]


def test_a_different_file_is_not_accepted_as_a_missing_layer(driver: LocalDriver) -> None:
    base = base_of(driver, "solo")
    there = base.with_name("elsewhere")
    base.rename(there)
    there.chmod(0o644)
    there.write_bytes(bytes(there.stat().st_size))
    (finding,) = told(driver, "layers")
    assert finding.remedy.startswith("put the file back, or say where it is")


def test_a_writable_sealed_layer_is_reported(driver: LocalDriver) -> None:
    base = base_of(driver, "solo")
    base.chmod(0o644)
    (finding,) = told(driver, "layers")
    assert finding.text == f"{base} is sealed, and can be written to"
    assert os.system(finding.remedy) == 0
    assert [f.verdict for f in told(driver, "layers")] == [Verdict.OK]


def test_an_old_partial_download_is_reported(driver: LocalDriver) -> None:
    driver.state.downloads.mkdir()
    part = driver.state.downloads / "0123456789abcdef.part"
    part.write_bytes(b"x" * 4096)
    assert told(driver, "downloads") == []
    long_ago = time.time() - 8 * 86400
    os.utime(part, (long_ago, long_ago))
    (finding,) = told(driver, "downloads")
    assert str(part) in finding.remedy


def test_running_guests_with_the_same_machine_id_are_reported(tmp_path: Path) -> None:
    build_family(tmp_path / "here")
    with closing(connect(tmp_path / "here/state", TellingMachine)) as driver:
        (finding,) = told(driver, "identities")
    assert finding.text == "golden, solo have one machine-id: one"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ([("a", "machine-id", "1"), ("b", "machine-id", "2")], []),
        ([("a", "machine-id", ""), ("b", "machine-id", "")], []),
        ([("a", "machine-id", "1"), ("b", "MAC address", "1")], []),
        ([("a", "MAC address", "1"), ("a", "MAC address", "1")], []),
        ([(n, "SSH host key", "k") for n in "abc"], ["a, b, c have one SSH host key: k"]),
    ],
)
def test_only_values_shared_by_two_guests_are_reported(
    facts: list[tuple[str, str, str]], said: list[str]
) -> None:
    assert [finding.text for finding in find_twins(facts)] == said
