"""Pages of a property read, as the server writes them."""

import pytest

from linkedclone.drivers.vsphere.connection.answers import parse
from linkedclone.drivers.vsphere.property.response import foretell_token, objects_of, token_of
from linkedclone.errors import (
    AuthenticationError,
    BusyError,
    HypervisorError,
    UnreadableAnswerError,
)
from tests.replay import open_replay

VM = """<objects><obj type="VirtualMachine">{moid}</obj>
<propSet><name>name</name><val xsi:type="xsd:string">{moid}</val></propSet>
<propSet><name>runtime.powerState</name><val>poweredOff</val></propSet>
<propSet><name>runtime.connectionState</name><val>connected</val></propSet>{more}</objects>"""
TOLD = ("name", "runtime.powerState", "runtime.connectionState")
DEVICES = """<propSet><name>config.hardware.device</name>
<val xsi:type="ArrayOfVirtualDevice"></val></propSet>"""
DENIED = """<missingSet><path>config.hardware.device</path><fault><fault
xsi:type="NoPermission"></fault><localizedMessage></localizedMessage></fault></missingSet>"""
SNAPSHOT = """<propSet><name>snapshot</name><val xsi:type="VirtualMachineSnapshotInfo">
<rootSnapshotList><snapshot type="VirtualMachineSnapshot">snapshot-1</snapshot>
<name>base</name></rootSnapshotList></val></propSet>"""


ROOT = """<objects><obj type="Folder">group-d1</obj>
<propSet><name>name</name><val xsi:type="xsd:string">Datacenters</val></propSet></objects>"""


def page(*objects: str, token: str = "", behind: str = "") -> bytes:
    return answer("RetrievePropertiesEx", ROOT, *objects, token=token, behind=behind)


def next_page(*objects: str, token: str = "") -> bytes:
    return answer("ContinueRetrievePropertiesEx", *objects, token=token)


def answer(method: str, *objects: str, token: str = "", behind: str = "") -> bytes:
    marked = f"<token>{token}</token>" if token else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
