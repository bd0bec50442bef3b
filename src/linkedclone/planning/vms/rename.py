"""Plan the renaming of a VM."""

from linkedclone.errors import InputError
from linkedclone.model.plan import Plan, RenameVm
from linkedclone.model.values.vm_names import check_name
from linkedclone.model.vm import Vm
from linkedclone.planning.vms.guards import refuse_foreign


def plan_rename(vm: Vm, name: str, *, force: bool = False) -> Plan:
    """Give a VM another name; what it is called already needs nothing.

    Whether another VM of its folder has the name, the hypervisor alone can
    tell: another command could take it between the look and the call.
    """
    check_name(name)
    refuse_foreign([vm], action="rename", force=force)
    if not vm.uuid:
        raise InputError(f"{vm.name} cannot be read, and so cannot be renamed", hint="``doctor``")
    if name == vm.name:
        return Plan(existing=(vm,))
    step = RenameVm(vm=vm.id, vm_name=vm.name, new_name=name)
    return Plan(stages=((step,),), notes=_notes(vm))


def _notes(vm: Vm) -> tuple[str, ...]:
    if vm.snapshots:
        return ("its clones are not affected: they depend on its disks, not on its name",)
    return ()
