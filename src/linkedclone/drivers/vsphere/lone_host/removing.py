"""Deletes VMs of a lone host file by file, because the host keeps no count of who reads a file.

Reports contradict each other on whether Destroy_Task takes a base along with its last clone
[fact: vs-esxi-deletion]. So it is sent only for a VM whose files are all in its own folder and
which nothing else reads. Any other VM is unregistered, and of its files those are deleted
that nothing else reads: all VMs are looked at before it, and once more after it.

A command that is killed on the way leaves files of no VM. A small file beside them
(:data:`NOTE`) says that their VM was being deleted, so that ``gc`` may remove them; it is
written first and deleted last. The ``.vmx`` goes before the disks, so that what is left never
looks like a VM that someone wants to register again.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.jobs.sequence import Start
from linkedclone.drivers.vsphere.jobs.tasks import Jobs
from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.drivers.vsphere.storage.datastores import Datastore, read_datastores
from linkedclone.drivers.vsphere.storage.file_access import read_head, write_file
from linkedclone.drivers.vsphere.storage.orphans import NOTE
from linkedclone.drivers.vsphere.storage.remove_file import Remover
from linkedclone.errors import (
    GoneError,
    LinkedCloneError,
    LostAnswerError,
    NotFoundError,
    RefusedError,
)
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.needed_layers import find_unread_users, hangable
from linkedclone.model.inventory import tell_all_unreadable
from linkedclone.model.jobs import Job
from linkedclone.model.plan import DeleteVm, UnregisterVm
from linkedclone.model.values.ids import StoreId
from linkedclone.model.values.vm_names import list_names
from linkedclone.model.vm import Layer, Power, Vm
from linkedclone.system.single_flight import SharedLook

_OF_A_VM: Final = frozenset(
    {".vmx", ".vmx~", ".vmxf", ".vmsd", ".vmsn", ".vmss", ".vmem", ".nvram", ".log", ".vswp"}
)
"""What a VM keeps in its folder beside its disks, by the ends of the names."""

_NOT_SHARED: Final = (".vmx", ".vmxf", ".nvram", ".vmsd")
"""Those of them that bear the name of the ``.vmx``, also where several VMs share a folder."""

_OURS: Final = "linkedclone-"
"""How the notes and claims begin that linkedclone itself leaves in a folder."""

_CONFIG: Final = "config.files.vmPathName"
_FOUND: Final = "info.result"

Stores = Mapping[StoreId, Datastore]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Removal:
    """What goes, as it was known before the VM was unregistered."""

    vm: Vm
    native: Native
    store: Datastore  # where its folder is
    folder: str
    config: str  # the name of its ``.vmx`` there
    files: Mapping[Layer, tuple[str, ...]]  # of each layer, the descriptor last; deltas first
    needed: frozenset[Layer]  # those of them that an unseen clone could depend on
    stores: Stores


class Deleter:
    """Deletes VMs; deletions that begin at the same time share their looks."""

    def __init__(
        self,
        session: Session,
        collector: Collector,
        observer: Observer,
        jobs: Jobs,
        remover: Remover,
    ) -> None:
        self._session = session
        self._collector = collector
        self._observer = observer
        self._jobs = jobs
        self._remover = remover
        self._look = SharedLook(observer.observe)
        self._look_at_stores = SharedLook(lambda: read_datastores(session, collector))

    def delete(self, step: DeleteVm) -> Job:
        """Delete a VM with the files that nothing else reads; one that is gone is done."""
        native = self._session.managed("VirtualMachine", step.vm)
        inventory = self._look.take()
        vm = next((one for one in inventory.vms if one.id == step.vm), None)
        if vm is None:
            if self._observer.observe_vms([step.vm], whole=False):
                raise _refuse_unseen(step.vm_name)
            return self._jobs.done(step.about, step.action)
        _check(vm, step)
        lineage = Lineage(inventory)
        if is_self_contained(vm, lineage) and not step.takes_base:
            return self._jobs.delete(step.about, step.action, native, native.Destroy_Task)
        _refuse_unread_users(vm, lineage)
        removal = self._prepare(vm, native, find_own(vm, lineage, step.takes_base), lineage)
        if removal is None:
            return self._jobs.done(step.about, step.action)
        return self._jobs.sequence(step.about, step.action, self._remove(removal))

    def unregister(self, step: UnregisterVm) -> Job:
        """Unregister a VM to keep its files: a note that a killed deletion left says otherwise."""
        native = self._session.managed("VirtualMachine", step.vm)
        wanted = {"VirtualMachine": (_CONFIG,)}
        for seen in self._collector.read(f"read {step.about}", [native], wanted).values():
            name, path = split_file_name(str(seen.demand(_CONFIG)))
            stores = [store for store in self._look_at_stores.take() if store.name == name]
            note = posixpath.join(posixpath.dirname(path), NOTE)
            notes = [self._remover.delete_file(store, note) for store in stores]
            return self._jobs.sequence(step.about, step.action, self._keep(native, step, notes))
        return self._jobs.done(step.about, step.action)

    def _keep(self, native: Native, step: UnregisterVm, notes: Sequence[Start]) -> Iterator[Start]:
        yield from notes
        try:
            self._session.call(f"unregister {step.about}", native.UnregisterVM)
        except (GoneError, LostAnswerError):
            if not self._jobs.is_gone(native):
                raise

    def _prepare(
        self, vm: Vm, native: Native, layers: Sequence[Layer], lineage: Lineage
    ) -> _Removal | None:
        """Find all files before anything is changed: what cannot be made out stops it here.

        None if another command has deleted the VM since it was read.
        """
        stores = {store.id: store for store in self._look_at_stores.take()}
        missing = sorted(str(layer) for layer in layers if layer.store not in stores)
        if vm.home is None or vm.home[0] not in stores or missing:
            raise RefusedError(
                f"refusing to delete {vm.name}: the datastores of its files cannot be read",
                details="\n".join(missing),
                hint="look whether they are mounted: ``doctor``",
            )
        wanted = {"VirtualMachine": (_CONFIG,)}
        seen = self._collector.read(f"read {vm.name}", [native], wanted)
        if not seen:
            return None
        files = {layer: self._remover.find_files(layer, stores[layer.store]) for layer in layers}
        return _Removal(
            vm=vm,
            native=native,
            store=stores[vm.home[0]],
            folder=vm.home[1],
            config=posixpath.basename(str(seen[vm.id].demand(_CONFIG))),
            files=files,
            needed=hangable(vm, lineage),
            stores=stores,
        )

    def _remove(self, removal: _Removal) -> Iterator[Start]:
        """Do one thing after the other; each task is handed out, to be waited for."""
        if not self._unregister(removal):
            return
        lineage = Lineage(self._look.take())
        layers = self._find_free(removal, lineage)
        listed: tuple[str, ...] = ()
        if removal.folder:
            search = _Search(self._session, removal)
            yield Start(subject=search.folder, send=search.send)
            listed = search.read(self._collector)
        alone = removal.vm.home not in {vm.home for vm in lineage.vms}
        going = [self._delete(removal, name) for name in find_configs(listed, removal.config)]
        for layer in layers:
            store = removal.stores[layer.store]
            going += (self._remover.delete_file(store, path) for path in removal.files[layer])
        for start in going:
            if not self._is_ours(removal):
                return
            yield start
        if set(removal.files) - set(layers) or not self._is_ours(removal):
            return  # where layers stay, the note does as well
        yield self._delete(removal, NOTE)
        gone = [path for layer in layers for path in removal.files[layer]]
        if alone and is_all_ours(listed, removal.config, map(posixpath.basename, gone)):
            yield self._remover.delete_file(removal.store, removal.folder)

    def _find_free(self, removal: _Removal, lineage: Lineage) -> tuple[Layer, ...]:
        """Return what still nothing reads, now that the VM is unregistered.

        What a clone depends on that was made a moment ago stays, as a base of no VM.
        """
        free = find_free(tuple(removal.files), removal.vm, lineage)
        return tuple(
            layer
            for layer in free
            if layer not in removal.needed or not find_unread_users([layer], lineage)
        )

    def _is_ours(self, removal: _Removal) -> bool:
        """Say whether the note is there: who makes a clone in a folder that was left removes it."""
        path = posixpath.join(removal.folder, NOTE)
        try:
            read_head(self._session, removal.store, path, 1)
        except NotFoundError:
            return False
        return True

    def _unregister(self, removal: _Removal) -> bool:
        """Unregister the VM; False if another command has done so, which goes on by itself."""
        vm = removal.vm
        if vm.power is Power.OFF:
            body = f"linkedclone was deleting {vm.name} ({vm.uuid}): what is left is of no use.\n"
            path = posixpath.join(removal.folder, NOTE)
            write_file(self._session, removal.store, path, body.encode())
        try:
            self._session.call(f"unregister {vm.name}", removal.native.UnregisterVM)
        except GoneError:
            if not self._jobs.is_gone(removal.native):
                raise
            self._forget_note(removal)
            return False
        except LostAnswerError:
            if not self._jobs.is_gone(removal.native):
                raise
        except LinkedCloneError:
            self._forget_note(removal)
            raise
        return True

    def _forget_note(self, removal: _Removal) -> None:
        """Remove the note of a deletion that does nothing, if a VM is in the folder."""
        with suppress(LinkedCloneError):
            if removal.vm.home in {vm.home for vm in self._look.take().vms}:
                self._delete(removal, NOTE).send()

    def _delete(self, removal: _Removal, name: str) -> Start:
        return self._remover.delete_file(removal.store, posixpath.join(removal.folder, name))


class _Search:
    """Lists the files of a VM's folder: a task, and a read of what it found."""

    def __init__(self, session: Session, removal: _Removal) -> None:
        self.folder = f"[{removal.store.name}] {removal.folder}"
        self._session = session
        self._browser = removal.store.browser
        self._task: Native = None

    def send(self) -> Native:
        """Start it."""
        about, method = f"list {self.folder}", self._browser.SearchDatastore_Task
        self._task = self._session.call(about, method, datastorePath=self.folder)
        return self._task

    def read(self, collector: Collector) -> tuple[str, ...]:
        """Return the names of what it found; nothing if the folder is gone."""
        seen = collector.read("read a folder", [self._task], {"Task": (_FOUND,)})
        found = next(iter(seen.values())).told(_FOUND) if seen else None
        return tuple(str(file.path) for file in found.file or ()) if found is not None else ()