xmlns:xsd="http://www.w3.org/2001/XMLSchema"
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<{method}Response xmlns="urn:vim25"><returnval>{marked}{"".join(objects)}{behind}
</returnval></{method}Response></soapenv:Body></soapenv:Envelope>""".encode()


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
    _, found = objects_of(parse(body))
    assert (found.kind, found.id, list(found.elements)) == ("VirtualMachine", "vm-1", [*TOLD])


def test_an_answer_without_the_requested_objects_is_not_an_empty_inventory() -> None:
    silent = answer("RetrievePropertiesEx")
    empty = silent.replace(b"<returnval>\n</returnval>", b"")
    assert list(objects_of(parse(empty))) == []
    for body in (
        empty,
        silent,
        silent.replace(b"<returnval>\n", b"<returnval>" + vm("vm-1").encode()),
    ):
        with pytest.raises(HypervisorError, match="says nothing of Folder:group-d1"):
            open_replay([body] * 3).observe()
    assert open_replay([page()]).observe().vms == ()


def test_pages_are_followed_to_the_last() -> None:
    pages = [page(vm("vm-1"), token="1"), next_page(vm("vm-2"), token="2"), next_page(vm("vm-3"))]
    inventory = open_replay(pages).observe()
    assert [one.id for one in inventory.vms] == ["vm-1", "vm-2", "vm-3"]
    assert inventory.blind == ()


def test_pages_that_lead_on_for_ever_are_given_up() -> None:
    endless = [page(vm("vm-1"), token="1"), *[next_page(vm("vm-1"), token="1")] * 2]
    with pytest.raises(UnreadableAnswerError) as caught:
        open_replay(endless * 9).observe()
    assert "has nothing new" in caught.value.details


def test_a_page_that_leads_on_unseen_is_refused() -> None:
    late = page(vm("vm-1"), behind="<token>1</token>")
    with pytest.raises(HypervisorError, match="cannot be read"):
        open_replay([late, next_page(vm("vm-2"))]).observe()


@pytest.mark.parametrize("number", [0, 1])
def test_half_an_answer_is_reported(number: int) -> None:
    pages = [page(vm("vm-1"), token="1"), next_page(vm("vm-2"))]
    pages[number] = pages[number][:-60]
    with pytest.raises(BusyError, match=r"the connection to .* broke"):
        open_replay(pages[: number + 1] * 6).observe()


def test_a_page_that_was_cut_off_is_read_again() -> None:
    first, second = page(vm("vm-1"), token="1"), next_page(vm("vm-2"))
    for cut in ([first[:200], first, second], [first, second[:-60], first, second]):
        assert [one.id for one in open_replay(cut).observe().vms] == ["vm-1", "vm-2"]


def test_an_invalid_number_is_reported() -> None:
    broken = "<propSet><name>config.createDate</name><val>yesterday</val></propSet>"
    with pytest.raises(HypervisorError, match="cannot be read"):
        open_replay([page(vm("vm-1", broken))]).observe()


# -- answers that are not whole ------------------------------------------------------------

ENDED = """<missingSet><path>name</path><fault><fault xsi:type="NotAuthenticated">
<object type="Folder">group-d1</object><privilegeId>System.View</privilegeId></fault>
<localizedMessage></localizedMessage></fault></missingSet>"""
VOID = answer(
    "RetrievePropertiesEx", f'<objects><obj type="Folder">group-d1</obj>{ENDED}</objects>'
)


def test_a_void_page_is_never_an_empty_inventory() -> None:
    whole = page(vm("vm-1"))
    assert [one.id for one in open_replay([VOID, whole]).observe().vms] == ["vm-1"]
    with pytest.raises(AuthenticationError, match="does not know the session") as caught:
        open_replay([VOID, VOID, whole]).observe()
    assert "System.View" in caught.value.details


def test_one_property_that_a_lost_session_hides_costs_a_second_read() -> None:
    hidden = page(vm("vm-1", DEVICES + ENDED.replace("name", "snapshot")), vm("vm-2"))
    whole = page(vm("vm-1", DEVICES + SNAPSHOT), vm("vm-2"))
    assert len(open_replay([hidden, whole]).observe().vms[0].snapshots) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html><body>Please log in</body></html>", "a document of <html>"),
        (b"<!DOCTYPE html><html></html>", "begins with '<!DOCTYPE html>"),
        (b"Bad gateway", "begins with 'Bad gateway'"),
        (b"", "an empty answer"),
        (b" \n ", "an empty answer"),
        (answer("FindByUuid"), "a <FindByUuidResponse> where"),
        (page(vm("")), "without a type or an id"),
        (page(vm("vm-1").replace('obj type="VirtualMachine"', "obj")), "without a type or an id"),
        (b"<a>" * 2000 + b"</a>" * 2000, "nested more than 400 deep"),
        (
            b'<!DOCTYPE a [<!ENTITY x "yyyyyyyy"><!ENTITY z "&x;&x;&x;&x;">]>' + page("&z;"),
            "begins with '<!DOCTYPE a",
        ),
    ],
)
def test_an_answer_of_another_shape_is_an_error_that_names_what_came(
    body: bytes, told: str
) -> None:
    with pytest.raises(UnreadableAnswerError, match="answered with something else") as caught:
        open_replay([body] * 6).observe()
    assert told in caught.value.details
    assert [one.id for one in open_replay([body, page(vm("vm-1"))]).observe().vms] == ["vm-1"]


def test_12a_snapshots_that_nest_without_end_are_an_answer_that_cannot_be_read() -> None:
    tree = "<rootSnapshotList>" + "<childSnapshotList>" * 5000 + "</childSnapshotList>" * 5000
    snapshots = f"<propSet><name>snapshot</name><val>{tree}</rootSnapshotList></val></propSet>"
    with pytest.raises(UnreadableAnswerError, match="cannot be read"):
        open_replay([page(vm("vm-1", snapshots))]).observe()


# -- what could not be read ----------------------------------------------------------------


def test_vms_with_unreadable_devices_are_reported() -> None:
    inventory = open_replay([page(vm("vm-1"), vm("vm-2", DENIED), vm("vm-3", ""))]).observe()
    assert [one.disks for one in inventory.vms] == [(), (), ()]
    refused, absent = (one.unreadable for one in inventory.vms[1:])
    assert refused.startswith("the server does not tell config.hardware.device: ")
    assert absent == "the server does not tell its devices"
    assert inventory.not_seen[1] == f"vm-2 cannot be read: {refused}"


def test_a_vm_with_an_unreadable_snapshot_is_reported_and_its_disks_are_unknown() -> None:
    denied = f"<objects><obj type='VirtualMachineSnapshot'>snapshot-1</obj>{DENIED}</objects>"
    for pages in ([page(vm("vm-1", DEVICES + SNAPSHOT), denied)], [page(vm("vm-1", SNAPSHOT))]):
        inventory = open_replay(pages).observe()
        assert inventory.vms[0].snapshots[0].disks is None
        assert inventory.vms[0].unreadable
        assert "vm-1" in inventory.not_seen[0]


def test_of_many_only_a_few_are_named() -> None:
    bare = [vm(f"vm-{number}", "") for number in range(1, 9)]
    assert "vm-5 and 3 more cannot" in open_replay([page(*bare)]).observe().not_seen[0]


STORE = """<objects><obj type="Datastore">datastore-1</obj><propSet><name>vm</name>
<val xsi:type="ArrayOfManagedObjectReference">
<ManagedObjectReference type="VirtualMachine">vm-1</ManagedObjectReference>
<ManagedObjectReference type="VirtualMachine">vm-2</ManagedObjectReference>
</val></propSet></objects>"""
NO_PERMISSION = b"""<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>
<faultstring>not you</faultstring><detail><NoPermissionFault xmlns="urn:vim25"
xsi:type="NoPermission"/></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>"""


def test_a1_a_vm_that_a_datastore_lists_and_the_answer_leaves_out_is_read_by_itself() -> None:
    left_out = page(vm("vm-1"), STORE)
    alone = answer("RetrievePropertiesEx", vm("vm-2"))
    told = open_replay([left_out, alone]).observe()
    assert [one.id for one in told.vms] == ["vm-1", "vm-2"]
    hidden = open_replay([left_out, NO_PERMISSION]).observe()
    assert [one.id for one in hidden.vms] == ["vm-1", "vm-2"]
    assert any("vm-2" in told for told in hidden.not_seen)


USED = """<propSet><name>datastore</name><val xsi:type="ArrayOfManagedObjectReference">
<ManagedObjectReference type="Datastore">datastore-1</ManagedObjectReference></val></propSet>"""


def test_a1_a_datastore_that_a_vm_uses_and_the_answer_leaves_out_is_read_with_its_vms() -> None:
    """It and a VM may be left out together, so that nothing else names that VM."""
    left_out = page(vm("vm-1", DEVICES + USED))
    alone = answer("RetrievePropertiesEx", STORE, vm("vm-2"))
    told = open_replay([left_out, alone]).observe()
    assert [one.id for one in told.vms] == ["vm-1", "vm-2"]
    hidden = open_replay([left_out, NO_PERMISSION]).observe()
    assert [one.id for one in hidden.vms] == ["vm-1"]


def test_a1_a_datacenter_that_the_answer_leaves_out_is_read_by_itself() -> None:
    listing = """<propSet><name>childEntity</name><val xsi:type="ArrayOfManagedObjectReference">
