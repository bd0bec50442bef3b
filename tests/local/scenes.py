"""State folders to try things on, and what is seen of them from outside."""

import hashlib
import json
import struct
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from linkedclone.app.connection import Connection
from linkedclone.config.endpoint import Endpoint
from linkedclone.drivers.local.driver import LocalDriver, open_local
from linkedclone.drivers.local.inventory.layer_users import take_survey
from linkedclone.drivers.local.machine.open import OpenMachine
from linkedclone.drivers.local.state.file_names import SEAL_SUFFIX
from linkedclone.drivers.local.state.folder import StateFolder, is_memory_name, open_state
from linkedclone.drivers.local.state.staging import was_killed
from linkedclone.drivers.local.state.store import load_all, locked
from linkedclone.formats.chain import read_chain
from linkedclone.model.garbage import WasteKind
from linkedclone.model.images import ImageImport
from linkedclone.model.request import Hardware, NewDisk, Scan
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Disk, Vm
from tests import do
from tests.contract.acts import current, find, make, result_of, step_for, take_snapshot
from tests.local.copies import copy_built
from tests.local.pretend import open_pretend_machine

CAPACITY_BYTES = 2 << 20
_QCOW2_MAGIC = b"QFI\xfb"
_BACKING_NAME = struct.Struct(">QI")  # behind the version: where its name stands, and how long
SMALL_BYTES = 384 << 10  # families are copied and compared hundreds of times


def make_image(path: Path, *, fill: int = 1, data_bytes: int = 1 << 20) -> Path:
    """Make a qcow2 image with a megabyte of data, or with so much."""
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", path, str(CAPACITY_BYTES)], check=True
    )
    write(path, at=0, length=data_bytes, fill=fill)
    return path


def write(disk: Path, *, at: int, length: int, fill: int) -> None:
    """Write to a disk as a guest would."""
    subprocess.run(
        ["qemu-io", "-f", disk.suffix[1:], "-c", f"write -P {fill} {at} {length}", disk],
        check=True,
        capture_output=True,
    )


def top_of(state: StateFolder, vm: Vm) -> Path:
    return state.root / vm.disks[0].top.path


def connect(root: Path, machines: OpenMachine = open_pretend_machine) -> LocalDriver:
    """Open a state folder without cleaning up first, and without real machines."""
    return LocalDriver(open_state(root, immutable=False), machines=machines)


def build_family(root: Path) -> None:
    """Make a parent with two snapshots, a clone with one, a clone of that, and a loner.

    Every layer has data of its own. It is built once, and this is a copy of that.
    """
    copy_built("family", _build_family, root)


def _build_family(root: Path) -> None:
    root.mkdir(parents=True)
    image = make_image(root / "image.qcow2", data_bytes=SMALL_BYTES)
    with closing(connect(root / "state")) as driver:
        for name in ("golden", "solo"):
            driver.images.import_image(ImageImport(file=image, name=name))
        for name, first, second in (("golden", 2, 3), ("solo", 4, 5)):
            write(top_of(driver.state, find(driver, name)), at=4096, length=70000, fill=first)
            take_snapshot(driver, find(driver, name), "second")
            write(top_of(driver.state, find(driver, name)), at=1 << 20, length=70000, fill=second)
        take_snapshot(driver, find(driver, "solo"), "third")
        write(top_of(driver.state, find(driver, "solo")), at=300_000, length=9000, fill=9)
        kept = make(driver, step_for(driver, find(driver, "golden"), "kept"))
        write(top_of(driver.state, kept), at=200_000, length=70000, fill=6)
        take_snapshot(driver, kept, "mine")
        grand = make(driver, step_for(driver, find(driver, "kept"), "grand"))
        write(top_of(driver.state, grand), at=400_000, length=70000, fill=7)


def build_branches(root: Path) -> None:
    """Make a VM with two disks that both depend on others, and snapshots in two branches.

    It writes after ``x``, and beside that are ``a`` and ``b``.
    """
    root.mkdir(parents=True)
    image = make_image(root / "image.qcow2", data_bytes=SMALL_BYTES)
    with closing(connect(root / "state")) as driver:
        driver.images.import_image(ImageImport(file=image, name="golden"))
        step = step_for(driver, find(driver, "golden"), "middle")
        disks = (NewDisk(capacity_bytes=CAPACITY_BYTES),)
        middle = make(driver, replace(step, hardware=Hardware(disks=disks)))
        _scatter(driver, "middle", 1)
        take_snapshot(driver, middle, "base")
        make(driver, step_for(driver, find(driver, "middle"), "desk"))
        for fill, name in enumerate(("p", "x", "a", "b"), start=2):
            _scatter(driver, "desk", fill)
            take_snapshot(driver, find(driver, "desk"), name)
        _revert(driver, find(driver, "desk"), "x")
        _scatter(driver, "desk", 6)


