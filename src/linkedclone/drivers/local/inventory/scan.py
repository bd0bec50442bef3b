"""Look through folders outside of the state folder for disk files that depend on its layers."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from linkedclone.drivers.local.inventory.foreign_files import ForeignDisk, is_in_state, read_foreign
from linkedclone.drivers.local.state.folder import StateFolder
from linkedclone.errors import NotFoundError
from linkedclone.model.values.vm_names import render_count

MOST_ENTRIES = 1_000_000
"""How many names a scan looks at before it gives up, and says so."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a scan found, and what it could not look at."""

    # Files outside of the VMs' folders whose chains run into them.
    disks: list[ForeignDisk] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)  # what was left out, as sentences for people


def scan_places(state: StateFolder, places: Iterable[str], known: Iterable[Path]) -> Findings:
    """Look through folders and all folders below them.

    Links are not followed, other file systems not entered. The VMs' own folders
    are left out, for those are always looked at, and what commands are building.

    Args:
        places: Where; none means the state folder, and for every folder
            outside of it with one of the known files.
    """
    folders = [Path(os.path.abspath(os.path.expanduser(place))) for place in places]  # noqa: PTH100, PTH111 - links stay as they are
    for folder in folders:
        if not folder.is_dir():
            raise NotFoundError(
                f"{folder} is not a folder", hint="name a folder that may hold disk files"
            )
    if not folders:
        outside = {path.parent for path in known if not is_in_state(state, path)}
        folders = [state.root, *sorted(folder for folder in outside if folder.is_dir())]
    findings = Findings()
    walk = _Walk(state)
    seen: set[Path] = set()
    for path in walk.list_files(folders):
        real = Path(os.path.realpath(path))
        if real not in seen:
            seen.add(real)
            _look_at(state, path, findings)
    findings.blind.extend(walk.explain())
    return findings


def _look_at(state: StateFolder, path: Path, findings: Findings) -> None:
    disk = read_foreign(state, path)
    if disk is None:
        return
    if any(file.path.is_relative_to(state.vms) for file in disk.chain):
        findings.disks.append(disk)
    elif disk.doubt:
        findings.blind.append(f"what {path} depends on could not be read: {disk.doubt}")


class _Walk:
    """Lists files, and remembers what it left out."""

    def __init__(self, state: StateFolder) -> None:
        self._own = {os.path.realpath(own) for own in (state.vms, state.staging)}
        self._closed: list[str] = []
        self._mounted: list[str] = []
        self._entries = 0

    def list_files(self, folders: Iterable[Path]) -> Iterator[Path]:
        for folder in folders:
            left = deque([str(folder)])
            try:
                device = folder.stat().st_dev
            except OSError:
                self._closed.append(str(folder))
                continue
            while left and self._entries < MOST_ENTRIES:
                for entry in self._list(left.popleft(), device):
                    self._entries += 1
                    try:
                        is_folder = entry.is_dir(follow_symlinks=False)
                        is_file = not is_folder and entry.is_file(follow_symlinks=False)
                    except OSError:
                        self._closed.append(entry.path)
                        continue
                    if is_folder:
                        left.append(entry.path)
                    elif is_file:
                        yield Path(entry.path)

    def _list(self, folder: str, device: int) -> "list[os.DirEntry[str]]":
        if os.path.realpath(folder) in self._own:
            return []
        try:
            if os.stat(folder, follow_symlinks=False).st_dev != device:  # noqa: PTH116 - half the time
                self._mounted.append(folder)
                return []
            with os.scandir(folder) as entries:
                return list(islice(entries, MOST_ENTRIES - self._entries))
        except (FileNotFoundError, NotADirectoryError):
            pass  # gone meanwhile
        except OSError:  # closed to this user, a path that is too long, a disk that fails
            self._closed.append(folder)
        return []

    def explain(self) -> Iterator[str]:
        if self._closed:
            closed = render_count(len(self._closed), "folder")
            yield f"{closed} cannot be read, as {self._closed[0]}"
        if self._mounted:
            count, first = len(self._mounted), self._mounted[0]
            others = render_count(count, "other file system was", "other file systems were")
            yield f"{others} not entered, as {first}: name them too"
        if self._entries >= MOST_ENTRIES:
            yield f"the scan ended after {MOST_ENTRIES} names: name smaller folders"
