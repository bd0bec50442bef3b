"""Deletes a disk file of no VM, once it is certain that no VM here reads it.

Only ``FileManager.DeleteDatastoreFile_Task`` is used: it leaves the parents of a
delta alone [fact: vs-delete-file].

The extents go first: a VM that runs anywhere holds them locked [fact: vs-file-locked], so
the attempt fails before anything is lost, and while the descriptor is there, what is left
can be found and tried again.
"""

import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.decoder import Decoder, Read
from linkedclone.drivers.vsphere.inventory.devices import Hardware, drop_devices, is_unresolved
from linkedclone.drivers.vsphere.jobs.sequence import Start
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.names import split_file_name, unescape
from linkedclone.drivers.vsphere.native import Native, moid_of
from linkedclone.drivers.vsphere.property import traversal
from linkedclone.drivers.vsphere.property.collector import Collector, gather
from linkedclone.drivers.vsphere.storage.datastores import Datastore, read_datastores
from linkedclone.drivers.vsphere.storage.file_access import read_head
from linkedclone.errors import (
    BusyError,
    InUseError,
    LinkedCloneError,
    NotFoundError,
    RefusedError,
    UnreadableAnswerError,
)
from linkedclone.formats.vmdk_descriptor import HEAD_BYTES, parse_descriptor
from linkedclone.model.inventory import Stray
from linkedclone.model.jobs import Job
from linkedclone.model.values.ids import StoreId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Layer
from linkedclone.system.single_flight import SharedLook

