"""Changes VMs that are off: processors, memory, notes, mark, sizes of disks, template or VM."""

from dataclasses import dataclass
from typing import Final

from pyVmomi import vim

from linkedclone.drivers.rules.marks import merge_mark
from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.inventory.device_shape import is_disk, label_of
from linkedclone.drivers.vsphere.inventory.marks import PATHS, read_mark, write_mark
from linkedclone.drivers.vsphere.names import memory_mib
from linkedclone.drivers.vsphere.native import Native
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.errors import GoneError, InputError, NotFoundError
from linkedclone.model.plan import ReconfigureVm
from linkedclone.model.request import Hardware
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Mark

_VERSION: Final = "config.changeVersion"
_STEP: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """The current mark of a VM, and the version of the configuration that holds it."""

    mark: Mark | None
    version: str


def read_bearing(collector: Collector, vm: Native, name: str) -> Bearing | None:
    """Read a VM's mark again, in one call; None if there is no such VM any more."""
    wanted = {"VirtualMachine": (_VERSION, *PATHS)}
    seen = next(iter(collector.read(f"read {name}", [vm], wanted).values()), None)
    if seen is None:
        return None
    told = {path: option.value for path in PATHS if (option := seen.told(path)) is not None}
    return Bearing(mark=read_mark(told), version=seen.demand(_VERSION))


def build_changes(step: ReconfigureVm, bearing: Bearing | None = None) -> Native:
    """Return the ConfigSpec of a step; what is None there is left out, so it stays.

    A mark is written only into the version of the configuration that it was
    made of: to another one vCenter answers with ConcurrentAccess (API
    reference, VirtualMachineConfigSpec.changeVersion).
    """
    spec = vim.vm.ConfigSpec(
        numCPUs=step.cpus,
        memoryMB=memory_mib(Hardware(memory_bytes=step.memory_bytes)),
        annotation=step.annotation,
    )
    if step.mark is not None:
        if bearing is None:
            raise GoneError(f"{step.vm_name} is gone", hint="look again: ``list``")
        merged = merge_mark(step.vm_name, step.mark, seen=step.seen, now=bearing.mark)
        spec.changeVersion = bearing.version
        spec.extraConfig = [
            vim.option.OptionValue(key=key, value=value)
            for key, value in write_mark(merged).items()
        ]
    return spec


def read_disk(collector: Collector, vm: Native, name: VmId | str, label: str) -> Native:
    """Read one disk of a VM in a form that can be sent back."""
    wanted = {"VirtualMachine": ("config.hardware.device",)}
    seen = next(iter(collector.read(f"read {name}", [vm], wanted).values()), None)
    if seen is None:
        raise GoneError(f"{name} is gone", hint="look again: ``list``")
    for device in seen.demand("config.hardware.device"):
        if is_disk(device) and label_of(device) == label:
            return device
    raise NotFoundError(f"{name} has no disk {label!r}")


def build_growth(disk: Native, capacity_bytes: int) -> Native:
    """Return the change that gives a disk another capacity and leaves all else as it is.

    Refused by vCenter for a disk with a parent [fact: vs-linked-no-growth].
    """
    if capacity_bytes % _STEP:
        raise InputError(
            f"{capacity_bytes:,} bytes are not a multiple of 1 KiB",
            hint="vCenter takes the sizes of disks in KiB, as 20GiB",
        )
    device = vim.vm.device.VirtualDisk(
        key=disk.key,
        controllerKey=disk.controllerKey,
        unitNumber=disk.unitNumber,
        backing=disk.backing,
        capacityInBytes=capacity_bytes,
        capacityInKB=capacity_bytes // _STEP,
    )
    edit = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
    return vim.vm.ConfigSpec(deviceChange=[edit])


def set_template(
    session: Session, collector: Collector, vm: VmId, *, template: bool, pool: str
) -> None:
    """Mark a VM as template, or a template as VM; already so counts as done.

    Neither is a task: the call returns when it is done. It is read first, because vCenter
    refuses to mark it twice [fact: vs-mark-template].
    """
    native = session.managed("VirtualMachine", vm)
    wanted = {"VirtualMachine": ("name", "config.template")}
    seen = collector.read("read the template", [native], wanted).get(vm)
    if seen is None:
        raise GoneError(f"the VM {vm} no longer exists", kind="ManagedObjectNotFound")
    if bool(seen.demand("config.template")) is template:
        return
    name = seen.get("name")
    if template:
        session.call(f"mark {name} as template", native.MarkAsTemplate)
    else:
        native_pool = pool_of(pool)
        session.call(f"mark {name} as VM", native.MarkAsVirtualMachine, pool=native_pool)
