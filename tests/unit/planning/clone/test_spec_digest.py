"""What tells clones of different shape apart."""

from dataclasses import replace
from typing import Any

import pytest

from linkedclone.model.customization import Customization, GuestOs
from linkedclone.model.request import CloneRequest, DiskMove, Hardware, NewDisk, Placement, Target
from linkedclone.model.values.ids import FolderId
from linkedclone.planning.clone.spec_digest import changed_parts, describe_shape, render_shape

REQUEST = CloneRequest(parent="golden", names=("desk-1",))


def changes(held: CloneRequest, wanted: CloneRequest) -> tuple[str, ...]:
    return changed_parts(render_shape(describe_shape(held)), describe_shape(wanted))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"disk_move": DiskMove.SHARED}, "move"),
        ({"hardware": Hardware(cpus=2)}, "cpus"),
        ({"hardware": Hardware(memory_bytes=1 << 30)}, "memory"),
        ({"hardware": Hardware(cores_per_socket=1)}, "hardware"),
        ({"hardware": Hardware(keep_tpm=True)}, "hardware"),
        ({"hardware": Hardware(disks=(NewDisk(capacity_bytes=1 << 30),))}, "hardware"),
        ({"placement": Placement(folder="VDI")}, "place"),
        ({"annotation": "x"}, "notes"),
        ({"customization_spec": "lab"}, "guest"),
        ({"customization": Customization(os=GuestOs.LINUX)}, "guest"),
    ],
)
def test_a_change_names_its_part(change: dict[str, Any], part: str) -> None:
    assert changes(REQUEST, replace(REQUEST, **change)) == (part,)


@pytest.mark.parametrize(
    "change",
    [
        {"macs": {"desk-1": ("00:50:56:00:00:01",)}},
        {"names": ("desk-2",)},
        {"power_on": False},
        {"placement": Placement(create_folder=True)},
    ],
)
def test_settings_of_single_clones_or_runs_are_not_part_of_the_shape(
    change: dict[str, Any],
) -> None:
    assert changes(REQUEST, replace(REQUEST, **change)) == ()


def test_parts_that_a_mark_does_not_know_are_not_compared() -> None:
    wanted = describe_shape(replace(REQUEST, annotation="x"))
    assert changed_parts("3f0c5b6a7d8e9f00", wanted) == ()
    assert changed_parts("", wanted) == ()
    assert changed_parts("notes=00000000", wanted) == ("notes",)


def test_a_digest_covers_only_given_settings_so_that_later_versions_agree() -> None:
    bare = describe_shape(REQUEST)
    spelt_out = describe_shape(replace(REQUEST, hardware=Hardware(disks=(), firmware="")))
    assert bare == spelt_out
    assert len(set(bare.values())) > 1


SSD = Target(
    folder=FolderId("group-v3"), folder_path="/vm", datastore="datastore-7", datastore_name="ssd"
)


@pytest.mark.parametrize("again", ["ssd", "/DC/datastore/ssd", "renamed"])
def test_another_spelling_of_a_place_is_the_same_place(again: str) -> None:
    held = replace(REQUEST, placement=Placement(datastore="ssd"))
    wanted = replace(REQUEST, placement=Placement(datacenter="DC", datastore=again))
    text = render_shape(describe_shape(held, SSD))
    assert changed_parts(text, describe_shape(wanted, SSD)) == ()
    elsewhere = replace(SSD, datastore="datastore-8")
    assert changed_parts(text, describe_shape(wanted, elsewhere)) == ("place",)


def test_a_mark_of_an_older_version_tells_its_place_by_names() -> None:
    held = replace(REQUEST, placement=Placement(datastore="ssd"))
    text = render_shape(describe_shape(held))
    assert changed_parts(text, describe_shape(held, SSD)) == ()
    other = replace(REQUEST, placement=Placement(datastore="hdd"))
    assert changed_parts(text, describe_shape(other, SSD)) == ("place",)
