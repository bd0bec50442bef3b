"""The directory of a clone: the lock on its name, and what an interrupted run left in it.

Whoever makes the directory may make the clone [fact: vs-esxi-directory].
"""

import re
import time
from collections.abc import Sequence
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.errors import translate
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.jobs.tasks import pause_seconds
from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.drivers.vsphere.property.traversal import Walk
from linkedclone.drivers.vsphere.storage.orphans import NOTE
from linkedclone.errors import BusyError, DuplicateNameError, HypervisorError, UnreadableAnswerError
from linkedclone.model.inventory import Inventory
from linkedclone.model.plan import CreateClone

TAKEN: Final = frozenset({"FileAlreadyExists", "AlreadyExists"})
"""Faults that say that a file or a directory is there already."""

_PATIENCE_SECONDS: Final = 60.0
_SEARCH: Final = {"Task": ("info.state", "info.error", "info.result")}
_RECENT: Final = Walk(name="recent tasks", kind="TaskManager", path="recentTask")
_TASKS: Final = {"TaskManager": ("recentTask",), "Task": ("info.state", "info.descriptionId")}
_MAKERS: Final = frozenset({"", "FileManager", "Folder", "ResourcePool", "VirtualDiskManager"})
"""Whose tasks may be about to make a VM or its files."""


def directory_of(step: CreateClone) -> str:
    """Return the directory of a clone, as ``[datastore] name``."""
    return f"[{step.target.datastore_name}] {step.name}"


def claim_of(step: CreateClone) -> str:
    """Return the claim on a clone's directory; empty where no disks are put into it before."""
    return "" if step.disk_move.linked else next_claim(directory_of(step))


class Directories:
    """Makes directories, and looks into those that are there."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector

    def make(self, directory: str) -> None:
        """Make a directory, and no other above it.

        Raises:
            DuplicateNameError: It is there already.
        """
        try:
            self._session.call(
                f"make the folder {directory}",
                self._session.content.fileManager.MakeDirectory,
                name=directory,
                createParentDirectories=False,
            )
        except HypervisorError as error:
            if error.kind not in TAKEN:
                raise
            raise DuplicateNameError(
                f"the folder {directory} is there already",
                details=error.details,
                hint="run it again to continue with a clone of linkedclone, or choose another name",
                kind=error.kind,
            ) from error

    def is_registered(self, directory: str) -> bool:
        """Say whether a VM of this host has its configuration there."""
        path = f"{directory}/{split_file_name(directory)[1]}.vmx"
        find = self._session.content.searchIndex.FindByDatastorePath
        center = self._session.managed("Datacenter", "ha-datacenter")
        return self._session.read(f"look for {path}", find, center, path) is not None

    def list_files(self, directory: str, store: str) -> tuple[str, ...] | None:
        """Return the names of what a directory holds; None if it does not exist."""
        about = f"look into {directory}"
        native = self._session.managed("Datastore", store)
        seen = self._collector.read(about, [native], {"Datastore": ("browser",)})
        browser = seen[store].demand("browser")
        spec = vim.host.DatastoreBrowser.SearchSpec(matchPattern=["*"])
        try:
            search = browser.SearchDatastore_Task
            task = self._session.call(about, search, datastorePath=directory, searchSpec=spec)
            found = self._await(about, task)
        except HypervisorError as error:
            if error.kind in {"FileNotFound", "NotFound"}:
                return None
            raise
        if found is None:
            raise UnreadableAnswerError(f"could not {about}: the search tells of no folder")
        return tuple(str(file.path) for file in found.file or ())

    def _await(self, about: str, task: Native) -> Native:
        begun = time.monotonic()
        while (age := time.monotonic() - begun) < _PATIENCE_SECONDS:
            seen = self._collector.read(about, [task], _SEARCH).get(moid_of(task))
            if seen is None:
                break
            state = str(seen.demand("info.state"))
            if state == "error":
                raise translate(seen.demand("info.error"), about)
            if state == "success":
                return seen.told("info.result")
            time.sleep(pause_seconds(age, jobs=1))
        raise BusyError(f"could not {about}: no answer in {_PATIENCE_SECONDS:.0f} seconds")

    def is_being_filled(self) -> bool:
        """Say whether a task runs that may be making a VM, or files of one.

        Tasks do not tell the name of what they make [fact: vs-clone-tasks].
        """
        start = self._session.content.taskManager
        seen = self._collector.read("read running tasks", [start], _TASKS, [_RECENT])
        for one in seen.values():
            if one.kind != "Task":
                one.told("recentTask")
            elif str(one.demand("info.state")) in {"queued", "running"}:
                kind = str(one.get("info.descriptionId") or "")
                if kind.rpartition(".")[0].rpartition(".")[2] in _MAKERS:
                    return True
        return False


def find_foreign(directory: str, files: Sequence[str]) -> tuple[str, ...]:
    """Return what was not left by a run that was about to make a clone there. Pure.

    Nor by one that was killed while it deleted one, which has left a note that says so.
    Disks are ours only beside that or a claim: others may keep one in a folder of its name.
    """
    base = re.escape(split_file_name(directory)[1])
    ours = rf"{base}\.nvram"
    if NOTE in files or any(map(_number, files)):
        ours += rf"|{base}\.vmsd|{base}[-_.\w]*\.vmdk"
    if NOTE in files:
        ours += rf"|{base}\.vmxf?|vmware[-\d]*\.log|{re.escape(NOTE)}"
    return tuple(file for file in files if not (_number(file) or re.fullmatch(ours, file)))


def find_users(inventory: Inventory, store: str, folder: str) -> tuple[str, ...]:
    """Return the VMs that read a disk in a folder, or may read one. Pure."""
    readers = (
        vm.name
        for vm in inventory.vms
        if any((layer.store, layer.folder) == (store, folder) for layer in vm.layers)
        or (vm.unreadable and (not vm.stores or store in vm.stores))
    )
    return tuple(f"used by {name}" for name in readers)


def next_claim(directory: str, files: Sequence[str] = ()) -> str:
    """Return the folder that a run makes before it puts files into a directory. Pure.

    Of several runs that would go on with the same files, one gets to make it.
    """
    return f"{directory}/{_CLAIM}{1 + max(map(_number, files), default=0)}"


def _number(file: str) -> int:
    found = re.fullmatch(rf"{_CLAIM}([0-9]{{1,9}})", file)
    return int(found[1]) if found else 0


_CLAIM: Final = "linkedclone-claim-"
