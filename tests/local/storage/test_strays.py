"""Disk files that others made: seen, told, kept, and never touched; and leftovers, which go."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from linkedclone.app import families
from linkedclone.app.connection import Connection
from linkedclone.drivers.local.driver import LocalDriver
from linkedclone.drivers.local.inventory import orphans
from linkedclone.drivers.local.inventory.orphans import list_unreached
from linkedclone.drivers.local.recovery.garbage import sweep
from linkedclone.drivers.local.state.staging import at_work
from linkedclone.errors import InUseError, LinkedCloneError, NotFoundError, RefusedError
from linkedclone.formats.qcow2 import read_header
from linkedclone.lineage.family import Lineage
from linkedclone.model.garbage import Waste, WasteKind
from linkedclone.model.images import ImageImport
from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.request import Deletion, Scan
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Layer, Power, Vm
from linkedclone.planning.vms.garbage import find_waste
from linkedclone.system.locks import hold
from tests import do
from tests.contract.acts import (
    error_of,
    find,
    make,
    read,
    renamed,
    result_of,
    set_power,
    step_for,
    take_snapshot,
)
from tests.local.scenes import (
    check_tidy,
    clean_up,
    collect_files,
    connect,
    digest,
    make_image,
    overlay_by_hand,
    top_of,
    write,
)


def test_an_image_that_was_fetched_in_part_long_ago_is_waste(driver: LocalDriver) -> None:
    driver.state.downloads.mkdir()
    part, young = (driver.state.downloads / f"{n}123456789abcdef.part" for n in "01")
    for path in (part, part.with_suffix(".json"), young):
        path.write_bytes(b"x" * 4096)
    long_ago = time.time() - 8 * 86400
    os.utime(part, (long_ago, long_ago))
    connection = Connection(driver, address="local:")
    assert not driver.observe(sizes=True).strays
    with hold(part):
        assert not connection.lineage.collect_waste(scan=Scan()).found
    (waste,) = connection.lineage.collect_waste(scan=Scan()).found
    assert "downloaded in part" in waste.reason
    assert str(part.relative_to(driver.state.root)) in waste.name
    report = connection.lineage.collect_waste([WasteKind.FILE], scan=Scan())
    assert report.exit_code == 0
    assert list(driver.state.downloads.iterdir()) == [young]
    check_tidy(driver.state.root)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    """A state folder with a parent, and a clone that holds data of its own."""
    image = make_image(tmp_path / "image.qcow2")
    with closing(connect(tmp_path / "state")) as opened:
        opened.images.import_image(ImageImport(file=image, name="golden"))
        made = make(opened, step_for(opened, find(opened, "golden"), "desk"))
        write(top_of(opened.state, made), at=200_000, length=70_000, fill=6)
        yield opened


def base_of(driver: LocalDriver, name: str = "golden") -> Path:
    """The lowest layer of a VM's disk."""
    return driver.state.root / find(driver, name).disks[0].chain[0].path


def folder_of(driver: LocalDriver, name: str) -> Path:
    return driver.state.folder(find(driver, name).id)


def by_hand(driver: LocalDriver, name: str, backing: Path) -> Path:
    """An overlay in a VM's folder, with data of its own."""
    made = overlay_by_hand(folder_of(driver, name) / "hand.qcow2", backing)
    write(made, at=500_000, length=9000, fill=9)
    return made


def only_stray(inventory: Inventory) -> Stray:
    (stray,) = inventory.strays
    return stray


