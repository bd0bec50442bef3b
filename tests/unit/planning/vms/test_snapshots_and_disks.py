"""What is done to snapshots and disks, and what others' need of them forbids."""

from dataclasses import replace

import pytest

from linkedclone.errors import InputError, InUseError, NotFoundError, NotOursError, RefusedError
from linkedclone.model.inventory import Stray
from linkedclone.model.plan import DeleteMemory, DeleteSnapshot, GrowDisk, RevertSnapshot
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import PoolState, Snapshot, SnapshotMemory, Vm
from linkedclone.planning.vms.snapshots_and_disks import (
    plan_create_snapshot,
    plan_delete_memory,
    plan_delete_snapshot,
    plan_grow,
    plan_revert,
)
from tests.unit.building import clone_of, disk, hide, layer, snapshot, stray, vm, with_snapshot
from tests.unit.planning.scene import GOLD, MIDDLE, ONE, TWO, seen

(BASE,) = GOLD.snapshots
TWICE = with_snapshot(GOLD, "later")
LATER = TWICE.snapshots[1]
PRESENT = stray("gold/gold.vmdk", "gold/gold-000001.vmdk", "aside/overlay.vmdk")
ON_BASE = stray("gold/gold.vmdk", "aside/overlay.vmdk")
LEFT = stray("gold/gold.vmdk", "gold/gold-000002.vmdk")


def test_foreign_vms_can_be_snapshotted_but_templates_cannot() -> None:
    assert len(plan_create_snapshot(GOLD, "next", "").steps) == 1
    with pytest.raises(RefusedError, match="template"):
        plan_create_snapshot(replace(GOLD, template=True), "next", "")


NEEDED: dict[str, tuple[Vm, Snapshot, list[Vm | Stray], list[str]]] = {
    "clones depend on it": (GOLD, BASE, [GOLD, ONE, TWO], ["one", "two"]),
    "a clone depends on a later one": (
        TWICE,
        BASE,
        [TWICE, clone_of(replace(TWICE, snapshots=(LATER,)), "newer")],
        ["newer"],
    ),
    "a clone hides its chain": (GOLD, BASE, [GOLD, hide(ONE)], ["one"]),
    "a stray file depends on it": (GOLD, BASE, [GOLD, ON_BASE], [ON_BASE.name]),
    "a stray file depends on the present state above it": (
        GOLD,
        BASE,
        [GOLD, PRESENT],
        [PRESENT.name],
    ),
    "a left over delta depends on it": (GOLD, BASE, [GOLD, LEFT], [LEFT.name]),
}


@pytest.mark.parametrize(("one", "which", "found", "names"), NEEDED.values(), ids=NEEDED)
def test_a_snapshot_that_is_needed_is_not_deleted(
    one: Vm, which: Snapshot, found: list[Vm | Stray], names: list[str]
) -> None:
    with pytest.raises(InUseError) as caught:
        plan_delete_snapshot(one, which, seen(*found), force=True)
    assert list(caught.value.dependants) == names


FREE: dict[str, tuple[Vm, Snapshot, list[Vm | Stray]]] = {
    "no clone uses it": (GOLD, BASE, [GOLD]),
    "clones depend on an earlier one": (TWICE, LATER, [TWICE, ONE, TWO]),
    "a stray file depends on an earlier one": (TWICE, LATER, [TWICE, ON_BASE]),
    "a stray file depends on nothing": (GOLD, BASE, [GOLD, stray("gold/gold_9.vmdk")]),
}


@pytest.mark.parametrize(("one", "which", "found"), FREE.values(), ids=FREE)
def test_a_snapshot_that_nothing_needs_is_deleted(
    one: Vm, which: Snapshot, found: list[Vm | Stray]
) -> None:
    plan = plan_delete_snapshot(one, which, seen(*found), force=True)
    (step,) = plan.steps
    assert step == DeleteSnapshot(
        vm=one.id, vm_name="gold", vm_uuid=one.uuid, snapshot=which.id, name=which.name
    )


