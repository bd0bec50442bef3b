"""A VM whose record is broken stands in nobody's way, and loses nothing."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.record import FILE_NAME
from linkedclone.drivers.local.survey import take_survey
from linkedclone.errors import HypervisorError
from linkedclone.model.findings import Verdict
from linkedclone.model.images import ImageImport
from linkedclone.model.observed import Power
from tests.contract.acts import delete, error_of, find, make, step_for
from tests.local.scenes import check_tidy, collect_files, connect, make_image


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.import_image(ImageImport(file=image, name="golden"))
        for name in ("desk-1", "desk-2"):
            make(opened, step_for(opened, find(opened, "golden"), name))
        yield opened


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 99}'])
def test_a_broken_record_is_listed_and_nothing_of_it_is_swept(
    driver: LocalDriver, content: bytes
) -> None:
    vm = find(driver, "desk-1")
    record = driver.state.folder(vm.id) / FILE_NAME
    kept = record.read_bytes()
    record.write_bytes(content)
    seen = {one.name: one for one in driver.observe().vms}
    assert set(seen) == {"golden", "desk-1", "desk-2"}
    assert seen["desk-1"].power is Power.UNKNOWN
    assert isinstance(error_of(driver, lambda: driver.set_power(vm.id, Power.ON)), HypervisorError)
    assert {f.check: f.verdict for f in driver.diagnose()}["layers"] is Verdict.FAILED
    delete(driver, find(driver, "golden"))
    assert take_survey(driver.state).doubts
    record.write_bytes(kept)
    assert find(driver, "desk-1") == vm or find(driver, "desk-1").disks == vm.disks
    collect_files(driver)
    check_tidy(driver.state.root)


def test_a_record_that_was_taken_away_is_listed(driver: LocalDriver) -> None:
    vm = find(driver, "desk-1")
    (driver.state.folder(vm.id) / FILE_NAME).unlink()
    assert "desk-1" in {one.name for one in driver.observe().vms}
    assert take_survey(driver.state).doubts