def test_a_file_is_seen_though_the_time_of_its_folder_was_put_back(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``cp -a`` and ``rsync -a`` do."""
    monkeypatch.setattr("linkedclone.drivers.local.inventory.foreign_files._SETTLED_NS", 0)
    folder = folder_of(driver, "desk")
    assert driver.observe().strays == ()
    before = folder.stat()
    by_hand(driver, "desk", base_of(driver))
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(driver.observe().strays) == 1


def names(inventory: Inventory, vm: Vm) -> set[str]:
    """What depends on a VM."""
    found = Lineage(inventory).dependants(vm)
    return {one.layer.path if isinstance(one, Stray) else one.name for one in found}


def paths(stray: Stray) -> list[str]:
    return [layer.path for layer in stray.chain]


# -- seen -----------------------------------------------------------------------------


def test_an_overlay_made_by_hand_among_the_vms_is_always_seen(driver: LocalDriver) -> None:
    base = base_of(driver)
    hand = by_hand(driver, "desk", base)
    stray = only_stray(driver.observe())
    assert paths(stray) == [driver.state.relative(base), driver.state.relative(hand)]
    assert not stray.orphaned
    assert "hand" in stray.about
    assert stray.used_bytes == hand.stat().st_blocks * 512
    assert names(driver.observe(), find(driver, "golden")) == {stray.layer.path, "desk"}
    assert names(driver.observe(), find(driver, "desk")) == set()


@pytest.mark.parametrize("place", ["vms", "vms/{desk}/run/deep/er"])
def test_an_orphan_is_found_in_any_subfolder(driver: LocalDriver, place: str) -> None:
    folder = driver.state.root / place.format(desk=find(driver, "desk").id)
    hand = overlay_by_hand(folder / "hand.img", base_of(driver))
    sweep(driver.state)
    assert only_stray(driver.observe()).layer.path == driver.state.relative(hand)
    assert hand.exists()


NAMINGS: dict[str, Callable[[Path, Path], str]] = {
    "absolute": lambda _, base: str(base),
    "relative": lambda folder, base: os.path.relpath(base, folder),
    "with a protocol": lambda _, base: f"file:{base}",
    "as options": lambda _, base: (
        "json:" + json.dumps({"driver": "qcow2", "file": {"driver": "file", "filename": str(base)}})
    ),
    "as flat options": lambda _, base: (
        "json:" + json.dumps({"driver": "qcow2", "file.driver": "file", "file.filename": str(base)})
    ),
    "through a link": lambda folder, base: str(_linked(folder) / base.relative_to(base.parents[2])),
}


def _linked(folder: Path) -> Path:
    link = folder / "link"
    link.symlink_to(folder.parent / "state")
    return link


@pytest.mark.parametrize("naming", NAMINGS)
def test_however_it_names_its_backing_file_the_layer_is_known(
    driver: LocalDriver, tmp_path: Path, naming: str
) -> None:
    base = base_of(driver)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    hand = overlay_by_hand(elsewhere / "hand.qcow2", base, named=NAMINGS[naming](elsewhere, base))
    stray = only_stray(driver.observe(scan=Scan(places=(str(elsewhere),))))
    assert paths(stray) == [driver.state.relative(base), str(hand)]


def test_a_chain_of_overlays_is_seen_whole(driver: LocalDriver, tmp_path: Path) -> None:
    lower = overlay_by_hand(tmp_path / "elsewhere" / "lower.qcow2", base_of(driver))
    upper = by_hand(driver, "desk", lower)
    (stray,) = driver.observe().strays
    assert paths(stray) == [
        driver.state.relative(base_of(driver)),
        str(lower),
        driver.state.relative(upper),
    ]
    inventory = driver.observe(scan=Scan())
    assert [one.layer.path for one in inventory.strays] == [
        str(lower),
        driver.state.relative(upper),
    ]


def test_a_vmdk_over_a_vmdk_is_seen(driver: LocalDriver, tmp_path: Path) -> None:
    image = tmp_path / "image.vmdk"
    convert = ("qemu-img", "convert", "-O", "vmdk", tmp_path / "image.qcow2", image)
    subprocess.run(convert, check=True)
    driver.images.import_image(ImageImport(file=image, name="other"))
    base = base_of(driver, "other")
    hand = tmp_path / "elsewhere" / "hand.vmdk"
    hand.parent.mkdir()
    create = ["qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", str(base), str(hand)]
    subprocess.run(create, check=True)
    stray = only_stray(driver.observe(scan=Scan(places=(str(hand.parent),))))
    assert paths(stray) == [driver.state.relative(base), str(hand)]


def test_an_older_overlay_that_records_no_format_is_read(driver: LocalDriver) -> None:
    hand = by_hand(driver, "desk", base_of(driver))
    recorded, unknown = b"\xe2\x79\x2a\xca", b"\x12\x34\x56\x78"
    hand.write_bytes(hand.read_bytes().replace(recorded, unknown, 1))
    assert read_header(hand).backing_format == ""
    assert len(only_stray(driver.observe()).chain) == 2


def test_files_that_are_not_disks_are_ignored(driver: LocalDriver) -> None:
    folder = folder_of(driver, "desk")
    (folder / "notes.txt").write_text("remember the milk")
    (folder / "link.qcow2").symlink_to(base_of(driver))
    os.mkfifo(folder / "pipe.qcow2")
    assert driver.observe(scan=Scan()).strays == ()


def test_an_unrelated_disk_is_reported_only_in_the_vms_folders(
    driver: LocalDriver, tmp_path: Path
) -> None:
    alone = make_image(folder_of(driver, "desk") / "alone.qcow2")
    make_image(tmp_path / "elsewhere.qcow2")
    inventory = driver.observe(scan=Scan(places=(str(tmp_path),)))
    assert only_stray(inventory).layer.path == driver.state.relative(alone)


# -- scanned --------------------------------------------------------------------------


def test_a_folder_elsewhere_is_looked_at_when_it_is_named(
    driver: LocalDriver, tmp_path: Path
) -> None:
    hand = overlay_by_hand(tmp_path / "far" / "er" / "hand.qcow2", top_of_desk(driver))
    assert driver.observe().strays == ()
    inventory = driver.observe(sizes=True, scan=Scan(places=(str(tmp_path),)))
    stray = only_stray(inventory)
    assert stray.layer == Layer(store=driver.state.store, path=str(hand), store_name="local")
    assert inventory.files[stray.layer].used_bytes == hand.stat().st_blocks * 512
    assert names(inventory, find(driver, "desk")) == {str(hand)}


def top_of_desk(driver: LocalDriver) -> Path:
    return top_of(driver.state, find(driver, "desk"))


def test_what_was_not_looked_at_is_said(driver: LocalDriver, tmp_path: Path) -> None:
    (blind,) = driver.observe().blind
    assert "``scan``" in blind
    (blind,) = driver.observe(scan=Scan(places=(str(tmp_path),))).blind
    assert str(tmp_path) in blind


def test_links_are_not_followed_and_no_file_is_seen_twice(
    driver: LocalDriver, tmp_path: Path
) -> None:
    far = tmp_path / "far"
    overlay_by_hand(far / "hand.qcow2", base_of(driver))
    (far / "loop").symlink_to(far)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "link").symlink_to(far)
    places = (str(far), str(far), str(tmp_path / "again"))
    assert len(driver.observe(scan=Scan(places=places)).strays) == 1


def test_a_place_that_is_not_a_folder_is_refused(driver: LocalDriver, tmp_path: Path) -> None:
    for place in ("nowhere", "image.qcow2"):
        with pytest.raises(NotFoundError):
            driver.observe(scan=Scan(places=(str(tmp_path / place),)))


def test_an_unparsable_file_is_reported(driver: LocalDriver, tmp_path: Path) -> None:
    broken = tmp_path / "far" / "broken.qcow2"
    broken.parent.mkdir()
    broken.write_bytes(b"QFI\xfb" + bytes(range(200)))
    inventory = driver.observe(scan=Scan(places=(str(broken.parent),)))
    assert inventory.strays == ()
    assert any(str(broken) in sentence for sentence in inventory.blind)


# -- kept -----------------------------------------------------------------------------


def test_a_sweep_touches_nothing_that_others_made(driver: LocalDriver) -> None:
    """It once removed every disk file that no VM reached, also a person's."""
    hand = by_hand(driver, "desk", base_of(driver))
    raw = folder_of(driver, "golden") / "data.raw"
    raw.write_bytes(b"data")
    loose = driver.state.vms / "loose.qcow2"
    overlay_by_hand(loose, base_of(driver))
    before = digest(hand)
    (driver.state.staging / "0a1b2c3d.clone.web").mkdir()
    clean_up(driver.state.root)
    assert list(driver.state.staging.iterdir()) == []
    assert digest(hand) == before
    assert raw.read_bytes() == b"data"
    assert loose.exists()


def test_a_base_that_only_an_overlay_made_by_hand_reads_is_kept(driver: LocalDriver) -> None:
    """It once went with the last VM on it."""
    hand = by_hand(driver, "desk", base_of(driver))
    before = digest(hand)
    for name in ("desk", "golden"):
        result_of(driver, driver.start(do.delete_vm(find(driver, name))))
    assert driver.observe().vms == ()
    assert digest(hand) == before
    sweep(driver.state)
    assert digest(hand) == before
    hand.unlink()
    collect_files(driver)
    assert list(driver.state.vms.iterdir()) == []


def test_the_disk_of_a_deleted_clone_is_kept_for_an_overlay(driver: LocalDriver) -> None:
    """The usual clone is deleted without a look at all others."""
    desk = find(driver, "desk")
    hand = by_hand(driver, "golden", top_of_desk(driver))
    before = digest(hand)
    result_of(driver, driver.start(do.delete_vm(desk)))
    assert digest(hand) == before
    check_tidy(driver.state.root)


def test_a_revert_keeps_the_present_state_for_an_overlay(driver: LocalDriver) -> None:
    take_snapshot(driver, find(driver, "desk"), "mine")
    write(top_of_desk(driver), at=0, length=4096, fill=3)
    hand = by_hand(driver, "golden", top_of_desk(driver))
    before = digest(hand)
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.revert_snapshot(desk, desk.snapshots[0].id)))
    assert digest(hand) == before
    check_tidy(driver.state.root)


