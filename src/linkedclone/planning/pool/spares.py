"""The spares of a pool: forks that stand still until a clone takes them over. Pure."""

from collections.abc import Iterator
from itertools import count

from linkedclone.model.pool import PoolSpec, Reason, Why
from linkedclone.model.vm import LEFT_FAILED, Power, Vm
from linkedclone.planning.clone.plan import uuid_of
from linkedclone.planning.pool.membership import state_of
from linkedclone.planning.pool.sight import PoolSight, changed_shape, on_image


def find_ready(spec: PoolSpec, sight: PoolSight) -> tuple[Vm, ...]:
    """Return the spares that clones can take over; as many as the pool is to have, at most."""
    fit = [vm for vm in sight.spares(spec) if not find_unfit(vm, spec, sight)]
    return tuple(vm for vm in fit if not state_of(vm).hold)[: spec.spares]


def find_unfit(vm: Vm, spec: PoolSpec, sight: PoolSight) -> tuple[Reason, ...]:
    """Say why no clone can take a spare over; nothing if one can."""
    mark = vm.valid_mark
    if not spec.instant:
        return (Reason(why=Why.SPEC, text="clone"),)
    if mark is None or mark.spec == LEFT_FAILED or vm.power is not Power.PAUSED:
        return (Reason(why=Why.POWER, text="it does not stand ready any more, or not yet"),)
    if sight.blocked:
        return (Reason(why=Why.IMAGE, text="the snapshot can no longer be forked"),)
    if not on_image(vm, sight):
        return (Reason(why=Why.IMAGE, text=", ".join(filter(None, sight.image))),)
    changed = changed_shape(vm, sight)
    return (Reason(why=Why.SPEC, text=", ".join(changed)),) if changed else ()


def name_spares(spec: PoolSpec, sight: PoolSight) -> Iterator[str]:
    """Yield names for new spares: of no VM, and of none that a spare had which is a clone now.

    That keeps the UUID that was made of the name.
    """
    taken = {vm.name.casefold() for vm in (*sight.inventory.vms, *sight.inventory.unreadable)}
    taken |= {slot.casefold() for slot in spec.slots}
    uuids = {vm.uuid for vm in sight.inventory.vms}
    for number in count(1):
        name = f"{spec.pool}-spare-{number}"
        used = sight.origin and uuid_of(*sight.origin, spec.pool, name, 0) in uuids
        if name.casefold() not in taken and not used:
            yield name