<ManagedObjectReference type="Datacenter">datacenter-2</ManagedObjectReference></val></propSet>"""
    root = ROOT.replace("</objects>", f"{listing}</objects>")
    stores = USED.replace("vm-1", "vm-2")
    center = CENTER.replace("</objects>", f"{stores}</objects>")
    pages = [
        answer("RetrievePropertiesEx", root),
        answer("RetrievePropertiesEx", center),
        answer("RetrievePropertiesEx", STORE, vm("vm-1")),
        answer("RetrievePropertiesEx", vm("vm-2")),
    ]
    assert [one.id for one in open_replay(pages).observe().vms] == ["vm-1", "vm-2"]
    for number in range(1, 4):
        cut = [*pages[:number], *[answer("RetrievePropertiesEx")] * 6]
        if number == 3:
            assert open_replay(cut).observe().vms[1].unreadable
        else:
            with pytest.raises(UnreadableAnswerError):
                open_replay(cut).observe()


def test_a1_contradictory_answers_about_an_object_are_rejected() -> None:
    twice = [page(vm("vm-1", DENIED), token="1"), next_page(vm("vm-1"), vm("vm-2"))]
    with pytest.raises(UnreadableAnswerError, match="VirtualMachine:vm-1 twice"):
        open_replay(twice).observe()
    same = [page(vm("vm-1"), token="1"), next_page(vm("vm-1"), vm("vm-2"))]
    assert [one.id for one in open_replay(same).observe().vms] == ["vm-1", "vm-2"]


def test_a3_a_snapshot_of_no_vm_means_that_the_answer_is_not_whole() -> None:
    """What its VM reads is not known, for another may be left out as well."""
    alone = f"<objects><obj type='VirtualMachineSnapshot'>snapshot-1</obj>{DEVICES}</objects>"
    with pytest.raises(UnreadableAnswerError, match="snapshots that belong to no VM"):
        open_replay([page(vm("vm-1"), alone)]).observe()
    assert open_replay([page(vm("vm-1", DEVICES + SNAPSHOT), alone)]).observe().vms[0].snapshots


def test_a3_a_vm_that_has_snapshots_and_does_not_tell_them_cannot_be_read() -> None:
    roots = USED.replace(">datastore<", ">rootSnapshot<").replace("Datastore", "Snapshot")
    (found,) = open_replay([page(vm("vm-1", DEVICES + roots))]).observe().vms
    assert found.unreadable == "the server does not tell its snapshots"


def test_a_folder_inside_itself_does_not_loop() -> None:
    def below(above: str) -> str:
        return f'<propSet><name>parent</name><val type="Folder">{above}</val></propSet>'

    def folder(moid: str, above: str) -> str:
        named = f"<propSet><name>name</name><val>{moid}</val></propSet>"
        return f'<objects><obj type="Folder">{moid}</obj>{named}{below(above)}</objects>'

    folders = folder("group-v1", "group-v2") + folder("group-v2", "group-v1")
    body = page(vm("vm-1", DEVICES + below("group-v1")), folders)
    (told,) = open_replay([body]).observe().vms
    assert told.path.endswith("/vm-1")


def test_a3_an_answer_to_another_question_is_never_the_list_of_all_vms() -> None:
    """Whole and well-formed, but without what the look at all VMs asks of a datastore."""
    store = """<objects><obj type="Datastore">datastore-1</obj>