_WANTED_OF_TASKS: Final = {
    "Datastore": ("vm",),
    "VirtualMachine": ("config.files.vmPathName", "recentTask"),
    "Task": ("info.state", "info.entity"),
}
_TASKS_OF_USERS: Final = (replace(traversal.STORE_USERS, then=("tasks of vm",)), traversal.VM_TASKS)
_USERS: Final = (traversal.STORE_USERS, *traversal.SNAPSHOTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    store: Datastore  # the datastore, read together with them
    readers: Mapping[Layer, frozenset[str]]  # the names of the VMs that read a layer
    busy: frozenset[str]  # the folders of VMs that a task works on


class Remover:
    """Removes strays; removals that begin at the same time share the look at the VMs."""

    def __init__(self, session: Session, collector: Collector, jobs: Jobs) -> None:
        self._session = session
        self._collector = collector
        self._jobs = jobs
        self._looks: dict[StoreId, SharedLook[_Use]] = {}

    def remove(self, stray: Stray) -> Job:
        """Start to delete a stray's descriptor and extents; what is gone already is done.

        The job fails with an InUseError if a VM here reads the file, and with a
        BusyError while a task works on the VM in whose folder it is: such a
        task may be about to use it.
        """
        about = str(stray.layer)
        try:
            use = self._look(stray.layer)
            self._refuse_use(stray.layer, use)
            store = use.store
            files = self.find_files(stray.layer, store)
        except LinkedCloneError as error:
            return self._jobs.failed(about, "remove", error)
        return self._jobs.sequence(about, "remove", [self.delete_file(store, f) for f in files])

    # -- who reads it -----------------------------------------------------------------

    def _look(self, layer: Layer) -> _Use:
        """Return what the VMs of a datastore read, by a look that began after this call did."""
        look = SharedLook(lambda: self._read_use(self._find_store(layer)))
        return self._looks.setdefault(layer.store, look).take()

    def _find_store(self, layer: Layer) -> Datastore:
        """Return a datastore with the name that it has now: files are deleted by that."""
        for store in read_datastores(self._session, self._collector):
            if store.id == layer.store:
                return store
        raise NotFoundError(f"the datastore of {layer} is gone")

    def _read_use(self, store: Datastore) -> _Use:
        """Read the tasks first: what one of them has done by then shows in the disks."""
        native = self._session.managed("Datastore", store.id)
        about = "read running tasks"
        seen = self._collector.read(about, [native], _WANTED_OF_TASKS, _TASKS_OF_USERS)
        seen[store.id].told("vm")
        working = {
            moid_of(one.demand("info.entity"))
            for one in seen.values()
            if one.kind == "Task" and one.demand("info.state") in {"queued", "running"}
        }
        for one in seen.values():
            one.told("recentTask")
        paths = (
            split_file_name(str(seen[vm].demand("config.files.vmPathName")))[1]
            for vm in working
            if vm in seen
        )
        return _Use(
            store=store,
            readers=self._read_readers(store, native),
            busy=frozenset(map(posixpath.dirname, paths)),
        )

    def _read_readers(self, store: Datastore, native: Native) -> Mapping[Layer, frozenset[str]]:
        wanted = {
            "Datastore": ("vm",),
            "VirtualMachine": ("name", "config.hardware.device", "snapshot"),
            "VirtualMachineSnapshot": ("vm", "config.hardware.device"),
        }
        found = self._collector.read_found(
            "read disks", [native], wanted, Decoder().decode, _USERS, lighten=drop_devices
        )
        around = gather(found)
        _require_all(store, around)
        readers: dict[Layer, set[str]] = defaultdict(set)
        for read in around.values():
            if read.kind == "Datastore":
                continue
            vm = read if read.kind == "VirtualMachine" else around.get(read.id_at("vm"))
            name = unescape(str(vm.get("name"))) if vm else "a VM"
            hardware: Hardware = read.demand("config.hardware.device")
            if hardware.cut:
                raise _refuse_untold(store, [name])
            for disk in hardware.chained({store.name: store.id}):
                for layer in disk.chain:
                    # What comes without an id may be here under the name that it had before.
                    here = is_unresolved(layer.store)
                    readers[replace(layer, store=store.id) if here else layer].add(name)
        return {layer: frozenset(names) for layer, names in readers.items()}

    @staticmethod
    def _refuse_use(layer: Layer, use: _Use) -> None:
        readers = use.readers.get(layer)
        if readers:
            brief = f"refusing to remove {layer}: it is in use"
            raise InUseError(brief, dependants=tuple(sorted(readers)))
        if layer.folder in use.busy:
            raise BusyError(
                f"could not remove {layer}: a task works on the VM in whose folder it is",
                hint="wait for the task, then look again: ``gc`` ``scan``",
                kind="TaskInProgress",
            )

    # -- what goes --------------------------------------------------------------------

    def find_files(self, layer: Layer, store: Datastore) -> tuple[str, ...]:
        """Return the files to delete, the descriptor last; none if that is gone."""
        try:
            head = read_head(self._session, store, layer.path, HEAD_BYTES)
        except NotFoundError as error:
            if self._find_store(layer).name != store.name:
                brief = f"could not remove {layer}: its datastore was renamed just now"
                hint = "run it again: ``gc``"
                raise RefusedError(brief, details=error.brief, hint=hint) from error
            return ()
        descriptor = parse_descriptor(head)
        if descriptor is None:
            raise RefusedError(f"refusing to remove {layer}: it is not a disk descriptor")
        stem = posixpath.basename(layer.path).removesuffix(".vmdk")
        extents = [name for name in descriptor.extents if name != posixpath.basename(layer.path)]
        strange = [name for name in extents if "/" in name or not name.startswith(f"{stem}-")]
        if strange:
            raise RefusedError(
                f"refusing to remove {layer}: its data are in files of another name",
                details=", ".join(strange),
                hint="look at the folder in the datastore browser",
            )
        return (*(posixpath.join(layer.folder, name) for name in extents), layer.path)

    def delete_file(self, store: Datastore, path: str) -> Start:
        """Return what deletes a file; of a folder, all that is in it too."""
        manager, name = self._session.content.fileManager, f"[{store.name}] {path}"
        send = partial(
            self._session.call,
            f"remove {name}",
            manager.DeleteDatastoreFile_Task,
            name=name,
            datacenter=self._session.managed("Datacenter", store.datacenter),
        )
        return Start(subject=name, send=send)


def _require_all(store: Datastore, around: Mapping[str, Read]) -> None:
    """Refuse a look that leaves out a VM of the datastore, or a snapshot of one."""
    listed = set(around[store.id].told("vm") or ())
    for read in around.values():
        listed.update(one.id for one in read.told("snapshot") or ())
    unseen = sorted(listed - around.keys())
    if unseen:
        raise _refuse_untold(store, unseen)


def _refuse_untold(store: Datastore, names: Sequence[str]) -> UnreadableAnswerError:
    return UnreadableAnswerError(
        f"could not read what all VMs of {store.name} use",
        details=f"not told: {list_names(names)}",
        hint="look again; if it stays, the user may not see these",
    )
