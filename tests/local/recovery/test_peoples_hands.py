"""The state folder in people's hands: copied, archived, restored, tidied, with open disks.

Issue 13, items 24, 26, 28 and 30.
"""

import contextlib
import errno
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import pytest

from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.local.diagnosis.doctor import diagnose
from linkedclone.drivers.local.driver import LocalDriver, open_local
from linkedclone.drivers.local.inventory.layer_users import take_survey
from linkedclone.drivers.local.inventory.orphans import list_unreached
from linkedclone.drivers.local.inventory.unlinked_vms import find_unlinked
from linkedclone.drivers.local.state import staging
from linkedclone.drivers.local.state.folder import open_state
from linkedclone.drivers.local.state.record import FILE_NAME
from linkedclone.drivers.local.state.store import locked, save_record, withdraw_vm
from linkedclone.errors import (
    DuplicateNameError,
    GoneError,
    HypervisorError,
    InputError,
    InUseError,
    LinkedCloneError,
    NotFoundError,
)
from linkedclone.model.findings import Finding, Verdict
from linkedclone.model.images import DiskExport, ImageImport
from linkedclone.model.jobs import Job
from linkedclone.model.vm import Power, Vm
from tests import do
from tests.command import run as run_command
from tests.contract.acts import delete, error_of, find, make, result_of, step_for, take_snapshot
from tests.local.pretend import open_pretend_machine
from tests.local.scenes import (
    check_tidy,
    clean_up,
    collect_files,
    connect,
    make_image,
    top_of,
    view,
    write,
)

