"""VMs as Ansible is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkedclone.app.ansible_inventory import AnsibleHost
from linkedclone.drivers.contract import Driver, SshLogins
from linkedclone.lineage.family import Lineage
from linkedclone.lineage.vm_rows import VmRow, describe_vm
from linkedclone.model.report import Mode

if TYPE_CHECKING:
    from linkedclone.model.access import SshLogin
    from linkedclone.model.vm import Vm


def list_hosts(
    driver: Driver, endpoint: str, parent: Vm | None, *, every: bool
) -> tuple[AnsibleHost, ...]:
    """Read all VMs once, and choose.

    Args:
        driver: Where they are.
        endpoint: What that is called.
        parent: Only what hangs from it; None for all.
        every: Also what hangs from nothing. Templates never: nothing runs in them.
    """
    inventory = driver.observe()
    lineage = Lineage(inventory)
    vms = lineage.descendants([parent]) if parent else inventory.vms
    seen = (vm for vm in vms if vm.id not in inventory.outside)
    rows = [describe_vm(vm, lineage) for vm in seen if not vm.template]
    chosen = [row for row in rows if every or row.mode is not Mode.FULL]
    logins = {}
    if isinstance(driver, SshLogins):
        logins = dict(driver.describe_logins([row.vm for row in chosen]))
    hosts = (_build(row, lineage, endpoint, logins.get(row.vm.id)) for row in chosen)
    return tuple(sorted(hosts, key=lambda host: (host.vm.name, host.vm.path)))


def _build(row: VmRow, lineage: Lineage, endpoint: str, login: SshLogin | None) -> AnsibleHost:
    origin, mark = lineage.origin(row.vm), row.vm.valid_mark
    parent_id = origin.parent.uuid if origin.parent else (mark.parent_uuid if mark else "")
    snapshot_id = origin.snapshot.id if origin.snapshot else (mark.snapshot if mark else "")
    return AnsibleHost(
        vm=row.vm,
        endpoint=endpoint,
        parent=row.parent,
        parent_id=parent_id,
        snapshot=row.snapshot,
        snapshot_id=snapshot_id,
        linked=row.linked,
        login=login,
    )
