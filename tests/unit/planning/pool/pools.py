"""Pools built by hand, for tests of what is planned for them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from linkedclone.model.inventory import Inventory
from linkedclone.model.pool import Fitness, Health, PoolSpec, Rollout
from linkedclone.model.request import CloneRequest
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import PoolState, Power, Snapshot, Vm
from linkedclone.planning.clone.spec_digest import describe_shape, render_shape
from linkedclone.planning.pool.sight import PoolSight
from tests.unit.building import clone_of, disk, snapshot, vm

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POOL = "desks"
FOLDER = "/DC0/vm"

OLD = snapshot("old", disk("gold/gold.vmdk"), number=1)
NEW = snapshot("new", disk("gold/gold.vmdk", "gold/gold-1.vmdk"), current=True, number=2)
GOLD = vm(
    "gold", disk("gold/gold.vmdk", "gold/gold-1.vmdk", "gold/gold-2.vmdk"), snapshots=(OLD, NEW)
)

SHAPE = describe_shape(CloneRequest(parent="gold", names=("x",)))
HEALTHY = Health(fitness=Fitness.HEALTHY)
STARTING = Health(fitness=Fitness.STARTING)
SICK = Health(fitness=Fitness.UNHEALTHY, reason="no answer on port 22")
USED = Health(fitness=Fitness.HEALTHY, in_use=True)


def spec(size: int = 3, **given: Any) -> PoolSpec:
    rollout = given.pop("rollout", Rollout())
    return PoolSpec(pool=POOL, parent="gold", size=size, name="desk-{n}", rollout=rollout, **given)


def member(
    slot: str,
    *,
    image: Snapshot = NEW,
    name: str = "",
    power: Power = Power.ON,
    shape: str = render_shape(SHAPE),
    state: Mapping[str, Any] | None = None,
    **seen: Any,
) -> Vm:
    """A clone of the pool on one of the parent's snapshots."""
    wanted = spec()
    signed = {"pattern": wanted.numbering, "place": FOLDER, "parent": GOLD.uuid}
    made = clone_of(replace(GOLD, snapshots=(image,)), name or slot, owner=POOL)
    assert made.mark
    kept = PoolState(slot=slot, **{**signed, **(state or {})})
    mark = replace(made.mark, spec=shape, pool=kept)
    return replace(made, power=power, mark=mark, **seen)


def sight(
    *vms: Vm, image: Snapshot = NEW, health: Mapping[str, Health] | None = None, **given: Any
) -> PoolSight:
    """What is seen; clones are healthy unless ``health`` says otherwise, by name."""
    told = health or {}
    return PoolSight(
        parent=GOLD,
        snapshot=image,
        folder=FOLDER,
        shape=given.pop("shape", SHAPE),
        inventory=Inventory(vms=(GOLD, *vms)),
        health={
            VmId(one.id): told.get(
                one.name, HEALTHY if one.power is Power.ON else Health(fitness=Fitness.UNKNOWN)
            )
            for one in vms
        },
        now=NOW,
        **given,
    )
