"""Point the dependents of a missing layer to its new location.

A header names what is below by its path, so a layer that was moved is missed by
all that depend on it. Here they are given the new path: headers alone change
(``qemu-img rebase -u`` [fact: qemu-rebase]), and only to a file that is what was sealed.

A snapshot names its layer as a file in its VM's own folder. There an empty layer
comes in between: it depends on the new place, the snapshot names it from then
on, and all that depended on the old layer depend on it. So clones go on depending
on their snapshot.

A kill in between leaves some with the new path, which is right, and the rest
with the old one, where still nothing is; the same command does the rest. For
that the layer in between always gets the same name.
"""

import filecmp
import hashlib
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise
from os.path import normpath
from pathlib import Path

from linkedclone.drivers.local.inventory.layer_users import Survey, take_survey
from linkedclone.drivers.local.machine.open import OpenMachine, observe_power
from linkedclone.drivers.local.recovery.interrupted_merge import settle
from linkedclone.drivers.local.state.folder import StateFolder, backing_path, key_of
from linkedclone.drivers.local.state.staging import at_work, register
from linkedclone.drivers.local.state.store import LOCK_NAME, LockedVm, locked, save_record
from linkedclone.drivers.local.storage.fingerprint import (
    Fingerprint,
    explain_difference,
    has_sealed_content,
    is_coarser,
    take_fingerprint,
)
from linkedclone.drivers.local.storage.seals import (
    SEALED_MODE,
    check_seal,
    is_sealed,
    read_seal,
    seal,
    seal_if_possible,
    seal_path,
    set_immutable,
    unseal,
)
from linkedclone.drivers.qemu.qemu_img import run_qemu_img
from linkedclone.errors import BusyError, HypervisorError, InputError, InUseError, RefusedError
from linkedclone.formats.chain import (
    DiskFile,
    ImageFormat,
    format_by_suffix,
    name_chain,
    read_disk_file,
)
from linkedclone.formats.qcow2 import build_overlay, read_header
from linkedclone.model.images import Rebased
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Power
from linkedclone.system.atomic_files import publish_file
from linkedclone.system.locks import hold

_DEADLINE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    """A missing layer, and its new location."""

    old: Path  # where the chains look for it
    found: DiskFile  # where it is, as a chain would read it
    uppers: tuple[DiskFile, ...]  # the layers that name it
    vms: frozenset[VmId]  # the VMs that read it or name it


def rebase_layers(state: StateFolder, machines: OpenMachine, file: Path) -> Rebased:
    """Let all that miss a layer depend on the file that it is now, and that stays where it is."""
    file = Path(os.path.abspath(file))  # noqa: PTH100 - links in the user's path stay as they are
    with ExitStack() as stack:
        entry, _ = stack.enter_context(at_work(state, "rebase", key_of(file.name)))
        before = _find(state, file)
        wanted = sorted({vm for lost in before for vm in lost.vms})
        vms = {vm: _take(state, machines, vm, stack) for vm in wanted}
        # Where headers and records are written anew.
        register(state, entry, [vm.folder / LOCK_NAME for vm in vms.values()])
        running = [vm.record.name for vm in vms.values() if _runs(machines, vm)]
        if running:
            brief = f"VMs run that read {file}"
            raise InUseError(brief, dependants=tuple(running), hint="stop them first")
        lock = stack.enter_context(hold(state.family_lock, deadline_s=_DEADLINE_SECONDS))
        losses = _find(state, file)
        if any(not lost.vms <= vms.keys() for lost in losses):
            raise BusyError(
                "VMs were made in the meantime", hint="repeat the command", kind="flock"
            )
        done = [path for lost in losses for path in _rebase(state, lost, vms, lock)]
        _prove(state, done, vms.values(), lock)
    names = sorted(vm.record.name for vm in vms.values())
    return Rebased(file=str(file), layers=len(done), vms=tuple(names))


