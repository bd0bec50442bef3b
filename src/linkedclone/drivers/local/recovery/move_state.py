"""Move the state folder as a whole, to another path or another file system.

Chains name their layers by relative paths, so that nothing in them changes.
Within one file system it is one rename. To another one everything is copied
aside, compared, and then takes its name in one step; only after that the old
one goes. A kill leaves the old one good until that step and the new one from
it on, and notes in both from which the next command clears up:

- ``moving`` in the old folder: where the copy is made, and where it goes;
- ``moved-from`` in the new one: what is to be removed, and that the entries for
  plain ``ssh`` may name the old path still. A rename leaves this one alone.

A note is believed only if the folder that it names bears the other one, about
this very move: a copy of a state folder has its notes too, and anyone may write
one. Links on the way to the folder are resolved, so that the folder moves and not
a link to it.
"""

import errno
import filecmp
import json
import os
import resource
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from linkedclone.drivers.local.machine.open import OpenMachine, observe_power
from linkedclone.drivers.local.machine.process import runs_in
from linkedclone.drivers.local.state.file_names import RUN_FOLDER
from linkedclone.drivers.local.state.folder import (
    MOVED_FROM,
    MOVING,
    SSH_CONFIG,
    VMS,
    StateFolder,
    check_path,
    find_state,
    is_disk_name,
    is_vm_id,
    read_note,
)
from linkedclone.drivers.local.state.staging import list_living
from linkedclone.drivers.local.state.store import (
    load_all,
    locked,
    write_ssh_config,
    write_ssh_entry,
)
from linkedclone.drivers.local.storage.fingerprint import (
    explain_difference,
    render_fingerprint,
    take_fingerprint,
)
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.drivers.local.storage.intake import take_in
from linkedclone.drivers.local.storage.seals import is_sealed, read_seal, seal_path, set_immutable
from linkedclone.drivers.qemu.qemu_img import refuse_full
from linkedclone.errors import (
    BusyError,
    HypervisorError,
    InputError,
    InUseError,
    NotFoundError,
)
from linkedclone.model.images import TellBytes
from linkedclone.model.vm import Power
from linkedclone.system.atomic_files import replace_file, sync_folder
from linkedclone.system.locks import hold, is_held
from linkedclone.system.private_files import PRIVATE_FILE

_DEADLINE_SECONDS = 2.0
_BLOCK_BYTES = 512
_SPARE_FILES = 256


def move_state(state: StateFolder, machines: OpenMachine, target: Path, tell: TellBytes) -> None:
    """Move the state folder to where nothing, or an empty folder, is; open it anew there."""
    state = replace(state, root=Path(os.path.realpath(state.root)))
    target = Path(os.path.realpath(target.parent)) / os.path.basename(os.path.abspath(target))  # noqa: PTH100, PTH119 - abspath keeps a link at its end
    check_path(target)
    _check_source(state)
    _check_target(state.root, target)
    with ExitStack() as stack:
        _take_all_locks(state, machines, stack)
        note = state.root / MOVED_FROM
        with suppress(OSError):  # a full disk must not prevent the move
            note.touch(mode=PRIVATE_FILE)
            note.write_text(json.dumps(str(state.root)))
        try:
            state.root.rename(target)
        except OSError as error:
            note.unlink(missing_ok=True)
            if error.errno != errno.EXDEV:
                raise
            _move_far(state, target, tell)
        sync_folder(target.parent)
    _write_ssh_entries(replace(state, root=target))
    (target / MOVED_FROM).unlink(missing_ok=True)


def _write_ssh_entries(moved: StateFolder) -> None:
    """Let plain ``ssh NAME`` go there: its entries are the one thing that names the path."""
    for vm in load_all(moved).vms:
        write_ssh_entry(moved, vm.folder, vm.record)
    if (moved.root / SSH_CONFIG).exists():
        write_ssh_config(moved)


