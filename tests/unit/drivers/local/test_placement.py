"""Whether QEMU's helper may put a card on a bridge."""

import os
from pathlib import Path

import pytest

from linkedclone.drivers.local.placement import BridgePlaces, check_bridge, is_allowed
from linkedclone.errors import LinkedCloneError, NotFoundError, RefusedError


@pytest.fixture
def places(tmp_path: Path) -> BridgePlaces:
    """A host with a bridge br0, the helper with root's rights, and a list that allows it."""
    (tmp_path / "net/br0/bridge").mkdir(parents=True)
    (tmp_path / "net/eth0").mkdir()
    (tmp_path / "lib").mkdir()
    helper = tmp_path / "lib/qemu-bridge-helper"
    helper.touch()
    helper.chmod(0o4755)
    (tmp_path / "bridge.conf").write_text("allow br0\n")
    return BridgePlaces(
        helpers=(tmp_path / "none", tmp_path / "lib"),
        access=tmp_path / "bridge.conf",
        interfaces=tmp_path / "net",
    )


def refusal(name: str, places: BridgePlaces) -> LinkedCloneError:
    with pytest.raises((NotFoundError, RefusedError)) as caught:
        check_bridge(name, places)
    return caught.value


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file root's rights")
def test_a_bridge_that_may_be_used_is_taken(places: BridgePlaces) -> None:
    check_bridge("br0", places)


def test_an_interface_that_is_not_a_bridge_is_not_found(places: BridgePlaces) -> None:
    assert "there are: br0" in refusal("eth0", places).hint
    assert refusal("br1", places).brief == "there is no bridge 'br1' on this host"
    (places.interfaces / "br0/bridge").rmdir()
    assert refusal("br0", places).hint == "this host has none"


def test_a_missing_helper_is_reported_with_its_package(places: BridgePlaces) -> None:
    (places.helpers[1] / "qemu-bridge-helper").unlink()
    assert "qemu-system-common" in refusal("br0", places).hint


def test_a_helper_without_root_rights_is_reported(
    places: BridgePlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    helper = places.helpers[1] / "qemu-bridge-helper"
    helper.chmod(0o755)
    error = refusal("br0", places)
    assert error.hint == f"sudo chmod u+s {helper}"


def test_a_missing_list_or_entry_is_reported(
    places: BridgePlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linkedclone.drivers.local.placement._check_helper", lambda _: None)
    places.access.write_text("allow br7\n")
    assert "does not allow the bridge br0" in refusal("br0", places).brief
    places.access.unlink()
    error = refusal("br0", places)
    assert f"echo 'allow br0' >> {places.access}" in error.hint


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ("allow br0", True),
        ("allow all", True),
        ("  allow  br0  # ours", True),
        ("", False),
        ("allow br1", False),
        ("# allow br0", False),
        ("allow all\ndeny br0", False),
        ("deny all\nallow br0", False),
        ("deny br1\nallow br0", True),
        ("allow br0 br1", False),
    ],
)
def test_a_refusal_beats_a_permission(tmp_path: Path, rules: str, allowed: bool) -> None:
    file = tmp_path / "bridge.conf"
    file.write_text(rules)
    assert is_allowed("br0", file) is allowed


def test_included_lists_count(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("allow br0\n")
    file = tmp_path / "bridge.conf"
    file.write_text(f"include {tmp_path / 'more'}\n")
    assert is_allowed("br0", file)
    file.write_text(f"include {file}\n")  # itself
    assert not is_allowed("br0", file)