def test_a_layer_that_an_overlay_reads_is_not_merged_into(driver: LocalDriver) -> None:
    frozen = top_of_desk(driver)
    take_snapshot(driver, find(driver, "desk"), "mine")
    write(top_of_desk(driver), at=0, length=70_000, fill=3)
    hand = by_hand(driver, "golden", frozen)
    before = (digest(hand), digest(top_of_desk(driver)), frozen.read_bytes())
    desk = find(driver, "desk")
    result_of(driver, driver.start(do.delete_snapshot(desk, desk.snapshots[0].id)))
    assert (digest(hand), digest(top_of_desk(driver)), frozen.read_bytes()) == before
    check_tidy(driver.state.root)


@pytest.mark.parametrize("act", ["start", "grow", "promote"])
def test_a_disk_that_an_overlay_reads_is_not_written_to(driver: LocalDriver, act: str) -> None:
    hand = by_hand(driver, "golden", top_of_desk(driver))
    desk = find(driver, "desk")
    before = top_of_desk(driver).read_bytes()
    disk = desk.disks[0]
    starts = {
        "start": lambda: driver.start(do.set_power(desk, Power.ON)),
        "grow": lambda: driver.start(do.grow_disk(desk, disk.label, 2 * disk.capacity_bytes)),
        "promote": lambda: driver.start(do.promote_vm(desk)),
    }
    error = error_of(driver, starts[act])
    assert isinstance(error, InUseError)
    assert error.dependants == (driver.state.relative(hand),)
    assert top_of_desk(driver).read_bytes() == before
    assert read(driver, desk.id).power is Power.OFF
    take_snapshot(driver, desk, "for the overlay")
    set_power(driver, desk, Power.ON)


