"""A driver that is a package of its own: found by its entry point, used without an edit of ours."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkedclone import connect
from linkedclone.cli.main import main
from linkedclone.model.request import CloneRequest

REGISTRATION = '''
"""A hypervisor for a test: nothing in it is known to linkedclone but the entry point."""

from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

from linkedclone.drivers.memory.demo import make_scene
from linkedclone.drivers.memory.driver import MemoryDriver
from linkedclone.drivers.registration import Registration
from linkedclone.model.request import DriverSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyShelf(DriverSettings):
    """Where toys stand.

    Attributes:
        shelf: The shelf that the clones go to.
    """

    about: ClassVar[str] = "Place, among toys."

    shelf: str = "ssd1"

    def apply_to(self, request):
        return replace(request, placement=replace(request.placement, datastore=self.shelf))


@cache
def open_hypervisor(path):
    return make_scene("")


class ToyDriver(MemoryDriver):
    def __init__(self, hypervisor, address):
        super().__init__(hypervisor, address)
        self.features = replace(self.features, endpoint="a toy", pool_section="toy")


def load(endpoint):
    return lambda endpoint: ToyDriver(open_hypervisor(endpoint.path), endpoint.address)


REGISTRATION = Registration(load=load, pool_settings=ToyShelf)
'''

POOL = """\
pool: blocks
parent: golden
size: 2
name: "block-{n}"
power: "off"
health: {customized: false, address: false}
toy: {shelf: ssd2}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages are imported from, away from this machine's configuration."""
    monkeypatch.setenv("LINKEDCLONE_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "logs"))
    made = tmp_path / "site-packages"
    made.mkdir()
    monkeypatch.syspath_prepend(str(made))
    before = set(sys.modules)
    yield made
    for name in sys.modules.keys() - before:
        if name.partition(".")[0] == "toy_driver":
            del sys.modules[name]


def install(site: Path, text: str = REGISTRATION, *, kind: str = "toy") -> None:
    """Write a package as an installer leaves it, with an entry point."""
    package, metadata = site / "toy_driver", site / "toy_driver-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (package / "__init__.py").write_text(text)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy_driver\nVersion: 1.0\n")
    entry = f"[linkedclone.drivers]\n{kind} = toy_driver:REGISTRATION\n"
    (metadata / "entry_points.txt").write_text(entry)


def run(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert main(list(args)) == code, capsys.readouterr().err
    told = capsys.readouterr()
    return told.err if code else told.out


def test_its_clones_are_made_and_listed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site)
    run(capsys, "clone", "golden", "mine", "-e", "toy:box")
    assert "mine" in run(capsys, "list", "-e", "toy:box")
    assert "mine" not in run(capsys, "list", "-e", "toy:other")


def test_the_library_opens_it(site: Path) -> None:
    install(site)
    with connect("toy:box") as lab:
        (made,) = lab.clone(CloneRequest(parent="golden", names=("mine",))).clones
        assert made.linked
        assert lab.identify().address == "toy:box"


def test_its_section_of_a_pools_file_decides_where_the_clones_go(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site)
    file = tmp_path / "blocks.yaml"
    file.write_text(POOL)
    planned = json.loads(run(capsys, "pool", "plan", str(file), "-e", "toy:box", "-o", "json"))
    assert [change["act"] for change in planned["changes"]] == ["create", "create"]
    run(capsys, "pool", "apply", str(file), "-e", "toy:box")
    with connect("toy:box") as lab:
        places = {row.vm.name: row.vm.home[0] for row in lab.vms.list() if row.vm.home}
    assert (places["golden"], places["block-1"], places["block-2"]) == (
        "store-1",
        "store-2",
        "store-2",
    )
    again = json.loads(run(capsys, "pool", "plan", str(file), "-e", "toy:box", "-o", "json"))
    assert again["changes"] == []


def test_its_section_is_checked_with_all_others(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site)
    file = tmp_path / "blocks.yaml"
    file.write_text(POOL.replace("shelf: ssd2", "shelv: ssd2") + "local: {firmwar: uefi}\n")
    told = run(capsys, "pool", "plan", str(file), "-e", "toy:box", code=2)
    assert "line 7: toy.shelv: unknown setting; did you mean shelf?" in told
    assert "line 8: local.firmwar: unknown setting; did you mean firmware?" in told


def test_a_section_of_an_unknown_driver_is_reported_with_the_known_ones(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site)
    file = tmp_path / "blocks.yaml"
    file.write_text(POOL.replace("toy:", "xyzzy:"))
    told = run(capsys, "pool", "plan", str(file), code=2)
    assert "line 7: xyzzy: unknown setting; known are " in told
    assert {"local,", "toy,", "vsphere"} <= set(told.split())


def test_the_schema_has_its_section(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads(run(capsys, "schema"))
    install(site)
    schema = json.loads(run(capsys, "schema"))
    own = schema["$defs"].pop("ToyShelf")
    assert own["properties"]["shelf"]["description"] == "The shelf that the clones go to."
    assert schema["properties"].pop("toy")["description"] == "Place, among toys."
    assert schema == before


def test_endpoints_of_its_are_added_under_a_name(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site)
    run(capsys, "endpoints", "add", "box", "toy:box")
    assert "golden" in run(capsys, "list", "-e", "box")


def test_an_unknown_kind_is_reported_with_the_known_ones(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(capsys, "list", "-e", "toy:box", code=2)
    assert "there is no endpoint called 'toy:box'" in told
    install(site)
    run(capsys, "list", "-e", "toy:box")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a_library_that_is_missing", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "has no attribute 'REGISTRATION'"),
        ("REGISTRATION = 5", "the driver toy has no registration"),
    ],
)
def test_a_broken_driver_is_reported_only_where_it_is_used(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    install(site, text)
    file = tmp_path / "blocks.yaml"
    file.write_text(POOL.replace("toy: {shelf: ssd2}\n", ""))
    run(capsys, "pool", "plan", str(file), "-e", "memory:")
    told = run(capsys, "list", "-e", "toy:box", code=1)
    assert expected in told
    assert "toy_driver:REGISTRATION" in told


def test_no_installed_driver_replaces_a_built_in_one(site: Path) -> None:
    install(site, kind="memory")
    with connect("memory:") as lab:
        assert lab.identify().address == "memory:"
    assert "toy_driver" not in sys.modules


def test_a_name_that_is_a_setting_of_pools_is_refused(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, kind="health")
    assert "name that no section" in run(capsys, "schema", code=1)
