"""A promoted VM that is off keeps its snapshots: only what it shares is copied, below them all."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.storage.seals import is_sealed
from linkedclone.errors import InUseError, RefusedError
from linkedclone.model.vm import Power
from tests import do
from tests.contract.acts import (
    error_of,
    find,
    make,
    result_of,
    set_power,
    step_for,
    take_snapshot,
)
from tests.local.scenes import check_tidy, make_image, overlay_by_hand, view, write
from tests.local.snapshots.test_promoting import disk_of, open_family, promote, stop_all


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    with closing(open_family(tmp_path / "state", make_image(tmp_path / "image.qcow2"))) as opened:
        yield opened
        stop_all(opened)


def test_one_with_snapshots_takes_a_copy_below_all_of_them(driver: LocalDriver) -> None:
    for fill_with, name in ((20, "one"), (21, "two")):
        write(disk_of(driver, "desk"), at=5000 * fill_with, length=30_000, fill=fill_with)
        take_snapshot(driver, find(driver, "desk"), name)
    write(disk_of(driver, "desk"), at=0, length=9000, fill=22)
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.revert_snapshot(desk, desk.snapshots[0].id)))
    before = view(driver.state.root)["desk"]
    promoted = promote(driver, "desk")
    assert len(promoted.disks[0].chain) == 3
    assert all(is_sealed(driver.state.root / layer.path) for layer in promoted.disks[0].chain[:-1])
    assert view(driver.state.root)["desk"] == replace(before, independent=True)
    result_of(driver, driver.start(do.delete_vm(find(driver, "golden"))))
    assert {folder.name for folder in driver.state.vms.iterdir()} == {promoted.id}
    assert view(driver.state.root)["desk"] == replace(before, independent=True)
    check_tidy(driver.state.root)
    set_power(driver, promoted, Power.ON)


def test_what_only_it_read_goes(driver: LocalDriver) -> None:
    take_snapshot(driver, find(driver, "desk"), "mine")
    result_of(driver, driver.start(do.delete_vm(find(driver, "golden"))))
    promoted = promote(driver, "desk")
    assert {folder.name for folder in driver.state.vms.iterdir()} == {promoted.id}
    check_tidy(driver.state.root)


def test_a_changed_layer_of_a_snapshot_is_not_sealed_anew(driver: LocalDriver) -> None:
    take_snapshot(driver, find(driver, "desk"), "mine")
    take_snapshot(driver, find(driver, "desk"), "later")
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.revert_snapshot(desk, desk.snapshots[0].id)))
    (later,) = [one for one in desk.snapshots if one.name == "later"]
    layer = driver.state.root / (later.disks or ())[0].top.path
    layer.chmod(0o644)
    with layer.open("ab") as file:
        file.write(bytes(512))
    error = error_of(driver, lambda: driver.start(do.promote_vm(desk)))
    assert isinstance(error, RefusedError)
    assert "was changed" in error.brief
    check_tidy(driver.state.root)


@pytest.mark.parametrize("power", [Power.OFF, Power.ON])
def test_a_vm_whose_snapshot_has_dependents_is_not_promoted(
    driver: LocalDriver, power: Power
) -> None:
    take_snapshot(driver, find(driver, "desk"), "mine")
    grand = make(driver, step_for(driver, find(driver, "desk"), "grand"))
    set_power(driver, grand, power)
    before = view(driver.state.root)
    error = error_of(driver, lambda: driver.start(do.promote_vm(find(driver, "desk"))))
    assert isinstance(error, InUseError)
    assert error.dependants == ("grand",)
    assert view(driver.state.root) == before
    set_power(driver, grand, Power.OFF)
    check_tidy(driver.state.root)
    promote(driver, "grand")
    assert len(promote(driver, "desk").disks[0].chain) == 3
    check_tidy(driver.state.root)


def test_a_file_made_by_hand_over_a_snapshot_is_in_the_way(driver: LocalDriver) -> None:
    take_snapshot(driver, find(driver, "desk"), "mine")
    layer = driver.state.root / find(driver, "desk").disks[0].chain[-2].path
    made = overlay_by_hand(layer.parent / "mine.qcow2", layer)
    error = error_of(driver, lambda: driver.start(do.promote_vm(find(driver, "desk"))))
    assert isinstance(error, InUseError)
    assert error.dependants == (str(made.relative_to(driver.state.root)),)
