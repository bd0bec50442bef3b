from dataclasses import replace

import pytest

from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer, Mark, Vm
from tests.unit.building import disk, gold, layer, snapshot, vm

OURS = replace(vm("desk"), mark=Mark(owner="linkedclone", uuid="uuid-desk"))


@pytest.mark.parametrize(
    ("seen", "owner"),
    [
        (OURS, "linkedclone"),
        (replace(OURS, mark=Mark(owner="desktops", uuid="uuid-desk")), "desktops"),
        (replace(OURS, mark=None), None),
        (replace(OURS, mark=Mark(owner="linkedclone", uuid="uuid-parent")), None),
        (replace(OURS, mark=Mark(owner="linkedclone", uuid="")), None),
    ],
    ids=["ours", "a pool's", "without a mark", "an inherited mark", "a mark without a UUID"],
)
def test_a_mark_counts_only_for_the_vm_that_it_names(seen: Vm, owner: str | None) -> None:
    assert seen.owner == owner
    assert (seen.valid_mark is not None) is (owner is not None)


def test_layers_are_those_of_the_disks_and_of_the_snapshots() -> None:
    old = snapshot("old", disk("desk/old.vmdk"))
    unread = replace(snapshot("unread"), disks=None)
    seen = vm("desk", disk("gold/gold.vmdk", "desk/desk.vmdk"), snapshots=(old, unread))
    paths = {one.path for one in seen.layers}
    assert paths == {"gold/gold.vmdk", "desk/desk.vmdk", "desk/old.vmdk"}


def test_a_vm_without_disks_reads_nothing() -> None:
    assert vm("desk").layers == frozenset()


def test_layers_are_the_same_file_whatever_the_store_is_called() -> None:
    one = Layer(store=StoreId("datastore-1"), path="a/a.vmdk", store_name="ssd")
    other = replace(one, store_name="renamed")
    assert one == other
    assert len({one, other}) == 1
    assert one != replace(one, store=StoreId("datastore-2"))


@pytest.mark.parametrize(
    ("path", "folder"),
    [("gold/gold.vmdk", "gold"), ("pool/a/a.vmdk", "pool/a"), ("loose.vmdk", "")],
)
def test_a_layer_has_a_folder(path: str, folder: str) -> None:
    assert layer(path).folder == folder


def test_a_layer_reads_as_vsphere_writes_it() -> None:
    named = Layer(store=StoreId("datastore-1"), path="a/a.vmdk", store_name="ssd")
    assert str(named) == "[ssd] a/a.vmdk"
    assert str(layer("a/a.vmdk")) == "[datastore-1] a/a.vmdk"


def test_the_vm_writes_to_the_top_of_the_chain() -> None:
    assert gold().disks[0].top == layer("gold/gold-000001.vmdk")
