"""Disk files of no VM: what others made, what killed commands left; how they are shown and removed.

A **foreign** file (see ``foreign_files``) always has another owner. An **orphan** has a
name that this driver gives and is reached by nothing; that is only said while no
command is at work, for such a one has files that no record names yet. An image
that was downloaded in part, and not resumed for a week, counts as one.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from linkedclone.drivers.local.inventory.foreign_files import ForeignDisk
from linkedclone.drivers.local.inventory.layer_users import Chain, Survey, take_survey
from linkedclone.drivers.local.inventory.unlinked_vms import is_unlinked
from linkedclone.drivers.local.inventory.vm import allocated_bytes, build_layers
from linkedclone.drivers.local.state.folder import (
    StateFolder,
    is_disk_name,
    is_memory_name,
    is_vm_id,
    key_of,
)
from linkedclone.drivers.local.state.staging import at_work, list_living
from linkedclone.drivers.local.state.store import StoredVm
from linkedclone.drivers.local.storage.image_lock import refuse_writers
from linkedclone.drivers.local.storage.remove_file import (
    is_plain_folder,
    names_in,
    remove,
    remove_rests,
)
from linkedclone.drivers.local.storage.seals import is_sealed, seal_path
from linkedclone.errors import BusyError, HypervisorError, InUseError, RefusedError
from linkedclone.formats.chain import DiskFile, ImageFormat, read_chain
from linkedclone.model.inventory import Stray
from linkedclone.system.locks import hold, is_held

MADE_BY_HAND = "made by hand or by another tool"
OF_UNLINKED = "of a VM folder without a link, see ``doctor``"
LEFT_BEHIND = "no VM reads it"
FETCHED_IN_PART = "downloaded in part, and nothing was added for a week"
_OLD_DOWNLOAD_SECONDS = 7 * 86400.0


def build_stray(state: StateFolder, chain: Chain, *, about: str, orphaned: bool = False) -> Stray:
    """Build what is seen of a file of no VM; inside the state folder it is never cut off."""
    return Stray(
        chain=build_layers(state, chain),
        used_bytes=allocated_bytes(chain[-1].path),
        about=about,
        orphaned=orphaned,
        holds=not orphaned and chain[-1].path.is_relative_to(state.root),
    )


def build_foreign(state: StateFolder, disks: Iterable[ForeignDisk]) -> tuple[Stray, ...]:
    return tuple(
        build_stray(
            state,
            disk.chain,
            about=OF_UNLINKED if is_unlinked(state, disk.path.parent) else MADE_BY_HAND,
        )
        for disk in disks
    )


def find_orphans(state: StateFolder, survey: Survey) -> tuple[Stray, ...]:
    """Find layers of ours that nothing reaches; none while commands are at work.

    Costs a second look, under the family lock, but only if the first one found any.
    """
    if not list_unreached(state, survey):
        return ()
    with suppress(BusyError, OSError), hold(state.family_lock, deadline_s=0):
        # A delete releases the lock before the files no longer exist.
        if not list_living(state):
            return _build_orphans(state, list_unreached(state, take_survey(state)))
    return ()


def list_abandoned(state: StateFolder) -> tuple[Path, ...]:
    from linkedclone.drivers.qemu.images.download import PART_SUFFIX

    limit = time.time() - _OLD_DOWNLOAD_SECONDS
    parts = sorted(state.downloads.glob(f"*{PART_SUFFIX}"))
    return tuple(p for p in parts if p.stat().st_mtime < limit and not is_held(p))


def build_abandoned(state: StateFolder) -> tuple[Stray, ...]:
    chains = ((DiskFile(path=p, format=ImageFormat.RAW),) for p in list_abandoned(state))
    return tuple(build_stray(state, c, about=FETCHED_IN_PART, orphaned=True) for c in chains)


def _build_orphans(state: StateFolder, paths: Sequence[Path]) -> tuple[Stray, ...]:
    return tuple(
        build_stray(state, _read_orphan(path), about=LEFT_BEHIND, orphaned=True) for path in paths
    )


def _read_orphan(path: Path) -> Chain:
    """Read its chain; a half-written one is its own chain."""
    with suppress(HypervisorError, OSError):
        return read_chain(path)
    return (DiskFile(path=path, format=ImageFormat.RAW),)


def remove_stray(state: StateFolder, stray: Stray) -> None:
    """Remove a disk file of no VM from the state folder; an absent one counts as removed.

    Of an image that was fetched in part, what is noted of it goes too.
    """
    from linkedclone.drivers.qemu.images.download import PART_SUFFIX, forget

    path = state.root / stray.layer.path
    if path.parent == state.downloads and path.suffix == PART_SUFFIX:
        with suppress(FileNotFoundError), hold(path, create=False, deadline_s=0):
            forget(path)
        return
    if ".." in path.parts or not path.is_relative_to(state.vms) or path == state.vms:
        raise RefusedError(
            f"{stray.layer.path} is not a file of the state folder",
            hint="linkedclone did not put it there: remove it by hand if you do not need it",
        )
    with at_work(state, "remove", key_of(path.name)), hold(state.family_lock):
        if not path.is_file():
            return
        _refuse_read(state, path)
        refuse_writers([path])
        remove(path)
        seal_path(path).unlink(missing_ok=True)
        remove_rests(state)


def _refuse_read(state: StateFolder, path: Path) -> None:
    survey = take_survey(state)
    names = {vm.id: vm.record.name for vm in survey.stored.vms}
    readers = {names[vm] for vm in survey.users.get(path, ())}
    foreign = (disk.chain for disk in survey.foreign)
    orphans = map(_read_orphan, list_unreached(state, survey))
    for chain in (*foreign, *orphans):
        if path in {file.path for file in chain[:-1]}:
            readers.add(state.relative(chain[-1].path))
    if readers:
        raise InUseError(
            f"not removing {state.relative(path)}",
            dependants=tuple(sorted(readers)),
            hint="``tree`` shows which files depend on it",
        )
    if survey.doubts:
        raise RefusedError(
            f"not removing {state.relative(path)}: its readers are unknown",
            details="\n".join(survey.doubts),
            hint="``doctor`` says how to fix that",
        )


def list_unreached(state: StateFolder, survey: Survey) -> tuple[Path, ...]:
    """Return the layers and files of memory that nothing reaches, by path.

    To be called under the family lock.
    """
    if survey.doubts:
        return ()
    older = {vm.folder for vm in list_older(survey)}
    left = (path for path in sorted(list_layers(state)) if path not in survey.reached)
    return tuple(path for path in left if path.parent not in older)


def list_older(survey: Survey) -> tuple[StoredVm, ...]:
    """Return the VMs whose records are older than their disks, as those from a backup.

    A VM writes to a disk without a seal. A record that names a sealed one for
    that does not name the newest layers.
    """
    return tuple(vm for vm in survey.stored.vms if any(map(is_sealed, vm.disk_tops)))


def list_layers(state: StateFolder) -> Iterator[Path]:
    """List all layers, and files of memory, in folders that we named; a link is not ours."""
    for folder in state.vms.iterdir():
        if is_vm_id(folder.name) and is_plain_folder(folder):
            names = (n for n in names_in(folder) if is_disk_name(n) or is_memory_name(n))
            yield from (folder / name for name in names)
