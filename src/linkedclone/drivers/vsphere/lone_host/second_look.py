"""A second look at all chains, right before a lone host is asked for what it does not refuse.

Nothing on a host keeps a snapshot from being merged into the file that clones read
[fact: vs-esxi-merge], and two VMs may get one name.
"""

from typing import Final, assert_never

from linkedclone.drivers.vsphere.inventory.observe import Observer
from linkedclone.drivers.vsphere.lone_host.directory import Directories
from linkedclone.errors import DuplicateNameError, GoneError, InUseError, RefusedError
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.needed_layers import find_unread_users, frozen_by, hangable
from linkedclone.model.inventory import Inventory, tell_all_unreadable
from linkedclone.model.plan import DeleteSnapshot, GrowDisk, JobStep, RenameVm, RevertSnapshot
from linkedclone.model.vm import Layer, Vm
from linkedclone.system.single_flight import SharedLook

Writing = DeleteSnapshot | RevertSnapshot | GrowDisk
"""Steps that write to layers which clones may depend on, or take them away."""


_WORDS: Final = {
    DeleteSnapshot: "delete a snapshot of",
    RevertSnapshot: "revert",
    GrowDisk: "grow a disk of",
}


class SecondLook:
    """Refuses what the host would do; steps that begin at the same time share a look."""

    def __init__(self, observer: Observer, directories: Directories) -> None:
        self._look: SharedLook[Inventory] = SharedLook(observer.observe)
        self._directories = directories

    def check(self, step: JobStep) -> None:
        """Refuse a step that takes away what something depends on, or may depend on."""
        match step:
            case DeleteSnapshot() | RevertSnapshot() | GrowDisk():
                check_writing(step, self._look.take())
            case RenameVm():
                inventory = self._look.take()
                check_name(step, inventory)
                self._check_folder(step, inventory)
            case _:
                pass

    def _check_folder(self, step: RenameVm, inventory: Inventory) -> None:
        """Refuse a name whose folder is there: it is the lock of a clone that is being made."""
        vm = next((one for one in inventory.vms if one.id == step.vm), None)
        if vm is None or vm.home is None or vm.home[1] == step.new_name:
            return
        names = {layer.store: layer.store_name for layer in vm.layers}
        if vm.home[0] not in names:
            return
        directory = f"[{names[vm.home[0]]}] {step.new_name}"
        if self._directories.list_files(directory, vm.home[0]) is not None:
            raise DuplicateNameError(
                f"could not rename {step.vm_name}: the folder {directory} is there already",
                hint="choose another name, or look at the folder in the datastore browser",
                kind="DuplicateName",
            )


def check_writing(step: Writing, inventory: Inventory) -> None:
    """Refuse to write to a layer, or to drop one, that anything but the VM itself reads."""
    vm = next((one for one in inventory.vms if one.id == step.vm), None)
    if vm is None:
        raise GoneError(f"{step.vm_name} is gone", hint="look again: ``list``")
    lineage = Lineage(inventory)
    layers = find_written(step, vm)
    readers = [*lineage.dependants_of_layers(layers, vm)]
    if isinstance(step, DeleteSnapshot):
        snapshots = (one for one in vm.snapshots if one.id == step.snapshot)
        readers += (r for one in snapshots for r in lineage.dependants_of_snapshot(vm, one))
    if readers:
        names = tuple(dict.fromkeys(reader.name for reader in readers))
        brief = f"refusing to {_WORDS[type(step)]} {vm.name}: linked clones depend on it"
        raise InUseError(brief, dependants=names, hint="``tree``")
    needed = layers if isinstance(step, DeleteSnapshot) else layers & hangable(vm, lineage)
    unread = (vm,) if vm.unreadable else find_unread_users(needed, lineage, {vm.id})
    if unread:
        raise RefusedError(
            f"refusing to {_WORDS[type(step)]} {vm.name}: what depends on it is unknown",
            details="\n".join(tell_all_unreadable(unread)),
            hint="make it readable (``doctor``), or unregister it at the host",
        )


def find_written(step: Writing, vm: Vm) -> frozenset[Layer]:
    """Return the layers that a step writes to, or drops. Pure."""
    match step:
        case DeleteSnapshot():
            return frozen_by(vm, step.snapshot)
        case RevertSnapshot():
            frozen = {layer for s in vm.snapshots for d in s.disks or () for layer in d.chain}
            return frozenset(layer for disk in vm.disks for layer in disk.chain) - frozen
        case GrowDisk():
            return frozenset(d.top for d in vm.disks if d.chain and d.label == step.disk)
        case _:
            assert_never(step)


def check_name(step: RenameVm, inventory: Inventory) -> None:
    """Refuse a name that another VM has: a host would let both have it."""
    for vm in inventory.vms:
        if vm.id != step.vm and vm.name.casefold() == step.new_name.casefold():
            raise DuplicateNameError(
                f"could not rename {step.vm_name}: {vm.name} exists already",
                hint="choose another name",
                kind="DuplicateName",
            )
