"""Makes VMs templates and templates VMs. Neither is a task: the call returns when it is done."""

from __future__ import annotations

from linkedclone.drivers.vsphere.connection.session import Session
from linkedclone.drivers.vsphere.property.collector import Collector
from linkedclone.drivers.vsphere.property.resource_pools import pool_of
from linkedclone.errors import GoneError
from linkedclone.model.values.ids import VmId


def set_template(
    session: Session, collector: Collector, vm: VmId, *, template: bool, pool: str
) -> None:
    """Mark a VM as template, or a template as VM; already so counts as done.

    It is read first, because vCenter refuses to mark it twice [fact: vs-mark-template].
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
