"""What a name or an inventory path fits: one table for every kind of object."""

from dataclasses import replace

import pytest
from pyVmomi import vim

from linkedclone.drivers.vsphere.inventory.finder import fits_still
from linkedclone.drivers.vsphere.property.choose import choose, match
from linkedclone.drivers.vsphere.property.collector import Seen
from linkedclone.errors import AmbiguousError, InputError, NotFoundError
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm
from tests.unit.drivers.vsphere.build import seen

KINDS = {
    "Datastore": ("datastore", vim.Datastore),
    "Network": ("network", vim.Network),
    "Folder": ("vm", vim.Folder),
    "VirtualMachine": ("vm", vim.VirtualMachine),
    "HostSystem": ("host", vim.HostSystem),
    "ClusterComputeResource": ("host", vim.ClusterComputeResource),
    "ResourcePool": ("host", vim.ResourcePool),
    "StoragePod": ("datastore", vim.StoragePod),
}

ROOT = seen("Folder", "group-d1", name="Datacenters")
CENTERS = [
    seen("Datacenter", f"datacenter-{n}", name=name, parent=vim.Folder("group-d1", None))
    for n, name in ((1, "DC0"), (2, "DC%2f1"))
]


def build(kind: str, *names: tuple[int, str, str]) -> tuple[dict[str, Seen], dict[str, Seen]]:
    """Return objects (datacenter, folder or nothing, name), and what stands above them."""
    top, _ = KINDS[kind]
    around = {one.id: one for one in (ROOT, *CENTERS)}
    things: dict[str, Seen] = {}
    for number, (center, folder, name) in enumerate(names):
        above = f"group-{center}"
        parent = vim.Datacenter(f"datacenter-{center}", None)
        around[above] = seen("Folder", above, name=top, parent=parent)
        if folder:
            below = f"{above}-{folder}"
            around[below] = seen("Folder", below, name=folder, parent=vim.Folder(above, None))
            above = below
        thing = seen(kind, f"thing-{number}", name=name, parent=vim.Folder(above, None))
        things[thing.id] = thing
    return things, around | things


OBJECTS = (
    (1, "", "one"),
    (1, "sub", "two"),
    (1, "", "a%2fb"),
    (1, "", "50%25"),
    (1, "", "back%5cslash"),
    (1, "", "literal%252f"),
    (2, "", "three"),
    (1, "x%2fy", "four"),
    (1, "", "%2fetc"),
    (1, "", "10%252f24"),
)

FITS = [
    ("one", "one"),
    ("ONE", "one"),
    ("/DC0/{top}/one", "one"),
    ("DC0/{top}/one", "one"),
    ("{top}/one", "one"),
    ("./one", "one"),
    ("sub/two", "two"),
    ("/DC0/{top}/sub/two", "two"),
    ("a/b", "a%2fb"),
    ("a%2fb", "a%2fb"),
    ("a%2Fb", "a%2fb"),
    ("/DC0/{top}/a%2fb", "a%2fb"),
    ("/DC0/{top}/a/b", "a%2fb"),
    ("50%", "50%25"),
    ("50%25", "50%25"),
    ("back\\slash", "back%5cslash"),
    ("literal%2f", "literal%252f"),
    ("literal%252f", "literal%252f"),
    ("literal/", "literal%252f"),
    ("/DC%2f1/{top}/three", "three"),
    ("/DC/1/{top}/three", "three"),
    ("DC%2f1/{top}/three", "three"),
    ("x/y/four", "four"),
    ("x%2fy/four", "four"),
    ("/etc", "%2fetc"),
    ("/DC0/{top}/%2fetc", "%2fetc"),
    ("10/24", "10%252f24"),
    ("10%2f24", "10%252f24"),
    ("10%252f24", "10%252f24"),
    ("thing-1", "two"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("ref", "name"), FITS)
def test_item_14_every_kind_is_found_by_name_path_and_id(kind: str, ref: str, name: str) -> None:
    things, around = build(kind, *OBJECTS)
    found = choose("thing", ref.format(top=KINDS[kind][0]), things, around)
    assert found.get("name") == name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "ref",
    [
        "/nowhere/one",
        "nowhere/one",
        "/DC0/{top}/nowhere/one",
        "/DC%2f1/{top}/one",
        "/DC0/{top}/three",
        "/one",
        "/{top}/one",
        "/DC0/{top}/two",
        "b",
        "y/four",
        "24",
        "/",
        "//",
        "ne",
        "",
        "thing",
        "one/x",
    ],
)
def test_item_14_a_wrong_path_is_refused_and_not_cut_to_its_last_part(kind: str, ref: str) -> None:
    things, around = build(kind, *OBJECTS)
    with pytest.raises(NotFoundError, match="there is no thing"):
        choose("thing", ref.format(top=KINDS[kind][0]), things, around)


@pytest.mark.parametrize("kind", KINDS)
def test_item_14_what_an_error_lists_can_be_given_back(kind: str) -> None:
    things, around = build(kind, *OBJECTS)
    with pytest.raises(NotFoundError) as caught:
        choose("thing", "missing", things, around)
    listed = caught.value.hint.removeprefix("there are: ").split(", ")
    chosen = [choose("thing", path, things, around).id for path in listed]
    assert sorted(chosen) == sorted(things)


