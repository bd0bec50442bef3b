"""Commands at work: where they build, and how the next command tells that one died.

An entry **registers** what its command makes and what it takes away, before it
does so: layers, and whole VMs that are being made or deleted. That is the one
evidence by which anything is ever swept. The records of those VMs are noted with it:
if one was put back from a backup after the command was killed, it may name what
the command took away, and lack what the command made. Then nothing is swept.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from linkedclone.drivers.local.state.folder import (
    RECORD,
    VMS,
    StateFolder,
    is_disk_name,
    is_memory_name,
    is_vm_id,
    read_note,
)
from linkedclone.drivers.local.state.record import read_serial
from linkedclone.errors import HypervisorError
from linkedclone.model.values.ids import VmId
from linkedclone.system.locks import hold, is_held
from linkedclone.system.private_files import PRIVATE_FILE, PRIVATE_FOLDER

_LOCK = "lock"
_REGISTER = "register"
_RECORD_NOTE = "record"
_FAILED = "failed"
"""In an entry whose command ended by itself, and told why."""
_ENTRY = re.compile(r"[0-9a-f]{8}\.(?P<action>[a-z-]+)\.(?P<key>.+)")


@contextmanager
def at_work(state: StateFolder, action: str, key: str) -> Iterator[tuple[Path, int]]:
    """Register this command in ``staging`` during the block; yields its folder and lock.

    Whatever is left in the folder at the end is removed. If the command failed
    after it had registered anything, what may be left of that is for the next one.
    A program that inherits the lock keeps its files when this process is killed,
    until it ends too.
    """
    entry = state.staging / f"{secrets.token_hex(4)}.{action}.{key}"
    with ExitStack() as stack:
        # The cleaner holds the family lock exclusively, so it cannot see the
        # entry before its own lock is taken.
        with hold(state.family_lock, shared=True):
            entry.mkdir(mode=PRIVATE_FOLDER)
            lock = stack.enter_context(hold(entry / _LOCK))
        try:
            yield entry, lock
        except BaseException:
            _empty(state, entry)
            raise
        shutil.rmtree(entry, ignore_errors=True)


def _empty(state: StateFolder, entry: Path) -> None:
    """Remove an entry, or what was built in it if there is anything left to be swept."""
    if all(path.name == _LOCK for path in read_register(state, entry)):
        shutil.rmtree(entry, ignore_errors=True)
        return
    with suppress(OSError):
        (entry / _FAILED).touch(mode=PRIVATE_FILE)
    for path in entry.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in {_REGISTER, _FAILED, _LOCK}:
            path.unlink(missing_ok=True)


@contextmanager
def at_work_on(state: StateFolder, action: str, vm: VmId) -> Iterator[Path]:
    """As :func:`at_work`, for a VM that is there."""
    with at_work(state, action, state.link(vm).name) as (entry, _):
        register(state, entry, [state.folder(vm) / _LOCK])
        yield entry


def register(state: StateFolder, entry: Path, paths: Iterable[Path]) -> None:
    """Write down what a command is about to make or to take away.

    Args:
        entry: The command's entry in ``staging``.
        paths: Layers in VMs' folders; the folders of VMs that are made or deleted as a
            whole; the lock of a VM in whose folder files are written anew.
    """
    named = [path.relative_to(state.root) for path in paths]
    vms = dict.fromkeys(VmId(path.parts[1]) for path in named)
    notes = (_note_record(state, vm) for vm in vms)
    lines = "".join(f"{line}\n" for line in (*filter(None, notes), *named))
    try:
        _append(entry / _REGISTER, lines.encode())
    except OSError as error:
        # What frees space has to work on a full disk; what a kill leaves then, gc shows.
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise


def _note_record(state: StateFolder, vm: VmId) -> str:
    """Note which record a VM has now; nothing for one that has none yet, or cannot be read."""
    serial, changed = _look_at_record(state, vm)
    return f"{_RECORD_NOTE} {serial} {changed} {vm}" if changed else ""


def _look_at_record(state: StateFolder, vm: VmId) -> tuple[int, int]:
    """Return a record's serial number and the time of its last change; zeros if it has none."""
    path = state.folder(vm) / RECORD
    try:
        # No program can set that time, and inodes are given again.
        return read_serial(read_note(path)), path.stat().st_ctime_ns
    except (OSError, HypervisorError):
        return 0, 0


def find_put_back(state: StateFolder, entry: Path) -> tuple[VmId, ...]:
    """Return the VMs whose records are not those that a command found or wrote.

    Whatever the command wrote has a higher serial number than what it found. What has
    the same number and is another file was put there by a person; so was a lower one.
    """
    noted: dict[VmId, tuple[int, int]] = {}
    for line in _read_lines(entry):
        match line.split(" "):
            case [kind, serial, changed, vm] if kind == _RECORD_NOTE and is_vm_id(vm):
                if serial.isdecimal() and changed.isdecimal():
                    noted[VmId(vm)] = (int(serial), int(changed))
    return tuple(vm for vm, found in noted.items() if _is_put_back(found, state, vm))


def _is_put_back(noted: tuple[int, int], state: StateFolder, vm: VmId) -> bool:
    now = _look_at_record(state, vm)
    return now[1] != 0 and now != noted and now[0] <= noted[0]


def _append(path: Path, content: bytes) -> None:
    flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_FILE)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def forget_registered(entry: Path) -> None:
    """Take back what was registered: all of it is as it is to be."""
    (entry / _REGISTER).unlink(missing_ok=True)


def read_register(state: StateFolder, entry: Path) -> frozenset[Path]:
    """Return what a command registered; what could not be a layer or a VM of ours is left out."""
    lines = _read_lines(entry)
    return frozenset(state.root / line for line in lines if _may_be_registered(line))


def _read_lines(entry: Path) -> list[str]:
    try:
        text = read_note(entry / _REGISTER).decode(errors="replace")
    except (OSError, HypervisorError):
        return []
    return text.split("\n")[:-1]  # one that is cut short would mean something else


def _may_be_registered(line: str) -> bool:
    match line.split("/"):
        case [top, vm]:
            return top == VMS and is_vm_id(vm)
        case [top, vm, layer]:
            ours = is_disk_name(layer) or is_memory_name(layer) or layer == _LOCK
            return top == VMS and is_vm_id(vm) and ours
        case _:
            return False


def was_killed(entry: Path) -> bool:
    return not (entry / _FAILED).exists()


def describe_entry(entry: Path) -> tuple[str, str]:
    """Return what an entry's command does, and the key of the VM that it does it to."""
    found = _ENTRY.fullmatch(entry.name)
    return (found["action"], found["key"]) if found else (entry.name, "")


def is_at_work(state: StateFolder, action: str, key: str) -> bool:
    wanted = (e for e in _list_entries(state) if describe_entry(e) == (action, key))
    return any(is_held(entry / _LOCK) for entry in wanted)


def list_living(state: StateFolder) -> tuple[Path, ...]:
    return tuple(entry for entry in _list_entries(state) if is_held(entry / _LOCK))


def list_dead(state: StateFolder) -> tuple[Path, ...]:
    """Return the entries of commands that died.

    Only the holder of the family lock may remove them: without it an entry
    that is just being made may be among them.
    """
    return tuple(entry for entry in _list_entries(state) if not is_held(entry / _LOCK))


def _list_entries(state: StateFolder) -> Iterator[Path]:
    """List what commands of ours made there, and nothing that others put there."""
    try:
        entries = tuple(os.scandir(state.staging))
    except FileNotFoundError:  # a copy without empty folders
        return
    for entry in entries:
        if _ENTRY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)