def test_while_a_foreign_file_cannot_be_read_nothing_goes(driver: LocalDriver) -> None:
    """It may depend on anything."""
    broken = folder_of(driver, "desk") / "broken.qcow2"
    broken.write_bytes(b"QFI\xfb" + bytes(range(200)))
    desk, base = find(driver, "desk"), base_of(driver)
    for vm in (desk, find(driver, "golden")):
        result_of(driver, driver.start(do.delete_vm(vm)))
    assert base.exists()
    broken.unlink()
    collect_files(driver)
    assert list(driver.state.vms.iterdir()) == []


def test_the_names_that_are_ours_are_all_that_a_vm_s_folder_holds(driver: LocalDriver) -> None:
    take_snapshot(driver, find(driver, "desk"), "mine")
    set_power(driver, find(driver, "desk"), Power.ON)
    set_power(driver, find(driver, "desk"), Power.OFF)
    for name in ("desk", "golden"):
        result_of(driver, driver.start(do.delete_vm(find(driver, name))))
    assert list(driver.state.vms.iterdir()) == []


def test_other_files_in_the_folder_of_a_deleted_vm_stay_too(driver: LocalDriver) -> None:
    notes = folder_of(driver, "desk") / "notes.txt"
    notes.write_text("remember the milk")
    result_of(driver, driver.start(do.delete_vm(find(driver, "desk"))))
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]


# -- guarded --------------------------------------------------------------------------


@pytest.fixture
def connection(driver: LocalDriver) -> Connection:
    return Connection(driver, address="local:")


def test_the_parent_of_an_overlay_is_not_deleted_by_anything(
    driver: LocalDriver, connection: Connection
) -> None:
    hand = by_hand(driver, "desk", base_of(driver))
    shown = str(only_stray(driver.observe()).layer)
    assert driver.state.relative(hand) in shown
    for how in (Deletion(force=True), Deletion(force=True, cascade=True)):
        with pytest.raises(InUseError) as refused:
            connection.delete(["golden"], how)
        assert any(shown in name for name in refused.value.dependants)
    with pytest.raises(InUseError) as refused:
        connection.images.remove("golden")
    assert driver.state.relative(hand) in refused.value.dependants
    assert "desk" in refused.value.dependants
    with pytest.raises(InUseError):
        connection.snapshots.delete("golden", "base", force=True)


