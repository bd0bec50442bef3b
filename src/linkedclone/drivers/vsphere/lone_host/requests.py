"""The calls that make a clone at a lone host, in their order."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.device_shape import is_disk, label_of
from linkedclone.drivers.vsphere.jobs.task_outcome import is_so_already
from linkedclone.drivers.vsphere.lone_host.create_spec import build_create_spec
from linkedclone.drivers.vsphere.lone_host.devices import name_disks
from linkedclone.drivers.vsphere.lone_host.directory import directory_of
from linkedclone.drivers.vsphere.lone_host.source import Source
from linkedclone.drivers.vsphere.lone_host.target import folder_of
from linkedclone.drivers.vsphere.names import split_file_name
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.errors import LinkedCloneError
from linkedclone.model.plan import CreateClone

POWER_ON: Final = "power-on"
REMOVE: Final = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that returns a task."""

    action: str  # what it does, as error texts name it
    method: str
    this: Native  # the object; None for the VM that is yet to be made
    arguments: Callable[[], Mapping[str, object]] = dict

    @property
    def makes_vm(self) -> bool:
        """Whether its task ends with the VM."""
        return self.action == CreateClone.action

    def counts_as_done(self, error: LinkedCloneError) -> bool:
        """Say whether it failed because there is nothing left to do."""
        if self.action == REMOVE:
            return isinstance(error.__cause__, vim.fault.FileNotFound)
        return is_so_already(self.action, error)


def build_calls(
    session: Session, step: CreateClone, source: Source, claim: str
) -> tuple[Call, ...]:
    """Return the calls behind those that make a clone's directory, and the claim if any in it.

    The claim goes once the VM is there.
    """
    directory = directory_of(step)
    copies = {} if step.disk_move.linked else name_disks(source.frozen.shape, directory)
    folder = session.managed("Folder", folder_of(step.target))
    make = Call(
        action=CreateClone.action,
        method="CreateVM_Task",
        this=folder,
        arguments=lambda: {
            "config": build_create_spec(step, source.frozen, directory, copies),
            "pool": pool_of(step.target.pool),
        },
    )
    calls = [*_build_copies(session, step, source, copies), make]
    if claim:
        calls.append(build_removal(session, claim))
    if source.nvram:
        calls.insert(0, _build_nvram(session, source.nvram, directory))
    return (*calls, POWERING) if step.power_on else tuple(calls)


POWERING: Final = Call(action=POWER_ON, method="PowerOnVM_Task", this=None)


def build_removal(session: Session, path: str) -> Call:
    """Return the call that deletes a file, or a directory with all that is in it."""
    return Call(
        action=REMOVE,
        method="DeleteDatastoreFile_Task",
        this=session.content.fileManager,
        arguments=lambda: {"name": path},
    )


def _build_nvram(session: Session, nvram: str, directory: str) -> Call:
    """Return the call that copies what the UEFI knows of boot entries [fact: vs-esxi-nvram]."""
    own = f"{directory}/{split_file_name(directory)[1]}.nvram"
    return Call(
        action="copy the NVRAM of",
        method="CopyDatastoreFile_Task",
        this=session.content.fileManager,
        arguments=lambda: {"sourceName": nvram, "destinationName": own, "force": False},
    )


def _build_copies(
    session: Session, step: CreateClone, source: Source, copies: Mapping[int, str]
) -> Iterator[Call]:
    """Yield the calls that copy the disks; a chain becomes one file [fact: vs-esxi-copy]."""
    manager, size = session.content.virtualDiskManager, step.hardware.disk_bytes
    for number, disk in enumerate(filter(is_disk, source.frozen.shape.devices)):
        path = copies.get(disk.key)
        if path is None:
            continue
        copy = {"sourceName": disk.backing.fileName, "destName": path, "destSpec": _thin(disk)}
        yield Call(
            action=f"copy {label_of(disk)} for",
            method="CopyVirtualDisk_Task",
            this=manager,
            arguments=copy.copy,
        )
        if not number and size is not None and size > disk.capacityInBytes:
            grow = {"name": path, "newCapacityKb": size >> 10, "eagerZero": False}
            yield Call(
                action=f"grow {label_of(disk)} of",
                method="ExtendVirtualDisk_Task",
                this=manager,
                arguments=grow.copy,
            )


def _thin(disk: Native) -> Native:
    """Return how a copy lies on the datastore: thick only where the base is."""
    backing = disk.backing
    while getattr(backing, "parent", None) is not None:
        backing = backing.parent
    thick = getattr(backing, "thinProvisioned", None) is False
    return vim.VirtualDiskManager.VirtualDiskSpec(
        diskType="preallocated" if thick else "thin", adapterType="lsiLogic"
    )