def warm(vm: Vm) -> tuple[Vm, Snapshot]:
    """Return the VM with memory in its snapshot."""
    held = replace(BASE, memory=SnapshotMemory(size_bytes=1))
    return replace(vm, snapshots=(held, *vm.snapshots[1:])), held


def test_the_memory_of_a_snapshot_goes_alone_also_with_clones() -> None:
    gold, held = warm(GOLD)
    (step,) = plan_delete_memory(gold, held, seen(gold, ONE, TWO), force=True).steps
    assert step == DeleteMemory(
        vm=gold.id, vm_name="gold", vm_uuid=gold.uuid, snapshot=held.id, name=held.name
    )


def test_spares_keep_the_memory_of_their_snapshot() -> None:
    gold, held = warm(GOLD)
    assert ONE.mark
    spare = replace(ONE, mark=replace(ONE.mark, pool=PoolState(spare=True)))
    with pytest.raises(InUseError, match="spares") as caught:
        plan_delete_memory(gold, held, seen(gold, spare, TWO), force=True)
    assert list(caught.value.dependants) == [ONE.name]


def test_memory_that_is_not_there_is_not_deleted_and_that_of_foreign_vms_needs_force() -> None:
    with pytest.raises(RefusedError, match="holds no memory"):
        plan_delete_memory(GOLD, BASE, seen(GOLD), force=True)
    gold, held = warm(GOLD)
    with pytest.raises(NotOursError):
        plan_delete_memory(gold, held, seen(gold))


def test_the_plan_to_delete_a_snapshot_names_unsearched_places() -> None:
    plan = plan_delete_snapshot(GOLD, BASE, seen(GOLD, blind=("another vCenter",)), force=True)
    assert plan.notes == ("another vCenter",)


def test_a_foreign_vms_snapshot_needs_force() -> None:
    with pytest.raises(NotOursError):
        plan_delete_snapshot(GOLD, BASE, seen(GOLD))
    with pytest.raises(NotOursError):
        plan_revert(GOLD, BASE, seen(GOLD))


def test_a_snapshot_that_cannot_be_read_is_neither_deleted_nor_gone_back_to() -> None:
    unread = replace(BASE, disks=None)
    with pytest.raises(RefusedError, match="cannot be read"):
        plan_delete_snapshot(GOLD, unread, seen(GOLD), force=True)
    with pytest.raises(RefusedError, match="cannot be read"):
        plan_revert(GOLD, unread, seen(GOLD), force=True)


BACK: dict[str, tuple[Vm, Snapshot, list[Vm | Stray]]] = {
    "clones depend on the snapshot": (GOLD, BASE, [GOLD, ONE, TWO]),
    "clones depend on the snapshot that is left": (TWICE, BASE, [TWICE, ONE]),
    "a stray file depends on the snapshot": (GOLD, BASE, [GOLD, ON_BASE]),
}


@pytest.mark.parametrize(("one", "which", "found"), BACK.values(), ids=BACK)
def test_a_vm_goes_back_to_a_snapshot(one: Vm, which: Snapshot, found: list[Vm | Stray]) -> None:
    (step,) = plan_revert(one, which, seen(*found), force=True).steps
    assert step == RevertSnapshot(
        vm=one.id, vm_name="gold", vm_uuid=one.uuid, snapshot=which.id, name=which.name
    )


def test_revert_keeps_a_current_state_that_others_depend_on() -> None:
    for hanging in (PRESENT, vm("byhand", disk(*(one.path for one in PRESENT.chain)))):
        with pytest.raises(InUseError) as caught:
            plan_revert(GOLD, BASE, seen(GOLD, hanging), force=True)
        assert caught.value.dependants == (hanging.name,)


def test_the_latest_present_state_counts() -> None:
    # A clone depends on what was the present state when the VM was looked up.
    newer = clone_of(replace(TWICE, snapshots=(LATER,)), "newer")
    assert plan_revert(GOLD, BASE, seen(TWICE, newer), force=True).steps