def _take(state: StateFolder, machines: OpenMachine, vm: VmId, stack: ExitStack) -> LockedVm:
    found = stack.enter_context(locked(state, vm, deadline_s=_DEADLINE_SECONDS))
    return settle(state, machines, found)


def _runs(machines: OpenMachine, vm: LockedVm) -> bool:
    return observe_power(machines, vm) is not Power.OFF


# -- what is missed -------------------------------------------------------------------


def _find(state: StateFolder, file: Path) -> tuple[_Lost, ...]:
    if file.is_symlink() or not file.is_file():
        raise InputError(f"{file} is not a file", hint="give the path where the layer is now")
    survey = take_survey(state)
    missing = {f.path: f for chain in survey.chains.values() for f in chain if f.missing}
    found = [lost for path, lost in sorted(missing.items()) if is_same(path, file)]
    if not found:
        raise InputError(
            f"{file} is not a missing layer",
            details=f"missed are: {', '.join(map(str, sorted(missing)))}" if missing else "",
            hint="size, time and content have to be what was sealed; ``doctor`` tells "
            "what is missed",
        )
    return tuple(_describe(state, survey, lost, file) for lost in found)


def _describe(state: StateFolder, survey: Survey, lost: DiskFile, file: Path) -> _Lost:
    old = lost.path
    others = leave_out_copies((file, *find_lost(state, old)))
    if len(others) > 1:
        raise RefusedError(
            f"more than one file looks like {state.relative(old)}",
            details="they differ: " + ", ".join(map(str, others)),
            hint="compare them, and take the wrong one away",
        )
    owner = VmId(old.parent.name)
    unread = [str(error) for vm, error in survey.stored.unreadable if vm == owner]
    if unread:
        raise RefusedError(
            f"what names {state.relative(old)} cannot be read",
            details="\n".join(unread),
            hint="put that file back first",
        )
    if not hangs_as_before(old, file, lost.format):
        raise RefusedError(
            f"{file} would not find the layer below it",
            details="that is named by a path from the layer's own folder",
            hint=f"put it back: {shlex.join(('mv', '-n', str(file), str(old)))}",
        )
    pairs = (pair for chain in survey.chains.values() for pair in pairwise(chain))
    uppers = {upper.path: upper for lower, upper in pairs if lower.path == old}
    return _Lost(
        old=old,
        found=read_disk_file(file, lost.format),
        uppers=tuple(uppers[path] for path in sorted(uppers)),
        vms=frozenset(survey.users[old]),
    )


# -- the change -----------------------------------------------------------------------


def _rebase(
    state: StateFolder, lost: _Lost, vms: dict[VmId, LockedVm], lock: int
) -> tuple[Path, ...]:
    """Give the layers their new path; return the files that changed or are new."""
    _seal_there(state, lost)
    owner = vms.get(VmId(lost.old.parent.name)) if lost.old.parent.parent == state.vms else None
    named = owner is not None and lost.old.name in owner.record.files
    below = _put_between(state, lost, owner) if owner and named else lost.found
    for upper in lost.uppers:
        _rename_below(state, upper, below, lock)
    if owner and named:
        record = owner.record.with_renamed_layer(lost.old.name, below.path.name)
        vms[owner.id] = save_record(state, owner, record)
        seal_if_possible(state, below.path)
    seal_path(lost.old).unlink(missing_ok=True)
    changed = tuple(upper.path for upper in lost.uppers)
    return (below.path, *changed) if named else changed


def _seal_there(state: StateFolder, lost: _Lost) -> None:
    """Guard the layer at its new location as before: its content is the same."""
    path = lost.found.path
    seal(state, path)
    # Where its seal was moved along, its guards may not have been.
    if path.stat().st_mode & 0o222:
        path.chmod(SEALED_MODE)
    if state.immutable:
        set_immutable(path, on=True)


def _put_between(state: StateFolder, lost: _Lost, owner: LockedVm) -> DiskFile:
    """Make an empty layer in the owner's folder over the layer; one that is there will do."""
    tag = hashlib.sha256(lost.old.name.encode()).hexdigest()[:8]
    path = owner.folder / f"disk-{tag}.qcow2"
    if not path.exists():
        below = _name_from(state, path, lost.found.path)
        content = build_overlay(lost.found.virtual_bytes, below, lost.found.format.value)
        publish_file(path, content, durable=state.durable)
    return read_disk_file(path, format_by_suffix(path))


