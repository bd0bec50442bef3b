"""One family, for tests of plans: a parent, two clones of it, and a clone of a clone."""

from linkedclone.model.inventory import Inventory, Stray
from linkedclone.model.plan import Plan, SetPower, UnregisterVm
from linkedclone.model.vm import Vm
from tests.unit.building import clone_of, gold, with_snapshot

GOLD = gold()
ONE, TWO = clone_of(GOLD, "one"), clone_of(GOLD, "two")

MIDDLE = with_snapshot(ONE)
"""The clone ``one`` with a snapshot of its own, from which ``grandchild`` hangs."""

GRANDCHILD = clone_of(MIDDLE, "grandchild")


def seen(*found: Vm | Stray, blind: tuple[str, ...] = ()) -> Inventory:
    return Inventory(
        vms=tuple(one for one in found if isinstance(one, Vm)),
        strays=tuple(one for one in found if isinstance(one, Stray)),
        blind=blind,
    )


def waves(plan: Plan) -> list[set[str]]:
    """Return the names of each stage; ``off`` stands before what is stopped."""
    words = {SetPower: "off ", UnregisterVm: "forget "}
    return [
        {words.get(type(step), "") + step.vm_name for step in stage}  # type: ignore[union-attr]  # no clone, no stray
        for stage in plan.stages
    ]