def finish_move(root: Path) -> None:
    """Clear up what a killed move left; to be called before a state folder is opened."""
    root = Path(os.path.realpath(root))
    if os.path.lexists(root / MOVED_FROM):
        old = _read_path(root / MOVED_FROM)
        if old is not None and _is_moved(old, root):
            _remove_old(old)
        state = find_state(root)
        if state is not None:
            _write_ssh_entries(state)
        (root / MOVED_FROM).unlink(missing_ok=True)
    if not os.path.lexists(root / MOVING):
        return
    if is_held(root / MOVING):
        raise BusyError(f"{root} is just being moved", hint="wait for it to end", kind="flock")
    target, store = _read_moving(root)
    if target is not None and _is_moved(root, target):
        _remove_old(root)
        raise NotFoundError(f"{root} was moved to {target}", hint=f"``endpoint`` local:{target}")
    if target is None or store != _read_id(root):
        (root / MOVING).unlink()  # cut by a full disk before anything was copied, or not ours
        return
    _drop_copy(_choose_copy(target, store), root / MOVING)


def _choose_copy(target: Path, store: str) -> Path:
    return target.with_name(f".{target.name}.{store[:8]}.moving")


def _read_moving(root: Path) -> tuple[Path | None, str]:
    """Return what the note in an old folder says: where it goes, and which folder it is."""
    try:
        note = json.loads(read_note(root / MOVING))
        target, store = Path(note["target"]), str(note["id"])
    except (OSError, HypervisorError, ValueError, TypeError, LookupError, RecursionError):
        return None, ""
    return (target if target.is_absolute() else None), store


def _read_path(note: Path) -> Path | None:
    try:
        path = Path(json.loads(read_note(note)))
    except (OSError, HypervisorError, ValueError, TypeError, RecursionError):
        return None
    return path if path.is_absolute() else None


def _is_moved(old: Path, new: Path) -> bool:
    """Say whether two folders bear each other's notes, about one move of one state folder."""
    target, store = _read_moving(old)
    if target is None or old.is_symlink() or new.is_symlink() or old.stat().st_uid != os.geteuid():
        return False
    there = os.path.realpath(target) == os.path.realpath(new)
    came = _read_path(new / MOVED_FROM)
    named = came is not None and os.path.realpath(came) == os.path.realpath(old)
    return there and named and bool(store) and store == _read_id(new)


def _check_source(state: StateFolder) -> None:
    for folder in (state.root, state.names, state.uuids, state.vms, state.staging):
        if folder != state.root and folder.is_symlink():
            raise InputError(
                f"{folder} is a link to {folder.readlink()}, and its content would stay there",
                hint="put the folder itself in the place of the link first",
            )
        if os.path.ismount(folder):
            raise InputError(
                f"{folder} is where a file system is mounted, and cannot be moved",
                hint="mount that file system elsewhere, or copy the folder",
            )
    for folder in state.vms.iterdir():
        if is_vm_id(folder.name) and folder.is_symlink():
            raise InputError(
                f"{folder} is a link to {folder.readlink()}, and its content would stay there",
                hint="put the folder itself in the place of the link first",
            )


def _check_target(root: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent}", hint="make it first")
    if target.is_symlink():
        raise InputError(
            f"{root} cannot be moved to {target}",
            details=f"that is a link to {target.readlink()}",
            hint="name a path at which nothing is",
        )
    if os.path.ismount(target):
        raise InputError(
            f"{root} cannot be moved to {target}",
            details="a file system is mounted there, whose own folder cannot be replaced",
            hint=f"name a path in it: {target}/linkedclone",
        )
    inside = target.is_relative_to(root) or root.is_relative_to(target)
    if inside or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise InputError(
            f"{root} cannot be moved to {target}",
            details="one is inside the other" if inside else "something is there already",
            hint="name a path at which nothing is",
        )


def _take_all_locks(state: StateFolder, machines: OpenMachine, stack: ExitStack) -> None:
    """Shut out all other commands, and make sure that no machine runs."""
    vms = load_all(state).vms
    _allow_files(len(vms) + _SPARE_FILES)
    running = []
    for vm in vms:
        stack.enter_context(locked(state, vm.id, deadline_s=_DEADLINE_SECONDS))
        if observe_power(machines, vm) is not Power.OFF:
            running.append(vm.record.name)
    known = {vm.id for vm in vms}
    others = (folder for folder in state.vms.iterdir() if folder.name not in known)
    running += [folder.name for folder in others if runs_in(folder / RUN_FOLDER)]
    if running:
        raise InUseError(
            f"machines run in {state.root}", dependants=tuple(running), hint="stop them first"
        )
    refuse_writers(top for vm in vms for top in vm.tops)
    stack.enter_context(hold(state.family_lock, deadline_s=_DEADLINE_SECONDS))
    if list_living(state):
        raise BusyError(f"commands are at work in {state.root}", hint="wait for them to end")


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _move_far(state: StateFolder, target: Path, tell: TellBytes) -> None:
    copy = _choose_copy(target, state.store)
    note = state.root / MOVING
    with hold(note):
        note.write_text(json.dumps({"target": str(target), "id": state.store}))
        try:
            _remove_tree(copy)
            _copy_tree(state.root, copy, tell)
            (copy / MOVED_FROM).touch(mode=PRIVATE_FILE)
            (copy / MOVED_FROM).write_text(json.dumps(str(state.root)))
            _sync_tree(copy)
            copy.rename(target)
        except BaseException:
            _drop_copy(copy, note)
            raise
        _guard_seals(target, immutable=state.immutable)
        _remove_old(state.root)


