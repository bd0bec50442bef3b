"""A VM whose record is broken stands in nobody's way, and loses nothing."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.inventory.layer_users import take_survey
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.drivers.local.state.record import FILE_NAME, FORMAT
from linkedclone.errors import HypervisorError, InUseError, LinkedCloneError, RefusedError
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.tree import build_tree
from linkedclone.model.findings import Verdict
from linkedclone.model.images import ImageImport
from linkedclone.model.report import ActionReport, Mode
from linkedclone.model.request import Deletion
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.vms.delete import plan_delete
from tests import do
from tests.contract.acts import delete, error_of, find, make, result_of, step_for, take_snapshot
from tests.local.scenes import (
    check_tidy,
    collect_files,
    connect,
    digest,
    make_image,
    overlay_by_hand,
    write,
    write_format_1,
)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden"))
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
    assert isinstance(
        error_of(driver, lambda: driver.start(do.set_power(vm, Power.ON))), HypervisorError
    )
    assert {f.check: f.verdict for f in driver.folder.diagnose()}["layers"] is Verdict.FAILED
    assert take_survey(driver.state).doubts
    delete(driver, find(driver, "desk-2"))
    with pytest.raises(RefusedError, match="its clones are unknown"):
        driver.images.remove_image("golden")
    delete(driver, find(driver, "golden"))
    record.write_bytes(kept)
    assert find(driver, "desk-1") == vm or find(driver, "desk-1").disks == vm.disks
    collect_files(driver)
    check_tidy(driver.state.root)


def test_a_record_that_was_taken_away_is_listed(driver: LocalDriver) -> None:
    vm = find(driver, "desk-1")
    (driver.state.folder(vm.id) / FILE_NAME).unlink()
    assert "desk-1" in {one.name for one in driver.observe().vms}
    assert take_survey(driver.state).doubts


def test_a_damaged_record_is_to_be_restored_and_what_delete_would_lose_is_said(
    driver: LocalDriver,
) -> None:
    vm = find(driver, "desk-1")
    record = driver.state.folder(vm.id) / FILE_NAME
    record.write_bytes(b"{")
    trouble = find(driver, "desk-1").trouble
    assert f"restore {record} from a backup; ``doctor``" in trouble
    assert "would lose its 1 disk file " in trouble
    told = {finding.check: finding for finding in driver.folder.diagnose()}["layers"]
    top = driver.state.root / vm.disks[0].top.path
    out = driver.state.root.parent / "out.qcow2"
    _, _, convert = told.remedy.partition("import it anew: ")
    subprocess.run([*convert.split()[:-1], str(out)], check=True)
    assert "delete" not in told.remedy
    subprocess.run(["qemu-img", "compare", "-q", str(top), str(out)], check=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_vm_whose_record_a_newer_version_wrote_is_refused_whatever_is_forced(
    driver: LocalDriver, force: bool
) -> None:
    record = driver.state.folder(find(driver, "desk-1").id) / FILE_NAME
    written = record.read_text().replace('"format": 2', f'"format": {FORMAT + 1}')
    record.write_text(written)
    with closing(Connection(driver, address="local:")) as connection:
        for act in (
            lambda: connection.delete(["desk-1"], Deletion(force=force, despite_unreadable=force)),
            lambda: connection.vms.set_power(["desk-1"], Power.ON, force=force),
            lambda: connection.vms.set_power(["golden", "desk-1"], Power.ON, force=force),
            lambda: connection.disks.promote(["desk-1"], force=force),
        ):
            told = tell_failure(act)
            assert "written by a newer version of linkedclone" in told
            assert "did not make" not in told
            assert "use that version" in told
            assert "repeat with" not in told
    assert record.read_text() == written


def tell_failure(act: Callable[[], ActionReport]) -> str:
    try:
        errors = [result.error for result in act().results if result.name == "desk-1"]
    except RefusedError as error:
        return f"{error}; {error.hint}"
    return str(errors)


def test_a_record_of_no_version_at_all_is_damaged_and_not_newer(driver: LocalDriver) -> None:
    record = driver.state.folder(find(driver, "desk-1").id) / FILE_NAME
    for odd in ("true", '"3"', "0", "1.5", "null"):
        content = record.read_text()
        record.write_text(content.replace('"format": 2', f'"format": {odd}'))
        assert "restore" in find(driver, "desk-1").trouble
        record.write_text(content)


@pytest.mark.parametrize("kind", ["file", "copy"])
@pytest.mark.parametrize("named", ["notes.qcow2", "lock", FILE_NAME])
def test_what_a_record_calls_a_layer_and_is_none_of_ours_stays(
    driver: LocalDriver, kind: str, named: str
) -> None:
    vm = find(driver, "desk-1")
    take_snapshot(driver, vm, "first")
    folder = driver.state.folder(vm.id)
    (folder / "notes.qcow2").write_text("mine")
    record = json.loads((folder / FILE_NAME).read_text())
    record["disks"][0][kind] = named
    (folder / FILE_NAME).write_text(json.dumps(record))
    snapshot = find(driver, "desk-1").snapshots[0].id
    result_of(driver, driver.start(do.revert_snapshot(vm, snapshot)))
    assert (folder / "notes.qcow2").read_text() == "mine"
    assert (folder / "lock").exists()
    assert not find(driver, "desk-1").trouble


# -- folders of older versions ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["pending", "copy"])
def test_a_move_that_an_older_version_was_killed_in_is_settled(
    driver: LocalDriver, kind: str
) -> None:
    vm = find(driver, "desk-1")
    top = driver.state.root / vm.disks[0].top.path
    write(top, at=1 << 16, length=70_000, fill=7)
    before = digest(top)
    new = top.with_name("disk-0badcafe.qcow2")
    if kind == "pending":
        overlay_by_hand(new, top, named=f"../../vms/{vm.id}/{top.name}")
    else:
        new.write_bytes(top.read_bytes())
    write_format_1(driver.state.root)
    record = top.with_name(FILE_NAME)
    record.write_text(json.dumps({**json.loads(record.read_text()), kind: new.name}))
    take_snapshot(driver, vm, "settled")
    after = find(driver, "desk-1")
    (frozen,) = (disk.top.path for disk in after.snapshots[0].disks or ())
    assert frozen.endswith(new.name if kind == "pending" else top.name)
    assert digest(driver.state.root / frozen) == before
    assert new.exists() == (kind == "pending")
    assert '"format": 2' in record.read_text()


# -- a grandparent is held by the disks, whatever became of the parent between ------------


def lose_record(state: StateFolder, vm: Vm) -> None:
    (state.folder(vm.id) / FILE_NAME).unlink()


def lose_folder(state: StateFolder, vm: Vm) -> None:
    shutil.rmtree(state.folder(vm.id))


def lose_all(state: StateFolder, vm: Vm) -> None:
    state.link(vm.id).unlink()
    shutil.rmtree(state.folder(vm.id))


@pytest.mark.parametrize("lose", [lose_record, lose_folder, lose_all])
def test_a_grandparent_is_held_though_the_parent_between_was_lost(
    driver: LocalDriver, lose: Callable[[StateFolder, Vm], None]
) -> None:
    parent = find(driver, "desk-1")
    take_snapshot(driver, parent, "mine")
    make(driver, step_for(driver, find(driver, "desk-1"), "below"))
    delete(driver, find(driver, "desk-2"))
    lose(driver.state, parent)
    inventory = driver.observe()
    lineage = Lineage(inventory)
    modes = {vm.name: lineage.origin(vm).mode for vm in inventory.vms}
    assert modes.get("desk-1", Mode.UNKNOWN) is Mode.UNKNOWN
    golden = next(vm for vm in inventory.vms if vm.name == "golden")
    with pytest.raises(RefusedError, match="below"):
        plan_delete([golden], inventory, Deletion(force=True))
    with pytest.raises(LinkedCloneError, match="golden"):
        driver.images.remove_image("golden")
    assert find(driver, "golden").id == golden.id


def test_the_chain_of_a_vm_without_a_record_is_read_from_its_disks(
    driver: LocalDriver,
) -> None:
    parent = find(driver, "desk-1")
    lose_record(driver.state, parent)
    inventory = driver.observe()
    golden = next(vm for vm in inventory.vms if vm.name == "golden")
    with pytest.raises(InUseError, match="desk-1"):
        plan_delete([golden], inventory, Deletion(force=True, despite_unreadable=True))


def test_a_broken_vm_is_shown_in_the_tree_and_never_as_full(driver: LocalDriver) -> None:
    lose_folder(driver.state, find(driver, "desk-1"))
    nodes = [node.document() for node in build_tree(driver.observe())]
    assert [node["mode"] for node in nodes if node.get("vm") == "desk-1"] == ["unknown"]
