"""Sizes of layers, from what vSphere calls layoutEx."""

from datetime import UTC, datetime
from typing import Any

from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.decoder import Decoder
from linkedclone.drivers.vsphere.inventory.sizes import measure
from linkedclone.drivers.vsphere.inventory.vm import Surroundings, build_vm
from linkedclone.model.inventory import Inventory, LayerFile
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer
from tests.unit.drivers.vsphere.build import disk, found, seen

EARLY = datetime(2026, 11, 1, tzinfo=UTC)
LATE = datetime(2026, 11, 2, tzinfo=UTC)
FILES = vim.vm.FileLayoutEx


def file(key: int, name: str, size: int, kind: str = "diskExtent", **more: Any) -> Any:
    return FILES.FileInfo(key=key, name=name, type=kind, size=size, **more)


def disk_layout(key: int, *units: tuple[int, ...]) -> Any:
    chain = [FILES.DiskUnit(fileKey=list(keys)) for keys in units]
    return FILES.DiskLayout(key=key, chain=chain)


def vm(moid: str, when: datetime | None = EARLY, **more: Any) -> Any:
    given = {
        "datastore": [vim.Datastore("datastore-1", None)],
        "config__hardware__device": [disk("[ssd1] g/g.vmdk", "[ssd1] d/d.vmdk")],
        **more,
    }
    if when is not None:
        given["layoutEx__timestamp"] = when
    return seen("VirtualMachine", moid, **given)


def observe(*things: Any) -> Inventory:
    decoder = Decoder()
    store = seen(
        "Datastore", "datastore-1", name="ssd1", summary__capacity=90, summary__freeSpace=7
    )
    reads = {one.id: decoder.decode(found(one)) for one in (*things, store)}
    around = Surroundings(reads)
    vms = tuple(build_vm(r, around) for r in reads.values() if r.kind == "VirtualMachine")
    return measure(Inventory(vms=vms), around, decoder.book)


def layer(path: str) -> Layer:
    return Layer(store=StoreId("datastore-1"), path=path)


BASE, TOP = layer("g/g.vmdk"), layer("d/d.vmdk")
LISTED = [
    file(0, "[ssd1] d/d.vmx", 1000, "config"),
    file(1, "[ssd1] g/g-flat.vmdk", 500),
    file(2, "[ssd1] g/g.vmdk", 5, "diskDescriptor"),
    file(3, "[ssd1] d/d.vmdk", 6, "diskDescriptor"),
    file(4, "[ssd1] d/d-delta.vmdk", 60),
]


def test_a_layer_takes_what_its_files_take_together() -> None:
    seen_at = observe(
        vm("vm-1", layoutEx__file=LISTED, layoutEx__disk=[disk_layout(2000, (1, 2), (3, 4))])
    )
    assert seen_at.files == {BASE: LayerFile(used_bytes=505), TOP: LayerFile(used_bytes=66)}
    assert seen_at.measured == EARLY
    ((store),) = seen_at.stores
    assert (store.name, store.capacity_bytes, store.free_bytes) == ("ssd1", 90, 7)


def test_the_layer_is_the_one_that_the_disk_reads() -> None:
    seen_at = observe(
        vm("vm-1", layoutEx__file=LISTED, layoutEx__disk=[disk_layout(2000, (1, 2), (3, 4))])
    )
    assert set(seen_at.files) == set(seen_at.vms[0].disks[0].chain)


def test_what_a_snapshot_reads_is_measured_too() -> None:
    below = FILES.SnapshotLayout(
        key=vim.vm.Snapshot("snapshot-1", None), dataKey=0, disk=[disk_layout(2000, (1, 2))]
    )
    seen_at = observe(
        vm(
            "vm-1",
            layoutEx__file=LISTED,
            layoutEx__disk=[disk_layout(2000, (3, 4))],
            layoutEx__snapshot=[below],
        )
    )
    assert seen_at.files[BASE] == LayerFile(used_bytes=505)


def test_the_latest_word_on_a_layer_counts_and_the_oldest_tells_the_age() -> None:
    grown = [file(1, "[ssd1] g/g-flat.vmdk", 900), *LISTED[2:3]]
    first = vm(
        "vm-1", EARLY, layoutEx__file=LISTED, layoutEx__disk=[disk_layout(2000, (1, 2), (3,))]
    )
    second = vm("vm-2", LATE, layoutEx__file=grown, layoutEx__disk=[disk_layout(2000, (1, 2))])
    for things in ((first, second), (second, first)):
        seen_at = observe(*things)
        assert seen_at.files[BASE].used_bytes == 905
        assert seen_at.files[TOP].used_bytes == 6
        assert seen_at.measured == EARLY


def test_a_file_that_cannot_be_read_is_missing() -> None:
    listed = [file(1, "[ssd1] g/g.vmdk", 5, "diskDescriptor", accessible=True)]
    listed += [file(2, "[ssd1] g/g-flat.vmdk", 500, accessible=False)]
    seen_at = observe(vm("vm-1", layoutEx__file=listed, layoutEx__disk=[disk_layout(2000, (1, 2))]))
    assert seen_at.files == {BASE: LayerFile(missing=True)}


def test_a_layer_without_files_is_missing_and_named_by_its_position() -> None:
    seen_at = observe(
        vm("vm-1", layoutEx__file=LISTED, layoutEx__disk=[disk_layout(2000, (99,), (3, 4))])
    )
    assert seen_at.files == {BASE: LayerFile(missing=True), TOP: LayerFile(used_bytes=66)}


def test_a_place_in_a_chain_of_another_length_tells_nothing() -> None:
    seen_at = observe(vm("vm-1", layoutEx__file=LISTED, layoutEx__disk=[disk_layout(2000, (99,))]))
    assert seen_at.files == {}


def test_a_vm_without_a_layout_says_nothing() -> None:
    seen_at = observe(vm("vm-1", when=None))
    assert (seen_at.files, seen_at.measured) == ({}, None)


def test_a_store_that_the_vm_does_not_list_keeps_its_name() -> None:
    listed = [file(1, "[elsewhere] g/g.vmdk", 5, "diskDescriptor")]
    seen_at = observe(vm("vm-1", layoutEx__file=listed, layoutEx__disk=[disk_layout(2000, (1,))]))
    assert [one.store for one in seen_at.files] == ["[elsewhere]"]
