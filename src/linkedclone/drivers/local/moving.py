"""Move the state folder as a whole, to another path or another file system.

Chains name their layers by relative paths, so that nothing in them changes.
Within one file system it is one rename. To another one everything is copied
aside, compared, and then takes its name in one step; only after that the old
one goes. A kill leaves the old one good until that step and the new one from
it on, and notes in both from which the next command clears up:

- ``moving`` in the old folder: where the copy is made, and where it goes;
- ``moved-from`` in the new one: what is to be removed, and that the entries for
  plain ``ssh`` may name the old path still. A rename leaves this one alone.
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

from linkedclone.drivers.local.layout import MOVED_FROM, MOVING, SSH_CONFIG, StateFolder, find_state
from linkedclone.drivers.local.locks import hold, is_held
from linkedclone.drivers.local.machines import OpenMachine
from linkedclone.drivers.local.publish import sync_folder
from linkedclone.drivers.local.seals import is_sealed, set_immutable
from linkedclone.drivers.local.staging import list_living
from linkedclone.drivers.local.starting import observe_power
from linkedclone.drivers.local.store import load_all, locked, write_ssh_config, write_ssh_entry
from linkedclone.drivers.local.tool import free_bytes
from linkedclone.errors import (
    BusyError,
    InputError,
    InUseError,
    NoSpaceError,
    NotFoundError,
)
from linkedclone.model.images import TellBytes
from linkedclone.model.observed import Power
from linkedclone.model.sizes import render_size

_DEADLINE_SECONDS = 2.0
_BLOCK_BYTES = 512
_SPARE_FILES = 256


def move_state(state: StateFolder, machines: OpenMachine, target: Path, tell: TellBytes) -> None:
    """Move the state folder; it has to be opened anew after that, where it is then.

    Args:
        state: The state folder.
        machines: Gives the machines to look at.
        target: Where it goes: nothing is there yet, or an empty folder.
        tell: Is told how far it is.

    Raises:
        InputError: It cannot go there.
        InUseError: Machines run.
        BusyError: Commands are at work.
        NoSpaceError: There is no room.
        OSError: It cannot be read or written; the old folder is whole then.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 - links in the user's path stay as they are
    _check_target(state.root, target)
    with ExitStack() as stack:
        _take_all_locks(state, machines, stack)
        note = state.root / MOVED_FROM
        with suppress(OSError):  # a full disk is no reason to stay on it
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
    """Clear up what a killed move left; to be called before a state folder is opened.

    Raises:
        BusyError: It is just being moved.
        NotFoundError: It was moved.
        OSError: Something cannot be removed.
    """
    if (root / MOVED_FROM).exists():
        with suppress(ValueError):  # a full disk left no more of it
            _remove_old(Path(json.loads((root / MOVED_FROM).read_text())), root)
        state = find_state(root)
        if state is not None:
            _write_ssh_entries(state)
        (root / MOVED_FROM).unlink(missing_ok=True)
    try:
        note = json.loads((root / MOVING).read_text())
    except (FileNotFoundError, ValueError):
        return
    if is_held(root / MOVING):
        raise BusyError(f"{root} is just being moved", hint="wait for it to end", kind="flock")
    target = Path(note["target"])
    if _read_id(target) == note["id"]:
        _remove_old(root, target)
        raise NotFoundError(f"{root} was moved to {target}", hint=f"--endpoint local:{target}")
    _drop_copy(Path(note["copy"]), root / MOVING)


def _check_target(root: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent}", hint="make it first")
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
    if running:
        raise InUseError(
            f"machines run in {state.root}", dependants=tuple(running), hint="stop them first"
        )
    stack.enter_context(hold(state.family_lock, deadline_s=_DEADLINE_SECONDS))
    if list_living(state):
        raise BusyError(f"commands are at work in {state.root}", hint="wait for them to end")


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _move_far(state: StateFolder, target: Path, tell: TellBytes) -> None:
    copy = target.with_name(f".{target.name}.{state.store[:8]}.moving")
    note = state.root / MOVING
    with hold(note):
        note.write_text(json.dumps({"target": str(target), "copy": str(copy), "id": state.store}))
        try:
            _remove_tree(copy)
            _copy_tree(state.root, copy, tell)
            (copy / MOVED_FROM).write_text(json.dumps(str(state.root)))
            _sync_tree(copy)
            copy.rename(target)
        except BaseException:
            _drop_copy(copy, note)
            raise
        _guard_seals(target, immutable=state.immutable)
        _remove_old(state.root, target)


def _copy_tree(root: Path, copy: Path, tell: TellBytes) -> None:
    """Copy files with holes, times, permissions and links, and compare them."""
    files = tuple(_list_files(root))
    total = sum(path.lstat().st_blocks * _BLOCK_BYTES for path in files)
    if total > free_bytes(copy.parent):
        raise NoSpaceError(
            f"there is no room at {copy.parent}",
            details=f"{render_size(total)} are needed, {render_size(free_bytes(copy.parent))} free",
            hint="free some space",
            kind="ENOSPC",
        )
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


def _copy_file(path: Path, there: Path) -> None:
    from linkedclone.drivers.local.intake import take_in

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
        if immutable and path.is_file() and is_sealed(path):
            set_immutable(path, on=True)


def _remove_old(old: Path, new: Path) -> None:
    """Remove the old folder, if it is the one that the new one was copied from."""
    if not (old / MOVING).exists() or old == new:
        return
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
    with suppress(OSError):
        return (root / "id").read_text().strip()
    return ""
