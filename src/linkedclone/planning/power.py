"""Plan what is started and stopped."""

from collections.abc import Sequence

from linkedclone.model.observed import Power, Vm
from linkedclone.model.plan import Plan, SetPower
from linkedclone.planning.guards import refuse_foreign, refuse_templates


def plan_power(vms: Sequence[Vm], power: Power, *, force: bool = False) -> Plan:
    """Start or stop VMs; those that are there already are left alone.

    Raises:
        NotOursError: One is not ours.
        RefusedError: One is a template.
    """
    refuse_foreign(vms, action="start" if power is Power.ON else "stop", force=force)
    refuse_templates(vms, action="started")
    steps = tuple(
        SetPower(vm=vm.id, vm_name=vm.name, power=power) for vm in vms if vm.power is not power
    )
    existing = tuple(vm for vm in vms if vm.power is power)
    return Plan(stages=(steps,) if steps else (), existing=existing)


def plan_restart(vms: Sequence[Vm], *, force: bool = False) -> Plan:
    """Stop the VMs that run, then start all.

    Raises:
        NotOursError: One is not ours.
        RefusedError: One is a template.
    """
    stop = plan_power(vms, Power.OFF, force=force)
    start = tuple(SetPower(vm=vm.id, vm_name=vm.name, power=Power.ON) for vm in vms)
    return Plan(stages=(*stop.stages, start))
