"""A clone that is there and differs from what is asked for is told apart from one as wanted."""

from dataclasses import replace

import pytest

from linkedclone.model.report import Difference
from linkedclone.model.request import (
    CloneRequest,
    Hardware,
    NewDisk,
    Nic,
    Placement,
    SnapshotChoice,
    Target,
)
from linkedclone.model.values.ids import FolderId
from linkedclone.model.vm import Disk, Mark, Snapshot, Vm
from linkedclone.planning.clone.differences import Base, Wanted, find_base, find_differences
from linkedclone.planning.clone.plan import SNAPSHOT_NOTE
from linkedclone.planning.clone.spec_digest import describe_shape, describe_wanted, render_shape
from tests.unit.building import disk, layer, snapshot, vm

OLD, NEW = snapshot("old", number=1), snapshot("new", number=2)
REQUEST = CloneRequest(parent="golden", names=("x1",))
TARGET = Target(folder=FolderId("f"), folder_path="/vm", datastore="store-1", datastore_name="ssd1")
AT_NEW = Base(parent="golden", snapshot="new", snapshot_id=NEW.id)
AT_OLD = Base(parent="golden", snapshot="old", snapshot_id=OLD.id)
NETWORK = Hardware(nics=(Nic(action="remap", network="LAN"),))


def made_as(request: CloneRequest, *, coarse: bool = False) -> Vm:
    shape = describe_shape(request) if coarse else describe_wanted(request, TARGET)
    mark = Mark(owner="linkedclone", uuid="u", spec=render_shape(shape))
    return replace(vm("x1"), mark=mark, cpus=2, memory_bytes=1 << 30)


def differ(
    request: CloneRequest,
    held: CloneRequest = REQUEST,
    *,
    base: Base = AT_NEW,
    taken: Snapshot | None = NEW,
    coarse: bool = False,
) -> list[str]:
    wanted = Wanted(request=request, target=TARGET, snapshot=taken)
    found = find_differences(wanted, made_as(held, coarse=coarse), base)
    return [one.field for one in found]


def test_a_clone_as_specified_has_no_differences() -> None:
    asked = replace(
        REQUEST,
        hardware=replace(NETWORK, cpus=2, memory_bytes=1 << 30),
        placement=Placement(resource_pool="VDI"),
        annotation="desk",
    )
    assert differ(asked, asked) == []


def test_unspecified_settings_are_not_compared() -> None:
    made = replace(REQUEST, hardware=replace(NETWORK, cpus=4), annotation="desk")
    assert differ(REQUEST, made) == []


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"hardware": Hardware(cpus=8)}, ["cpus"]),
        ({"hardware": Hardware(memory_bytes=8 << 30)}, ["memory_bytes"]),
        ({"hardware": NETWORK}, ["networks"]),
        ({"hardware": Hardware(disks=(NewDisk(capacity_bytes=1 << 30),))}, ["disks"]),
        ({"hardware": Hardware(firmware="uefi")}, ["hardware"]),
        ({"annotation": "desk"}, ["notes"]),
        ({"placement": Placement(resource_pool="VDI")}, ["resource_pool"]),
        ({"placement": Placement(host="esx2")}, ["host"]),
        ({"placement": Placement(datastore="ssd1")}, []),
        ({"customization_spec": "win"}, ["customization"]),
        ({"macs": {"x1": ("02:00:00:00:00:99",)}}, ["macs"]),
    ],
)
def test_each_thing_that_is_asked_for_and_is_otherwise_has_its_name(
    asked: dict[str, object], fields: list[str]
) -> None:
    known = replace(vm("x1"), macs=("02:00:00:00:00:01",))
    assert known.macs
    request = replace(REQUEST, **asked)  # type: ignore[arg-type]
    wanted = Wanted(request=request, target=TARGET, snapshot=NEW)
    there = replace(made_as(REQUEST), macs=known.macs)
    assert [one.field for one in find_differences(wanted, there, AT_NEW)] == fields


def test_a_clone_on_another_datastore_is_reported_with_both_names() -> None:
    elsewhere = Disk(label="Hard disk 1", chain=(layer("x1/x1.vmdk", store="store-2"),))
    there = replace(made_as(REQUEST), disks=(elsewhere,))
    request = replace(REQUEST, placement=Placement(datastore="ssd1"))
    wanted = Wanted(request=request, target=TARGET, snapshot=NEW)
    (one,) = find_differences(wanted, there, AT_NEW)
    assert (one.field, one.wanted) == ("datastore", "ssd1")


def test_marks_of_earlier_versions_are_compared_as_far_as_they_tell() -> None:
    asked = replace(REQUEST, hardware=NETWORK, placement=Placement(host="esx2"))
    assert differ(asked, asked, coarse=True) == []
    assert differ(asked, coarse=True) == ["hardware", "place"]


@pytest.mark.parametrize(
    ("choice", "base", "wanted"),
    [
        (SnapshotChoice(), AT_NEW, None),
        (SnapshotChoice(), AT_OLD, "new"),
        (SnapshotChoice(kind="new", name="never"), AT_NEW, "never"),
        (SnapshotChoice(kind="new", name="new"), AT_NEW, None),
        (SnapshotChoice(kind="new"), AT_NEW, "a new one"),
        (SnapshotChoice(kind="new"), replace(AT_NEW, description=SNAPSHOT_NOTE), None),
    ],
)
def test_a_clone_at_another_snapshot_than_the_wanted_one_differs(
    choice: SnapshotChoice, base: Base, wanted: str | None
) -> None:
    taken = None if choice.kind == "new" else NEW
    request = replace(REQUEST, snapshot=choice)
    found = find_differences(
        Wanted(request=request, target=TARGET, snapshot=taken), made_as(REQUEST), base
    )
    told = Difference(field="snapshot", wanted=wanted, found=base.snapshot)
    assert found == ((told,) if wanted else ())


def test_the_own_snapshot_of_a_clone_is_read_from_its_disks_before_its_mark() -> None:
    files = ("golden/golden.vmdk", "golden/golden-1.vmdk", "golden/golden-2.vmdk")
    old = replace(OLD, disks=(disk(*files[:1]),))
    new = replace(NEW, disks=(disk(*files[:2]),))
    golden = vm("golden", disk(*files), snapshots=(old, new))
    mark = Mark(owner="linkedclone", uuid="u", snapshot=new.id, snapshot_name="new")
    clone = replace(vm("x1", disk(files[0], "x1/x1.vmdk")), mark=mark)
    assert find_base(clone, golden, linked=True) == Base(
        parent="golden", snapshot="old", snapshot_id=old.id, description=old.description
    )
    unread = replace(clone, disks=())
    assert find_base(unread, golden, linked=True).snapshot == "new"
    assert find_base(clone, golden, linked=False).snapshot == "new"


def test_another_spelling_of_a_place_is_not_a_difference() -> None:
    held = replace(REQUEST, placement=Placement(host="esx-1", resource_pool="VDI"))
    asked = replace(REQUEST, placement=Placement(host="/DC/host/C/esx-1", resource_pool="VDI"))
    target = replace(TARGET, host="host-9", pool="resgroup-4")
    mark = Mark(owner="linkedclone", uuid="u", spec=render_shape(describe_wanted(held, target)))
    made = replace(vm("x1"), mark=mark, cpus=2, memory_bytes=1 << 30)
    wanted = Wanted(request=asked, target=target, snapshot=NEW)
    assert find_differences(wanted, made, AT_NEW) == ()
