"""What families take and save, in tables of bytes."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from linkedclone.cli.views.usage import render_usage
from linkedclone.lineage.usage import FamilyUsage, measure, percent
from linkedclone.model.inventory import Inventory, Store, Stray
from linkedclone.model.values.ids import StoreId, VmId
from linkedclone.model.vm import SnapshotMemory, Vm
from tests.unit.building import (
    STORE,
    clone_of,
    disk,
    gold,
    hide,
    layer,
    sized,
    stray,
    vm,
    with_snapshot,
)

GOLD = gold()
ONE, TWO = clone_of(GOLD, "one"), clone_of(GOLD, "two")
MIDDLE = with_snapshot(ONE)
GRANDCHILD = clone_of(MIDDLE, "grandchild")
BARE = vm("bare", disk("bare/bare.vmdk"))
OVERLAY = stray("gold/gold.vmdk", "aside/overlay.vmdk")
HELD = replace(OVERLAY, holds=True)
SIZES = {"gold": 1000, "gold-000001": 10, "one": 30, "one-000001": 3, "two": 40, "grandchild": 5}


def seen(*found: Vm | Stray) -> Inventory:
    return sized(
        Inventory(
            vms=tuple(one for one in found if isinstance(one, Vm)),
            strays=tuple(one for one in found if isinstance(one, Stray)),
        ),
        **SIZES,
    )


def only(inventory: Inventory) -> FamilyUsage:
    (family,) = measure(inventory).families
    return family


# base, deltas, full copies
FAMILIES: dict[str, tuple[list[Vm | Stray], tuple[int, int, int]]] = {
    "one clone": ([GOLD, ONE], (1000, 10 + 30, 1010 + 1030)),
    "two clones": ([GOLD, ONE, TWO], (1000, 10 + 30 + 40, 1010 + 1030 + 1040)),
    "a clone with a snapshot and a clone": (
        [GOLD, MIDDLE, GRANDCHILD],
        (1000 + 30, 10 + 3 + 5, 1010 + 1033 + 1035),
    ),
    "a parent that is gone": ([ONE, TWO], (1000, 30 + 40, 1030 + 1040)),
    "the last clone of a parent that is gone": ([ONE], (0, 1030, 1030)),
    "a file of nobody reads the base as well": ([GOLD, OVERLAY], (1000, 10 + 1, 1010)),
    "a clone that hides its chain": ([GOLD, hide(ONE)], (0, 1010 + 30, 1010 + 30)),
}


@pytest.mark.parametrize(("found", "figures"), FAMILIES.values(), ids=FAMILIES)
def test_a_family_takes_this(found: list[Vm | Stray], figures: tuple[int, int, int]) -> None:
    family = only(seen(*found))
    assert (family.base_bytes, family.delta_bytes, family.full_bytes) == figures
    assert family.used_bytes == family.base_bytes + family.delta_bytes
    assert family.saved_bytes == family.full_bytes - family.used_bytes
    assert family.unknown == 0


NO_FAMILY: dict[str, list[Vm | Stray]] = {
    "nothing": [],
    "a VM by itself": [BARE],
    "a VM with snapshots": [GOLD],
    "a file of nobody by itself": [stray("x/base.vmdk", "x/top.vmdk")],
    "two of them": [stray("x/base.vmdk", "x/top.vmdk"), stray("x/base.vmdk", "x/other.vmdk")],
}


@pytest.mark.parametrize("found", NO_FAMILY.values(), ids=NO_FAMILY)
def test_vms_that_share_nothing_are_not_a_family(found: list[Vm | Stray]) -> None:
    assert measure(seen(*found)).families == ()


# frees alone, frees with all that depends on it, clones, depth
FREES: dict[str, tuple[list[Vm | Stray], str, tuple[int | None, int, int, int]]] = {
    "a clone": ([GOLD, ONE, TWO], "one", (30, 30, 0, 2)),
    "a parent": ([GOLD, ONE, TWO], "gold", (None, 1080, 2, 2)),
    "a clone with a clone": ([GOLD, MIDDLE, GRANDCHILD], "one", (None, 38, 1, 3)),
    "a clone with a snapshot": ([GOLD, MIDDLE], "one", (33, 33, 0, 3)),
    "a clone of a clone": ([GOLD, MIDDLE, GRANDCHILD], "grandchild", (5, 5, 0, 3)),
    "one of two on an abandoned base": ([ONE, TWO], "one", (30, 30, 0, 2)),
    "the last on an abandoned base": ([ONE], "one", (1030, 1030, 0, 2)),
    "a parent with a file of nobody on it": ([GOLD, ONE, OVERLAY], "gold", (None, 40, 1, 2)),
    "the last on an abandoned base that a file of nobody reads": (
        [ONE, HELD],
        "one",
        (30, 30, 0, 2),
    ),
    "a clone that a leftover depends on": (
        [GOLD, ONE, stray("gold/gold.vmdk", "one/one.vmdk", "one/x-000009.vmdk", orphaned=True)],
        "one",
        (30, 30, 0, 2),
    ),
    "a parent whose clone hides its chain": ([GOLD, hide(ONE)], "gold", (None, 1040, 1, 2)),
}


@pytest.mark.parametrize(("found", "name", "figures"), FREES.values(), ids=FREES)
def test_deleting_frees_this(
    found: list[Vm | Stray], name: str, figures: tuple[int | None, int, int, int]
) -> None:
    (usage,) = [usage for usage in only(seen(*found)).vms if usage.vm.name == name]
    assert (
        usage.frees_bytes,
        usage.frees_with_clones_bytes,
        usage.clones,
        usage.depth,
    ) == figures


def test_own_and_shared_bytes_of_all_members_tell_what_full_copies_take() -> None:
    family = only(seen(GOLD, MIDDLE, GRANDCHILD, TWO))
    assert sum(one.own_bytes + one.shared_bytes for one in family.vms) == family.full_bytes


def test_a_layer_that_two_disks_of_a_vm_read_is_counted_once() -> None:
    twice = vm(
        "twice", disk("gold/gold.vmdk", "twice/a.vmdk"), disk("gold/gold.vmdk", "twice/b.vmdk")
    )
    family = only(seen(GOLD, twice))
    assert (family.base_bytes, family.delta_bytes) == (1000, 10 + 2)


NAMES = {
    "its parent": ([ONE, GOLD], "gold"),
    "its base, where the parent is gone": ([ONE, TWO], "[datastore-1] gold/gold.vmdk"),
    "of two parents that with more clones": (
        [
            GOLD,
            ONE,
            TWO,
            BARE,
            vm(
                "both", disk("gold/gold.vmdk", "both/a.vmdk"), disk("bare/bare.vmdk", "both/b.vmdk")
            ),
        ],
        "gold",
    ),
    "two that depend on each other, by a layer": (
        [
            vm("left", disk("right/a.vmdk", "left/a.vmdk"), disk("left/b.vmdk")),
            vm("right", disk("left/b.vmdk", "right/b.vmdk"), disk("right/a.vmdk")),
        ],
        "[datastore-1] right/a.vmdk",
    ),
}


@pytest.mark.parametrize(("found", "name"), NAMES.values(), ids=NAMES)
def test_a_family_is_called_after(found: list[Vm | Stray], name: str) -> None:
    family = only(seen(*found))
    assert family.name == name
    assert (family.root is None) == (family.layer is not None)
    assert family.root is None or family.vms[0].vm == family.root


def test_families_come_with_the_largest_saving_first() -> None:
    other = gold()
    other = replace(
        with_snapshot(vm("other", disk("other/other.vmdk"))), id=other.id, uuid="uuid-other"
    )
    other = replace(other, id=BARE.id)
    small = clone_of(other, "small")
    inventory = seen(other, small, GOLD, ONE)
    assert [family.name for family in measure(inventory).families] == ["gold", "other"]
    asked = measure(inventory, other).families
    assert [family.name for family in asked] == ["other"]


def test_a_vm_that_was_asked_for_is_measured_though_it_shares_nothing() -> None:
    (family,) = measure(seen(BARE, GOLD), BARE).families
    assert (family.name, family.base_bytes, family.delta_bytes) == ("bare", 0, 1)
    assert family.saved_bytes == 0


def test_unknown_sizes_count_as_zero_and_are_reported() -> None:
    inventory = sized(Inventory(vms=(GOLD, ONE)), gold=None, one=30)
    family = only(inventory)
    assert (family.used_bytes, family.unknown) == (31, 1)
    assert only(replace(inventory, files={})).unknown == 3


def test_stores_sum_up_to_the_families() -> None:
    far = layer("one/one.vmdk", "datastore-2")
    moved = replace(ONE, disks=(replace(ONE.disks[0], chain=(layer("gold/gold.vmdk"), far)),))
    inventory = replace(
        seen(GOLD, moved, TWO),
        stores=(Store(id=STORE, name="ssd1", free_bytes=5), Store(id=StoreId("other"), name="x")),
    )
    usage = measure(inventory)
    figures = {s.store.name: (s.used_bytes, s.full_bytes, s.saved_bytes) for s in usage.stores}
    assert figures == {
        "ssd1": (1050, 1010 + 1040, 1000),
        "datastore-2": (30, 1030, 1000),
    }
    assert sum(s.saved_bytes for s in usage.stores) == only(inventory).saved_bytes


def test_the_document_holds_the_sums() -> None:
    measured = datetime(2026, 1, 2, tzinfo=UTC)
    inventory = replace(seen(GOLD, ONE), measured=measured, blind=("elsewhere",))
    document = measure(inventory).document()
    assert document["used_bytes"] == 1040
    assert document["full_bytes"] == 2040
    assert document["saved_bytes"] == 1000
    assert document["saved_percent"] == 49.0
    assert document["measured"] == "2026-01-02T00:00:00+00:00"
    assert document["not_seen"] == ["elsewhere"]
    json.dumps(document)


@pytest.mark.parametrize(
    ("part", "whole", "share"), [(0, 0, 0.0), (1, 3, 33.3), (3, 3, 100.0), (-1, 2, -50.0)]
)
def test_a_share_in_per_cent(part: int, whole: int, share: float) -> None:
    assert percent(part, whole) == share


def test_the_memory_of_snapshots_is_told_beside_the_figures_of_disks() -> None:
    held = SnapshotMemory(size_bytes=3 << 20)
    warm = replace(GOLD, snapshots=(replace(GOLD.snapshots[0], memory=held),))
    lonely = replace(
        warm, id=VmId("vm-x"), name="x", uuid="x", disks=(), snapshots=warm.snapshots * 2
    )
    plain = measure(seen(GOLD, ONE))
    usage = measure(seen(warm, ONE, lonely))
    assert usage.snapshot_memory_bytes == 9 << 20
    assert [vm.name for vm in usage.remembering] == ["x", "gold"]
    assert measure(seen(warm, ONE), warm).snapshot_memory_bytes == 3 << 20
    assert "memory of snapshots: 9.0 MiB; x has 6.0 MiB of it" in render_usage(usage, vms=False)
    assert plain.document()["snapshot_memory_bytes"] == 0
    assert "memory" not in render_usage(plain, vms=False)