def _copy_tree(root: Path, copy: Path, tell: TellBytes) -> None:
    """Copy files with holes, times, permissions and links, and compare them."""
    files = tuple(_list_files(root))
    total = sum(path.lstat().st_blocks * _BLOCK_BYTES for path in files)
    refuse_full(copy.parent, total, f"there is no room at {copy.parent}")
    linked: dict[tuple[int, int], Path] = {}
    done = 0
    for folder in (root, *_list_folders(root)):
        (copy / folder.relative_to(root)).mkdir(mode=stat.S_IMODE(folder.stat().st_mode))
    for path in files:
        there, seen = copy / path.relative_to(root), path.lstat()
        first = linked.setdefault((seen.st_dev, seen.st_ino), there)
        if path.is_symlink():
            there.symlink_to(path.readlink())
        elif first is not there:
            there.hardlink_to(first)
        else:
            _copy_file(path, there)
        done += seen.st_blocks * _BLOCK_BYTES
        tell("copying", done, total)
    for path in files:
        if path.parent.parent == root / VMS and is_sealed(path):
            _carry_seal(path, copy / path.relative_to(root))


def _carry_seal(path: Path, there: Path) -> None:
    """Let the seal of a layer that was compared just now name the time that its copy has."""
    with suppress(HypervisorError):  # a seal that cannot be read stays as it is
        sealed = read_seal(path)
        now = take_fingerprint(there)
        sound = not explain_difference(sealed, take_fingerprint(path))
        if sound and now.mtime_ns != sealed.mtime_ns:
            anew = replace(sealed, mtime_ns=now.mtime_ns, inode=now.inode)
            replace_file(seal_path(there), render_fingerprint(anew), durable=True)


def _copy_file(path: Path, there: Path) -> None:
    take_in(path, there, move=False, durable=True)
    shutil.copystat(path, there)
    if not filecmp.cmp(path, there, shallow=False):
        raise OSError(errno.EIO, "the copy is not like the original", str(there))


def _list_folders(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            yield path


def _list_files(root: Path) -> Iterator[Path]:
    """List what is to be moved: no sockets, and not the note of the move itself."""
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if (stat.S_ISREG(mode) or stat.S_ISLNK(mode)) and path != root / MOVING:
            yield path


def _sync_tree(root: Path) -> None:
    for folder in (root, *_list_folders(root)):
        sync_folder(folder)


def _guard_seals(root: Path, *, immutable: bool) -> None:
    for path in root.glob("vms/*/*"):
        if immutable and path.is_file() and is_disk_name(path.name) and is_sealed(path):
            set_immutable(path, on=True)


def _remove_old(old: Path) -> None:
    for path in old.iterdir():
        if path.name not in {MOVING, "id"}:
            _remove_tree(path)
    (old / "id").unlink(missing_ok=True)
    (old / MOVING).unlink()
    old.rmdir()


def _drop_copy(copy: Path, note: Path) -> None:
    """Remove a copy that came to nothing.

    One whose file system is read-only by now is left to a later command: the
    note stays, and the folder that was to be moved is as good as before.
    """
    with suppress(OSError):
        _remove_tree(copy)
        note.unlink()


def _remove_tree(path: Path) -> None:
    """Remove a folder or a file, and take the immutable flags off; absent counts as done."""
    if not os.path.lexists(path):
        return  # where nothing may be written, not even that could be removed
    if path.is_dir() and not path.is_symlink():
        for file in path.rglob("disk-*"):
            if file.is_file() and not file.is_symlink():
                set_immutable(file, on=False)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read_id(root: Path) -> str:
    with suppress(OSError, HypervisorError):
        return read_note(root / "id").decode(errors="replace").strip()
    return ""