def _scatter(driver: LocalDriver, name: str, fill: int) -> None:
    """Write to all disks: where nothing else is, over what is there, and parts of clusters."""
    for number, disk in enumerate(find(driver, name).disks):
        top = driver.state.root / disk.top.path
        write(top, at=131_072 * fill + 4096, length=9000, fill=10 * fill + number)
        write(top, at=70_000 + 2048 * fill, length=70_000, fill=10 * fill + number)


Act = Callable[[LocalDriver, Path], object]


def act_clone(driver: LocalDriver, _: Path) -> object:
    return result_of(driver, driver.start(step_for(driver, find(driver, "golden"), "fresh")))


def act_snapshot(driver: LocalDriver, _: Path) -> object:
    return take_snapshot(driver, find(driver, "golden"), "third")


def _delete_snapshot(driver: LocalDriver, vm: Vm, name: str) -> object:
    ids = [snapshot.id for snapshot in vm.snapshots if snapshot.name == name]
    return [result_of(driver, driver.start(do.delete_snapshot(vm, one))) for one in ids]


def act_delete_lowest_snapshot(driver: LocalDriver, _: Path) -> object:
    return _delete_snapshot(driver, find(driver, "solo"), "base")


def act_delete_current_snapshot(driver: LocalDriver, _: Path) -> object:
    return _delete_snapshot(driver, find(driver, "solo"), "third")


def act_delete_used_snapshot(driver: LocalDriver, _: Path) -> object:
    return _delete_snapshot(driver, find(driver, "golden"), "second")


def act_rename(driver: LocalDriver, _: Path) -> object:
    """Rename a parent, whose clones have to go on finding it."""
    return result_of(driver, driver.start(do.rename_vm(find(driver, "kept"), "Held")))


def act_revert(driver: LocalDriver, _: Path) -> object:
    solo = find(driver, "solo")
    return result_of(driver, driver.start(do.revert_snapshot(solo, solo.snapshots[0].id)))


def _revert(driver: LocalDriver, vm: Vm, name: str) -> object:
    (wanted,) = [one.id for one in vm.snapshots if one.name == name]
    return result_of(driver, driver.start(do.revert_snapshot(vm, wanted)))


def _delete(driver: LocalDriver, name: str) -> object:
    ids = [vm.id for vm in driver.observe().vms if vm.name == name]
    return [result_of(driver, driver.start(do.delete_vm(VmId(one)))) for one in ids]


def act_delete_last(driver: LocalDriver, _: Path) -> object:
    return _delete(driver, "grand")


def act_delete_middle(driver: LocalDriver, _: Path) -> object:
    return _delete(driver, "kept")


def act_delete_parent(driver: LocalDriver, _: Path) -> object:
    return _delete(driver, "golden")


def act_import(driver: LocalDriver, folder: Path) -> object:
    return driver.images.import_image(ImageImport(file=folder / "image.qcow2", name="fresh"))


def act_import_version(driver: LocalDriver, folder: Path) -> object:
    return driver.images.import_image(ImageImport(file=folder / "newer.qcow2", name="solo"))


def act_promote(driver: LocalDriver, _: Path) -> object:
    return result_of(driver, driver.start(do.promote_vm(find(driver, "grand"))))


def act_grow(driver: LocalDriver, _: Path) -> object:
    solo = find(driver, "solo")
    disk = solo.disks[0]
    return result_of(driver, driver.start(do.grow_disk(solo, disk.label, 2 * disk.capacity_bytes)))


def act_take_after_revert(driver: LocalDriver, _: Path) -> object:
    return take_snapshot(driver, find(driver, "desk"), "again")


def act_merge_below_branches(driver: LocalDriver, _: Path) -> object:
    return _delete_snapshot(driver, find(driver, "desk"), "p")


def act_merge_in_side_branch(driver: LocalDriver, _: Path) -> object:
    return _delete_snapshot(driver, find(driver, "desk"), "a")


def act_revert_to_side_branch(driver: LocalDriver, _: Path) -> object:
    return _revert(driver, find(driver, "desk"), "b")


def act_promote_branches(driver: LocalDriver, _: Path) -> object:
    return result_of(driver, driver.start(do.promote_vm(find(driver, "desk"))))


ACTS: dict[str, Act] = {
    "clone": act_clone,
    "snapshot": act_snapshot,
    "delete-lowest-snapshot": act_delete_lowest_snapshot,
    "delete-current-snapshot": act_delete_current_snapshot,
    "delete-used-snapshot": act_delete_used_snapshot,
    "revert": act_revert,
    "rename": act_rename,
    "delete-last": act_delete_last,
    "delete-middle": act_delete_middle,
    "delete-parent": act_delete_parent,
    "import": act_import,
    "promote": act_promote,
    "grow": act_grow,
}


BRANCH_ACTS: dict[str, Act] = {
    "take after revert": act_take_after_revert,
    "merge below branches": act_merge_below_branches,
    "merge in a side branch": act_merge_in_side_branch,
    "revert to a side branch": act_revert_to_side_branch,
    "promote branches": act_promote_branches,
}
"""For what :func:`build_branches` makes."""

ALL_ACTS = {**ACTS, **BRANCH_ACTS, "import a version": act_import_version}