def _check(vm: Vm, step: DeleteVm) -> None:
    if step.vm_uuid and vm.uuid and step.vm_uuid != vm.uuid:
        raise RefusedError(
            f"{vm.id} is another VM than the {step.vm_name} that was looked up",
            details=f"by now it is {vm.name}, with the UUID {vm.uuid}",
            hint="look again: ``list``",
        )
    if vm.unreadable:
        raise RefusedError(
            f"refusing to delete {vm.name}: it cannot be read, so which files are its own is "
            "unknown",
            details="\n".join(tell_all_unreadable([vm])),
            hint="make it readable: ``doctor``",
        )


def _refuse_unseen(name: str) -> RefusedError:
    return RefusedError(
        f"refusing to delete {name}: it exists, but is missing from the list of all VMs",
        hint="look again: ``list``; or you may not see all: ``doctor``",
    )


def _refuse_unread_users(vm: Vm, lineage: Lineage) -> None:
    unread = find_unread_users(hangable(vm, lineage), lineage, {vm.id})
    if unread:
        raise RefusedError(
            f"refusing to delete {vm.name}: {list_names([one.name for one in unread])} may depend "
            "on it, and cannot be read",
            details="\n".join(tell_all_unreadable(unread)),
            hint="make it readable (``doctor``), or unregister it at the host",
        )