def test_a_name_beats_what_is_written_like_it_with_escapes() -> None:
    ways = {"shown": [("DC0", "vm", "a%252fb")], "kept": [("DC0", "vm", "a%2fb")]}
    assert match("a%2fb", ways) == ("shown",)
    assert match("/DC0/vm/a%2fb", ways) == ("kept",)
    assert match("/DC0/vm/a%252fb", ways) == ("shown",)
    assert match("a/b", ways) == ("kept",)


def test_a_name_with_a_slash_and_a_path_that_read_alike_are_ambiguous_until_it_is_whole() -> None:
    things, around = build("Datastore", (1, "", "a%2fb"), (1, "a", "b"))
    with pytest.raises(AmbiguousError) as caught:
        choose("datastore", "a/b", things, around)
    listed = [line.split("  ")[0] for line in caught.value.candidates]
    assert listed == ["/DC0/datastore/a%2fb", "/DC0/datastore/a/b"]
    assert [choose("datastore", path, things, around).id for path in listed] == [
        "thing-0",
        "thing-1",
    ]


def test_one_name_in_two_datacenters_is_ambiguous_and_a_path_tells_them_apart() -> None:
    things, around = build("Network", (1, "", "LAN"), (2, "", "LAN"))
    with pytest.raises(AmbiguousError):
        choose("network", "LAN", things, around)
    assert choose("network", "/DC%2f1/network/LAN", things, around).id == "thing-1"


def test_a_vapp_is_found_by_the_path_of_its_folder_and_that_of_its_pool() -> None:
    pool = seen("ResourcePool", "resgroup-1", name="Resources", parent=vim.Folder("group-1", None))
    _, around = build("Folder", (1, "", "Apps"))
    vapp = seen(
        "VirtualApp",
        "resgroup-v2",
        name="shop",
        parent=vim.ResourcePool("resgroup-1", None),
        parentFolder=vim.Folder("thing-0", None),
    )
    everything = around | {pool.id: pool, vapp.id: vapp}
    for ref in ("shop", "/DC0/vm/Apps/shop", "/DC0/vm/Resources/shop", "Resources/shop"):
        assert choose("resource pool", ref, {vapp.id: vapp}, everything) is vapp


UUID = "11111111-2222-5333-8444-555555555555"


@pytest.mark.parametrize(
    ("ref", "fits"),
    [
        ("a/b", True),
        ("A%2Fb", True),
        ("/DC0/vm/x/a%2fb", True),
        ("x/a/b/", True),
        ("vm-1", True),
        (UUID.upper(), True),
        ("payroll", False),
        ("/DC0/vm/payroll", False),
        (UUID.replace("1", "2"), False),
    ],
)
def test_what_was_found_is_still_what_was_named(ref: str, fits: bool) -> None:
    found = Vm(id=VmId("vm-1"), name="a/b", uuid=UUID, bios_uuid=UUID)
    assert fits_still(ref, found) is fits
    assert fits_still(ref, replace(found, name="vm-1", unreadable="no host knows it"))


@pytest.mark.parametrize(
    "ref",
    [
        *("x/../y", "..", ".", "/DC0/vm/./a", "a//b", "x/ /y"),
        *("x%2f..%2fy", "..%2fy", "a%252f..", "x/%2e%2e/y", "a%2f", "...", ". ."),
    ],
)
@pytest.mark.parametrize("kind", ["Folder", "Datastore", "ResourcePool"])
def test_a_path_with_a_level_that_is_not_a_name_is_refused(kind: str, ref: str) -> None:
    things, around = build(kind, (1, "", "one"))
    with pytest.raises(InputError, match="not a name"):
        choose("thing", ref, things, around)


def test_what_an_object_is_really_called_is_found_whatever_it_is() -> None:
    things, around = build("Folder", (1, "", ".."), (1, "x%2f..", "y"))
    assert choose("folder", "..", things, around).id == "thing-0"
    assert choose("folder", "/DC0/vm/x%2f../y", things, around).id == "thing-1"


def test_a_hidden_object_is_reported_as_hidden() -> None:
    hidden = seen("Datacenter", "datacenter-9", parent=vim.Folder("group-d1", None))
    around = {one.id: one for one in (ROOT, CENTERS[0], hidden)}
    centers = {one.id: one for one in (CENTERS[0], hidden)}
    with pytest.raises(NotFoundError) as caught:
        choose("datacenter", "DC7", centers, around)
    assert caught.value.hint == (
        "there are: /DC0; 1 more with a name or place that is hidden from you"
    )
    with pytest.raises(NotFoundError) as caught:
        choose("datacenter", "DC7", {hidden.id: hidden}, around)
    assert caught.value.hint.startswith("there are: none that you may see; 1 more")


def test_objects_in_hidden_places_are_distinguished_by_their_ids() -> None:
    hidden = seen("Datacenter", "datacenter-9", parent=vim.Folder("group-d1", None))
    inside = seen("Folder", "group-v9", name="one", parent=vim.Datacenter("datacenter-9", None))
    things, around = build("Folder", (1, "", "one"))
    around |= {hidden.id: hidden, inside.id: inside}
    with pytest.raises(AmbiguousError) as caught:
        choose("folder", "one", things | {inside.id: inside}, around)
    assert caught.value.candidates == ("//one  group-v9", "/DC0/vm/one")