<propSet><name>name</name><val xsi:type="xsd:string">ssd1</val></propSet></objects>"""
    with pytest.raises(UnreadableAnswerError, match="vm of Datastore:datastore-1"):
        open_replay([page(vm("vm-1", DEVICES + USED), store)] * 6).observe()


def told(path: str) -> str:
    return f"<propSet><name>{path}</name><val>0</val></propSet>"


CENTER = f"<objects><obj type='Datacenter'>datacenter-2</obj>{told('name')}</objects>"
HOST = f"<objects><obj type='HostSystem'>host-1</obj>{told('name')}</objects>"
NAMED = f"<objects><obj type='VirtualMachine'>vm-1</obj>{told('name')}</objects>"


@pytest.mark.parametrize(
    "body",
    [
        page(vm("vm-1", DEVICES + told("summary.config.name"))),
        page(vm("vm-1"), HOST),
        page(NAMED),
        page(
            vm("vm-1").replace("<name>name<", "<name>parent<"),
            vm("vm-2").replace("<name>name<", "<name>parent<"),
        ),
        page(CENTER),
        answer("RetrievePropertiesEx", vm("vm-1")),
    ],
    ids=["more", "other kinds", "less", "nameless", "without folders", "another start"],
)
def test_a2_an_answer_to_another_question_is_reported_and_read_again(body: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        open_replay([body] * 6).observe()
    if body != page(CENTER):
        assert [one.id for one in open_replay([body, page(vm("vm-1"))]).observe().vms] == ["vm-1"]


def test_a3_a_vm_whose_name_alone_is_missing_cannot_be_read_and_goes_by_its_id() -> None:
    nameless = vm("vm-2").replace("<name>name<", "<name>config.uuid<")
    found = open_replay([page(vm("vm-1"), nameless)]).observe()
    assert [one.name for one in found.vms] == ["vm-1", "vm-2"]
    assert found.vms[1].unreadable == "the server does not tell name"
    assert found.vms[1].path.endswith("/vm-2")


def test_a2_a_missing_root_folder_is_not_an_empty_inventory() -> None:
    gone = NO_PERMISSION.replace(
        b'xsi:type="NoPermission"/>',
        b'xsi:type="ManagedObjectNotFound"><obj type="Folder">group-d1</obj></NoPermissionFault>',
    )
    with pytest.raises(HypervisorError, match="does not exist any more"):
        open_replay([gone] * 6).observe()
