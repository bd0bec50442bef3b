"""Plan what is started and stopped."""

from collections.abc import Sequence

from linkedclone.model.plan import Plan, SetPower, ShutDownGuest, Step
from linkedclone.model.request import AskGuests
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.vms.guards import refuse_foreign, refuse_templates


def plan_power(
    vms: Sequence[Vm], power: Power, *, force: bool = False, guests: AskGuests | None = None
) -> Plan:
    """Start or stop VMs; those that are there already are left alone.

    ``guests`` says how guests are asked before they are stopped; None stops hard. A guest
    that does not run, as in a suspended VM, is not asked.
    """
    refuse_foreign(vms, action="start" if power is Power.ON else "stop", force=force)
    refuse_templates(vms, action="started" if power is Power.ON else "stopped")
    steps = tuple(_step(vm, power, guests) for vm in vms if vm.power is not power)
    existing = tuple(vm for vm in vms if vm.power is power)
    return Plan(stages=(steps,) if steps else (), existing=existing)


def plan_restart(
    vms: Sequence[Vm], *, force: bool = False, guests: AskGuests | None = None
) -> Plan:
    """Stop the VMs that run, then start all; one that does not stop is left as it is."""
    stop = plan_power(vms, Power.OFF, force=force, guests=guests)
    start = tuple(SetPower(vm=vm.id, vm_name=vm.name, power=Power.ON) for vm in vms)
    return Plan(stages=(*stop.stages, start))


def _step(vm: Vm, power: Power, guests: AskGuests | None) -> Step:
    if power is Power.OFF and guests is not None:
        return ShutDownGuest(
            vm=vm.id,
            vm_name=vm.name,
            deadline_seconds=guests.deadline_seconds,
            then_off=guests.then_off,
        )
    return SetPower(vm=vm.id, vm_name=vm.name, power=power)
