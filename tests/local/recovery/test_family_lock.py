"""The family lock: what has no name yet cannot be swept away, nor a layer between look and use."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from linkedclone.drivers.local import cloning
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.lifecycle import naming
from linkedclone.drivers.local.recovery import garbage
from linkedclone.drivers.local.snapshots import consolidate, snapshots
from linkedclone.drivers.local.snapshots import promote as promotion
from linkedclone.errors import BusyError
from linkedclone.model.images import ImageImport
from linkedclone.system.locks import hold
from tests import do
from tests.contract.acts import find, make, result_of, step_for, take_snapshot
from tests.local.scenes import connect, make_image

SHARED, ALONE = True, False
"""How the lock is held: as others may hold it too, or alone."""


def clone(driver: LocalDriver) -> None:
    make(driver, step_for(driver, find(driver, "golden"), "fresh"))


def snapshot(driver: LocalDriver) -> None:
    take_snapshot(driver, find(driver, "desk"), "more")


def revert(driver: LocalDriver) -> None:
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.revert_snapshot(desk, desk.snapshots[0].id)))


def delete_snapshot(driver: LocalDriver) -> None:
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.delete_snapshot(desk, desk.snapshots[0].id)))


def promote(name: str) -> Callable[[LocalDriver], object]:
    return lambda driver: result_of(driver, driver.start(do.promote_vm(find(driver, name))))


def import_image(driver: LocalDriver) -> None:
    file = driver.state.root.parent / "image.qcow2"
    driver.images.import_image(ImageImport(file=file, name="second"))


def delete(driver: LocalDriver) -> None:
    result_of(driver, driver.start(do.delete_vm(find(driver, "golden"))))


CASES: dict[str, tuple[Callable[[LocalDriver], object], ModuleType, str, bool]] = {
    "clone checks its base": (clone, cloning, "build_delta", SHARED),
    "clone is named": (clone, cloning, "publish_vm", SHARED),
    "image is named": (import_image, naming, "publish_vm", SHARED),
    "snapshot's new layer is named": (snapshot, snapshots, "publish_file", SHARED),
    "snapshot is named": (snapshot, snapshots, "save_record", SHARED),
    "revert's new layer is named": (revert, snapshots, "publish_file", SHARED),
    "revert is named": (revert, snapshots, "save_record", SHARED),
    "copy comes into the folder": (promote("plain"), promotion, "_take_over", SHARED),
    "copy is named": (promote("plain"), promotion, "save_record", SHARED),
    "copy of what is shared comes": (promote("desk"), promotion, "_take_over", SHARED),
    "copy of what is shared is named": (promote("desk"), promotion, "rehang", SHARED),
    "merge looks who reads": (delete_snapshot, consolidate, "take_survey", ALONE),
    "sweep looks who reads": (delete, garbage, "take_survey", ALONE),
    "sweep removes": (delete, garbage, "_sweep_folder", ALONE),
}


@pytest.mark.parametrize("case", CASES)
def test_the_lock_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    act, module, name, shared = CASES[case]
    with closing(connect(tmp_path / "state")) as driver:
        image = make_image(tmp_path / "image.qcow2")
        driver.images.import_image(ImageImport(file=image, name="golden"))
        for made in ("desk", "plain"):
            make(driver, step_for(driver, find(driver, "golden"), made))
        take_snapshot(driver, find(driver, "desk"), "mine")
        held: list[bool] = []
        original = getattr(module, name)

        def look(*about: Any, **options: Any) -> Any:
            try:
                with hold(driver.state.family_lock, shared=not shared, deadline_s=0):
                    held.append(False)
            except BusyError:
                held.append(True)
            return original(*about, **options)

        monkeypatch.setattr(module, name, look)
        act(driver)
        assert held
        assert all(held)