def test_an_overlay_elsewhere_is_in_the_way_when_it_is_looked_for(
    driver: LocalDriver, connection: Connection, tmp_path: Path
) -> None:
    hand = overlay_by_hand(tmp_path / "far" / "hand.qcow2", top_of_desk(driver))
    with pytest.raises(InUseError) as refused:
        connection.vms.delete(["desk"], scan=Scan(places=(str(hand.parent),)))
    assert any(str(hand) in name for name in refused.value.dependants)


def test_an_overlay_is_in_the_tree_and_in_the_sums(
    driver: LocalDriver, connection: Connection
) -> None:
    hand = by_hand(driver, "desk", base_of(driver))
    (family,) = connection.lineage.tree()
    (snapshot,) = family.children
    assert {node.vm.name for node in snapshot.children if node.vm} == {"desk"}
    orphans = [node.stray for node in snapshot.children if node.stray]
    assert [stray.layer.path for stray in orphans] == [driver.state.relative(hand)]
    (usage,) = connection.lineage.usage().families
    assert [stray.layer.path for stray in usage.strays] == [driver.state.relative(hand)]
    (desk,) = [one for one in usage.vms if one.vm.name == "desk"]
    assert desk.own_bytes == top_of_desk(driver).stat().st_blocks * 512
    (found,) = connection.lineage.collect_waste().found
    assert (found.kind, found.step) == (WasteKind.FILE, None)
    assert found.why_not


# -- removed --------------------------------------------------------------------------


def leave(driver: LocalDriver, name: str, number: int, backing: Path | None = None) -> Path:
    """Leave a layer behind with a name that only this driver gives."""
    left = folder_of(driver, name) / f"disk-{number:08x}.qcow2"
    return overlay_by_hand(left, backing or base_of(driver))


def test_a_layer_of_ours_that_nothing_reaches_is_an_orphan_and_goes(
    driver: LocalDriver, connection: Connection
) -> None:
    lower = leave(driver, "desk", 1)
    upper = leave(driver, "golden", 2, lower)
    found = driver.observe().strays
    assert {stray.layer.path for stray in found} == set(map(driver.state.relative, (lower, upper)))
    assert all(stray.orphaned for stray in found)
    (first,) = [stray for stray in found if driver.state.root / stray.layer.path == lower]
    assert isinstance(error_of(driver, lambda: driver.start(do.remove_stray(first))), InUseError)
    report = connection.lineage.collect_waste([WasteKind.FILE])
    assert all(result.error is None for _, result in report.results)
    assert not lower.exists()
    assert not upper.exists()
    assert driver.observe().strays == ()
    check_tidy(driver.state.root)


