"""Pages of a property read, as the server writes them."""

import pytest

from linkedclone.drivers.vsphere.pages import foretell_token, objects_of, parse, token_of
from linkedclone.errors import BusyError, HypervisorError
from tests.replay import open_replay

VM = """<objects><obj type="VirtualMachine">{moid}</obj>
<propSet><name>name</name><val xsi:type="xsd:string">{moid}</val></propSet>{more}</objects>"""
DEVICES = """<propSet><name>config.hardware.device</name>
<val xsi:type="ArrayOfVirtualDevice"></val></propSet>"""
DENIED = """<missingSet><path>config.hardware.device</path><fault><fault
xsi:type="NoPermission"></fault><localizedMessage></localizedMessage></fault></missingSet>"""
SNAPSHOT = """<propSet><name>snapshot</name><val xsi:type="VirtualMachineSnapshotInfo">
<rootSnapshotList><snapshot type="VirtualMachineSnapshot">snapshot-1</snapshot>
<name>base</name></rootSnapshotList></val></propSet>"""


def page(*objects: str, token: str = "", behind: str = "") -> bytes:
    marked = f"<token>{token}</token>" if token else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
xmlns:xsd="http://www.w3.org/2001/XMLSchema"
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval>{marked}{"".join(objects)}{behind}
</returnval></RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>""".encode()


def vm(moid: str, more: str = DEVICES) -> str:
    return VM.format(moid=moid, more=more)


def test_the_token_is_known_before_the_page_is_parsed() -> None:
    body = page(vm("vm-1"), token="12 &amp; 3")
    assert foretell_token(body) == token_of(parse(body)) == "12 & 3"
    assert foretell_token(page(vm("vm-1"))) == token_of(parse(page(vm("vm-1")))) == ""
    assert foretell_token(page()) == ""
    assert foretell_token(body[:40]) == ""


def test_a_property_without_a_value_is_missing() -> None:
    body = page(VM.format(moid="vm-1", more="<propSet><name>parent</name></propSet>"))
    (found,) = objects_of(parse(body))
    assert (found.kind, found.id, list(found.elements)) == ("VirtualMachine", "vm-1", ["name"])


def test_an_answer_that_found_nothing_has_no_objects() -> None:
    empty = page().replace(b"<returnval>\n</returnval>", b"")
    assert list(objects_of(parse(empty))) == []
    assert open_replay([empty]).observe().vms == ()


def test_pages_are_followed_to_the_last() -> None:
    pages = [page(vm("vm-1"), token="1"), page(vm("vm-2"), token="2"), page(vm("vm-3"))]
    inventory = open_replay(pages).observe()
    assert [one.id for one in inventory.vms] == ["vm-1", "vm-2", "vm-3"]
    assert inventory.blind == ()


def test_a_page_that_leads_on_unseen_is_refused() -> None:
    late = page(vm("vm-1"), behind="<token>1</token>")
    with pytest.raises(HypervisorError, match="cannot be read"):
        open_replay([late, page(vm("vm-2"))]).observe()


@pytest.mark.parametrize("number", [0, 1])
def test_half_an_answer_is_told(number: int) -> None:
    pages = [page(vm("vm-1"), token="1"), page(vm("vm-2"))]
    pages[number] = pages[number][:-60]
    with pytest.raises(BusyError, match=r"the connection to .* broke"):
        open_replay(pages).observe()


def test_a_number_that_is_none_is_told() -> None:
    broken = "<propSet><name>config.createDate</name><val>yesterday</val></propSet>"
    with pytest.raises(HypervisorError, match="cannot be read"):
        open_replay([page(vm("vm-1", broken))]).observe()


# -- what could not be read ----------------------------------------------------------------


def test_vms_whose_devices_could_not_be_read_are_told() -> None:
    inventory = open_replay([page(vm("vm-1"), vm("vm-2", DENIED), vm("vm-3", ""))]).observe()
    assert [one.disks for one in inventory.vms] == [(), (), ()]
    (told,) = inventory.blind
    assert told == "the disks of vm-2, vm-3 could not be read: what they hang from is not known"


def test_a_vm_whose_snapshot_could_not_be_read_is_told_and_its_disks_are_unknown() -> None:
    denied = f"<objects><obj type='VirtualMachineSnapshot'>snapshot-1</obj>{DENIED}</objects>"
    for pages in ([page(vm("vm-1", DEVICES + SNAPSHOT), denied)], [page(vm("vm-1", SNAPSHOT))]):
        inventory = open_replay(pages).observe()
        assert inventory.vms[0].snapshots[0].disks is None
        assert "vm-1" in inventory.blind[0]


def test_of_many_only_a_few_are_named() -> None:
    bare = [vm(f"vm-{number}", "") for number in range(1, 9)]
    assert "vm-5 and 3 more could not" in open_replay([page(*bare)]).observe().blind[0]