# -- which files are its own ----------------------------------------------------------


def is_self_contained(vm: Vm, lineage: Lineage) -> bool:
    """Say whether all layers of a VM are in its own folder, and nothing else reads them."""
    inside = all(vm.home == (layer.store, layer.folder) for layer in vm.layers)
    return inside and not lineage.dependants(vm)


def find_own(vm: Vm, lineage: Lineage, takes_base: Iterable[Layer] = ()) -> tuple[Layer, ...]:
    """Return the layers that go with a VM, what lies on top of a chain first."""
    tops = (disk.top for disk in vm.disks if disk.chain)
    return find_free({*lineage.owned(vm), *tops, *takes_base}, vm, lineage)


def find_free(layers: Iterable[Layer], vm: Vm, lineage: Lineage) -> tuple[Layer, ...]:
    """Return those of a VM's layers that nothing else reads, what lies on top first.

    A clone that hides its chain may read each of them, but for those that the VM writes to.
    """
    layers = tuple(layers)
    readers = {reader.id for layer in layers for reader in lineage.readers(layer)}
    tops = {disk.top for disk in vm.disks if disk.chain}
    hidden = {reader.id for reader in lineage.dependants(vm)} - readers
    disks = (*vm.disks, *(disk for s in vm.snapshots for disk in s.disks or ()))
    depth = {layer: at for disk in disks for at, layer in enumerate(disk.chain)}
    free = [
        layer
        for layer in layers
        if all(reader.id == vm.id for reader in lineage.readers(layer))
        and (layer in tops or not hidden)
    ]
    return tuple(sorted(free, key=lambda layer: (-depth.get(layer, 0), layer)))


def find_configs(listed: Iterable[str], config: str) -> tuple[str, ...]:
    """Return what describes a VM among the files of its folder, the ``.vmx`` first."""
    stem = config.removesuffix(".vmx")
    names = set(listed)
    return tuple(f"{stem}{end}" for end in _NOT_SHARED if f"{stem}{end}" in names)


def is_all_ours(listed: Sequence[str], config: str, gone: Iterable[str]) -> bool:
    """Say whether all that was in a folder is a VM's own: no other disk, no other VM."""
    known = {*gone, config}
    stems = tuple(name.removesuffix(".vmdk") + "-" for name in known if name.endswith(".vmdk"))
    return bool(listed) and all(
        name in known
        or name.startswith(_OURS)
        or (name.endswith("-ctk.vmdk") and name.startswith(stems))
        or (posixpath.splitext(name)[1] in _OF_A_VM and not name.endswith(".vmx"))
        for name in listed
    )
