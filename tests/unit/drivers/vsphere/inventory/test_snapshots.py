"""Names of snapshots as the vSphere Client writes them."""

from xml.etree.ElementTree import Element, SubElement

import pytest

from linkedclone.drivers.vsphere.connection.answers import NS
from linkedclone.drivers.vsphere.inventory.snapshots import read_snapshots
from linkedclone.errors import AmbiguousError, NotFoundError
from linkedclone.model.values.ids import VmId
from linkedclone.model.vm import Vm
from linkedclone.planning.clone.snapshot_choice import find_snapshot

RECORDED = "VM Snapshot 10%252f24%252f2018, 8:42:44 AM"
"""As a 6.7 keeps the default name that its HTML5 client gives."""

SHOWN = "VM Snapshot 10/24/2018, 8:42:44 AM"


def vm(*names: str) -> Vm:
    """Return a VM with a chain of snapshots, each below the one before."""
    info = Element(NS + "val")
    above, tag = info, "rootSnapshotList"
    for number, name in enumerate(names):
        above = SubElement(above, NS + tag)
        SubElement(above, NS + "snapshot").text = f"snapshot-{number}"
        SubElement(above, NS + "name").text = name
        tag = "childSnapshotList"
    return Vm(id=VmId("vm-1"), name="golden", uuid="", snapshots=read_snapshots(info))


@pytest.mark.parametrize(
    "ref", [SHOWN, RECORDED, "VM Snapshot 10%2f24%2f2018, 8:42:44 AM", "snapshot-0", "/" + SHOWN]
)
def test_item_17_a_name_escaped_twice_is_found_as_kept_once_and_fully_unescaped(ref: str) -> None:
    found = find_snapshot(vm(RECORDED), ref)
    assert (found.name, found.path) == (SHOWN, SHOWN)


@pytest.mark.parametrize(
    "ref",
    [
        f"{SHOWN}/after",
        f"{RECORDED}/after",
        "VM Snapshot 10%2f24%2f2018, 8:42:44 AM/after",
        "after",
    ],
)
def test_item_17_a_path_through_it_is_found_too(ref: str) -> None:
    found = find_snapshot(vm(RECORDED, "after"), ref)
    assert (found.id, found.path) == ("snapshot-1", f"{SHOWN}/after")


def test_a_plain_name_has_no_aliases() -> None:
    assert vm("base", "2026-11").snapshots[1].aliases == ()


def test_two_names_shown_alike_are_ambiguous_except_by_their_stored_form() -> None:
    both = vm("a%252fb", "a%2fb")
    with pytest.raises(AmbiguousError):
        find_snapshot(both, "a/b")
    assert find_snapshot(both, "a%252fb").id == "snapshot-0"
    assert find_snapshot(both, "/a/b").id == "snapshot-0"


def test_a_missing_snapshot_lists_names_that_can_be_given_back() -> None:
    with pytest.raises(NotFoundError) as caught:
        find_snapshot(vm(RECORDED), "10/24")
    listed = caught.value.hint.removeprefix("it has: ")
    assert find_snapshot(vm(RECORDED), listed).id == "snapshot-0"