def test_an_orphan_missing_from_the_second_look_is_reported(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave(driver, "desk", 1)
    looks: list[object] = []

    def find_once(*given: Any, **named: Any) -> tuple[Waste, ...]:
        looks.append(given)
        return find_waste(*given, **named) if len(looks) == 1 else ()

    monkeypatch.setattr(families, "find_waste", find_once)
    report = Connection(driver, address="local:").lineage.collect_waste([WasteKind.FILE])
    assert report.results == ()
    assert driver.state.relative(left) in " ".join(report.notes)
    assert left.exists()


def test_an_orphan_that_is_half_written_is_one_all_the_same(driver: LocalDriver) -> None:
    left = folder_of(driver, "desk") / "disk-00000001.qcow2"
    left.write_bytes(b"QFI\xfb")
    stray = only_stray(driver.observe())
    assert stray.orphaned
    result_of(driver, driver.start(do.remove_stray(stray)))
    assert not left.exists()


def test_an_orphan_that_an_overlay_reads_is_none(driver: LocalDriver) -> None:
    lower = leave(driver, "desk", 1)
    hand = by_hand(driver, "golden", lower)
    stray = only_stray(driver.observe())
    assert stray.layer.path == driver.state.relative(hand)
    assert not stray.orphaned
    claim = Stray(chain=stray.chain[:-1], orphaned=True)
    error = error_of(driver, lambda: driver.start(do.remove_stray(claim)))
    assert isinstance(error, InUseError)
    assert error.dependants == (driver.state.relative(hand),)
    assert lower.exists()


def test_while_a_command_is_at_work_nothing_is_called_an_orphan(driver: LocalDriver) -> None:
    leave(driver, "desk", 1)
    entry = driver.state.staging / "00000001.snapshot.desk"
    entry.mkdir()
    with hold(entry / "lock"):
        assert driver.observe().strays == ()
    with hold(driver.state.family_lock, shared=True):
        assert driver.observe().strays == ()
    assert len(driver.observe().strays) == 1


def test_a_layer_claimed_between_two_looks_is_not_an_orphan(
    driver: LocalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look sees the records, then the files: a VM may be cloned in between."""
    looks: list[object] = []
    original, step = list_unreached, step_for(driver, find(driver, "golden"), "late")

    def clone_in_between(*arguments: object) -> object:
        if not looks:
            result_of(driver, driver.start(step))
        looks.append(arguments)
        return original(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(orphans, "list_unreached", clone_in_between)
    assert driver.observe().strays == ()
    assert len(looks) == 2


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.qcow2", "vms/../id", "id", "vms"])
def test_nothing_outside_of_the_vms_folders_is_removed(driver: LocalDriver, path: str) -> None:
    outside = driver.state.root.parent / "outside.qcow2"
    outside.touch()
    stray = Stray(chain=(Layer(store=driver.state.store, path=path),), orphaned=True)
    assert isinstance(error_of(driver, lambda: driver.start(do.remove_stray(stray))), RefusedError)
    assert outside.exists()
    assert (driver.state.root / "id").exists()


def test_in_doubt_no_stray_is_removed(driver: LocalDriver) -> None:
    left = leave(driver, "desk", 1)
    stray = only_stray(driver.observe())
    base = base_of(driver)
    base.rename(base.with_suffix(".away"))
    error = error_of(driver, lambda: driver.start(do.remove_stray(stray)))
    assert isinstance(error, RefusedError)
    assert "missing" in error.details
    assert left.exists()


# -- measured -------------------------------------------------------------------------


def test_sizes_are_those_of_the_files(driver: LocalDriver) -> None:
    inventory = driver.observe(sizes=True)
    for layer, file in inventory.files.items():
        assert file.used_bytes == (driver.state.root / layer.path).stat().st_blocks * 512
    (store,) = inventory.stores
    seen = os.statvfs(driver.state.root)
    assert store.id == driver.state.store
    assert store.capacity_bytes == seen.f_blocks * seen.f_frsize
    assert store.free_bytes
    assert inventory.measured is None


def test_a_missing_layer_is_reported(driver: LocalDriver) -> None:
    layer = find(driver, "desk").disks[0].chain[0]
    (driver.state.root / layer.path).unlink()
    file = driver.observe(sizes=True).files[layer]
    assert file.missing
    assert file.used_bytes is None


def test_the_inventory_holds_the_identity_of_a_vm(driver: LocalDriver) -> None:
    golden, desk = find(driver, "golden"), find(driver, "desk")
    assert golden.created is not None
    assert golden.created == golden.snapshots[0].created
    assert desk.created is not None
    assert golden.created < desk.created
    assert len({*golden.macs, *desk.macs}) == 2
    assert (golden.instance_id, desk.instance_id) == ("", desk.uuid)


def test_clones_of_a_clone_have_different_identities(driver: LocalDriver) -> None:
    step = step_for(driver, find(driver, "golden"), "desk")
    more = [make(driver, renamed(step, f"web-{number}")) for number in (1, 2)]
    assert len({vm.instance_id for vm in more}) == 2
    assert len({vm.macs for vm in more}) == 2


def test_a_scan_leaves_out_what_other_commands_are_building(driver: LocalDriver) -> None:
    """What depends on a layer in there is named as if it lay in a VM's folder already."""
    layer = top_of(driver.state, find(driver, "desk"))
    with at_work(driver.state, "clone", "web") as (entry, _):
        (entry / "vm").mkdir()
        shutil.copy(layer, entry / "vm" / "disk-0123abcd.qcow2")
        inventory = driver.observe(scan=Scan())
    assert not any("staging" in text for text in inventory.blind)
    assert inventory.strays == ()


def test_errors_of_a_scan_are_ours(driver: LocalDriver) -> None:
    with pytest.raises(LinkedCloneError) as caught:
        driver.observe(scan=Scan(places=("/no/such/place",)))
    assert caught.value.hint


def test_a_stray_of_a_vm_that_is_gone_can_be_removed_twice(driver: LocalDriver) -> None:
    layer = Layer(store=driver.state.store, path=f"vms/{VmId('gone.00000000')}/disk-00000001.raw")
    stray = Stray(chain=(layer,), orphaned=True)
    result_of(driver, driver.start(do.remove_stray(stray)))
    result_of(driver, driver.start(do.remove_stray(stray)))