def _rename_below(state: StateFolder, upper: DiskFile, below: DiskFile, lock: int) -> None:
    sealed = is_sealed(upper.path)
    if sealed:
        unseal(upper.path)
    path = _name_from(state, upper.path, below.path)
    command = ("rebase", "-q", "-u", "-f", upper.format.value, "-b", path)
    arguments = (*command, "-F", below.format.value, str(upper.path))
    run_qemu_img(arguments, folder=upper.path.parent, lock=lock)
    if sealed:
        seal(state, upper.path)


def _name_from(state: StateFolder, upper: Path, below: Path) -> str:
    """Return how a header names a file: within the state folder so that it can be moved."""
    if {upper.parent.parent, below.parent.parent} == {state.vms}:
        return backing_path(VmId(below.parent.name), below.name)
    inside = upper.is_relative_to(state.root) and below.is_relative_to(state.root)
    return os.path.relpath(below, upper.parent) if inside else str(below)


# -- the proof ------------------------------------------------------------------------


def _prove(state: StateFolder, changed: Sequence[Path], vms: Iterable[LockedVm], lock: int) -> None:
    survey = take_survey(state)
    for path in changed:
        alone = read_disk_file(path, format_by_suffix(path))
        run_qemu_img(("check", "-q", name_chain((alone,))), folder=path.parent, lock=lock)
    chains = (survey.chains[top] for vm in vms for top in vm.tops)
    for layer in sorted({file.path for chain in chains for file in chain[:-1]}):
        check_seal(state, layer)


def find_seal(layer: Path, found: Path) -> Fingerprint | None:
    """Return what a missing layer looked like; None if nothing tells.

    Its seal may have been moved along: no two layers have one name, so a seal
    beside a file of that name is the layer's own.
    """
    places = (layer, found) if found.name == layer.name else (layer,)
    for place in places:
        with suppress(OSError, HypervisorError):
            return read_seal(place)
    return None


def is_same(layer: Path, found: Path) -> bool:
    """Say whether a file looks as a missing layer did when it was sealed."""
    with suppress(OSError):
        sealed = find_seal(layer, found)
        if sealed is not None and found.stat().st_size == sealed.size:
            now = take_fingerprint(found)
            like = is_coarser(now.mtime_ns, sealed.mtime_ns) and has_sealed_content(found, sealed)
            return like or not explain_difference(sealed, now)
    return False


def hangs_as_before(layer: Path, found: Path, image_format: ImageFormat) -> bool:
    """Say whether a layer finds its backing file from its new location."""
    if image_format is not ImageFormat.QCOW2:
        return True
    below = read_header(found).backing_path
    return not below or normpath(layer.parent / below) == normpath(found.parent / below)


def find_lost(state: StateFolder, layer: Path) -> tuple[Path, ...]:
    """Find files that look as a missing layer did, each content once.

    Looked for in the state folder and in the folder that holds it. More than one
    are returned only where their contents differ: the fingerprint of a large
    file is of samples.
    """
    folders = dict.fromkeys((layer.parent, *_list_folders(state)))
    return leave_out_copies(p for f in folders for p in _list_files(f) if is_same(layer, p))


def leave_out_copies(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the first file of each content."""
    filecmp.clear_cache()  # it goes by times, which are the same here
    found: list[Path] = []
    for path in paths:
        if not any(filecmp.cmp(path, other, shallow=False) for other in found):
            found.append(path)
    return tuple(found)


def _list_folders(state: StateFolder) -> Iterator[Path]:
    yield from sorted(path for path in state.vms.iterdir() if path.is_dir())
    yield from (state.root, state.root.parent)


def _list_files(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(p for p in folder.iterdir() if p.is_file() and not p.is_symlink())
