"""Listings of datastores, chains of descriptors, and what may be removed: without a server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from linkedclone.drivers.vsphere.storage.chains import Chains, Reading
from linkedclone.drivers.vsphere.storage.datastores import Datastore, choose_datastores, find_shared
from linkedclone.drivers.vsphere.storage.orphans import Found, Home, build_strays, find_candidates
from linkedclone.drivers.vsphere.storage.search_results import Listing
from linkedclone.errors import BusyError, NotFoundError
from linkedclone.formats.vmdk_descriptor import Descriptor
from linkedclone.model.inventory import Stray
from linkedclone.model.values.ids import SnapshotId, VmId
from linkedclone.model.vm import Disk, Layer, Snapshot, Vm
from tests.unit.formats.test_vmdk_descriptor import FAR, HDD, SSD, STORES

BASE, TOP = "gold/gold.vmdk", "desk/desk.vmdk"


def at(path: str) -> Layer:
    return SSD.layer(path)


def make_vm(name: str, *paths: str) -> Vm:
    disk = Disk(label="Hard disk 1", chain=tuple(map(at, paths)))
    return Vm(id=VmId(name), name=name, uuid=name, home=(SSD.id, name), disks=(disk,))


def make_listing(sizes: Mapping[str, int], *, configs: Sequence[str] = ()) -> Listing:
    listing = Listing()
    results = [
        SimpleNamespace(
            folderPath=f"[ssd] {path.rpartition('/')[0]}/",
            file=[SimpleNamespace(path=path.rpartition("/")[2], fileSize=size)],
        )
        for path, size in {**sizes, **dict.fromkeys(configs, 0)}.items()
    ]
    listing.add(SSD, results)
    return listing


class Files:
    """Descriptors by path; counts how often each is read."""

    def __init__(self, parents: Mapping[str, str | None]) -> None:
        self.parents = parents
        self.reads: list[str] = []

    def __call__(self, layers: Sequence[Layer]) -> list[Reading]:
        return [self._read(layer.path) for layer in layers]

    def _read(self, path: str) -> Reading:
        self.reads.append(path)
        if path not in self.parents:
            return Reading(error=NotFoundError("gone"))
        parent = self.parents[path]
        return Reading(descriptor=None if parent is None else Descriptor(parent=parent))


VMS = (make_vm("gold", BASE), make_vm("desk", BASE, TOP))


def find(
    parents: Mapping[str, str | None],
    *,
    foreign: Sequence[str] = (),
    vms: Sequence[Vm] = VMS,
    read: Callable[[Sequence[Layer]], Sequence[Reading]] | None = None,
    veiled: Sequence[Datastore] = (),
) -> dict[str, Stray]:
    """Return the strays among files with these parents, beside those of the VMs."""
    here = {layer.path: 1 for vm in vms for layer in vm.layers}
    listing = make_listing({**here, **dict.fromkeys(parents, 10)})
    candidates = find_candidates(listing, vms)
    chains = Chains(vms, STORES, read or Files(parents))
    chains.follow(candidates)
    lying: dict[Home, list[Layer]] = {
        (SSD.id, path.rpartition("/")[0]): [at(path)] for path in foreign
    }
    found = Found(
        listing=listing,
        chains=chains,
        vms=vms,
        foreign=lying,
        veiled=frozenset(store.id for store in veiled),
    )
    return {stray.layer.path: stray for stray in build_strays(candidates, found)}


# -- listings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("a-flat.vmdk", "a-delta.vmdk", "a-sesparse.vmdk", "a-ctk.vmdk", "a-rdm.vmdk"),
        *("a-rdmp.vmdk", "a-s001.vmdk", "a-f012.vmdk", "a-digest.vmdk", "a-digest-flat.vmdk"),
    ],
)
def test_an_extent_counts_towards_its_disk_and_is_not_a_disk(name: str) -> None:
    listing = make_listing({"a/a.vmdk": 5, f"a/{name}": 100, "b/b.vmdk": 7})
    assert listing.descriptors() == [at("a/a.vmdk"), at("b/b.vmdk")]
    assert listing.sizes() == {at("a/a.vmdk"): 105, at("b/b.vmdk"): 7}


def test_a_disk_may_be_called_like_the_data_of_one() -> None:
    assert make_listing({"a/my-flat.vmdk": 5}).descriptors() == [at("a/my-flat.vmdk")]


def test_folders_come_with_and_without_a_slash() -> None:
    listing = Listing()
    for folder in ("[ssd]", "[ssd] a", "[ssd] a/b/", "[ssd] "):
        file = SimpleNamespace(path=f"{len(folder)}.vmdk", fileSize=1)
        listing.add(SSD, [SimpleNamespace(folderPath=folder, file=[file])])
    assert {layer.path for layer in listing.disks} == {
        *("5.vmdk", "a/7.vmdk", "a/b/10.vmdk", "6.vmdk"),
    }


def test_a_name_means_the_datastores_of_all_datacenters() -> None:
    assert choose_datastores(STORES, ["hdd"], frozenset()) == (FAR, HDD)
    assert choose_datastores(STORES, [SSD.path, "ssd"], frozenset()) == (SSD,)
    assert choose_datastores(STORES, [], frozenset({HDD.id})) == (HDD,)


# -- chains ---------------------------------------------------------------------------


def test_each_file_is_read_once_unless_a_vm_describes_it() -> None:
    files = Files({"x/x.vmdk": "../y/y.vmdk", "z/z.vmdk": "../y/y.vmdk", "y/y.vmdk": f"../{TOP}"})
    chains = Chains(VMS, STORES, files)
    chains.follow([at("x/x.vmdk"), at("z/z.vmdk")])
    assert sorted(files.reads) == ["x/x.vmdk", "y/y.vmdk", "z/z.vmdk"]
    assert [layer.path for layer in chains.chain(at("x/x.vmdk"))] == [
        *(BASE, TOP, "y/y.vmdk", "x/x.vmdk"),
    ]


def test_a_circle_of_backing_files_ends() -> None:
    chains = Chains((), STORES, Files({"x/a.vmdk": "b.vmdk", "x/b.vmdk": "a.vmdk"}))
    chains.follow([at("x/a.vmdk")])
    assert [layer.path for layer in chains.chain(at("x/a.vmdk"))] == ["x/b.vmdk", "x/a.vmdk"]


def test_a_parent_that_is_gone_ends_the_chain_and_is_in_it() -> None:
    found = find({"x/x.vmdk": "gone.vmdk"})
    assert [layer.path for layer in found["x/x.vmdk"].chain] == ["x/gone.vmdk", "x/x.vmdk"]


def test_an_unreadable_file_is_unrelated_to_others() -> None:
    chains = Chains((), STORES, lambda layers: [Reading(error=BusyError("slow")) for _ in layers])
    chains.follow([at("x/x.vmdk")])
    assert chains.chain(at("x/x.vmdk")) == (at("x/x.vmdk"),)
    assert not chains.readings[at("x/x.vmdk")].missing


# -- orphans --------------------------------------------------------------------------


def test_a_further_delta_of_a_vms_own_disk_is_an_orphan() -> None:
    assert find({"desk/desk-000001.vmdk": "desk.vmdk"})["desk/desk-000001.vmdk"].orphaned


def test_so_is_one_over_the_shared_base_of_that_disk() -> None:
    assert find({"desk/desk-000001.vmdk": f"../{BASE}"})["desk/desk-000001.vmdk"].orphaned


@pytest.mark.parametrize(
    ("path", "parent", "why"),
    [
        ("desk/desk-1.vmdk", "desk.vmdk", "vSphere gives no such name"),
        ("desk/other-000001.vmdk", "desk.vmdk", "the VM has no disk of that name"),
        ("desk/desk-000001.vmdk", "../else/else.vmdk", "it depends on what the VM does not read"),
        ("desk/desk-000001.vmdk", "", "it depends on nothing"),
        ("desk/desk-000001.vmdk", None, "it cannot be read"),
        ("far/desk-000001.vmdk", f"../{TOP}", "it lies in nobody's folder"),
        ("gold/desk-000001.vmdk", f"../{TOP}", "it lies in another VM's folder"),
        ("desk-000001.vmdk", TOP, "it lies in no folder"),
    ],
)
def test_a_file_with_a_possible_owner_is_not_an_orphan(
    path: str, parent: str | None, why: str
) -> None:
    assert not find({path: parent})[path].orphaned, why


def test_a_folder_with_an_unregistered_vm_has_no_orphans() -> None:
    found = find({"desk/desk-000001.vmdk": "desk.vmdk"}, foreign=["desk/copy.vmx"])
    (stray,) = found.values()
    assert not stray.orphaned
    assert stray.about == "of the unregistered VM desk/copy.vmx"


def test_only_files_that_depend_on_an_orphan_are_orphans_too() -> None:
    found = find(
        {
            "desk/desk-000001.vmdk": "desk.vmdk",
            "desk/desk-000002.vmdk": "desk-000001.vmdk",
            "desk/desk-000003.vmdk": "mine.vmdk",
            "desk/mine.vmdk": "desk.vmdk",
        }
    )
    assert {path for path, stray in found.items() if stray.orphaned} == {
        *("desk/desk-000001.vmdk", "desk/desk-000002.vmdk"),
    }


LEFT = "desk/desk-000001.vmdk"


def test_nothing_is_one_on_a_datastore_that_cannot_be_seen_through() -> None:
    assert find({LEFT: "desk.vmdk"}, veiled=[HDD])[LEFT].orphaned
    assert not find({LEFT: "desk.vmdk"}, veiled=[SSD])[LEFT].orphaned
    native = make_vm("native", "native/native.vmdk")
    hidden = replace(native, disks=(replace(native.disks[0], hidden=True),))
    assert not find({LEFT: "desk.vmdk"}, vms=[*VMS, hidden])[LEFT].orphaned


def test_nothing_is_an_orphan_while_a_file_has_an_unknown_parent() -> None:
    parents = {LEFT: "desk.vmdk", "far/far.vmdk": "/vmfs/volumes/old-name/desk.vmdk"}
    assert not find(parents)[LEFT].orphaned
    parents["far/far.vmdk"] = ""
    assert find(parents)[LEFT].orphaned
    files = Files(parents)

    def read(layers: Sequence[Layer]) -> list[Reading]:
        slow = Reading(error=BusyError("slow"))
        readings = zip(layers, files(layers), strict=True)
        return [slow if one.path == "far/far.vmdk" else reading for one, reading in readings]

    assert not find(parents, read=read)[LEFT].orphaned


def test_the_delta_of_a_disk_that_only_a_snapshot_reads_is_none() -> None:
    desk = make_vm("desk", BASE, TOP)
    frozen = Snapshot(id=SnapshotId("s"), name="own", path="own", disks=desk.disks)
    without = replace(desk, disks=(), snapshots=(frozen,))
    assert not find({LEFT: "desk.vmdk"}, vms=[VMS[0], without])[LEFT].orphaned


def test_a_datastore_in_several_datacenters_is_identified_by_its_volume() -> None:
    twin = replace(FAR, volume=HDD.volume)
    assert find_shared(STORES) == frozenset()
    assert find_shared((twin, SSD, HDD)) == {FAR.id, HDD.id}
    assert find_shared((replace(FAR, volume=""), replace(HDD, volume=""))) == frozenset()


def test_an_extent_without_a_descriptor_is_not_a_stray_but_a_disk_of_such_a_name_is() -> None:
    assert find({"x/lost-delta.vmdk": None}) == {}
    assert set(find({"x/my-delta.vmdk": ""})) == {"x/my-delta.vmdk"}