GIB = 1 << 30
DATA = replace(disk("gold/gold_1.vmdk"), label="Hard disk 2", capacity_bytes=8 * GIB)
PLAIN = vm("gold", replace(disk("gold/gold.vmdk"), capacity_bytes=8 * GIB))
PAIR = replace(PLAIN, disks=(*PLAIN.disks, DATA))
CLONE = replace(ONE, disks=(replace(ONE.disks[0], capacity_bytes=8 * GIB),))


def grow(label: str = "", size: int = 9 * GIB) -> GrowDisk:
    return GrowDisk(vm=VmId("vm-gold"), vm_name="gold", disk=label, capacity_bytes=size)


@pytest.mark.parametrize(
    ("one", "wanted", "label"),
    [
        (PLAIN, grow(), "Hard disk 1"),
        (PAIR, grow("Hard disk 2"), "Hard disk 2"),
        (PAIR, grow("Hard disk 1"), "Hard disk 1"),
    ],
)
def test_a_disk_grows(one: Vm, wanted: GrowDisk, label: str) -> None:
    (step,) = plan_grow(one, wanted, seen(one), linked_too=False, force=True).steps
    assert step == replace(wanted, disk=label, vm_uuid=one.uuid)


def test_e_a_disk_grows_past_what_cannot_be_read_once_that_is_allowed() -> None:
    lost = replace(PLAIN, id=VmId("vm-lost"), name="lost", unreadable="no host knows it")
    inventory = seen(PLAIN, replace(lost, home=None, disks=(), snapshots=()))
    with pytest.raises(RefusedError, match="lost may depend on it") as caught:
        plan_grow(PLAIN, grow(), inventory, linked_too=False, force=True)
    assert "``despite_unreadable``" in caught.value.hint
    planned = plan_grow(
        PLAIN, grow(), inventory, linked_too=False, force=True, despite_unreadable=True
    )
    assert planned.steps


def test_a_disk_that_is_large_enough_is_left_alone() -> None:
    plan = plan_grow(PLAIN, grow(size=8 * GIB), seen(PLAIN), linked_too=False, force=True)
    assert plan.empty
    assert plan.existing == (PLAIN,)


def test_a_disk_never_becomes_smaller() -> None:
    with pytest.raises(InputError, match="smaller"):
        plan_grow(PLAIN, grow(size=GIB), seen(PLAIN), linked_too=True, force=True)


@pytest.mark.parametrize(
    ("one", "label"), [(PAIR, ""), (PLAIN, "Hard disk 9"), (replace(PLAIN, disks=()), "")]
)
def test_an_ambiguous_disk_is_not_found(one: Vm, label: str) -> None:
    with pytest.raises(NotFoundError):
        plan_grow(one, grow(label), seen(one), linked_too=True, force=True)


def test_a_disk_of_a_foreign_vm_grows_only_with_force() -> None:
    with pytest.raises(NotOursError):
        plan_grow(PLAIN, grow(), seen(PLAIN), linked_too=True)


def test_a_delta_grows_only_where_the_hypervisor_can() -> None:
    inventory = seen(GOLD, CLONE)
    with pytest.raises(RefusedError, match="depends on another file"):
        plan_grow(CLONE, grow(), inventory, linked_too=False)
    assert plan_grow(CLONE, grow(), inventory, linked_too=True).steps


def test_a_file_that_others_depend_on_does_not_grow() -> None:
    hanging = clone_of(replace(GOLD, disks=PLAIN.disks), "byhand")
    for found in ([PLAIN, hanging], [PLAIN, ON_BASE]):
        with pytest.raises(InUseError) as caught:
            plan_grow(PLAIN, grow(), seen(*found), linked_too=True, force=True)
        assert len(caught.value.dependants) == 1


def test_clones_of_a_snapshot_are_not_in_the_way_of_the_delta_above_it() -> None:
    middle = replace(MIDDLE, disks=(replace(MIDDLE.disks[0], capacity_bytes=8 * GIB),))
    below = snapshot("own", disk("gold/gold.vmdk", "one/one.vmdk"))
    child = clone_of(replace(middle, snapshots=(below,)), "child")
    assert layer("one/one.vmdk") in child.layers
    assert plan_grow(middle, grow(), seen(GOLD, middle, child), linked_too=True).steps