@dataclass(frozen=True)
class View:
    """A VM as its user sees it: contents, not files."""

    content: tuple[str, ...]
    snapshots: tuple[tuple[str, tuple[str, ...]], ...]
    current: str
    independent: bool


def view(root: Path) -> dict[str, View]:
    """Read all VMs, with what is in each of their disks and snapshots."""
    state = open_state(root)
    for vm in load_all(state).vms:
        with locked(state, vm.id):
            pass  # what a killed command started may still be at work
    hash_once = cache(_hash_file)  # nothing changes during this look
    with closing(connect(root)) as driver:
        return {vm.name: _view(state, vm, hash_once) for vm in driver.observe().vms}


def _view(state: StateFolder, vm: Vm, hash_file: Callable[[Path], str]) -> View:
    def digest_all(disks: Sequence[Disk] | None) -> tuple[str, ...]:
        return tuple(digest(state.root / disk.top.path, hash_file) for disk in disks or ())

    snapshots = tuple((one.path, digest_all(one.disks)) for one in vm.snapshots)
    return View(
        content=digest_all(vm.disks),
        snapshots=snapshots,
        current=current(vm).path if vm.snapshots else "",
        independent=all((layer.store, layer.folder) == vm.home for layer in vm.layers),
    )


def overlay_by_hand(path: Path, backing: Path, *, named: str = "") -> Path:
    """Make an overlay as a person would; ``named`` is how the backing file is written into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    below = ("-F", backing.suffix[1:], "-b", named or str(backing))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *below, path], check=True)
    return path


def _hash_file(path: Path) -> str:
    """Hash all of a file but the name of its backing file, which is made anew for each copy."""
    content = bytearray(path.read_bytes())
    if content.startswith(_QCOW2_MAGIC):
        at, length = _BACKING_NAME.unpack_from(content, len(_QCOW2_MAGIC) + 4)
        del content[at : at + length]
    return hashlib.sha256(content).hexdigest()


def digest(disk: Path, hash_file: Callable[[Path], str] = _hash_file) -> str:
    """Hash what a guest would read."""
    files = [file.path for file in read_chain(disk)]
    return _digest_once(disk, tuple(map(hash_file, files)))


_seen: dict[tuple[str, ...], str] = {}
"""By the bytes of all files of a chain: copies of a family are mostly the same."""


def _digest_once(disk: Path, key: tuple[str, ...]) -> str:
    if key not in _seen:
        _seen[key] = _digest(disk)
    return _seen[key]


def _digest(disk: Path) -> str:
    with tempfile.NamedTemporaryFile() as flat:
        subprocess.run(
            ["qemu-img", "convert", "-U", "-f", disk.suffix[1:], "-O", "raw", disk, flat.name],
            check=True,
            capture_output=True,
        )
        return hashlib.sha256(Path(flat.name).read_bytes()).hexdigest()[:16]


def write_format_1(root: Path) -> None:
    """Write the records of a state folder as the versions before the present format did."""
    for path in root.glob("vms/*/vm.json"):
        record = json.loads(path.read_text())
        for snapshot in record["snapshots"]:
            first, *snapshot["extra_disks"] = snapshot.pop("disks")
            snapshot["file"] = first["file"]
        first, *record["extra_disks"] = record.pop("disks")
        record |= {"disk": first["file"], "pending": first["pending"], "copy": first["copy"]}
        path.write_text(json.dumps({**record, "format": 1}))


def clean_up(root: Path) -> None:
    """Do what every command begins with."""
    open_local(Endpoint(kind="local", path=str(root))).close()


def collect_files(driver: LocalDriver) -> None:
    """Do what ``gc --yes`` does about files."""
    connection = Connection(driver, address="local:")
    assert connection.lineage.collect_waste([WasteKind.FILE], scan=Scan()).exit_code == 0


def check_tidy(root: Path) -> None:
    """Make sure that nothing is left over, nothing is lost, and every disk is sound."""
    wanted = check_files(root)
    for disk in {path for path in wanted if path.suffix == ".qcow2"}:
        key = _hash_file(disk)
        if key not in _checked:
            subprocess.run(["qemu-img", "check", "-q", disk], check=True)
            _checked.add(key)


def check_files(root: Path) -> frozenset[Path]:
    """Make sure that nothing is left over or lost, also while machines run; return the layers."""
    state = open_state(root)
    survey = take_survey(state)
    assert survey.doubts == ()
    assert not any(map(was_killed, state.staging.iterdir()))
    wanted = survey.reached
    files = {path for path in state.vms.rglob("*") if path.is_file()}
    kept = {path for path in files if path.suffix in {".qcow2", ".raw", ".vmdk"}}
    assert kept | {path for path in files if is_memory_name(path.name)} == wanted
    assert not [path for path in files if path.suffix == ".tmp"]
    assert all(path.with_suffix("") in wanted for path in files if path.suffix == SEAL_SUFFIX)
    for folder in state.vms.iterdir():
        assert state.exists(VmId(folder.name)) or any(path.parent == folder for path in wanted)
    return wanted


_checked: set[str] = set()
