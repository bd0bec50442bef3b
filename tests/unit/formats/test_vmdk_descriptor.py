"""Descriptors of disks: what they depend on and where their data lie."""

import struct

import pytest

from linkedclone.drivers.vsphere.storage.chains import find_parent
from linkedclone.drivers.vsphere.storage.datastores import Datastore
from linkedclone.formats.vmdk_descriptor import parse_descriptor
from linkedclone.model.values.ids import StoreId
from linkedclone.model.vm import Layer

DELTA = """# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=1a2b3c4d
parentCID=fffffffe
createType="seSparse"
parentFileNameHint="/vmfs/volumes/5f3c-77/gold image/gold-000001.vmdk"
# Extent description
RW 83886080 SESPARSE "desk-000002-sesparse.vmdk"

# Change Tracking File
changeTrackPath="desk-000002-ctk.vmdk"

# The Disk Data Base
#DDB
ddb.longContentID = "parentFileNameHint"
"""

SPLIT = """# Disk DescriptorFile
RW 4192256 SPARSE "old-s001.vmdk"
RW 4192256 SPARSE "old-s002.vmdk"
"""


def make_store(number: int, name: str, *, datacenter: str = "dc-1", volume: str = "") -> Datastore:
    return Datastore(
        id=StoreId(f"datastore-{number}"),
        name=name,
        path=f"/DC/datastore/{name}",
        datacenter=datacenter,
        datacenter_path="DC",
        browser=None,
        volume=volume or f"5f3c-{number}",
        accessible=True,
    )


SSD, HDD, FAR = (
    make_store(77, "ssd"),
    make_store(78, "hdd"),
    make_store(79, "hdd", datacenter="dc-2"),
)
STORES = (FAR, SSD, HDD)


def embed(text: str, *, sector: int = 1) -> bytes:
    """Return the beginning of a monolithic sparse file with this text within."""
    body = text.encode().ljust(20 * 512, b"\0")
    header = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 2048, 128, sector, 20)
    return header.ljust(sector * 512, b"\0") + body + b"\1" * 512


def test_a_delta_names_its_parent_its_data_and_its_change_tracking() -> None:
    found = parse_descriptor(DELTA.encode())
    assert found is not None
    assert found.parent == "/vmfs/volumes/5f3c-77/gold image/gold-000001.vmdk"
    assert found.extents == ("desk-000002-sesparse.vmdk", "desk-000002-ctk.vmdk")


def test_a_base_names_none() -> None:
    found = parse_descriptor(SPLIT.encode())
    assert found is not None
    assert found.parent == ""
    assert found.extents == ("old-s001.vmdk", "old-s002.vmdk")


@pytest.mark.parametrize("sector", [1, 8])
def test_the_text_within_a_monolithic_file_is_found(sector: int) -> None:
    assert parse_descriptor(embed(DELTA, sector=sector)) == parse_descriptor(DELTA.encode())


@pytest.mark.parametrize(
    "head",
    [b"", b"KDMV", b"\0" * 4096, b"some text", b"\xff" * 600, b"KDMV" + b"\xff" * 600],
    ids=["empty", "cut", "zeros", "text", "bytes", "absurd"],
)
def test_a_file_that_is_not_a_descriptor_is_reported(head: bytes) -> None:
    assert parse_descriptor(head) is None


@pytest.mark.parametrize(
    ("hint", "store", "path"),
    [
        ("gold.vmdk", HDD, "desk/gold.vmdk"),
        ("../gold/gold.vmdk", HDD, "gold/gold.vmdk"),
        ("/vmfs/volumes/5f3c-77/gold/gold.vmdk", SSD, "gold/gold.vmdk"),
        ("/vmfs/volumes/5f3c-79/gold/gold.vmdk", FAR, "gold/gold.vmdk"),
        ("/vmfs/volumes/ssd/gold image/gold.vmdk", SSD, "gold image/gold.vmdk"),
        ("/vmfs/volumes/hdd/gold.vmdk", HDD, "gold.vmdk"),
    ],
)
def test_a_hint_is_a_path_beside_the_file_or_one_of_the_host(
    hint: str, store: Datastore, path: str
) -> None:
    layer = HDD.layer("desk/desk.vmdk")
    assert find_parent(hint, layer, STORES) == Layer(store=store.id, path=path)


@pytest.mark.parametrize(
    "hint",
    [
        "/vmfs/volumes/unknown/gold.vmdk",
        "/vmfs/volumes/ssd",
        "/vmfs/devices/disks/naa.6",
        "../../../gold.vmdk",
        "vsan://52f0-1",
    ],
)
def test_a_hint_that_leads_nowhere_is_not_guessed_at(hint: str) -> None:
    found = find_parent(hint, HDD.layer("desk/desk.vmdk"), STORES)
    assert found is None


def test_a_volume_of_several_datacenters_is_that_of_the_files_own() -> None:
    twin = make_store(80, "ssd", datacenter="dc-2", volume=SSD.volume)
    for stores in ((twin, SSD), (SSD, twin)):
        for store in stores:
            found = find_parent(
                f"/vmfs/volumes/{SSD.volume}/a/a.vmdk", store.layer("b/b.vmdk"), stores
            )
            assert found == store.layer("a/a.vmdk")
