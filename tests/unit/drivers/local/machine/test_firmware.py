"""UEFI firmware, as distributions describe theirs."""

import json
from pathlib import Path
from typing import Any

import pytest

from linkedclone.drivers.local.machine import firmware
from linkedclone.drivers.local.machine.firmware import find_firmware, prepare_firmware
from linkedclone.errors import PowerOnError


def describe(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    for file in (f"{name}.code", f"{name}.vars"):
        (folder / file).write_text(file)
    document = {
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": str(folder / f"{name}.code"), "format": "raw"},
            "nvram-template": {"filename": str(folder / f"{name}.vars"), "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        "features": ["acpi-s3"],
        **changes,
    }
    (folder / f"{name}.json").write_text(json.dumps(document))
    return document


def test_the_first_that_fits_is_taken_by_name(tmp_path: Path) -> None:
    describe(tmp_path, "60-b")
    describe(tmp_path, "50-secure", features=["secure-boot", "requires-smm"])
    describe(tmp_path, "70-a")
    assert find_firmware((tmp_path,)).code == tmp_path / "60-b.code"


def test_the_administrators_descriptor_replaces_the_one_with_its_name(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "etc", tmp_path / "usr"
    for folder in (mine, theirs):
        folder.mkdir()
        describe(folder, "60-x")
    assert find_firmware((mine, theirs)).code == mine / "60-x.code"


@pytest.mark.parametrize(
    "changes",
    [
        {"interface-types": ["bios"]},
        {"features": ["enrolled-keys"]},
        {"targets": [{"architecture": "aarch64", "machines": ["virt-*"]}]},
        {"targets": [{"architecture": "x86_64", "machines": ["microvm"]}]},
        {"mapping": {"device": "memory", "filename": "x"}},
        {"mapping": {"device": "flash"}},
        {"targets": 3},
    ],
)
def test_unsuitable_firmware_is_reported_with_the_package(tmp_path: Path, changes: Any) -> None:
    describe(tmp_path, "60-x", **changes)
    (tmp_path / "61.json").write_text("not JSON")
    with pytest.raises(PowerOnError, match="no UEFI firmware") as caught:
        find_firmware((tmp_path,))
    assert caught.value.hint == "apt-get install ovmf"


def test_firmware_whose_files_are_gone_does_not_count(tmp_path: Path) -> None:
    describe(tmp_path, "60-x")
    (tmp_path / "60-x.vars").unlink()
    with pytest.raises(PowerOnError):
        find_firmware((tmp_path,))


def test_a_machine_gets_variables_of_its_own_and_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(tmp_path, "60-x")
    monkeypatch.setattr(firmware, "DESCRIPTORS", (tmp_path,))
    own = tmp_path / "vm"
    assert prepare_firmware(own) == tmp_path / "60-x.code"
    assert own.read_text() == "60-x.vars"
    own.write_text("changed by the guest")
    prepare_firmware(own)
    assert own.read_text() == "changed by the guest"
    assert prepare_firmware(None) is None
