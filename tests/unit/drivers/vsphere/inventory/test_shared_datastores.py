"""One storage in two datacenters: the same files, whichever datastore they are seen on."""

from dataclasses import replace

from linkedclone.drivers.vsphere.inventory.decoder import Read
from linkedclone.drivers.vsphere.inventory.shared_datastores import (
    URL,
    find_twins,
    read_volume,
    unify,
)
from linkedclone.drivers.vsphere.storage.datastores import drop_twins
from linkedclone.lineage.family import Lineage
from linkedclone.model.inventory import Inventory, LayerFile
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Vm
from tests.unit.building import STORE, clone_of, gold
from tests.unit.formats.test_vmdk_descriptor import make_store

FAR = StoreId("datastore-9")


def read(store: StoreId, url: str) -> Read:
    return Read(kind="Datastore", id=store, values={"name": "ssd", URL: url})


SHARED = (read(FAR, "ds:///vmfs/volumes/5f3c/"), read(STORE, "ds:///vmfs/volumes/5f3c/"))


def move(vm: Vm) -> Vm:
    """The VM as the other datacenter describes it."""
    disks = (replace(d, chain=tuple(replace(one, store=FAR) for one in d.chain)) for d in vm.disks)
    return replace(vm, home=(FAR, vm.name), disks=tuple(disks))


GOLD = gold()
DESK = clone_of(GOLD, "desk")


def test_a_clone_in_another_datacenter_depends_on_its_parent() -> None:
    found = unify(Inventory(vms=(GOLD, move(DESK))), find_twins(SHARED))
    assert found.vms == (GOLD, DESK)
    assert Lineage(found).dependants(GOLD) == (DESK,)


def test_snapshots_are_of_the_same_files_too() -> None:
    frozen = replace(GOLD.snapshots[0], disks=move(GOLD).snapshots[0].disks)
    moved = replace(move(GOLD), snapshots=(frozen, replace(frozen, disks=None)))
    (found,) = unify(Inventory(vms=(moved,)), find_twins(SHARED)).vms
    assert found.layers == GOLD.layers
    assert found.snapshots[1].disks is None


def test_what_is_known_of_a_file_is_said_once() -> None:
    (layer, *_) = DESK.disks[0].chain
    files = {replace(layer, store=FAR): LayerFile(used_bytes=1), layer: LayerFile(used_bytes=2)}
    found = unify(Inventory(vms=(), files=files), find_twins(SHARED))
    assert found.files == {layer: LayerFile(used_bytes=2)}


def test_datastores_of_one_name_are_not_the_same() -> None:
    apart = (read(FAR, "ds:///vmfs/volumes/77/"), read(STORE, "ds:///vmfs/volumes/78/"))
    inventory = Inventory(vms=(GOLD, move(DESK)))
    assert unify(inventory, find_twins(apart)) is inventory


def test_a4_datastores_of_one_name_count_as_the_same_without_a_url() -> None:
    apart = Inventory(vms=(GOLD, move(DESK)))
    known, unknown = read(FAR, "ds:///vmfs/volumes/77/"), read(STORE, "")
    for reads, told in (
        ((known, unknown), {}),
        ((read(FAR, ""), unknown), {}),
        ((known,), {"ssd": {STORE}}),
        ((), {"ssd": {STORE, FAR}}),
    ):
        found = unify(apart, find_twins(reads, told))
        assert Lineage(found).dependants(found.vms[0])
    assert unify(apart, find_twins((known,), {"hdd": {STORE}})) is apart


def test_each_storage_is_searched_once() -> None:
    here, far = make_store(1, "ssd"), make_store(2, "ssd", datacenter="dc-2", volume="5f3c-1")
    other = make_store(3, "hdd")
    assert drop_twins((here, far, other), (far,)) == ((here, other), (here,))


def test_f_volumes_of_one_name_on_two_nas_are_two_storages() -> None:
    urls = ("netfs://10.0.0.1/vol/", "netfs://10.0.0.2/vol/", "netfs://10.0.0.1//vol")
    assert len({read_volume(url) for url in urls}) == 3
    here = make_store(1, "one", volume=read_volume(urls[0]))
    other = make_store(2, "two", volume=read_volume(urls[1]))
    assert drop_twins((here, other), (here, other)) == ((here, other), (here, other))
    assert find_twins((read(FAR, urls[0]), read(STORE, urls[1]))) == {}
    assert find_twins((read(FAR, urls[0]), read(STORE, urls[0].rstrip("/")))) == {FAR: STORE}


def test_f_a_volume_is_what_hosts_call_it() -> None:
    assert read_volume("ds:///vmfs/volumes/5f3c-77/") == "5f3c-77"
    assert read_volume("ds:///vmfs/volumes/vsan:5f3c-77/") == "vsan:5f3c-77"
    assert read_volume("") == ""