NAMES = ["desk", "golden", "other"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a parent and two clones, one with a snapshot; each test has a copy."""
    folder = tmp_path_factory.mktemp("made")
    image = make_image(folder / "image.qcow2")
    with closing(connect(folder / "state")) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden"))
        for fill, name in enumerate(("desk", "other"), start=5):
            clone = make(driver, step_for(driver, find(driver, "golden"), name))
            write(top_of(driver.state, clone), at=200_000, length=70_000, fill=fill)
        take_snapshot(driver, find(driver, "desk"), "mine")
    return folder / "state"


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "state", symlinks=True))


@pytest.fixture
def driver(root: Path) -> Iterator[LocalDriver]:
    with closing(connect(root)) as opened:
        yield opened


def names_in(root: Path) -> list[str]:
    with closing(connect(root)) as driver:
        return [vm.name for vm in driver.observe().vms]


def folder_of(driver: LocalDriver, name: str) -> Path:
    return driver.state.folder(find(driver, name).id)


def open_here(root: Path) -> LocalDriver:
    return open_local(Endpoint(kind="local", path=str(root)))


def finding(root: Path, check: str) -> Finding:
    return next(f for f in diagnose(root, open_pretend_machine) if f.check == check)


def run(*command: str, root: Path) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GOVC_", "LINKEDCLONE_E"))}
    env = kept | {"HOME": str(root.parent), "LINKEDCLONE_ENDPOINT": f"local:{root}"}
    program, *arguments = command
    assert program == "linkedclone"
    return run_command(*arguments, env=env)


# -- 24: copies that lost their links -------------------------------------------------


def lose_links(made: Path, copy: Path) -> None:
    """As rsync without -l does."""
    shutil.copytree(made, copy, symlinks=True)
    for link in (path for path in copy.rglob("*") if path.is_symlink()):
        link.unlink()


def follow_links(made: Path, copy: Path) -> None:
    """As ``cp -rL`` does."""
    shutil.copytree(made, copy)


def zip_links(made: Path, copy: Path) -> None:
    """As ``zip -y`` and an ``unzip`` that makes files of links do."""
    archive = copy.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(made.rglob("*")):
            name = str(path.relative_to(made))
            if path.is_symlink():
                file.writestr(name, str(path.readlink()))
            elif path.is_file():  # folders are left out, and so are empty ones
                file.write(path, name)
    with zipfile.ZipFile(archive) as file:
        file.extractall(copy)


@pytest.mark.parametrize("copy_to", [lose_links, follow_links, zip_links])
def test_a_copy_that_lost_its_links_loses_nothing_and_is_linked_again(
    made: Path, tmp_path: Path, copy_to: Callable[[Path, Path], None]
) -> None:
    copy = tmp_path / "copy"
    copy_to(made, copy)
    files = set(copy.rglob("vms/*/disk-*"))
    with closing(connect(copy)) as driver:
        collect_files(driver)
    clean_up(copy)
    assert set(copy.rglob("vms/*/disk-*")) == files
    found = finding(copy, "links")
    assert found.verdict is Verdict.FAILED
    assert all(name in found.text for name in NAMES)
    with closing(connect(copy)) as driver:
        assert sorted(driver.folder.relink_vms()) == NAMES
        assert driver.folder.relink_vms() == ()
    assert view(copy) == view(made)
    assert finding(copy, "links").verdict is Verdict.OK


def test_doctor_s_advice_about_lost_links_brings_all_vms_back_as_printed(
    made: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    lose_links(made, copy)
    listed = run("linkedclone", "list", root=copy)
    assert "note: VM folders without a link: desk, golden, other" in listed.stderr
    assert run("linkedclone", "gc", "--yes", root=copy).returncode == 0
    told = run("linkedclone", "-o", "json", "doctor", root=copy)
    (advice,) = [f["remedy"] for f in json.loads(told.stdout)["findings"] if f["check"] == "links"]
    assert "linked again" in run(*shlex.split(advice), root=copy).stderr
    assert view(copy) == view(made)


def test_a_copy_beside_a_vm_s_folder_is_kept_with_what_it_reads(
    driver: LocalDriver, root: Path
) -> None:
    folder = folder_of(driver, "desk")
    copies = [folder.with_name("desk.X.bak"), folder.with_name("desk.00000000")]
    for copy in copies:
        shutil.copytree(folder, copy)
    (driver.state.staging / "0badcafe.clone.desk").mkdir()
    clean_up(root)
    for name in NAMES:
        delete(driver, find(driver, name))
    collect_files(driver)
    for copy in copies:
        assert {path.name for path in copy.iterdir()} >= {FILE_NAME, "lock"}
        for disk in copy.glob("disk-*.qcow2"):
            subprocess.run(["qemu-img", "check", "-q", disk], check=True)
    assert names_in(root) == []


def test_a_copy_of_a_vm_is_reported_and_never_linked_in_its_place(
    driver: LocalDriver, root: Path
) -> None:
    folder = folder_of(driver, "desk")
    shutil.copytree(folder, folder.with_name("desk.00000000"))
    found = finding(root, "links")
    assert found.verdict is Verdict.OK
    assert "it is a copy of desk" in found.text
    assert driver.folder.relink_vms() == ()


def test_two_folders_that_claim_one_name_are_reported_and_not_linked(root: Path) -> None:
    driver = connect(root)
    folder = folder_of(driver, "desk")
    shutil.copytree(folder, folder.with_name("desk.00000000"))
    (root / "names" / "desk").unlink()
    assert [vm.obstacle for vm in find_unlinked(driver.state)] == [
        "more than one folder without a link is of a VM named desk"
    ] * 2
    assert driver.folder.relink_vms() == ()


def test_a_renamed_vm_is_linked_under_the_name_that_it_has(driver: LocalDriver, root: Path) -> None:
    job = driver.start(do.rename_vm(find(driver, "desk"), "Held"))
    driver.wait([job], 60)
    (root / "names" / "held").unlink()
    assert driver.folder.relink_vms() == ("Held",)
    assert find(driver, "held").name == "Held"


def test_an_older_record_that_was_put_back_loses_no_newer_layer(
    driver: LocalDriver, root: Path
) -> None:
    folder = folder_of(driver, "desk")
    older = (folder / FILE_NAME).read_bytes()
    take_snapshot(driver, find(driver, "desk"), "newer")
    newer = (folder / FILE_NAME).read_bytes()
    before = view(root)
    (folder / FILE_NAME).write_bytes(older)
    (driver.state.staging / "0badcafe.snapshot.desk").mkdir()
    clean_up(root)
    delete(driver, find(driver, "other"))
    told = finding(root, "leftovers")
    assert told.verdict is Verdict.WARNING
    assert "older than its disks" in told.text
    assert list_unreached(driver.state, take_survey(driver.state)) == ()  # nothing for gc
    (folder / FILE_NAME).write_bytes(newer)
    del before["other"]
    assert view(root) == before


def die_after_moving_to_another_disk(driver: LocalDriver) -> tuple[Path, Path]:
    """Do what a promotion does until it is killed after its commit; return both disks."""
    state, vm = driver.state, find(driver, "other")
    old = top_of(state, vm)
    new = old.with_name("disk-0badcafe.qcow2")
    with (
        contextlib.suppress(KeyboardInterrupt),
        staging.at_work_on(state, "promote", vm.id) as entry,
        locked(state, vm.id) as stored,
    ):
        staging.register(state, entry, [old, new])
        shutil.copyfile(old, new)
        write(new, at=1 << 20, length=4096, fill=9)
        save_record(state, stored, stored.record.with_files({0: new.name}))
        raise KeyboardInterrupt
    return old, new


def restore_anew(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def restore_in_place(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("restore", [restore_anew, restore_in_place])
def test_what_a_killed_command_moved_to_stays_if_the_record_before_it_is_put_back(
    driver: LocalDriver, root: Path, restore: Callable[[Path, bytes], None]
) -> None:
    record = folder_of(driver, "other") / FILE_NAME
    older = record.read_bytes()
    old, new = die_after_moving_to_another_disk(driver)
    newer = record.read_bytes()
    restore(record, older)
    with closing(open_here(root)) as opened:
        (note,) = opened.notes
    assert "promote other; its files stay" in note
    assert f"the {FILE_NAME} of other was put back" in note
    assert old.exists()
    assert new.exists()
    restore(record, newer)
    assert set(view(root)) == set(NAMES)


def test_the_old_folder_of_a_killed_move_is_removed(driver: LocalDriver, root: Path) -> None:
    old, new = die_after_moving_to_another_disk(driver)
    clean_up(root)
    assert not old.exists()
    assert new.exists()


def test_a_vm_that_a_killed_delete_withdrew_is_kept_if_its_record_is_put_back(
    driver: LocalDriver, root: Path
) -> None:
    vm = find(driver, "other")
    record = folder_of(driver, "other") / FILE_NAME
    content, disk = record.read_bytes(), top_of(driver.state, vm)
    with (
        contextlib.suppress(KeyboardInterrupt),
        staging.at_work_on(driver.state, "delete", vm.id) as entry,
        locked(driver.state, vm.id) as stored,
    ):
        staging.register(driver.state, entry, [stored.folder, disk])
        withdraw_vm(driver.state, stored)
        raise KeyboardInterrupt
    record.write_bytes(content)
    clean_up(root)
    assert disk.exists()
    assert [vm.name for vm in find_unlinked(driver.state)] == ["other"]


# -- what lies in the state folder is not taken for anything else ------------------------


def test_a_second_link_to_a_vm_is_not_one_of_its_names(driver: LocalDriver, root: Path) -> None:
    link = driver.state.link(find(driver, "other").id)
    twin = link.with_name("twin")
    twin.symlink_to(link.readlink())
    assert names_in(root) == NAMES
    with pytest.raises(NotFoundError):
        driver.find_vms(["twin"])
    assert str(twin) in finding(root, "links").text
    delete(driver, find(driver, "other"))
    assert "golden" in names_in(root)


def test_clearing_a_broken_vm_away_leaves_the_vm_that_its_folder_links_to(
    driver: LocalDriver, root: Path
) -> None:
    before = view(root)
    vm = find(driver, "other")
    folder = driver.state.folder(vm.id)
    folder.rename(root / "aside.old")
    folder.symlink_to(driver.state.folder(find(driver, "desk").id).name)
    result_of(driver, driver.start(do.delete_vm(vm)))
    del before["other"]
    assert view(root) == before


def test_a_layer_of_a_state_folder_is_not_moved_into_another_image(
    driver: LocalDriver, root: Path
) -> None:
    layer = root / find(driver, "desk").disks[0].chain[0].path
    with pytest.raises(InputError, match="is in a state folder"):
        driver.images.import_image(ImageImport(file=layer, name="stolen", move=True))
    driver.images.import_image(ImageImport(file=layer, name="copied"))
    assert layer.exists()


@pytest.mark.parametrize("place", ["disk.qcow2", "names/desk-2", "vms/disk-0badcafe.qcow2"])
def test_nothing_is_exported_into_the_state_folder(
    driver: LocalDriver, root: Path, place: str
) -> None:
    wanted = DiskExport(vm=find(driver, "other").id, file=root / place, format="qcow2")
    with pytest.raises(InputError, match="is in the state folder"):
        driver.folder.export_disk(wanted)
    assert not (root / place).exists()


@pytest.mark.parametrize("name", ["names", "uuids", "vms", "staging"])
def test_a_file_where_a_folder_is_expected_is_named(root: Path, name: str) -> None:
    shutil.rmtree(root / name)
    (root / name).touch()
    with pytest.raises(HypervisorError, match=f"{root / name} is a file, where a folder"):
        open_here(root)


def test_a_record_of_another_vm_makes_a_vm_unreadable_and_deletes_neither(
    driver: LocalDriver, root: Path
) -> None:
    desk, other = (folder_of(driver, name) for name in ("desk", "other"))
    record = (desk / FILE_NAME).read_bytes()
    (desk / FILE_NAME).write_bytes((other / FILE_NAME).read_bytes())
    seen = {vm.name: vm for vm in driver.observe().vms}
    assert "record of another VM (other)" in seen["desk"].unreadable
    assert not seen["other"].unreadable
    (desk / FILE_NAME).write_bytes(record)
    assert not find(driver, "desk").unreadable


def test_a_folder_in_the_place_of_a_disk_is_not_removed(driver: LocalDriver) -> None:
    folder = folder_of(driver, "other")
    kept = folder / "disk-0badcafe.qcow2" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    delete(driver, find(driver, "other"))
    assert kept.read_text() == "mine"


def test_layers_of_a_deleted_vm_that_nothing_reads_any_more_are_shown_and_collected(
    driver: LocalDriver, root: Path
) -> None:
    delete(driver, find(driver, "golden"))
    for name in ("desk", "other"):  # as a version that registered nothing left them
        vm = find(driver, name)
        driver.state.link(vm.id).unlink()
        shutil.rmtree(driver.state.folder(vm.id))
    clean_up(root)
    assert list(driver.state.vms.iterdir())
    found = finding(root, "leftovers")
    assert "nothing reads 1 file" in found.text
    assert "``gc``" in found.remedy
    collect_files(driver)
    assert list(driver.state.vms.iterdir()) == []
    check_tidy(root)


def test_removed_leftovers_of_a_killed_command_are_reported(root: Path) -> None:
    (root / "staging" / "0badcafe.clone.desk-7").mkdir()
    listed = run("linkedclone", "list", root=root)
    assert "note: a command did not come to its end: clone desk-7" in listed.stderr
    assert "note" not in run("linkedclone", "list", root=root).stderr


def test_a_register_names_nothing_but_layers_and_vms(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    entry = root / "staging" / "0badcafe.delete.desk"
    entry.mkdir()
    lines = (precious, "vms", "id", "names/desk", "vms/../../precious", "vms/../names", "")
    (entry / "register").write_text("".join(f"{line}\n" for line in lines))
    before = view(root)
    clean_up(root)
    assert precious.exists()
    assert view(root) == before


# -- 26: VMs that were broken by hand -------------------------------------------------


def break_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def empty_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def file_for_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


def remove_record(folder: Path) -> None:
    (folder / FILE_NAME).unlink()


def cut_record(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes((folder / FILE_NAME).read_bytes()[:300])


def pipe_for_record(folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    os.mkfifo(folder / FILE_NAME)


def folder_for_record(folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    (folder / FILE_NAME).mkdir()


def deep_record(folder: Path) -> None:
    (folder / FILE_NAME).write_text("[" * 100_000)


BREAKS = [
    break_folder,
    empty_folder,
    file_for_folder,
    remove_record,
    cut_record,
    pipe_for_record,
    folder_for_record,
    deep_record,
]


@pytest.mark.parametrize("do_break", BREAKS)
def test_a_vm_broken_by_hand_is_reported_and_removed_by_delete(
    driver: LocalDriver, root: Path, do_break: Callable[[Path], None]
) -> None:
    vm = find(driver, "other")
    do_break(driver.state.folder(vm.id))
    assert names_in(root) == NAMES
    (seen,) = driver.find_vms(["other"])
    assert "``delete`` other" in seen.trouble
    for act in (
        lambda: driver.start(do.set_power(vm, Power.ON)),
        lambda: driver.start(do.promote_vm(vm)),
    ):
        error = error_of(driver, act)
        assert isinstance(error, HypervisorError)
        assert not isinstance(error, GoneError)
    assert finding(root, "layers").verdict is Verdict.FAILED
    delete(driver, vm)
    assert names_in(root) == ["desk", "golden"]
    make(driver, step_for(driver, find(driver, "golden"), "other"))
    if do_break is not file_for_folder:  # which is not ours
        check_tidy(root)


def test_a_folder_that_was_removed_by_hand_is_cleared_by_a_plain_delete(root: Path) -> None:
    with closing(connect(root)) as driver:
        job = driver.start(do.rename_vm(find(driver, "other"), "held"))
        driver.wait([job], 60)
        shutil.rmtree(folder_of(driver, "held"))
    assert "held is broken" in run("linkedclone", "show", "held", root=root).stdout
    started = run("linkedclone", "start", "held", root=root)
    assert started.returncode == 1
    assert "held is broken" in started.stderr + started.stdout
    assert run("linkedclone", "delete", "held", "--yes", root=root).returncode == 0
    assert names_in(root) == ["desk", "golden"]


@pytest.mark.parametrize("target", ["/etc", "../vms/..", "../../precious", ""])
def test_a_name_that_links_elsewhere_is_reported_and_ignored(root: Path, target: str) -> None:
    link = root / "names" / "odd"
    if target:
        link.symlink_to(target)
    else:
        link.mkdir()
    assert names_in(root) == NAMES
    found = finding(root, "links")
    assert "names/odd" in found.text
    subprocess.run(shlex.split(found.remedy), check=True)
    assert finding(root, "links").verdict is Verdict.OK


# -- 30: files of other programs ------------------------------------------------------


def test_files_of_other_programs_in_any_folder_stop_no_command(
    driver: LocalDriver, root: Path
) -> None:
    (root / "downloads").mkdir(exist_ok=True)
    vm = folder_of(driver, "desk")
    folders = [root, *(root / n for n in ("names", "uuids", "vms", "staging", "downloads")), vm]
    for folder in folders:
        for name in (".DS_Store", "Thumbs.db", "vm.json~", ".nfs000000000001", "desktop.ini"):
            (folder / name).write_bytes(b"\0\1")
        for name in ("lost+found", ".Trash-0", "@eaDir"):
            (folder / name).mkdir()
    (root / "staging" / "0badcafe.clone.other").mkdir()
    clean_up(root)
    make(driver, step_for(driver, find(driver, "golden"), "fresh"))
    delete(driver, find(driver, "other"))
    collect_files(driver)
    assert names_in(root) == ["desk", "fresh", "golden"]
    verdicts = {f.check: f.verdict for f in diagnose(root, open_pretend_machine)}
    assert verdicts["leftovers"] is verdicts["layers"] is Verdict.OK
    assert all((folder / ".DS_Store").exists() for folder in folders)
    assert open_state(root).list_vms()


# -- 28: disks that another program writes to -----------------------------------------


@contextmanager
def opened_elsewhere(disk: Path, *options: str) -> Iterator[None]:
    """Let a real qemu-nbd have a disk open."""
    with tempfile.TemporaryDirectory() as folder:
        pid = Path(folder) / "pid"
        served = ("--fork", "--persistent", f"--pid-file={pid}", f"--socket={folder}/socket")
        subprocess.run(["qemu-nbd", *served, *options, "-f", "qcow2", disk], check=True)
        try:
            yield
        finally:
            process = int(pid.read_text())
            descriptor = os.pidfd_open(process)
            os.kill(process, signal.SIGTERM)
            select.select([descriptor], [], [])
            os.close(descriptor)


def do_export(driver: LocalDriver, vm: Vm) -> None:
    driver.folder.export_disk(
        DiskExport(vm=vm.id, file=driver.state.root.parent / "out.raw", format="raw")
    )


WRITERS_ACTS: dict[str, Callable[[LocalDriver, Vm], object]] = {
    "seal": lambda d, vm: d.start(do.create_snapshot(vm, "new", "")),
    "revert": lambda d, vm: d.start(do.revert_snapshot(vm, vm.snapshots[0].id)),
    "merge": lambda d, vm: d.start(do.delete_snapshot(vm, vm.snapshots[0].id)),
    "promote": lambda d, vm: d.start(do.promote_vm(vm)),
    "grow": lambda d, vm: d.start(do.grow_disk(vm, vm.disks[0].label, 8 << 20)),
    "start": lambda d, vm: d.start(do.set_power(vm, Power.ON)),
    "delete": lambda d, vm: d.start(do.delete_vm(vm)),
    "export": do_export,
    "move": lambda d, _: d.folder.move_state(d.state.root.parent / "there"),
}


@pytest.mark.parametrize("act", WRITERS_ACTS)
def test_a_disk_that_another_program_writes_to_is_neither_sealed_nor_read_nor_removed(
    driver: LocalDriver, root: Path, act: str
) -> None:
    vm = find(driver, "desk")
    top = top_of(driver.state, vm)
    before = {path: path.read_bytes() for path in top.parent.glob("disk-*")}
    with opened_elsewhere(top):
        error = error_of(driver, lambda: cast("Job", WRITERS_ACTS[act](driver, vm)))
        assert isinstance(error, InUseError)
        assert "open for writing" in error.brief
        assert "qemu-nbd" in str(error)
        assert {path: path.read_bytes() for path in top.parent.glob("disk-*")} == before
    assert names_in(root) == NAMES
    job = cast("Job | None", WRITERS_ACTS[act](driver, find(driver, "desk")))
    if job is not None:
        result_of(driver, job)


def test_a_layer_that_another_program_writes_to_is_not_cloned_from(
    driver: LocalDriver,
) -> None:
    golden = find(driver, "golden")
    base = driver.state.root / golden.disks[0].chain[0].path
    base.chmod(0o644)
    with opened_elsewhere(base):
        error = error_of(driver, lambda: driver.start(step_for(driver, golden, "fresh")))
    assert isinstance(error, InUseError)


def test_a_disk_that_another_program_only_reads_can_be_snapshotted_and_exported(
    driver: LocalDriver,
) -> None:
    desk = find(driver, "desk")
    with opened_elsewhere(top_of(driver.state, desk), "--read-only"):
        do_export(driver, desk)
        take_snapshot(driver, desk, "new")


def test_a_vm_is_deleted_though_nothing_can_be_registered_on_a_full_disk(
    driver: LocalDriver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(staging, "_append", refuse)
    delete(driver, find(driver, "desk"))
    assert names_in(root) == ["golden", "other"]
    check_tidy(root)


# -- the id, and files of another kind --------------------------------------------------


def test_an_id_that_was_lost_is_never_made_anew_while_there_are_vms(root: Path) -> None:
    kept = (root / "id").read_text()
    (root / "id").unlink()
    with pytest.raises(HypervisorError, match="id is missing, though there are VMs") as caught:
        open_state(root)
    assert not (root / "id").exists()
    assert finding(root, "state folder").verdict is Verdict.FAILED
    told = run("linkedclone", "list", root=root)
    assert told.returncode == 1
    assert "restore that file from a backup" in told.stderr
    _, _, anew = caught.value.hint.partition("identity: ")
    subprocess.run(anew, shell=True, check=True)
    assert names_in(root) == NAMES
    assert (root / "id").read_text() != kept


def test_a_path_that_qemu_s_programs_do_not_take_is_refused_at_once(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff"))
    with pytest.raises(InputError, match="is not a path in UTF-8"):
        open_state(odd)
    assert not odd.exists()


def test_a_path_with_a_line_break_that_would_end_a_line_of_ssh_is_refused(tmp_path: Path) -> None:
    for odd in (tmp_path / "a\nProxyCommand x", tmp_path / "b\r"):
        with pytest.raises(InputError, match="has a line break"):
            open_state(odd)
        assert not odd.exists()


def test_an_empty_folder_gets_an_id_that_is_whole_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "state" / "names").mkdir(parents=True)
    assert open_state(tmp_path / "state").store == (tmp_path / "state/id").read_text().strip()


def make_folder(path: Path) -> None:
    path.mkdir()


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


def fail_to_snapshot(root: Path) -> LinkedCloneError:
    try:
        with closing(open_here(root)) as driver:
            (golden,) = driver.find_vms(["golden"])
            return error_of(driver, lambda: driver.start(do.create_snapshot(golden, "more", "")))
    except LinkedCloneError as error:
        return error


@pytest.mark.parametrize(
    ("make_odd", "kind"),
    [
        (make_folder, "a folder"),
        (os.mkfifo, "a pipe"),
        (make_socket, "a socket"),
        (make_dangling, "a link to nowhere, where nothing is"),
    ],
)
@pytest.mark.parametrize("name", ["lock", "id", "vms/{vm}/lock", "vms/{vm}/vm.json"])
def test_an_unexpected_file_type_is_reported_by_name_and_type(
    root: Path, name: str, make_odd: Callable[[Path], None], kind: str
) -> None:
    with closing(connect(root)) as driver:
        path = root / name.format(vm=find(driver, "golden").id)
    path.unlink()
    make_odd(path)
    error = fail_to_snapshot(root)
    assert str(path) in str(error)
    assert kind in str(error)
    assert "Errno" not in str(error)
    assert error.hint
    assert not (path.parent / "nowhere").exists()


@pytest.mark.parametrize("make_odd", [make_folder, os.mkfifo, make_socket])
def test_a_layer_that_is_not_a_plain_file_is_named_by_doctor(
    driver: LocalDriver, root: Path, make_odd: Callable[[Path], None]
) -> None:
    base = root / find(driver, "desk").disks[0].chain[0].path
    base.rename(base.with_suffix(".aside"))
    make_odd(base)
    told = finding(root, "layers")
    assert told.verdict is Verdict.FAILED
    assert str(base) in told.text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b" " * (1 << 20), "it is too long"),
        (b'{"format": 2, "blake3": "x"}', "written by another version"),
        (b'{"size": "1"}', "TypeError"),
        (b"{", "JSONDecodeError"),
        (None, "a folder"),
    ],
)
def test_a_seal_that_cannot_be_understood_refuses_and_says_how_the_layer_is_accepted(
    driver: LocalDriver, root: Path, content: bytes | None, why: str
) -> None:
    layer = root / find(driver, "desk").disks[0].chain[0].path
    seal = layer.with_name(f"{layer.name}.seal")
    seal.unlink()
    seal.mkdir() if content is None else seal.write_bytes(content)
    step = step_for(driver, find(driver, "golden"), "more")
    error = error_of(driver, lambda: driver.start(step))
    assert why in f"{error}"
    assert f"``doctor`` ``accept`` {layer}" in error.hint
    assert finding(root, "layers").remedy == error.hint
    if content is None:
        with pytest.raises(HypervisorError, match=rf"{seal} is a folder"):
            driver.folder.accept_layer(layer)
        return
    driver.folder.accept_layer(layer)
    assert make(driver, step_for(driver, find(driver, "golden"), "more")).name == "more"


def test_an_image_that_differs_between_the_samples_is_another_version(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(bytes(12 << 20))
    with closing(connect(tmp_path / "state")) as driver:
        driver.images.import_image(ImageImport(file=image, name="big", format="raw"))
        with image.open("r+b") as file:
            file.seek(100_000)
            file.write(b"changed")
        driver.images.import_image(ImageImport(file=image, name="big", format="raw"))
        with pytest.raises(DuplicateNameError, match="already has the same content"):
            driver.images.import_image(ImageImport(file=image, name="big", format="raw"))
        assert [vm.name for vm in driver.observe().vms] == ["big", "big@1"]
