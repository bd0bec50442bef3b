"""What becomes independent, and what that takes."""

from dataclasses import replace

import pytest

from linkedclone.errors import InUseError, NoSpaceError, NotOursError, RefusedError
from linkedclone.model.inventory import Inventory, Store, Stray
from linkedclone.model.plan import PromoteVm
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Power, Vm
from linkedclone.planning.vms.promote import plan_promote
from tests.unit.building import STORE, clone_of, disk, hide, layer, sized, snapshot, stray, vm
from tests.unit.planning.scene import GOLD, GRANDCHILD, MIDDLE, ONE, TWO, seen

FULL = replace(vm("full", disk("full/full.vmdk")), mark=replace(ONE.mark, uuid="uuid-full"))  # type: ignore[type-var]  # it has a mark
RUNNING = replace(ONE, power=Power.ON)
CLONE_OF_CLONE = clone_of(MIDDLE, "leaf")

COPIES: dict[str, tuple[list[Vm], list[Vm | Stray], dict[str, int | None]]] = {
    "a clone copies its base": ([ONE], [GOLD, ONE], {"one": 1000}),
    "siblings copy it twice": ([ONE, TWO], [GOLD, ONE, TWO], {"one": 1000, "two": 1000}),
    "a clone of a clone copies both": (
        [CLONE_OF_CLONE],
        [GOLD, MIDDLE, CLONE_OF_CLONE],
        {"leaf": 1030},
    ),
    "a clone with a snapshot copies the base alone": ([MIDDLE], [GOLD, MIDDLE], {"one": 1000}),
    "a clone that runs": ([RUNNING], [GOLD, RUNNING], {"one": 1000}),
    "a clone whose parent is gone": ([ONE], [ONE, TWO], {"one": 1000}),
    "a clone that hides its chain": ([hide(ONE)], [GOLD, hide(ONE)], {"one": None}),
    "a full VM is left alone": ([FULL], [GOLD, FULL], {}),
    "a full VM beside a clone": ([FULL, ONE], [GOLD, ONE, FULL], {"one": 1000}),
    "a leftover is not in the way": (
        [ONE],
        [GOLD, ONE, stray("gold/gold.vmdk", "one/one.vmdk", "one/o-1.vmdk", orphaned=True)],
        {"one": 1000},
    ),
}


@pytest.mark.parametrize(("vms", "found", "copies"), COPIES.values(), ids=COPIES)
def test_this_is_copied(
    vms: list[Vm], found: list[Vm | Stray], copies: dict[str, int | None]
) -> None:
    plan = plan_promote(vms, sized(seen(*found), gold=1000, one=30))
    steps = [step for step in plan.steps if isinstance(step, PromoteVm)]
    assert {step.vm_name: step.copy_bytes for step in steps} == copies
    assert [one.name for one in plan.existing] == [
        one.name for one in vms if one.name not in copies
    ]


def test_the_amount_to_copy_is_omitted_where_sizes_are_unknown() -> None:
    (step,) = plan_promote([ONE], seen(GOLD, ONE)).steps
    assert isinstance(step, PromoteVm)
    assert step.copy_bytes is None


OVERLAY = stray("gold/gold.vmdk", "one/one.vmdk", "aside/overlay.vmdk")

REFUSALS: dict[str, tuple[list[Vm], list[Vm | Stray], list[str]]] = {
    "a clone with clones": ([MIDDLE], [GOLD, MIDDLE, GRANDCHILD], ["grandchild"]),
    "a clone together with its clone": (
        [GRANDCHILD, MIDDLE],
        [GOLD, MIDDLE, GRANDCHILD],
        ["grandchild"],
    ),
    "a clone with a file of nobody on it": ([ONE], [GOLD, ONE, OVERLAY], [OVERLAY.name]),
}


@pytest.mark.parametrize(("vms", "found", "names"), REFUSALS.values(), ids=REFUSALS)
def test_a_vm_that_others_depend_on_is_not_promoted(
    vms: list[Vm], found: list[Vm | Stray], names: list[str]
) -> None:
    with pytest.raises(InUseError) as caught:
        plan_promote(vms, seen(*found), force=True)
    assert list(caught.value.dependants) == names


def test_what_runs_and_has_snapshots_is_not_promoted() -> None:
    running = replace(MIDDLE, power=Power.ON)
    with pytest.raises(RefusedError, match="without snapshots"):
        plan_promote([running], seen(GOLD, running))


def test_a_full_vm_that_runs_with_snapshots_is_left_alone() -> None:
    busy = replace(FULL, power=Power.ON, snapshots=(snapshot("own", disk("full/full.vmdk")),))
    assert plan_promote([busy], seen(GOLD, busy)).existing == (busy,)


def test_foreign_clones_need_force_and_templates_are_never_promoted() -> None:
    foreign = replace(ONE, mark=None)
    with pytest.raises(NotOursError):
        plan_promote([foreign], seen(GOLD, foreign))
    assert plan_promote([foreign], seen(GOLD, foreign), force=True).steps
    template = replace(ONE, template=True)
    with pytest.raises(RefusedError, match="template"):
        plan_promote([template], seen(GOLD, template))


def with_room(inventory: Inventory, free: int | None) -> Inventory:
    return replace(inventory, stores=(Store(id=STORE, name="ssd1", free_bytes=free),))


def test_copies_that_do_not_fit_together_are_refused() -> None:
    inventory = sized(seen(GOLD, ONE, TWO), gold=1000)
    for vms, free in (([ONE], 1000), ([ONE, TWO], 2000), ([ONE], None)):
        assert plan_promote(vms, with_room(inventory, free)).steps
    for vms, free in (([ONE], 999), ([ONE, TWO], 1999)):
        with pytest.raises(NoSpaceError, match="ssd1"):
            plan_promote(vms, with_room(inventory, free))


def test_room_is_needed_where_the_delta_is_not_where_the_base_is() -> None:
    far = layer("one/one.vmdk", "datastore-2")
    moved = replace(ONE, disks=(replace(ONE.disks[0], chain=(*disk("gold/gold.vmdk").chain, far)),))
    inventory = with_room(sized(seen(GOLD, moved), gold=1000), 0)
    assert plan_promote([moved], inventory).steps
    full = Store(id=StoreId("datastore-2"), name="ssd2", free_bytes=999)
    with pytest.raises(NoSpaceError, match="ssd2"):
        plan_promote([moved], replace(inventory, stores=(*inventory.stores, full)))


def test_the_latest_look_counts() -> None:
    assert plan_promote([ONE], seen(GOLD, replace(ONE, disks=FULL.disks))).steps == ()
